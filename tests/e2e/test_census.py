"""gilotine census against real processes."""

import contextlib
import ctypes
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30.0
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37


def program():
    """GILOTINE names the program under test; without it, the one in build/."""
    path = Path(os.environ.get("GILOTINE", ROOT / "build" / "src" / "cli" / "gilotine"))
    if not path.exists():
        pytest.fail(f"no {path}: build first (ninja -C build), or name the program in GILOTINE")
    return str(path)


def census(*options, env=None):
    return subprocess.run(
        [program(), "census", *map(str, options)], text=True, timeout=PATIENCE_SECONDS,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
    )


def passes(*options):
    done = census("--json", *options)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.contextmanager
def running(script, *arguments, env=None):
    """A Python process that has said "ready"; it and what it printed as pids is ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", script, *arguments], text=True, env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    others = []
    try:
        for line in process.stdout:
            if line == "ready\n":
                break
            others.append(int(line))
        yield process, others
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        for pid in others:
            end(pid)


def end(pid):
    """Kills a process that is or becomes a child of ours (as subreaper), and reaps it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.fixture(autouse=True)
def subreaper():
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    assert libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0) == 0
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0) == 0


def eventually(condition):
    end_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end_at:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    pytest.fail("it did not happen in time")


SLEEP = "print('ready', flush=True); import time; time.sleep(1000)"

# A zombie, a child that burns, and a child whose name is meant to confuse.
FAMILY = r"""
import os, time, ctypes
def child(work):
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
        work()
        os._exit(0)
    print(pid, flush=True)
def burn():
    while True: pass
def named():
    ctypes.CDLL(None).prctl(15, b"a) R 1\n\xff(", 0, 0, 0)
    time.sleep(1000)
child(lambda: None); child(burn); child(named)
print("ready", flush=True)
time.sleep(1000)
"""

DAEMON = r"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
    print(pid, flush=True)
    os._exit(0)
os.wait()
print("ready", flush=True)
time.sleep(1000)
"""


def by_pid(seen):
    return {process["pid"]: process for process in seen["processes"]}


def test_a_family_is_shown_with_zombies_burners_and_odd_names():
    with running(FAMILY) as (parent, (zombie, burner, odd)):
        def settled():
            seen = passes(parent.pid)[0]
            found = by_pid(seen)
            return seen if found[zombie]["zombie"] and found[odd]["comm"] != "python" and \
                found[burner]["state"] == "R" and found[odd]["comm"].startswith("a)") else None
        seen = eventually(settled)
        found = by_pid(seen)
        assert set(found) == {parent.pid, zombie, burner, odd}
        assert found[zombie]["state_name"] == "zombie"
        assert found[odd]["comm"] == r"a) R 1\n\xff("
        assert found[odd]["ppid"] == parent.pid and found[odd]["depth"] == 1
        assert seen["totals"]["zombies"] == 1
        assert seen["before_ns"] <= seen["after_ns"]
        assert "-S -c" in found[parent.pid]["cmdline"]


def test_the_table_escapes_and_counts():
    with running(FAMILY) as (parent, (zombie, burner, odd)):
        def settled():
            done = census("--pss", "--signals", parent.pid)
            return done if " zombie " in done.stdout else None
        done = eventually(settled)
        assert done.returncode == 0 and done.stderr == ""
        assert "\033" not in done.stdout
        head, *rows, summary = done.stdout.splitlines()
        assert head.split() == ["PID", "PPID", "STATE", "CPU-S", "RSS", "PSS", "THR", "COMMAND"]
        assert len(rows) == 4
        assert summary.startswith("4 processes, 1 zombie, ")


def test_watching_sees_cpu_time_grow_and_stops_after_count():
    with running(FAMILY) as (parent, (_, burner, _)):
        seen = passes("--watch=0.3", "--count", 4, parent.pid)
        assert len(seen) == 4
        first, *later = [by_pid(one)[burner] for one in seen]
        assert first["cpu_grown_ns"] is None
        assert sum(one["cpu_grown_ns"] for one in later) == later[-1]["cpu_ns"] - first["cpu_ns"] > 0
        starts = [one["before_ns"] for one in seen]
        assert all(b - a >= 100_000_000 for a, b in zip(starts, starts[1:]))


def test_a_daemon_is_found_by_its_mark():
    mark = f"test-{os.getpid()}-{time.monotonic_ns()}"
    with running(DAEMON, env={**os.environ, "GILOTINE_MARK": mark}) as (parent, (daemon,)):
        assert daemon not in by_pid(passes(parent.pid)[0])
        found = by_pid(passes("--mark", mark)[0])
        assert set(found) == {parent.pid, daemon}
        assert found[daemon]["is_marked"] and not found[daemon]["is_descendant"]
        assert found[daemon]["mark"] == mark
        assert found[daemon]["session"] != found[parent.pid]["session"]
        assert by_pid(passes("--mark", mark + "-not")[0]) == {}


def test_what_leaves_the_tree_while_watched_is_remembered():
    with running(DAEMON.replace("os._exit(0)", "time.sleep(1000)").replace("os.wait()", "time.sleep(0.2)")) as (
        parent, (daemon,),
    ):
        watcher = subprocess.Popen(
            [program(), "census", "--json", "--watch=0.05", "--count=600", str(parent.pid)], text=True, stdout=subprocess.PIPE
        )
        try:
            assert daemon in by_pid(json.loads(watcher.stdout.readline()))
            middle = by_pid(json.loads(watcher.stdout.readline()))[daemon]["ppid"]
            parent.kill()
            parent.wait()
            end(middle)
            for line in watcher.stdout:
                found = by_pid(json.loads(line))
                if set(found) == {daemon}:
                    break
            assert found[daemon]["root"] == parent.pid
            assert found[daemon]["is_remembered"] and not found[daemon]["is_descendant"]
            end(daemon)
            counts = [json.loads(line)["totals"]["processes"] for line in watcher.stdout]
            assert counts[-1] == 0 and 0 not in counts[:-1]  # it ends by itself when nobody is left
            assert watcher.wait(PATIENCE_SECONDS) == 0
        finally:
            watcher.kill()
            watcher.wait()
            watcher.stdout.close()


def test_the_default_is_the_family_of_the_parent_without_the_census_itself():
    seen = passes()[0]
    found = by_pid(seen)
    assert found[os.getpid()]["is_root"]
    assert not any("census --json" in (one["cmdline"] or "") for one in found.values())


def test_all_has_every_process_in_tree_order():
    seen = passes("--all")[0]
    found = seen["processes"]
    assert os.getpid() in by_pid(seen)
    assert all(one["parent"] < index for index, one in enumerate(found))
    assert all(found[one["parent"]]["pid"] == one["ppid"] for one in found if one["parent"] >= 0)


def test_signals_are_named():
    script = "import signal; signal.signal(signal.SIGTERM, lambda *a: None);" \
             "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGRTMIN + 2]);" + SLEEP
    with running(script) as (process, _):
        signals = by_pid(passes("--signals", process.pid)[0])[process.pid]["signals"]
        assert "TERM" in signals["caught"]
        assert {"USR1", "RTMIN+2"} <= set(signals["blocked"])
        assert "PIPE" in signals["ignored"]  # what Python does
        assert "caught:TERM" in census("--signals", process.pid).stdout


def test_processes_that_come_and_go_disturb_no_pass():
    churn = r"""
