"""gilotine run against its oracle, GNU timeout: what both offer must come out the same."""

import ctypes
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from run_support import BUILD, ENV, GNU, alive, domains, oracle, outcome, pids_in, reap_strays, same, start, wait_until

DOMAINS = domains(str(BUILD / "src/cli/gilotine")) if (BUILD / "src/cli/gilotine").exists() else ["subreaper"]


@pytest.fixture(autouse=True)
def strays_are_reaped(no_process_outlives_its_test):
    yield
    reap_strays()


DURATIONS = (
    "1 1.5 .5 1. 1e-1 1e400 0x1p-1 0x.8 0X1P3s inf INF infinity infs infd 1e1000d 0 0.0 0s -0 +1 +.5m 0x10s 0x1d 1d"
    " 9999999999999999999999 nan NaN -1 -inf -1s 1S 1ms 1ss s 1e 1e+ 0x 1_0 1,5 1h1m 1:00 x"
).split() + ["", " 1", "1 ", "\t1"]
SIGNALS = (
    "TERM SIGTERM term sigterm Term 15 143 RTMIN RTMIN+1 rtmin+1 SIGRTMIN+1 RTMAX RTMAX-1 RTMIN-1 RTMAX+1 RTMIN+30"
    " RTMIN+31 34 64 65 32 33 0 EXIT -1 -15 +15 015 0xf 128 129 193 255 256 271 1000 SIG CLD POLL IO IOT STKFLT PWR"
    " UNUSED INFO 2147483648 4294967311 SIG15 RTMIN+ RTMIN+1x RTMAX-0 kill stop 0000009 264 384 RTMIN-0"
).split() + ["", " 15", "15 "]


@oracle
@pytest.mark.parametrize("duration", DURATIONS)
def test_a_duration_is_what_timeout_takes_it_for(gilotine, duration):
    same(gilotine, "--", duration, "sh", "-c", "echo ran; exit 3")
    same(gilotine, "-k", duration, "10", "sh", "-c", "exit 3")


@oracle
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_is_what_timeout_takes_it_for(gilotine, name):
    same(gilotine, "-s", name, "10", "sh", "-c", "echo ran; exit 3")


@oracle
@pytest.mark.parametrize("number", [*range(1, 9), 10, 12, 13, 14, 15, 16, 24, 26, 29, 30, 31, 34, 40, 49, 50, 60, 64])
def test_a_signal_is_sent_and_named_as_by_timeout(gilotine, number):
    # Who starts the tests may have SIGINT ignored, as every shell has in the background.
    same(gilotine, "-v", "-s", str(number), "0.05", "sleep", "0.3", preexec_fn=lambda: signal.signal(2, signal.SIG_DFL))


