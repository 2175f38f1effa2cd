"""gilotine run and what tries to leave: in every domain the machine offers, nothing outlives the run."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from run_support import BUILD, alive, domains, pids_in, start, wait_until

DOMAINS = domains(str(BUILD / "src/cli/gilotine")) if (BUILD / "src/cli/gilotine").exists() else ["subreaper"]
IN_PIDNS = {"pidns+cgroup", "pidns", "userns"}

# Each member puts "PATH" and a number of its own into the folder; a lock on it tells from outside, in any PID
# namespace, whether the member is alive: the kernel drops it at the death and not earlier.
MEMBER = r"""
import fcntl, os, signal, sys, time
folder = sys.argv[1]
def enter(name):
    fd = os.open(os.path.join(folder, name), os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.set_inheritable(fd, False)
def child(name, *setup):
    pid = os.fork()
    if pid == 0:
        for step in setup:
            step()
        enter(name)
        while True:
            time.sleep(100)
    return pid
def daemon():
    os.setsid()
    if os.fork():
        os._exit(0)
def deaf():
    for s in range(1, 65):
        try: signal.signal(s, signal.SIG_IGN)
        except (OSError, ValueError): pass
def stop():
    enter("stopping")
    os.kill(os.getpid(), signal.SIGSTOP)
child("plain")
child("group", lambda: os.setpgid(0, 0))
child("session", os.setsid)
child("daemon", daemon)
child("deaf", deaf)
child("deafdaemon", daemon, deaf)
child("stopped", stop)
while len(os.listdir(folder)) < 7:
    time.sleep(0.005)
enter("ready")
exec(sys.argv[2])
"""
NAMES = {"plain", "group", "session", "daemon", "deaf", "deafdaemon", "stopping"}


def held(folder: pathlib.Path) -> set[str]:
    """Members whose lock is held."""
    import fcntl

    alive_ones = set()
    for path in folder.iterdir():
        with path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alive_ones.add(path.name)
    return alive_ones


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "members"
    path.mkdir()
    return path


def member(folder: pathlib.Path, last: str) -> list[str]:
    return [sys.executable, "-S", "-c", MEMBER, str(folder), last]


@pytest.mark.parametrize("domain", DOMAINS)
class TestInEachDomain:
    @pytest.mark.parametrize(
        ("options", "last", "code"),
        [
            (["-k", "0.3", "1.5"], "time.sleep(100)", 124),
            (["-s", "KILL", "1.5"], "time.sleep(100)", 137),
            (["-k", "0.3", "1.5"], "deaf(); time.sleep(100)", 137),
            (["-k", "0.3", "1.5"], "os.kill(os.getpid(), signal.SIGSTOP)", 124),
            (["30"], "sys.exit(5)", 5),
            (["30"], "os.kill(os.getpid(), signal.SIGKILL)", 137),
        ],
    )
    def test_nobody_is_left(self, gilotine, folder, domain, options, last, code):
        result = subprocess.run([gilotine, "run", "--domain", domain, *options, *member(folder, last)], timeout=40)
        assert held(folder) == set()
        assert {path.name for path in folder.iterdir()} >= NAMES | {"ready"}
        assert (result.returncode if result.returncode >= 0 else 128 - result.returncode) == code

    def test_sigkill_of_the_run_takes_the_family_along(self, gilotine, folder, domain):
        process = start(gilotine, "--domain", domain, "60", *member(folder, "time.sleep(100)"))
        wait_until(lambda: (folder / "ready").exists(), 20, "the family")
        assert held(folder) >= NAMES
        process.kill()
        process.wait(10)
        wait_until(lambda: not held(folder), 5, "the end of the family")
        wait_keepers()

    def test_sigterm_of_the_run_ends_everybody(self, gilotine, folder, domain):
        process = start(gilotine, "--domain", domain, "60", *member(folder, "time.sleep(100)"))
        wait_until(lambda: (folder / "ready").exists(), 20, "the family")
        process.terminate()
        assert process.wait(20) in (-signal.SIGTERM, 143)
        assert held(folder) == set()

    def test_a_storm_of_forks_is_ended(self, gilotine, folder, domain):
        chain = "while True:\n    if os.fork(): os._exit(0)\n    time.sleep(0.0005)"
        storm = f"[os.fork() == 0 and exec({chain!r}) for _ in range(4)]; time.sleep(100)"
        begin = time.monotonic()
        code = subprocess.run(
            [gilotine, "run", "--domain", domain, "-s", "KILL", "2", *member(folder, storm)], timeout=40
        ).returncode
        assert code == 137 and held(folder) == set()
        assert time.monotonic() - begin < 15

    def test_a_nested_timeout_does_not_lose_its_command(self, gilotine, folder, domain):
        inner = ["timeout", "50", *member(folder, "time.sleep(100)")]
        result = subprocess.run([gilotine, "run", "--domain", domain, "-k", "0.3", "1.5", *inner], timeout=40)
        assert result.returncode in (124, 137) and held(folder) == set()

    def test_the_domain_is_reported(self, gilotine, tmp_path, domain):
        path = tmp_path / "record"
        subprocess.run([gilotine, "run", "--domain", domain, "--report", str(path), "9", "true"], check=True)
        assert json.loads(path.read_text())["domain"] == domain


def wait_keepers() -> None:
    """Keepers whose run was killed come to us, the subreaper."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return


def test_sigkill_at_any_instant_of_the_start_leaves_nobody(gilotine, folder):
    for step in range(40):
        process = start(gilotine, "60", *member(folder, "time.sleep(100)"), stderr=subprocess.DEVNULL)
        time.sleep(step * 0.0008)
        process.kill()
        process.wait(10)
    wait_until(lambda: not held(folder), 5, "the end of all families")
    wait_keepers()


def test_ordinary_domains_show_ordinary_pids(gilotine):
    """`gilotine run 5 kill $PID` must work as under timeout."""
    victim = subprocess.Popen(["sleep", "60"])
    assert subprocess.run([gilotine, "run", "5", "kill", str(victim.pid)]).returncode == 0
    assert victim.wait(5) == -signal.SIGTERM


def test_the_first_signal_reaches_everybody_who_can_take_it(gilotine, tmp_path):
    """Children, also in sessions of their own, have the grace to clean up, and no more than it."""
    log = tmp_path / "log"
    worker = f"trap 'sleep 0.2; echo clean >> {log}; exit' TERM; while :; do sleep 0.02; done"
    script = f'sh -c "{worker}" & setsid sh -c "{worker}" & sleep 100'
    assert subprocess.run([gilotine, "run", "-k", "5", "0.5", "sh", "-c", script]).returncode == 124
    assert log.read_text() == "clean\nclean\n"


def test_with_foreground_only_the_command_gets_the_signal(gilotine, tmp_path):
    log = tmp_path / "log"
    worker = f"trap 'echo term >> {log}' TERM; while :; do sleep 0.02; done"
    script = f'sh -c "{worker}" & echo $! > {tmp_path}/pid; sleep 100'
    assert subprocess.run([gilotine, "run", "-f", "-k", "0.2", "0.3", "sh", "-c", script]).returncode == 124
    assert not log.exists()
    assert not any(alive(pid) for pid in pids_in(tmp_path / "pid"))


def test_keep_descendants_lets_them_live_after_an_early_end_only(gilotine, tmp_path):
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}"
    assert subprocess.run([gilotine, "run", "--keep-descendants", "9", "sh", "-c", script]).returncode == 0
    (pid,) = pids_in(pid_file)
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    late = f"{script}; sleep 60"
    assert subprocess.run([gilotine, "run", "--keep-descendants", "0.3", "sh", "-c", late]).returncode == 124
    assert not alive(pids_in(pid_file)[0])


