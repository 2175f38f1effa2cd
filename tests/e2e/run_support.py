"""What the tests of `gilotine run` share."""

import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

GNU = shutil.which("timeout") or ""
has_gnu = GNU and b"GNU coreutils" in subprocess.run([GNU, "--version"], capture_output=True).stdout
oracle = pytest.mark.skipif(not has_gnu, reason="no GNU timeout on this machine")

ENV = dict(os.environ, LC_ALL="C")


def alive(pid: int) -> bool:
    """There and no zombie."""
    try:
        stat = pathlib.Path("/proc", str(pid), "stat").read_bytes()
    except OSError:
        return False
    return stat[stat.rindex(b")") + 2 :].split()[0] not in (b"Z", b"X")


def wait_until(condition, seconds: float = 10, what: str = "the condition"):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not become true in {seconds} s"
        time.sleep(0.01)
    return value


def start(gilotine: str, *args: str, **kwargs) -> subprocess.Popen:
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen([gilotine, "run", *args], **kwargs)


def pids_in(path: pathlib.Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def domains(gilotine: str) -> list[str]:
    """Those this machine offers to this user, by trying."""
    names = ["pidns+cgroup", "pidns", "userns", "cgroup", "subreaper"]
    return [
        name
        for name in names
        if subprocess.run(
            [gilotine, "run", "--domain", name, "10", "true"], capture_output=True, stdin=subprocess.DEVNULL
        ).returncode
        == 0
    ]


BUILD = pathlib.Path(os.environ.get("GILOTINE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


def reap_strays() -> None:
    """What timeout, killed by its own SIGKILL, has left to us: we are the subreaper of the tests."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def outcome(command: list[str], **kwargs) -> tuple[int, str, str]:
    """(status as a shell sees it, standard output, standard error without the program's name)."""
    result = subprocess.run(
        command, capture_output=True, text=True, env=ENV, stdin=subprocess.DEVNULL, timeout=30, **kwargs
    )
    code = result.returncode if result.returncode >= 0 else 128 - result.returncode
    text = re.sub(r"^(gilotine run|\S*timeout): ", "", result.stderr, flags=re.M)
    return code, result.stdout, re.sub(r"'(gilotine run|\S*timeout) --help'", "'timeout --help'", text)


def same(gilotine: str, *args: str, text: bool = True, **kwargs) -> tuple[int, str, str]:
    theirs = outcome([GNU, *args], **kwargs)
    ours = outcome([gilotine, "run", *args], **kwargs)
    if text:
        assert ours == theirs
    else:
        assert ours[:2] == theirs[:2]
    return ours