@oracle
@pytest.mark.parametrize(
    "args",
    [
        ["-x", "1", "true"],
        ["--bogus", "1", "true"],
        ["-k"],
        ["-k", "x", "1", "true"],
        ["-s", "FOO", "1", "true"],
        ["--foo=1"],
        ["1", "nosuchcommand"],
        ["1", "/nonexistent/x"],
        ["1", "/etc/passwd"],
        ["1", "/tmp"],
        ["1", ""],
        ["--pres", "1", "true"],
        ["--kill", "1", "1", "true"],
        ["--si=KILL", "1", "true"],
        ["-k1", "-sINT", "1", "sh", "-c", "exit 5"],
        ["-vk", "1", "1", "true"],
        ["--", "1", "true"],
        ["1", "--", "true"],
        ["1", "sh", "-c", "exit 42"],
        ["1", "sh", "-c", "exit 124"],
        ["1", "sh", "-c", "exit 255"],
        ["1", "ls", "-d", "/"],
        ["1", "echo", "-k", "--", "-v"],
        ["0", "sh", "-c", "sleep 0.1; echo late"],
        ["0.1", "sleep", "5"],
        ["-v", "0.1", "sleep", "5"],
        ["-s", "INT", "-v", "0.1", "sleep", "5"],
        ["--preserve-status", "0.1", "sleep", "5"],
        ["--preserve-status", "-s", "KILL", "0.1", "sleep", "5"],
        ["--foreground", "-s", "KILL", "0.1", "sleep", "5"],
        ["--foreground", "0.1", "sleep", "5"],
        ["-s", "KILL", "-v", "0.1", "sleep", "5"],
        ["-s", "RTMIN+3", "-v", "0.1", "sleep", "5"],
        ["-s", "0", "-v", "0.1", "sleep", "0.3"],
        ["-s", "CONT", "-v", "0.1", "sleep", "0.3"],
        ["-v", "-k", "0.1", "0.1", "sh", "-c", "trap '' TERM; exec sleep 5"],
        ["--preserve-status", "-k", "0.1", "0.1", "sh", "-c", "trap '' TERM; exec sleep 5"],
        ["-k", "0", "0.1", "sh", "-c", "trap '' TERM; exec sleep 0.5"],
        ["-v", "0.1", "sh", "-c", "trap '' TERM; exec sleep 0.4"],
        ["0.4", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.01; done"],
        ["--preserve-status", "0.4", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.01; done"],
        ["0.4", "sh", "-c", "trap 'echo bye; exit' TERM; while :; do sleep 0.01; done"],
        ["5", "sh", "-c", "kill -SEGV $$"],
        ["5", "sh", "-c", "kill -KILL $$"],
        ["5", "sh", "-c", "kill -TERM $$"],
        ["--foreground", "5", "sh", "-c", "kill -INT $$"],
        ["0.2", "sh", "-c", "kill -STOP $$"],
        ["5", "sh", "-c", "cat <&0; echo done"],
        ["5", "timeout", "0.1", "sleep", "5"],
        ["0.1", "timeout", "5", "sleep", "5"],
        ["5", "env", "-i", "/bin/sh", "-c", "echo ok"],
    ],
    ids=" ".join,
)
def test_the_same_as_timeout(gilotine, args):
    # What the shell itself says about its child that got the group's signal is a matter of timing.
    by_shell = "SEGV" in args[-1] or "while" in args[-1]
    same(gilotine, *args, text=not by_shell and args != ["1", ""])


@oracle
def test_arguments_that_are_missing_are_a_usage_error(gilotine):
    for args in ([], ["1"]):
        code, _, text = outcome([gilotine, "run", *args])
        assert code == outcome([GNU, *args])[0] == 125
        assert "missing" in text and "--help" in text


def test_the_options_of_later_coreutils(gilotine):
    assert outcome([gilotine, "run", "-p", "0.05", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.01; done"])[0] == 3
    assert outcome([gilotine, "run", "-f", "0.05", "sleep", "5"])[0] == 124


@oracle
@pytest.mark.parametrize(
    ("signo", "command"),
    [
        (signal.SIGTERM, "echo up; exec sleep 9"),
        (signal.SIGINT, "echo up; exec sleep 9"),
        (signal.SIGHUP, "echo up; exec sleep 9"),
        (signal.SIGQUIT, "ulimit -c 0; echo up; exec sleep 9"),
        (signal.SIGALRM, "echo up; exec sleep 9"),
        (signal.SIGTERM, "trap 'echo caught; exit 7' TERM; echo up; while :; do sleep 0.01; done"),
        (signal.SIGINT, "trap 'echo caught; exit 7' INT; echo up; while :; do sleep 0.01; done"),
        (signal.SIGALRM, "trap 'echo caught; exit 7' TERM; echo up; while :; do sleep 0.01; done"),
    ],
)
def test_a_signal_to_the_run_goes_to_the_command(gilotine, signo, command):
    seen = []
    for tool in ([GNU], [gilotine, "run"]):
        process = subprocess.Popen(
            # What the shell says of its own child's death depends on the moment.
            [*tool, "20", "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout.readline() == "up\n"
        time.sleep(0.1)  # the shell's trap is set; sleep has been executed
        process.send_signal(signo)
        rest = process.stdout.read()
        seen.append((process.wait(10), rest))
    assert seen[0] == seen[1]


def test_other_signals_are_handed_on_too(gilotine):
    """timeout would be ended by SIGUSR1 and leave its command alone."""
    command = "trap 'echo usr1; exit 5' USR1; echo up; while :; do sleep 0.01; done"
    process = start(gilotine, "20", "sh", "-c", command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGUSR1)
    assert (process.stdout.read(), process.wait(10)) == ("usr1\n", 5)


def test_a_forwarded_signal_starts_the_grace_only_with_kill_after(gilotine):
    command = "trap '' TERM; echo up; while :; do sleep 0.01; done"
    process = start(gilotine, "-k", "0.2", "20", "sh", "-c", command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(10) in (137, -9)
    process.stdout.close()
    shutdown = "trap 'sleep 1.3; exit 4' TERM; echo up; while :; do sleep 0.01; done"
    process = start(gilotine, "20", "sh", "-c", shutdown, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "up\n"
    process.terminate()
    assert process.wait(10) == 4
    process.stdout.close()


SPOILED = [signal.SIGALRM, signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGINT, signal.SIGUSR1, signal.SIGTTOU]


def spoil(ignored=(), blocked=()):
    def inner():
        for signo in ignored:
            signal.signal(signo, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, blocked)

    return inner


@oracle
@pytest.mark.parametrize("how", ["ignored", "blocked"])
@pytest.mark.parametrize("signo", SPOILED)
def test_inherited_signal_state_does_not_disarm_the_limit(gilotine, how, signo):
    code, _, _ = outcome(
        [gilotine, "run", "0.1", "sleep", "5"], preexec_fn=spoil(**{how: [signo]}), restore_signals=False
    )
    # A TERM that the command was started with blocked needs the kill, as with timeout -k.
    assert code == (137 if (how, signo) == ("blocked", signal.SIGTERM) else 124)


@oracle
@pytest.mark.parametrize("how", ["ignored", "blocked"])
@pytest.mark.parametrize("options", [[], ["-s", "USR1"]])
def test_the_command_gets_the_signal_state_that_timeout_hands_on(gilotine, how, options):
    # Python itself ignores SIGXFSZ and SIGPIPE: both tools get the same.
    kept = [s for s in SPOILED if s != signal.SIGINT or how == "blocked"]
    same(
        gilotine,
        *options,
        "5",
        "grep",
        "-E",
        "^Sig(Ign|Blk)",
        "/proc/self/status",
        preexec_fn=spoil(**{how: kept}),
        restore_signals=False,
    )


def test_a_signal_that_glibc_hides_is_handed_on_too(gilotine):
    libc = ctypes.CDLL(None)
    number = 13 if platform.machine() == "x86_64" else 134

    def ignore_32():
        libc.syscall(number, 32, (ctypes.c_ulong * 8)(1), None, 8)

    same(gilotine, "5", "grep", "^SigIgn", "/proc/self/status", preexec_fn=ignore_32, restore_signals=False)


def test_what_a_shell_or_nohup_ignores_stays_ignored(gilotine):
    _, text, _ = outcome(
        [gilotine, "run", "5", "grep", "^SigIgn", "/proc/self/status"],
        preexec_fn=spoil(ignored=[signal.SIGINT, signal.SIGQUIT, signal.SIGHUP]),
        restore_signals=False,
    )
    assert int(text.split()[1], 16) & 0b111 == 0b111


def test_started_with_children_already(gilotine):
    """A shell that executes us has children that we never made and must not wait for."""
    begin = time.monotonic()
    code, _, _ = outcome(["sh", "-c", f"sleep 1.5 & exec '{gilotine}' run 0.2 sleep 9"], start_new_session=True)
    assert code == 124
    code, _, _ = outcome(["sh", "-c", f"sleep 1.5 & exec '{gilotine}' run 20 true"], start_new_session=True)
    assert code == 0
    assert time.monotonic() - begin < 4
    time.sleep(1.6)  # those sleeps come to us in the end


def test_a_parent_that_never_reaps(gilotine, tmp_path):
    """The run ends by itself and stays a zombie; nothing else is left."""
    script = (
        "import os, sys, time\n"
        "pid = os.posix_spawn(sys.argv[1], [sys.argv[1], 'run', '0.2', 'sleep', '9'], os.environ)\n"
        "print(pid, flush=True)\n"
        "time.sleep(1)\n"
        "print(open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()[0], flush=True)\n"
    )
    text = subprocess.run([sys.executable, "-c", script, gilotine], capture_output=True, text=True).stdout
    assert text.split()[1] == "Z"


def test_a_caller_that_ignores_sigchld(gilotine):
    assert outcome(
        [gilotine, "run", "0.1", "sleep", "9"], preexec_fn=spoil(ignored=[signal.SIGCHLD]), restore_signals=False
    )[0] == 124


@pytest.mark.parametrize("command", ["sleep 100 &", "setsid sleep 100 & sleep 100", "exec >&- 2>&-; sleep 100"])
def test_nothing_of_ours_keeps_the_callers_pipe_open(gilotine, command):
    begin = time.monotonic()
    subprocess.run(["sh", "-c", f"'{gilotine}' run 0.5 sh -c '{command}' | cat"], timeout=20)
    assert time.monotonic() - begin < 5


def test_a_command_that_closes_its_output_frees_the_reader(gilotine):
    process = start(gilotine, "20", "sh", "-c", "exec >&-; sleep 100", stdout=subprocess.PIPE)
    begin = time.monotonic()
    assert process.stdout.read() == b""
    assert time.monotonic() - begin < 5
    process.send_signal(signal.SIGALRM)
    assert process.wait(10) == 124


def test_descriptors_pass_and_none_is_added(gilotine):
    read_end, write_end = os.pipe()
    code = "import os; os.write(FD, b'through'); print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1])"
    command = [sys.executable, "-S", "-c", code.replace("FD", str(write_end))]
    common = {"pass_fds": [write_end], "capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    try:
        ours = subprocess.run([gilotine, "run", "5", *command], **common).stdout
        assert os.read(read_end, 100) == b"through"
        assert ours == subprocess.run(command, **common).stdout != ""
    finally:
        os.close(read_end)
        os.close(write_end)


# --- beyond timeout -------------------------------------------------------------------------------------------------


def report(path: pathlib.Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("args", "code", "outcome_name", "reason"),
    [
        (["5", "true"], 0, "value", "exit"),
        (["5", "false"], 1, "error", "exit"),
        (["5", "sh", "-c", "kill -KILL $$"], 137, "died", "signal"),
        (["0.05", "sleep", "5"], 124, "soft-timeout", "deadline-soft"),
        (["-s", "KILL", "0.05", "sleep", "5"], 137, "hard-timeout", "deadline-hard"),
        (["5", "/nonexistent"], 127, "lost", "start"),
        (["5", "/etc/passwd"], 126, "lost", "start"),
    ],
    ids=lambda value: str(value),
)
def test_the_report_says_what_happened(gilotine, tmp_path, args, code, outcome_name, reason):
    path = tmp_path / "record.json"
    assert outcome([gilotine, "run", "--report", str(path), *args])[0] == code
    record = report(path)
    assert (record["outcome"], record["reason"]) == (outcome_name, reason)
    assert list(tmp_path.iterdir()) == [path]
    if code not in (126, 127):
        assert record["started_ns"] <= record["dead_ns"] <= record["reaped_ns"] <= record["told_ns"]
        assert record["domain"]


def test_a_report_to_a_descriptor_is_not_the_commands(gilotine):
    text = subprocess.run(
        f"'{gilotine}' run --report 3 5 sh -c 'ls /proc/self/fd' 3>&1 </dev/null",
        shell=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert "3" not in text[:-1] or len(text) == 5  # ls itself opens one
    assert json.loads(text[-1])["outcome"] == "value"


def test_a_report_through_a_link_is_written_to_not_replaced(gilotine, tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("")
    link.symlink_to(target)
    assert outcome([gilotine, "run", "--report", str(link), "5", "true"])[0] == 0
    assert link.is_symlink() and report(target)["outcome"] == "value"


@pytest.mark.parametrize("target", ["77", "/nonexistent/file", "/"])
def test_a_report_that_cannot_be_written_is_refused_before_the_start(gilotine, target, tmp_path):
    code, _, text = outcome([gilotine, "run", "--report", target, "5", "touch", str(tmp_path / "ran")])
    assert code == 125 and "--report" in text
    assert not (tmp_path / "ran").exists()


def test_on_soft_runs_before_the_signal_and_knows_the_late_one(gilotine):
    code, out, text = outcome(
        [gilotine, "run", "--on-soft", "echo late $GILOTINE_PID; cat /proc/$GILOTINE_PID/comm", "0.1", "sleep", "5"]
    )
    assert code == 124 and re.search(r"late \d+\nsleep\n", text) and out == ""
    assert outcome([gilotine, "run", "--on-soft", "echo never", "5", "true"])[2] == ""


def test_on_soft_has_the_callers_limit_of_descriptors(gilotine):
    """Ours is raised for us alone."""
    script = "ulimit -Sn 200; exec \"$0\" run --on-soft 'ulimit -Sn' -k 5 0.1 sleep 60"
    code, _, text = outcome(["sh", "-c", script, gilotine])
    assert (code, text) == (124, "200\n")


def test_on_soft_that_stops_its_keeper_is_answered_when_it_ends(gilotine):
    began = time.monotonic()
    code, _, _ = outcome([gilotine, "run", "-k", "20", "--on-soft", "kill -STOP $PPID; exit 0", "0.2", "sleep", "99"])
    assert code == 124 and time.monotonic() - began < 8  # half of the grace would be 10


@pytest.mark.parametrize("signo", ["TERM", "KILL"])
def test_on_soft_that_hangs_is_ended(gilotine, signo):
    begin = time.monotonic()
    code, _, _ = outcome([gilotine, "run", "-s", signo, "--on-soft", "sleep 100 & sleep 100", "0.1", "sleep", "5"])
    assert code == (137 if signo == "KILL" else 124)
    assert time.monotonic() - begin < 4


def test_an_inner_run_never_outlasts_an_outer_one(gilotine):
    begin = time.monotonic()
    code, _, _ = outcome(
        [gilotine, "run", "-k", "0.3", "0.2", "setsid", "-w", gilotine, "run", "-k", "50", "50", "sh", "-c",
         "trap '' TERM; while :; do sleep 0.02; done"]
    )  # fmt: skip
    assert code in (124, 137)
    assert time.monotonic() - begin < 5
    instant = time.monotonic_ns() + 300_000_000
    result = subprocess.run(
        [gilotine, "run", "50", "sleep", "50"], env=dict(ENV, GILOTINE_DEADLINE=str(instant)), stdin=subprocess.DEVNULL
    )
    assert result.returncode in (124, 137)
    assert 0 <= time.monotonic_ns() - instant < 2_000_000_000


def test_the_deadline_is_passed_on(gilotine):
    before = time.monotonic_ns()
    _, text, _ = outcome([gilotine, "run", "-k", "2", "10", "sh", "-c", "echo $GILOTINE_DEADLINE"])
    assert 11.9e9 < int(text) - before < 14e9
    assert outcome([gilotine, "run", "0", "sh", "-c", "echo ${GILOTINE_DEADLINE-none}"])[1] == "none\n"


def test_a_deadline_in_the_environment_that_is_no_number_is_refused(gilotine):
    result = subprocess.run(
        [gilotine, "run", "5", "true"],
        env=dict(ENV, GILOTINE_DEADLINE="soon"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 125 and "GILOTINE_DEADLINE" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--memory", "lots", "1", "true"], "invalid size 'lots'"),
        (["--memory", "0", "1", "true"], "invalid size '0'"),
        (["--processes", "-1", "1", "true"], "invalid number of processes '-1'"),
        (["--cpu", "x", "1", "true"], "invalid time interval 'x'"),
        (["--domain", "jail", "1", "true"], "subreaper"),
    ],
)
def test_a_wrong_value_says_what_to_write(gilotine, args, words):
    code, _, text = outcome([gilotine, "run", *args])
    assert code == 125 and words in text


def test_help_tells_options_and_exit_status(gilotine):
    code, text, _ = outcome([gilotine, "run", "--help"])
    assert code == 0
    for word in ("--kill-after", "--on-soft", "--report", "--domain", "124", "137", "126", "Examples", "subreaper"):
        assert word in text


def test_a_broken_pipe_of_its_own_is_not_the_commands(gilotine, tmp_path):
    """Of -v, whose reader is gone: the command has written nothing."""
    record = tmp_path / "record"
    script = "trap 'exit 9' PIPE; trap 'sleep 0.3; exit 6' USR1; echo ready; while :; do sleep 0.02; done"
    process = start(
        gilotine, "-v", "--report", str(record), "30", "bash", "-c", script,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    process.stderr.close()
    process.send_signal(signal.SIGUSR1)
    process.stdout.close()
    assert process.wait(20) == 125  # a message that could not be written
    assert report(record)["exit_code"] == 6


def test_a_sigpipe_that_somebody_sends_goes_to_the_command(gilotine):
    script = "trap 'echo got it; exit 6' PIPE; echo ready; while :; do sleep 0.02; done"
    process = start(gilotine, "30", "bash", "-c", script, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGPIPE)
    assert process.stdout.read() == "got it\n"
    assert process.wait(20) == 6


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("script", ["exit 7", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", "(:); (:)"])
def test_on_one_processor_no_more_cpu_time_than_time(gilotine, tmp_path, domain, script):
    record = tmp_path / "record"
    only = {min(os.sched_getaffinity(0))}
    for _ in range(5):
        subprocess.run(
            [gilotine, "run", "--domain", domain, "--report", str(record), "30", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, only),
        )
        told = report(record)
        # Two clocks, of which one is slewed.
        assert 0 < told["cpu_ns"] <= told["wall_ns"] * 1.001 + 10_000


def test_it_has_started_before_its_first_act(gilotine, tmp_path):
    record = tmp_path / "record"
    clock = "import time; print(time.monotonic_ns())"
    before = time.monotonic_ns()
    _, text, _ = outcome([gilotine, "run", "--report", str(record), "30", sys.executable, "-S", "-c", clock])
    assert before < report(record)["started_ns"] < int(text)


def test_a_memory_limit_ends_the_family_and_not_one_member(gilotine, tmp_path):
    eater = "import os, time\nb = bytearray(300 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\ntime.sleep(20)"
    pids = tmp_path / "pids"
    script = f"sleep 100 & echo $! > '{pids}'; '{sys.executable}' -c '{eater}'; sleep 20"
    record = tmp_path / "record"
    code, _, text = outcome([gilotine, "run", "--memory", "100M", "--report", str(record), "20", "sh", "-c", script])
    assert code == 113 and "memory" in text
    assert report(record)["reason"] == "memory"
    assert not any(alive(pid) for pid in pids_in(pids))


TWO_EATERS = """
import os, sys
pairs = [os.pipe() for _ in range(2)]
for _, told in pairs:
    if os.fork() == 0:
        held = bytearray(b"x") * (100 << 20)
        os.write(told, b"x")
        os.close(told)
        sys.stdin.buffer.read()
        os._exit(0)
for heard, _ in pairs:
    os.read(heard, 1)
"""


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("options", [[], ["--memory", "1G"]])
def test_the_record_says_whose_the_peak_of_memory_is(gilotine, tmp_path, domain, options):
    record = tmp_path / "record"
    held, end = os.pipe()
    command = [gilotine, "run", "--domain", domain, *options, "--report", str(record), "30", sys.executable, "-S", "-c", TWO_EATERS]
    assert subprocess.run(command, stdin=held).returncode == 0
    os.close(held)
    os.close(end)
    told = report(record)
    of_the_family = told["peak_memory_by"] in ("cgroup1", "cgroup2")
    assert of_the_family or told["peak_memory_by"] in ("process", "watch")
    assert (told["peak_memory_bytes"] >= 200 << 20) == of_the_family or told["peak_memory_by"] == "watch"


def test_a_cpu_limit_counts_the_family_together(gilotine, tmp_path):
    record = tmp_path / "record"
    burn = "while :; do :; done"
    code, _, text = outcome(
        [gilotine, "run", "--cpu", "0.4", "--report", str(record), "30", "sh", "-c", f"({burn}) & {burn}"]
    )
    assert code == 114 and "CPU" in text
    assert report(record)["reason"] == "cpu"


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("limit", ["1e-20", "0.001"])
def test_a_cpu_limit_that_was_passed_between_two_looks(gilotine, tmp_path, domain, limit):
    record = tmp_path / "record"
    busy = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"
    code, _, text = outcome(
        [gilotine, "run", "--domain", domain, "--cpu", limit, "--report", str(record), "30", "sh", "-c", busy]
    )
    told = report(record)
    assert code == 114 and "CPU" in text
    assert (told["outcome"], told["reason"]) == ("over-limit", "cpu")
    assert told["cpu_ns"] >= float(limit) * 1e9


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_cpu_limit_that_was_not_passed_is_not_told(gilotine, domain):
    assert outcome([gilotine, "run", "--domain", domain, "--cpu", "60", "30", "sh", "-c", "exit 3"])[0] == 3


def test_nobody_is_set_free_when_the_cpu_limit_is_passed(gilotine, tmp_path):
    pid_file = tmp_path / "pid"
    script = f"sleep 100 & echo $! > {pid_file}"
    run = [gilotine, "run", "--domain", "subreaper", "--keep-descendants", "--cpu", "1e-20", "30", "sh", "-c", script]
    assert outcome(run)[0] == 114
    assert not alive(pids_in(pid_file)[0])


def test_a_limit_of_processes(gilotine, tmp_path):
    code, _, _ = outcome([gilotine, "run", "--processes", "5", "10", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; wait"])
    assert code in (114, 2, 1, 254)  # the family was ended, or fork was refused to the shell


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_an_unprivileged_user_has_the_same_promise(public_build):
    """Without a cgroup of its own: the domain is another, what the caller sees is not."""
    gilotine = str(public_build / "src/cli/gilotine")
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", gilotine, "run"]
    begin = time.monotonic()
    code, out, _ = outcome([*nobody, "--report", "1", "-k", "0.2", "0.3", "sh", "-c", "setsid sleep 60 & sleep 60"])
    assert code == 124 and json.loads(out)["leftovers"] >= 1
    assert time.monotonic() - begin < 5
    assert outcome([*nobody, "--memory", "50M", "20", *HOG])[0] == 113


HOG = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1000000"]


def test_a_command_that_may_not_be_signalled_is_said_and_named(public_build):
    """A set-user-ID command of an unprivileged user."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a set-user-ID program")
    folder = pathlib.Path("/tmp") / f"gilotine-suid-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    try:
        # A set-user-ID program that becomes root entirely, as su and sudo do.
        shutil.copy(shutil.which("setpriv"), folder / "become")
        (folder / "become").chmod(0o4755)
        gilotine = str(public_build / "src/cli/gilotine")
        reachable = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", gilotine, "run"]
        process = subprocess.Popen(
            [*reachable, "-k", "0.2", "0.3", str(folder / "become"), "--reuid=0", "sleep", "8"], stderr=subprocess.PIPE, text=True
        )
        text = process.stderr.read()
        assert process.wait(10) == 125
        assert "sleep" in text and "left" in text
        left = [int(pid) for pid in re.findall(r"\d+", text.split("left:")[1])]
        wait_until(lambda: not any(alive(pid) for pid in left), 20)
    finally:
        shutil.rmtree(folder)