def test_leftovers_of_an_early_end_are_counted(gilotine, tmp_path):
    record = tmp_path / "record"
    script = "sleep 60 & setsid sleep 60 & exit 3"
    assert subprocess.run([gilotine, "run", "--report", str(record), "9", "sh", "-c", script]).returncode == 3
    assert json.loads(record.read_text())["leftovers"] == 2


def test_a_stopped_run_does_not_stop_the_deadline(gilotine, folder):
    """The keeper's second line: the run itself is stopped and cannot act."""
    process = start(gilotine, "-k", "0.3", "1.2", *member(folder, "time.sleep(100)"))
    wait_until(lambda: (folder / "ready").exists(), 20, "the family")
    process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not held(folder), 10, "the end of the family")
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait(10) in (124, 137)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_command_that_stops_its_keeper_is_answered_when_it_ends(gilotine, domain):
    """In a PID namespace the keeper is PID 1 and cannot be stopped from inside."""
    began = time.monotonic()
    run = start(gilotine, "--domain", domain, "30", "sh", "-c", "kill -STOP $PPID; exit 3")
    assert run.wait(timeout=60) == 3
    assert time.monotonic() - began < 15  # not at the limit


def stop_keeper_of(run: int) -> bool:
    """FALSE: it has none yet, is still a copy of the run, or has ended."""
    try:
        for pid in pids_in(pathlib.Path(f"/proc/{run}/task/{run}/children")):
            keeper = os.pidfd_open(pid)
            try:
                if pathlib.Path(f"/proc/{pid}/comm").read_text() == "gilotine-init\n":
                    time.sleep(random.uniform(0, 0.002))  # somewhere in the start
                    signal.pidfd_send_signal(keeper, signal.SIGSTOP)
                    return True
            finally:
                os.close(keeper)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return False


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_keeper_stopped_before_it_told_of_the_start_goes_on(gilotine, domain):
    """At any instant of the start: whoever stops it, the run neither hangs nor loses the answer."""
    stopped = 0
    for _ in range(20):
        began = time.monotonic()
        run = start(gilotine, "--domain", domain, "30", "sh", "-c", "sleep 0.01; exit 4")
        while run.poll() is None:
            if stop_keeper_of(run.pid):
                stopped += 1
                break
        assert run.wait(timeout=60) == 4
        assert time.monotonic() - began < 15
    assert stopped > 10
