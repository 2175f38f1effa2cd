"""gilotine run at a terminal: real ptys, a real job-control shell."""

import contextlib
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time

import pytest
from run_support import alive, pids_in, reap_strays, wait_until

PROMPT = "ready> "


@pytest.fixture(autouse=True)
def strays_are_reaped(no_process_outlives_its_test):
    yield
    wait_until(lambda: reap_strays() or True, 1)


class Terminal:
    """A program with a terminal of its own; what it writes is collected."""

    def __init__(self, argv: list[str]):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", PS1=PROMPT, LC_ALL="C", HISTFILE="", LESS="", LESSHISTFILE="-")
            os.environ.pop("GILOTINE_DEADLINE", None)
            try:
                os.execvp(argv[0], argv)
            finally:
                os._exit(127)
        self.text = ""
        self.status: int | None = None

    def read(self, seconds: float) -> bool:
        """More text within that time; False also at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            chunk = os.read(self.fd, 4096)
        except OSError:
            return False
        self.text += chunk.decode(errors="replace")
        return chunk != b""

    def expect(self, pattern: str, seconds: float = 20) -> str:
        """Waits for it, and takes everything up to its end."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.text!r}"
            self.read(0.1)
        taken, self.text = self.text[: found.end()], self.text[found.end() :]
        return taken

    def send(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait(self, seconds: float = 20) -> int:
        deadline = time.monotonic() + seconds
        while self.status is None:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                return os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, f"it does not end; {self.text!r}"
        return os.waitstatus_to_exitcode(self.status)

    def foreground(self) -> int:
        return os.tcgetpgrp(self.fd)

    def expect_running(self, command: str) -> None:
        """Waits until a process of that name is in the foreground: what is typed now is for it."""

        def in_foreground() -> bool:
            for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
                with contextlib.suppress(OSError):
                    name, fields = stat.read_text().split("(", 1)[1].rsplit(")", 1)
                    if name == command and int(fields.split()[2]) == self.foreground():
                        return True
            return False

        wait_until(in_foreground)

    def modes(self) -> list:
        return termios.tcgetattr(self.fd)

    def close(self) -> None:
        os.close(self.fd)
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal():
    opened = []

    def open_terminal(*argv: str) -> Terminal:
        opened.append(Terminal(list(argv)))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


@pytest.fixture
def shell(terminal):
    """bash with job control at its prompt."""
    one = terminal("bash", "--norc", "--noprofile", "-i")
    one.expect(PROMPT)
    return one


def test_the_command_reads_the_terminal(terminal, gilotine):
    one = terminal(gilotine, "run", "20", "cat")
    one.send("hello\n")
    one.expect("hello\r\nhello\r\n")  # the echo and cat's own
    one.send("\x04")
    assert one.wait() == 0


def test_it_reads_it_from_a_script_as_well(terminal, gilotine):
    """No job control: the run is not the leader of its process group."""
    one = terminal("sh", "-c", f"'{gilotine}' run 20 cat; echo code $?")
    one.send("hello\n")
    one.expect("hello\r\nhello\r\n")
    one.send("\x04")
    one.expect("code 0")
    assert one.wait() == 0


def test_both_sides_of_a_pipe_keep_the_terminal(shell, gilotine):
    shell.send(f"seq 3 | '{gilotine}' run 20 sh -c 'cat; read x </dev/tty; echo got-$x' | cat\n")
    shell.expect("\r\n3\r\n")
    shell.send("word\n")
    shell.expect("got-word")
    shell.expect(PROMPT)


def test_ctrl_c_ends_the_command_and_the_shell_sees_it(shell, gilotine):
    shell.send(f"'{gilotine}' run 30 sleep 30; echo code $?\n")
    shell.expect_running("sleep")
    shell.send("\x03")
    # bash gives the whole line up, as it does when the command itself dies of SIGINT.
    shell.expect(PROMPT, 10)
    shell.send("echo code $?\n")
    shell.expect("code 130")


COUNTING = """
import os, signal, sys, time
log = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
signal.signal(signal.SIGINT, lambda *_: os.write(log, b"int "))
print("counting", flush=True)
while not os.path.exists(sys.argv[1] + ".end"):
    time.sleep(0.05)
sys.exit(6)
"""


def test_ctrl_c_is_delivered_once(shell, gilotine, tmp_path):
    """The second one would be "leave at once" for many programs."""
    script, log = tmp_path / "counting.py", tmp_path / "log"
    script.write_text(COUNTING)
    shell.send(f"'{gilotine}' run 30 {sys.executable} -S {script} {log}; echo code $?\n")
    shell.expect(r"\rcounting\r\n")
    shell.send("\x03")
    wait_until(lambda: log.exists() and log.read_text())
    time.sleep(0.3)
    (tmp_path / "log.end").touch()
    shell.expect("code 6")
    assert log.read_text() == "int "


def test_ctrl_c_in_a_script_ends_the_script(terminal, gilotine):
    one = terminal("bash", "-c", f"'{gilotine}' run 30 sleep 30; echo not reached")
    one.expect_running("sleep")
    one.send("\x03")
    assert one.wait() == -signal.SIGINT
    assert "not reached" not in one.text


def test_ctrl_z_and_fg(shell, gilotine):
    shell.send(f"'{gilotine}' run 60 cat\n")
    shell.expect_running("cat")
    shell.send("one\n")
    shell.expect("one\r\none\r\n")
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    shell.send("fg\n")
    shell.expect("run 60 cat")
    shell.expect_running("cat")
    shell.send("two\n")
    shell.expect("two\r\ntwo\r\n")
    shell.send("\x1a")  # and again
    shell.expect("Stopped")
    shell.expect(PROMPT)
    shell.send("fg\n")
    shell.expect("run 60 cat")
    shell.expect_running("cat")
    shell.send("three\n")
    shell.expect("three\r\nthree\r\n")
    shell.send("\x04")
    shell.expect(PROMPT)
    shell.send("echo code $?\n")
    shell.expect("code 0")


def test_a_command_that_stops_itself_stops_the_job(shell, gilotine):
    """As less and vi do: a stop of the command alone must reach the shell."""
    shell.send(f"'{gilotine}' run 60 sh -c 'kill -TSTP $$; echo went on'\n")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    shell.send("fg\n")
    shell.expect("went on")
    shell.expect(PROMPT)


def stopped_in(pid_file: pathlib.Path) -> bool:
    """Whether the process whose number is in that file is stopped."""
    pids = pids_in(pid_file)
    return bool(pids) and " T " in pathlib.Path("/proc", str(pids[0]), "stat").read_text()


STOPS = "echo $$ > {}; kill -STOP $$; echo went on; sleep 30"


@pytest.mark.parametrize("script", [STOPS, f"bash -c '{STOPS}'; true"], ids=["command", "child"])
def test_ctrl_c_ends_what_has_stopped_itself(shell, gilotine, tmp_path, script):
    """A stopped process takes no signal but KILL until it is continued."""
    pid_file, file = tmp_path / "pid", tmp_path / "script"
    file.write_text(script.format(pid_file))
    shell.send(f"'{gilotine}' run 60 bash {file}\n")
    wait_until(lambda: stopped_in(pid_file))
    shell.send("\x03")
    shell.expect(PROMPT)
    shell.send("echo code $?\n")
    shell.expect("code 130")


def test_ctrl_z_stops_the_run_of_what_has_stopped_itself(shell, gilotine, tmp_path):
    pid_file, file = tmp_path / "pid", tmp_path / "script"
    file.write_text(STOPS.format(pid_file))
    shell.send(f"'{gilotine}' run 60 bash {file}\n")
    wait_until(lambda: stopped_in(pid_file))
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    shell.send("fg\n")
    shell.expect("went on")
    shell.send("\x03")
    shell.expect(PROMPT)
    shell.send("echo code $?\n")
    shell.expect("code 130")


TIDY = """
import os, signal
def tidy(*_):
    print("tidied", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    print("went on", flush=True)
    os._exit(7)
signal.signal(signal.SIGTSTP, tidy)
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_ctrl_z_is_followed_when_the_command_stops_itself_another_way(shell, gilotine, tmp_path):
    """As ls does: first the terminal in order, then SIGSTOP."""
    file = tmp_path / "tidy.py"
    file.write_text(TIDY)
    shell.send(f"'{gilotine}' run 60 {sys.executable} -S {file}\n")
    shell.expect(r"\rready\r\n")
    shell.send("\x1a")
    shell.expect("tidied")
    shell.expect("Stopped")
    shell.expect(PROMPT)
    shell.send("fg\n")
    shell.expect("went on")
    shell.expect(PROMPT)
    shell.send("echo code $?\n")
    shell.expect("code 7")


def test_the_limit_holds_for_a_stopped_job(shell, gilotine, tmp_path):
    pid_file = tmp_path / "pid"
    shell.send(f"'{gilotine}' run -k 0.3 4 sh -c 'echo $$ > {pid_file}; exec sleep 60'\n")
    shell.expect_running("sleep")
    shell.send("\x1a")
    shell.expect("Stopped")
    wait_until(lambda: not alive(pids_in(pid_file)[0]), 10)
    shell.send("wait %1; echo code $?\n")
    shell.expect("code 124|code 137", 10)


def test_a_background_job_that_reads_is_stopped_and_can_be_fetched(shell, gilotine):
    shell.send(f"'{gilotine}' run 60 cat &\n")
    shell.expect(PROMPT)
    wait_until(lambda: shell.send("jobs\n") or (time.sleep(0.3), shell.read(0.2), "Stopped" in shell.text)[-1], 10)
    shell.send("fg\n")
    shell.expect_running("cat")
    shell.send("fetched\n")
    shell.expect("fetched\r\nfetched\r\n")
    shell.send("\x04")
    shell.expect(PROMPT)


def test_an_interactive_shell_under_the_run(terminal, gilotine):
    """A shell with job control of its own: Ctrl-C and Ctrl-Z are for its jobs."""
    one = terminal(gilotine, "run", "60", "bash", "--norc", "--noprofile", "-i")
    one.expect(PROMPT)
    one.send("sleep 50\n")
    one.expect_running("sleep")
    one.send("\x03")
    one.expect(PROMPT)
    one.send("sleep 50\n")
    one.expect_running("sleep")
    one.send("\x1a")
    one.expect("Stopped")
    one.expect(PROMPT)
    one.send("kill %1; exit 9\n")
    one.expect("exit")
    one.send("exit 9\n")  # in case of "There are stopped jobs"
    assert one.wait() == 9


RAW = (
    "import sys, termios, time, tty\n"
    "tty.setraw(0)\n"
    "sys.stdout.write('raw'); sys.stdout.flush()\n"
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "time.sleep(60)\n"
)


@pytest.mark.parametrize("options", [["-k", "0.2", "2.5"], ["-s", "KILL", "2.5"]])
def test_a_kill_in_raw_mode_restores_the_terminal(terminal, gilotine, tmp_path, options):
    (tmp_path / "raw.py").write_text(RAW)
    line = f"{sys.executable} -S {tmp_path}/raw.py"
    one = terminal("sh", "-c", f"'{gilotine}' run {' '.join(options)} {line}; echo code $?; read x; echo got-$x")
    before = one.modes()
    one.expect("raw")
    assert one.modes() != before
    one.expect("code 137")
    assert one.modes() == before
    one.send("line\n")
    one.expect("got-line")
    assert one.wait() == 0


def test_an_ordinary_end_leaves_the_modes_as_the_command_set_them(terminal, gilotine):
    one = terminal("sh", "-c", f"'{gilotine}' run 20 stty -echo; stty -a; stty echo")
    assert one.wait() == 0
    assert "-echo " in one.text


def test_the_foreground_comes_back_after_a_kill(terminal, gilotine):
    """The killed command, a shell, had given the terminal to a group of its own."""
    one = terminal("sh", "-c", f"'{gilotine}' run -s KILL 3 bash --norc --noprofile -i; echo code $?; read x; echo got-$x")
    one.expect(PROMPT)
    wait_until(lambda: one.foreground() != one.pid)
    one.expect("code 137")
    assert one.foreground() == one.pid
    one.send("line\n")
    one.expect("got-line")
    assert one.wait() == 0


@pytest.mark.skipif(shutil.which("less") is None, reason="no less on this machine")
def test_less_works(shell, gilotine, tmp_path):
    text = tmp_path / "text"
    text.write_text("".join(f"line-{n}\n" for n in range(500)))
    shell.send(f"'{gilotine}' run 60 less {text}\n")
    shell.expect("line-5\r")
    shell.send("G")
    shell.expect(r"\(END\)")
    time.sleep(0.5)
    shell.send("\x1a")
    shell.expect("Stopped")
    shell.send("fg\n")
    shell.expect_running("less")
    shell.send("q")
    shell.expect(PROMPT)
    shell.send("echo code $?\n")
    shell.expect("code 0")


@pytest.mark.skipif(shutil.which("less") is None, reason="no less on this machine")
def test_less_behind_a_pipe_in_a_script(terminal, gilotine):
    one = terminal("sh", "-c", f"seq 500 | '{gilotine}' run 60 less; echo code $?")
    one.expect("\r?\n9\r")
    one.send("q")
    one.expect("code 0")
    assert one.wait() == 0


def test_a_password_prompt(terminal, gilotine):
    one = terminal(gilotine, "run", "20", "bash", "-c", "read -s -p 'Password: ' x; echo; echo got-${#x}")
    one.expect("Password: ")
    time.sleep(0.2)
    one.send("secret\n")
    one.expect("got-6")
    assert one.wait() == 0
    assert "secret" not in one.text


def test_a_password_prompt_that_is_timed_out_turns_the_echo_on_again(terminal, gilotine):
    one = terminal("sh", "-c", f"'{gilotine}' run -k 0.2 0.7 bash -c 'read -s x'; stty -a")
    assert one.wait() == 0
    assert re.search(r"(?<!-)\becho\b", one.text)


def test_a_hangup_ends_the_family(terminal, gilotine, tmp_path):
    pid_file = tmp_path / "pid"
    one = terminal(gilotine, "run", "60", "sh", "-c", f"sleep 61 & echo $! > {pid_file}; sleep 60")
    wait_until(lambda: pids_in(pid_file))
    os.close(one.fd)
    one.fd = os.open("/dev/null", os.O_RDWR)
    wait_until(lambda: not alive(pids_in(pid_file)[0]), 10)
    assert one.wait() == -signal.SIGHUP


def test_a_terminal_is_not_needed(gilotine):
    """A session without a terminal: nothing of this is in the way."""
    result = subprocess.run(
        [gilotine, "run", "0.2", "sleep", "5"], start_new_session=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    assert (result.returncode, result.stderr) == (124, b"")
