"""What the tests of `gilotine query` share."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest
from duckdb_support import duckdb, libexec  # noqa: F401, a fixture

# Interruptible and stubborn, both for minutes.
LONG = "select sum(hash(i)) from range(200000000000) t(i)"
STUBBORN = "select max(levenshtein(repeat('ab',20000), repeat('ba',20000+i::int))) from range(2000) t(i)"
WAIT = 60.0


class Query:
    def __init__(self, gilotine: str, folder: pathlib.Path, env: dict[str, str]):
        self.argv = [gilotine, "query"]
        self.folder = folder
        self.env = {**os.environ, "LC_ALL": "C.UTF-8", **env}
        self.env.pop("GILOTINE_DEADLINE", None)
        self.started: list[subprocess.Popen] = []

    def __call__(self, *args: str, stdin: bytes | None = None, env: dict[str, str] | None = None):
        return subprocess.run(
            [*self.argv, *args],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            cwd=self.folder,
            env={**self.env, **(env or {})},
            timeout=WAIT,
        )

    def good(self, *args: str, **kwargs) -> bytes:
        done = self(*args, **kwargs)
        assert (done.returncode, done.stderr) == (0, b""), done
        return done.stdout

    def rows(self, *args: str) -> list:
        return json.loads(self.good("--json", *args))

    def value(self, *args: str):
        ((row,),) = (list(self.rows(*args)),)
        (value,) = row.values()
        return value

    def record(self, *args: str):
        """The run, and its outcome record."""
        path = self.folder / "record.json"
        done = self("--report", str(path), *args)
        return done, json.loads(path.read_text())

    def start(self, *args: str, **popen) -> subprocess.Popen:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": self.env}
        process = subprocess.Popen([*self.argv, *args], cwd=self.folder, **{**options, **popen})
        self.started.append(process)
        return process

    def close(self) -> None:
        """A test that failed in the middle leaves nothing running either."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait(WAIT)
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def query(gilotine, tmp_path, tmp_path_factory, duckdb):  # noqa: F811
    started = Query(gilotine, tmp_path, libexec(duckdb, tmp_path_factory.mktemp("libexec")))
    yield started
    started.close()


def wait_for(what, seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in its time"
        time.sleep(0.005)


def end(process: subprocess.Popen, signo: int = signal.SIGKILL) -> None:
    if process.poll() is None:
        process.send_signal(signo)
    process.communicate(timeout=WAIT)