import os
print("ready", flush=True)
while True:
    pids = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
"""
    with running(churn) as (process, _):
        done = census("--json", "--pss", "--signals", "--watch=0.01", "--count", 200, process.pid)
        assert done.returncode == 0 and done.stderr == ""
        seen = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(seen) == 200
        assert sum(one["totals"]["vanished"] for one in seen) > 0
        burnt = [one["totals"]["cpu_ns"] + one["totals"]["cpu_vanished_ns"] for one in seen]
        assert burnt == sorted(burnt)
        assert all(process.pid in by_pid(one) for one in seen)


def test_a_pid_nobody_has_is_a_failure():
    with running(SLEEP) as (process, _):
        gone = process.pid
    done = census(gone)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"no process {gone}" in done.stderr
    with running(SLEEP) as (process, _):
        done = census(gone, process.pid)
        assert done.returncode == 1 and f"no process {gone}" in done.stderr
        assert str(process.pid) in done.stdout


@pytest.mark.parametrize("options, message", [
    (["--nonsense"], "--help"),
    (["12x"], "'12x' is no process id"),
    (["0"], "'0' is no process id"),
    (["--", "-5"], "'-5' is no process id"),
    (["99999999999999999999"], "is no process id"),
    (["--watch=never"], "not 'never'"),
    (["--watch=0"], "not '0'"),
    (["--watch=nan"], "not 'nan'"),
    (["--watch=1e9"], "not '1e9'"),
    (["--count", "-1"], "--count takes"),
    (["--count", "x"], "--count"),
    (["--mark", ""], "--mark takes"),
    (["--all", "1"], "--all is every process"),
    (["--all", "--mark", "m"], "--all is every process"),
])
def test_wrong_use_is_said_on_one_line(options, message):
    done = census(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.startswith("gilotine census: ") and done.stderr.count("\n") == 1


def test_watch_does_not_take_the_next_word_for_its_seconds():
    with running(SLEEP) as (process, _):
        done = census("--json", "-n", 1, "--watch", process.pid)
        assert set(by_pid(json.loads(done.stdout))) == {process.pid}


def test_a_full_disk_is_a_system_failure():
    with open("/dev/full", "w") as full:
        done = subprocess.run([program(), "census"], stdout=full, stderr=subprocess.PIPE, text=True,
                              timeout=PATIENCE_SECONDS)
    assert done.returncode == 111
    assert "No space left" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_watch_cleanly(number):
    with running(SLEEP) as (process, _):
        watcher = subprocess.Popen(
            [program(), "census", "--json", "--watch=100", str(process.pid)], stdout=subprocess.PIPE, text=True
        )
        try:
            json.loads(watcher.stdout.readline())
            watcher.send_signal(number)
            assert watcher.wait(PATIENCE_SECONDS) == 0
            assert watcher.stdout.read() == ""
        finally:
            watcher.kill()
            watcher.wait()
            watcher.stdout.close()


def test_a_terminal_is_redrawn_in_its_width():
    with running(SLEEP) as (process, _):
        watched, terminal = pty.openpty()
        import fcntl
        import struct
        import termios
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
        watcher = subprocess.Popen(
            [program(), "census", "--watch=0.02", "-n", "3", str(process.pid)], stdout=terminal, stderr=terminal
        )
        os.close(terminal)
        text = b""
        try:
            end_at = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < end_at and select.select([watched], [], [], PATIENCE_SECONDS)[0]:
                try:
                    data = os.read(watched, 65536)
                except OSError:  # the other side is closed
                    break
                if not data:
                    break
                text += data
            assert watcher.wait(PATIENCE_SECONDS) == 0
        finally:
            watcher.kill()
            watcher.wait()
            os.close(watched)
        drawn = text.decode()
        assert drawn.count("\033[H\033[J") == 3
        plain = re.sub(r"\033\[[0-9]*[A-Za-z]", "", drawn)
        rows = [line for line in plain.splitlines() if line.strip().startswith(str(process.pid))]
        assert len(rows) == 3 and all(len(row) <= 60 for row in rows)
