"""gilotine run in the hands of odd callers: closed or few descriptors, full disks, nested limits, service managers."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys

import pytest
from run_support import BUILD, ENV, GNU, alive, domains, oracle, outcome, pids_in, reap_strays, same, start, wait_until

DOMAINS = domains(str(BUILD / "src/cli/gilotine")) if (BUILD / "src/cli/gilotine").exists() else ["subreaper"]


@pytest.fixture(autouse=True)
def strays_are_reaped(no_process_outlives_its_test):
    yield
    reap_strays()


# Exits with one bit for each of 0, 1, 2 that is open.
OPEN_ONES = """
import os, sys
code = 0
for fd in range(3):
    try:
        os.fstat(fd)
        code |= 1 << fd
    except OSError:
        pass
os._exit(code)
"""


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_descriptor_is_closed_for_the_command(gilotine, domain, closed):
    script = f'exec "$@" {closed}'
    command = [gilotine, "run", "--domain", domain, "5", sys.executable, "-S", "-c", OPEN_ONES]
    expected = 7 & ~sum(bit for word, bit in (("<", 1), (" >", 2), ("2", 4)) if word in " " + closed)
    assert subprocess.run(["sh", "-c", script, "sh", *command], timeout=30).returncode == expected


def test_with_closed_standard_descriptors_the_limit_holds_and_nothing_is_written_astray(gilotine, tmp_path):
    record = tmp_path / "record"
    script = f"exec '{gilotine}' run -v --report '{record}' 0.1 sleep 9 <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", script], timeout=30).returncode == 125  # -v has nobody to tell
    assert json.loads(record.read_text())["reason"] == "deadline-soft"


@oracle
@pytest.mark.parametrize(("highest", "limit"), [(255, 256), (15, 16), (99, 100)])
def test_descriptors_up_to_the_last_that_the_limit_allows(gilotine, highest, limit):
    def inherit():
        os.dup2(0, highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    command = f"test -e /proc/self/fd/{highest} && ulimit -n"
    code, out, _ = same(gilotine, "5", "sh", "-c", command, preexec_fn=inherit, close_fds=False)
    assert (code, out) == (0, f"{limit}\n")


@oracle
@pytest.mark.parametrize("domain", DOMAINS)
def test_a_low_soft_limit_of_descriptors_is_the_commands_and_not_ours(gilotine, domain):
    def inherit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 256))

    command = ["5", "sh", "-c", "ulimit -Sn; ulimit -Hn"]
    assert same(gilotine, *command, preexec_fn=inherit)[:2] == (0, "4\n256\n")
    assert outcome([gilotine, "run", "--domain", domain, *command], preexec_fn=inherit)[:2] == (0, "4\n256\n")


@pytest.mark.parametrize("limit", range(6, 20))
def test_with_few_descriptors_it_fails_or_works_as_always(gilotine, limit):
    def inherit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    code, _, text = outcome([gilotine, "run", "-k", "20", "0.2", "sleep", "25"], preexec_fn=inherit)
    assert code == 124 or (code == 125 and limit < 12 and "open files" in text)


@oracle
@pytest.mark.parametrize("args", [["--k", "1"], ["--k=1"], ["--p"], ["--pr"], ["--pre"], ["--f"], ["--s", "INT"], ["--verb"]])
def test_short_forms_of_timeouts_own_options_stay_theirs(gilotine, args):
    assert same(gilotine, *args, "1", "sh", "-c", "exit 3")[0] == 3
    same(gilotine, *args, "0.1", "sleep", "9")


@oracle
@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize("args", [("-v", "0.1", "sleep", "5"), ("1", "no-such-command"), ("1", "sh", "-c", "exit 3")])
def test_what_cannot_be_told_is_a_failure_as_with_timeout(gilotine, where, args):
    def code(*tool: str) -> int:
        return subprocess.run(["sh", "-c", f'"$@" {where}', "sh", *tool, *args], stdin=subprocess.DEVNULL).returncode

    assert code(gilotine, "run") == code(GNU)


@pytest.mark.parametrize("where", ["2>/dev/full", "2>&-"])
def test_a_limit_of_memory_is_told_by_its_code_also_without_standard_error(gilotine, where):
    script = f'exec "$@" {where}'
    run = [gilotine, "run", "--memory", "20M", "20", sys.executable, "-c", "x = bytearray(200 << 20); import time; time.sleep(9)"]
    assert subprocess.run(["sh", "-c", script, "sh", *run], stdin=subprocess.DEVNULL, timeout=60).returncode == 113


@oracle
@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_what_cannot_be_printed_is_a_failure(gilotine, option, where):
    seen = [outcome(["sh", "-c", f'"$@" {where}', "sh", *tool, option]) for tool in ([GNU], [gilotine, "run"])]
    assert seen[0] == seen[1] and seen[0][0] == 125


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["query", "--help"], ["doctor", "--help"], ["lab", "--list"]])
def test_so_it_is_of_the_other_commands(gilotine, args):
    code, _, text = outcome(["sh", "-c", '"$@" >/dev/full', "sh", gilotine, *args])
    assert code == 111 and "write error" in text


@oracle
@pytest.mark.parametrize("options", [[], ["--foreground"], ["-k", "5"]])
@pytest.mark.parametrize("signo", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM])
def test_verbose_tells_of_a_signal_that_is_handed_on(gilotine, options, signo):
    seen = []
    for tool in ([GNU], [gilotine, "run"]):
        process = subprocess.Popen(
            [*tool, "-v", *options, "30", sys.executable, "-S", "-c", UP_AND_WAIT],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENV,
        )
        assert process.stdout.readline() == "up\n"
        process.send_signal(signo)
        said = process.communicate(timeout=30)[1].partition(": ")[2]
        seen.append((said.replace(GNU + ": ", ""), process.returncode))
    assert seen[0] == seen[1]
    assert seen[0][0].startswith("sending signal ")


UP_AND_WAIT = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.write(1, b"up\\n")
time.sleep(100)
"""


