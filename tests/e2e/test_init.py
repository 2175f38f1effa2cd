"""gilotine-init: whatever the command starts, nothing survives its end, its owner's end or a signal."""

import ctypes
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

import pytest

# Leaves in every way there is: a plain child, its own group, its own session, a double fork, one that ignores
# SIGTERM, one that is stopped. Prints their pids, then waits.
ESCAPEES = r"""
import os, signal, sys, time
pids = []
def child(setup):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        setup()
        os.write(w, str(os.getpid()).encode())
        os.close(w)
        while True:
            time.sleep(100)
    os.close(w)
    pids.append(int(os.read(r, 20)))
def daemon():
    os.setsid()
    if os.fork():
        os._exit(0)
child(lambda: None)
child(lambda: os.setpgid(0, 0))
child(os.setsid)
child(daemon)
child(lambda: [signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)])
child(lambda: None)
os.kill(pids[-1], signal.SIGSTOP)
print(*pids, flush=True)
time.sleep(float(sys.argv[1]))
"""


def gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def wait_gone(pids: list[int], seconds: float = 5) -> list[int]:
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if not gone(pid)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def start(gilotine_init: str, *args: str, sleep: str = "100", **kwargs) -> tuple[subprocess.Popen, list[int]]:
    process = subprocess.Popen(
        [gilotine_init, *args, "--", sys.executable, "-c", ESCAPEES, sleep], stdout=subprocess.PIPE, text=True, **kwargs
    )
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.parametrize("code", [0, 1, 2, 42, 124, 255])
def test_exit_code_is_the_commands(gilotine_init, code):
    assert subprocess.run([gilotine_init, "sh", "-c", f"exit {code}"]).returncode == code


def test_death_by_a_signal_is_128_and_its_number(gilotine_init):
    assert subprocess.run([gilotine_init, "sh", "-c", "kill -KILL $$"]).returncode == 137


def test_a_command_that_cannot_run_is_an_error_not_a_child_that_exits(gilotine_init, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    missing = subprocess.run([gilotine_init, "/no/such/program"], capture_output=True, text=True)
    refused = subprocess.run([gilotine_init, str(plain)], capture_output=True, text=True)
    usage = subprocess.run([gilotine_init], capture_output=True, text=True)
    bad_fd = subprocess.run([gilotine_init, "--lifeline=77", "true"], capture_output=True, text=True)
    assert (missing.returncode, refused.returncode, usage.returncode, bad_fd.returncode) == (127, 126, 125, 125)
    assert "No such file" in missing.stderr
    assert "Permission denied" in refused.stderr
    assert "COMMAND or --lifeline" in usage.stderr
    assert "'77' is not an open descriptor" in bad_fd.stderr


def test_the_commands_end_ends_what_it_left(gilotine_init):
    process, pids = start(gilotine_init, sleep="0")
    assert len(pids) == 6
    assert process.wait(10) == 0
    assert [pid for pid in pids if not gone(pid)] == []


@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_family(gilotine_init, signo):
    process, pids = start(gilotine_init)
    process.send_signal(signo)
    assert process.wait(10) == 137
    assert [pid for pid in pids if not gone(pid)] == []


def test_a_closed_lifeline_ends_the_family_also_with_linger(gilotine_init):
    read_end, write_end = os.pipe()
    process, pids = start(gilotine_init, f"--lifeline={read_end}", "--linger", pass_fds=[read_end])
    os.close(read_end)
    time.sleep(0.1)
    assert process.poll() is None
    os.close(write_end)
    assert process.wait(10) == 137
    assert [pid for pid in pids if not gone(pid)] == []


def test_linger_keeps_what_the_command_left_until_the_lifeline_closes(gilotine_init):
    read_end, write_end = os.pipe()
    status_read, status_write = os.pipe()
    process, pids = start(
        gilotine_init,
        f"--lifeline={read_end}",
        f"--status={status_write}",
        "--linger",
        sleep="0",
        pass_fds=[read_end, status_write],
    )
    os.close(read_end)
    os.close(status_write)
    status = b""
    while b"exited" not in status:
        status += os.read(status_read, 100)
    assert [pid for pid in pids if gone(pid)] == []
    os.close(write_end)
    process.wait(10)
    assert [pid for pid in pids if not gone(pid)] == []
    while chunk := os.read(status_read, 100):
        status += chunk
    os.close(status_read)
    lines = status.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["started", "exited", "ending", "usage", "gone"]
    exited = lines[1].split()
    assert exited[1] == "0" and exited[3] == "6"


def test_the_owners_sigkill_ends_the_family(gilotine_init):
    """The owner holds the only write end of the lifeline and is killed without a chance to clean up."""
    owner = (
        "import os, subprocess, sys\n"
        "r, w = os.pipe()\n"
        "p = subprocess.Popen([sys.argv[1], f'--lifeline={r}', '--', sys.executable, '-c', sys.argv[2], '100'],"
        " pass_fds=[r])\n"
        "os.close(r)\n"
        "p.wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", owner, gilotine_init, ESCAPEES], stdout=subprocess.PIPE, text=True
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 6
    process.kill()
    process.wait(10)
    assert wait_gone(pids) == []


def test_a_fork_bomb_of_chains_does_not_escape(gilotine_init):
    """Each process forks the next one and exits: a new pid all the time."""
    chain = "import os, time\nwhile True:\n    if os.fork(): os._exit(0)\n    time.sleep(0.0005)\n"
    spawn = f"import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        exec({chain!r})\nprint('up', flush=True)\ntime.sleep(100)"
    process = subprocess.Popen([gilotine_init, sys.executable, "-c", spawn], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(20) == 137


def test_inherited_dispositions_and_masks_do_not_reach_the_command(gilotine_init):
    libc = ctypes.CDLL(None)

    def spoil():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        # Signal 33 is glibc's own, and out of reach of its functions: x86-64 13, others 134 (asm-generic).
        number = 13 if platform.machine() == "x86_64" else 134
        libc.syscall(number, 33, (ctypes.c_ulong * 8)(1), None, 8)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD})

    text = subprocess.run(
        [gilotine_init, "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"],
        preexec_fn=spoil,
        restore_signals=False,
        capture_output=True,
        text=True,
    ).stdout
    assert [int(line.split()[1], 16) for line in text.splitlines()] == [0, 0]


def test_a_folder_is_removed_with_the_family(gilotine_init, tmp_path):
    folder = tmp_path / "private"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    (folder / "link").symlink_to("/etc")
    result = subprocess.run([gilotine_init, f"--remove={folder}", "true"])
    assert result.returncode == 0
    assert not folder.exists()
    assert pathlib.Path("/etc/passwd").exists()


def test_help_and_a_wrong_option(gilotine_init):
    assert "Usage: gilotine-init" in subprocess.run([gilotine_init, "--help"], capture_output=True, text=True).stdout
    assert subprocess.run([gilotine_init, "--nonsense", "true"], capture_output=True).returncode == 125
