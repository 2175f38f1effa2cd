"""What the tests of the subject share: real Celery workers over a filesystem broker, their log lines and
trace events, and the end of everything they started."""

import configparser
import contextlib
import ctypes
import functools
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional

import pytest

SUBJECT = Path(__file__).resolve().parents[2] / "lab" / "subject"
if str(SUBJECT) not in sys.path:
    sys.path.insert(0, str(SUBJECT))

import census  # noqa: E402
from settings import cache_folder  # noqa: E402

QUEUE = "subject-test"
_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37

# How long anything here may take before the test fails. Generous: the machine may be shared.
PATIENCE_SECONDS = 60.0


class Interpreter(NamedTuple):
    name: str
    python: str
    free_threaded: bool
    duckdb_module: bool


def manifest() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(os.path.join(cache_folder(os.environ), "manifest.ini"))
    return parser


def interpreters() -> list[Any]:
    """The interpreters that were built, as parameters; one skipped parameter when there is none."""
    found, parser = [], manifest()
    for name in ("gil", "nogil"):
        if parser.has_option(name, "python"):
            group = parser[name]
            it = Interpreter(name, group["python"], group.getboolean("free_threaded"), "duckdb_module" in group)
            found.append(pytest.param(it, id=name))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason="no interpreter: run tools/build-python"))]


def interpreter_with(free_threaded: bool) -> Interpreter:
    for parameter in interpreters():
        it = parameter.values[0]
        if it is not None and it.free_threaded == free_threaded:
            return it
    pytest.fail("that interpreter is not built: run 'make interpreters'")


def library() -> str:
    path = manifest().get("duckdb", "library", fallback=None)
    if path is None:
        pytest.fail("no DuckDB library: run 'make interpreters'")
    return path


def environment(**extra: str) -> dict[str, str]:
    """The test's environment without anything that would steer a subject, plus what the test asks."""
    steering = re.compile("MP_|DUCKDB_|CELERY_|GILOTINE_TRACE|GIL_MODE|TIMEOUT_|CLEANUP_|SUBJECT_|SETTLE|LOG_LEVEL|PYTHON")
    env = {key: value for key, value in os.environ.items() if not steering.match(key)}
    return {**env, "PYTHONPATH": str(SUBJECT), "PYTHONDONTWRITEBYTECODE": "1", **extra}


class _Member(NamedTuple):
    pid: int
    zombie: bool
    session: int
    mark: bytes


def _member(process: census.Process) -> _Member:
    session, environ = -1, b""
    # A zombie has a session still, but no environment.
    with contextlib.suppress(OSError):
        with open(f"/proc/{process.pid}/stat", "rb") as file:
            session = int(file.read().rpartition(b") ")[2].split()[3])
        with open(f"/proc/{process.pid}/environ", "rb") as file:
            environ = file.read()
    mark = next((entry for entry in environ.split(b"\0") if entry.startswith(b"GILOTINE_MARK=")), b"")
    return _Member(process.pid, process.zombie, session, mark)