@oracle
def test_a_core_dump_is_told(gilotine, tmp_path):
    def with_core():
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        os.chdir(tmp_path)

    same(gilotine, "-s", "QUIT", "0.1", "sleep", "9", preexec_fn=with_core)
    same(gilotine, "5", sys.executable, "-S", "-c", "import os; os.kill(os.getpid(), 3)", preexec_fn=with_core)


# Tells the signals it gets, and ends half a second after the first.
TELLS = """
import os, signal, time
def told(signo, frame):
    os.write(1, signal.Signals(signo).name.encode() + b"\\n")
    global end
    end = min(end, time.monotonic() + 0.5)
end = time.monotonic() + 60
for signo in (signal.SIGTERM, signal.SIGCONT):
    signal.signal(signo, told)
os.write(1, b"up\\n")
while time.monotonic() < end:
    time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--foreground"], {"up", "SIGTERM"}),  # as timeout's manual says
        ([], {"up", "SIGTERM", "SIGCONT"}),
        (["-s", "0"], {"up", "SIGCONT"}),
    ],
)
def test_a_continue_comes_with_the_signal_but_not_in_the_foreground(gilotine, options, expected):
    code, out, _ = outcome([gilotine, "run", *options, "-k", "20", "1", sys.executable, "-S", "-c", TELLS])
    assert code == 124 and set(out.split()) == expected


def test_under_an_outer_limit_the_grace_is_the_commands(gilotine):
    """The signal of the outer run goes to all members, the inner one's keeper among them."""
    shutdown = "trap 'sleep 0.3; echo bye; exit' TERM; while :; do sleep 0.02; done"
    code, out, _ = outcome([gilotine, "run", "-k", "20", "0.5", gilotine, "run", "60", "sh", "-c", shutdown])
    assert (code, out) == (124, "bye\n")


def test_a_signal_to_every_process_leaves_the_shutdown_to_the_command(gilotine, tmp_path):
    """As a service manager stops a unit: TERM to whatever runs in it."""
    pid_file, said = tmp_path / "pid", tmp_path / "said"
    script = (
        f"trap 'sleep 0.3; echo bye > \"{said}\"; exit 6' TERM; echo $PPID > '{pid_file}'; while :; do sleep 0.02; done"
    )
    process = start(gilotine, "60", "sh", "-c", script)
    wait_until(lambda: pids_in(pid_file), 20, "the command")
    keeper = pids_in(pid_file)[0]
    os.kill(keeper, signal.SIGTERM)
    process.terminate()
    assert process.wait(20) == 6
    assert pathlib.Path(said).read_text() == "bye\n" and not alive(keeper)


