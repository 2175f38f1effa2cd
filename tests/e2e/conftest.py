"""What every end-to-end test stands on: the built programs, and the proof that nothing is left behind."""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PR_SET_CHILD_SUBREAPER = 36


# Every shell ignores these two in what it starts in the background, and we would hand that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def build_dir() -> pathlib.Path:
    return pathlib.Path(os.environ.get("GILOTINE_BUILD", ROOT / "build"))


@pytest.fixture(scope="session")
def gilotine() -> str:
    path = build_dir() / "src/cli/gilotine"
    assert path.exists(), f"{path} is not built: run 'make'"
    return str(path)


@pytest.fixture(scope="session")
def gilotine_init() -> str:
    path = build_dir() / "src/executor/gilotine-init"
    assert path.exists(), f"{path} is not built: run 'make'"
    return str(path)


def our_children() -> list[str]:
    """Everything whose parent we are, zombies included: as a subreaper we inherit what others lose."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = pathlib.Path("/proc", name, "stat").read_bytes()
            ppid = int(stat[stat.rindex(b")") + 2 :].split()[1])
            if ppid == os.getpid():
                command = pathlib.Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{name} {stat[: stat.rindex(b')') + 3].decode(errors='replace')} {command[:200]!r}")
        except OSError:
            continue
    return found


def reap_adopted() -> None:
    """What died as an orphan came to us, as the subreaper, and nobody else can reap it."""
    for entry in our_children():
        pid = int(entry.split()[0])
        if ") Z" in entry:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def wait_until_none(left, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while left() and time.monotonic() < deadline:
        reap_adopted()
        time.sleep(0.02)


def our_temp_files() -> set[str]:
    names = {entry.name for entry in pathlib.Path(os.environ["TMPDIR"]).iterdir()}
    return {name for name in names if not name.startswith("pytest-of-")}


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind():
    """No process, zombie, temporary file or socket of ours remains: a leak is a failed test."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A folder of our own, so that what is left in it is ours. Short: sockets' paths have little room.
    with tempfile.TemporaryDirectory(prefix="gt-", ignore_cleanup_errors=True) as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        os.chmod(folder, 0o711)
        yield
        wait_until_none(lambda: our_children() or our_temp_files())
        assert our_children() == []
        assert our_temp_files() == set()


PUBLIC_PROGRAMS = (
    "src/cli/gilotine",
    "src/cli/gilotine-full",
    "src/executor/gilotine-init",
    "tests/e2e/family-run",
    "tests/e2e/brood",
)


@pytest.fixture(scope="session")
def public_build(nothing_is_left_behind):
    """The build folder's programs where every user may run them: a clone may lie in a folder that is its
    owner's alone."""
    public = pathlib.Path(os.environ["TMPDIR"]) / "public"
    old = os.umask(0o022)
    try:
        for program in PUBLIC_PROGRAMS:
            (public / program).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(build_dir() / program, public / program)
    finally:
        os.umask(old)
    yield public
    shutil.rmtree(public)


@pytest.fixture(autouse=True)
def no_process_outlives_its_test():
    before = {entry.split()[0] for entry in our_children()}

    def left() -> list[str]:
        return [entry for entry in our_children() if entry.split()[0] not in before]

    yield
    wait_until_none(left)
    assert left() == []


@pytest.fixture
def run(gilotine):
    """run(*args) -> CompletedProcess with text; never longer than `timeout` seconds."""

    def run_gilotine(*args: str, timeout: float = 60, **kwargs) -> subprocess.CompletedProcess:
        return subprocess.run(
            [gilotine, *args], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **kwargs
        )

    return run_gilotine