@contextlib.contextmanager
def family(mark: str) -> Iterator[set[int]]:
    """Ends, on the way out, every descendant that bears the mark or belongs to one of the sessions that
    were added to the set, and waits until none is left. Orphans come to this process meanwhile."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    sessions: set[int] = set()
    wanted = f"GILOTINE_MARK={mark}".encode()
    try:
        yield sessions
    finally:
        end = time.monotonic() + PATIENCE_SECONDS
        known: set[int] = set()
        while True:
            members = [_member(process) for process in census.descendants()]
            mine = [m for m in members if m.mark == wanted or m.session in sessions or m.pid in known]
            known.update(m.pid for m in mine)
            for member in mine:
                if not member.zombie:
                    os.kill(member.pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(member.pid, os.WNOHANG)
            if not mine:
                break
            assert time.monotonic() < end, f"still there: {mine}"
            time.sleep(0.02)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


class Worker:
    """A running subject."""

    def __init__(self, process: subprocess.Popen, folder: Path, listener: socket.socket) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.result: Any = None
        self._folder = folder
        self._listener = listener
        self._threads = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self) -> None:
        while True:
            datagram = self._listener.recv(65536)
            if datagram == b"end":
                return
            self.events.append(json.loads(datagram))

    def _read_log(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, what: str, condition: Any) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}:\n" + "\n".join(self.lines))
            time.sleep(0.01)

    def said(self, start: str) -> list[str]:
        """The subject's own lines that start with this, without Celery's prefix."""
        lines = [line.partition("]: ")[2] for line in list(self.lines) if "tasks.leak_demo[" in line]
        return [line for line in lines if line.startswith(start)]

    def told(self, event: str) -> list[dict[str, Any]]:
        return [e for e in list(self.events) if e["ev"] == event]

    def run(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Sends the task by the real Celery client and waits for its result, the log and the trace."""
        ends = len(self.told("task_end"))
        app = client(self._folder)
        with app.connection_for_write() as connection:
            sent = app.send_task("tasks.leak_demo", args=args, kwargs=kwargs, queue=QUEUE, connection=connection)
            self.result = sent.get(timeout=PATIENCE_SECONDS)
        self.wait_for("the end of the trace", lambda: len(self.told("task_end")) > ends)
        for line, event in (("iter=", "iter_end"), ("cleanup ", "cleanup")):
            self.wait_for("the end of the log", lambda: len(self.said(line)) == len(self.told(event)))
        return self.result

    def outcomes(self) -> list[str]:
        return [iteration["outcome"] for iteration in self.result["iterations"]]

    def counts(self) -> list[tuple[int, int]]:
        return [(iteration["children"], iteration["zombies"]) for iteration in self.result["iterations"]]

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"end", self._listener.getsockname())
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        self.process.stdout.close()
        self._listener.close()


@functools.cache
def _leave_unwritten_messages_alone() -> None:
    """kombu's folders have no lock on the reader's side: a result that its writer has just opened is taken, empty,
    and lost. The client waits until it is written."""
    from kombu.transport import filesystem
    from queue import Empty

    take = filesystem.Channel._get

    def take_whole(channel: Any, queue: str) -> Any:
        with os.scandir(channel.data_folder_in) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.name.endswith(f".{queue}.msg") and entry.stat().st_size == 0:
                        raise Empty
        return take(channel, queue)

    filesystem.Channel._get = take_whole


def client(folder: Path) -> Any:
    """A Celery client of the worker in that folder. Its broker settings are written out here, so that the
    worker's reading of filesystem:///DIR is checked against them."""
    celery = pytest.importorskip("celery")
    _leave_unwritten_messages_alone()
    app = celery.Celery("client", broker="filesystem://", backend="rpc://", set_as_current=False)
    app.conf.broker_transport_options = {
        "data_folder_in": str(folder / "broker" / "messages"),
        "data_folder_out": str(folder / "broker" / "messages"),
        "processed_folder": str(folder / "broker" / "processed"),
        "control_folder": str(folder / "broker" / "control"),
        "store_processed": False,
        "polling_interval": 0.05,
    }
    return app


def worker_command(python: str, pool: str) -> list[str]:
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [python, "-m", "celery", "-A", "tasks", "worker", "-P", pool, "-c", "1", "-Q", QUEUE, "-l", "INFO", *quiet]


@contextlib.contextmanager
def running(it: Interpreter, folder: Path, pool: str = "solo", command: Optional[list[str]] = None, **env: str) -> Iterator[Worker]:
    """A worker that is ready for tasks; afterwards nothing of it is left."""
    mark = secrets.token_hex(8)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(folder / "trace"))
    asked = {
        "CELERY_BROKER_URL": f"filesystem://{folder}/broker",
        "DUCKDB_LIBRARY": library(),
        "GILOTINE_TRACE": str(folder / "trace"),
        "GILOTINE_MARK": mark,
        "TMPDIR": str(folder),
        # An upper bound: waiting ends as soon as the last dying child is gone.
        "SETTLE": "2" if "SUBJECT_SIGTERM" in env or env.get("MP_START_METHOD") in ("forkserver", "spawn") else "0.15",
    }
    worker = None
    with family(mark) as sessions:
        process = subprocess.Popen(
            command or worker_command(it.python, pool), env=environment(**{**asked, **env}), cwd=folder, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        sessions.add(process.pid)
        try:
            worker = Worker(process, folder, listener)
            worker.wait_for("the worker", lambda: process.poll() is not None or any(" ready." in x for x in worker.lines))
            assert process.returncode is None, "\n".join(worker.lines)
            yield worker
        finally:
            process.kill()
            process.wait()
    worker.close()