def test_one_signal_through_two_runs_is_one(gilotine):
    """The outer one sends it to the inner one and to the group that it is in."""
    count = (
        "import signal, time\n"
        "seen = 0\n"
        "def told(signo, frame):\n"
        "    global seen\n"
        "    seen += 1\n"
        "signal.signal(signal.SIGUSR2, told)\n"
        "print('up', flush=True)\n"
        "begin = time.monotonic()\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.5)\n"
        "print(seen)\n"
    )
    process = start(
        gilotine, "-v", "-s", "USR2", "60", gilotine, "run", "-v", "-s", "USR2", "60", sys.executable, "-S", "-c", count,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGUSR2)
    out, text = process.communicate(timeout=30)
    assert process.returncode == 0 and int(out) <= 2, text
    assert text.count("sending signal USR2") == 2


@oracle
@pytest.mark.parametrize(
    "args",
    [["1\n", "true"], ["it's", "true"], ["1\x1b[31m", "true"], ["-s", "a'b", "1", "true"], ["1", "/no such\t'\\x\r"], ["1", 'no"x']],
    ids=ascii,
)
def test_what_a_message_quotes_is_harmless(gilotine, args):
    same(gilotine, *args)


def test_what_is_not_ascii_is_shown_as_it_is(gilotine):
    assert "invalid time interval '10€'" in outcome([gilotine, "run", "10€", "true"])[2]


def test_a_report_without_a_name_is_refused_before_the_start(gilotine, tmp_path):
    code, _, text = outcome([gilotine, "run", "--report", "", "5", "touch", str(tmp_path / "ran")])
    assert code == 125 and "--report: No such file or directory" in text
    assert not (tmp_path / "ran").exists()


def test_a_full_standard_error_does_not_hold_the_limit(gilotine):
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    try:
        while os.write(write_end, b"x" * 4096):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(write_end, True)
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    process = start(gilotine, "-v", "-k", "0.2", "0.3", "sh", "-c", deaf, stderr=write_end)
    try:
        assert process.wait(20) == 137
    finally:
        process.kill()
        os.close(read_end)
        os.close(write_end)
        process.wait()


def test_orders_that_met_a_stopped_keeper_are_all_obeyed(gilotine, tmp_path):
    """The kill is known before the command's death is: its group must not be forgotten with it."""
    lock = tmp_path / "lock"
    script = f"flock '{lock}' sleep 60 & while flock -n '{lock}' true; do sleep 0.01; done; kill -STOP $PPID; sleep 60"
    code, _, _ = outcome([gilotine, "run", "--domain", "pgroup", "-k", "0.3", "0.7", "sh", "-c", script])
    assert code == 124
    assert subprocess.run(["flock", "--timeout", "10", str(lock), "true"]).returncode == 0


# --- a bare root ----------------------------------------------------------------------------------------------------

# In a mount namespace of its own, /proc and /sys are empty.
BARE = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none /sys && mount -t tmpfs none /proc && exec "$@"', "sh"]
can_be_bare = pytest.mark.skipif(
    subprocess.run([*BARE, "true"], capture_output=True).returncode != 0, reason="no mount namespace to be had here"
)


@can_be_bare
def test_without_proc_the_family_is_held_all_the_same(gilotine, tmp_path):
    lock = tmp_path / "lock"
    record = tmp_path / "record"
    escape = f"setsid flock '{lock}' sleep 60 & sleep 60"
    code, _, text = outcome([*BARE, gilotine, "run", "--report", str(record), "0.5", "sh", "-c", escape])
    assert (code, text) == (124, "")
    assert '"domain":"subreaper"' not in record.read_text().replace(" ", "")
    assert subprocess.run(["flock", "--nonblock", str(lock), "true"]).returncode == 0


@can_be_bare
@pytest.mark.parametrize("options", [["--domain", "subreaper"], ["--domain", "subreaper", "--memory", "50M"]])
def test_without_proc_what_cannot_be_held_is_refused(gilotine, options, tmp_path):
    code, _, text = outcome([*BARE, gilotine, "run", *options, "5", "touch", str(tmp_path / "ran")])
    assert code == 125 and "no /proc" in text
    assert not (tmp_path / "ran").exists()
