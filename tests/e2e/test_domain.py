"""Kill domains: whatever a family does, it is gone when we say so, and so is everything we made for it."""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid

import pytest

from conftest import build_dir

DOMAINS = ["pidns+cgroup", "pidns", "userns", "cgroup", "subreaper", "pgroup"]
HOLDING = DOMAINS[:-1]
ORDINARY_PIDS = ["cgroup", "subreaper"]
SRC = """
import os, signal, sys, time
def child(setup):
    r, w = os.pipe()
    if os.fork() == 0:
        setup()
        os.write(w, b'x')
        os.close(w)
        while True:
            time.sleep(100)
    os.close(w)
    os.read(r, 1)
def daemon():
    os.setsid()
    if os.fork():
        os._exit(0)
def deaf():
    for s in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(s, signal.SIG_IGN)
        except OSError:
            pass
def stopped():
    if os.fork() == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
child(lambda: None)
child(lambda: os.setpgid(0, 0))
child(os.setsid)
child(daemon)
child(deaf)
child(stopped)
print('up', flush=True)
if sys.argv[2] == 'stay':
    time.sleep(100)
sys.exit(7)
"""


@pytest.fixture(scope="session")
def family_run() -> str:
    return str(build_dir() / "tests/e2e/family-run")


@pytest.fixture(scope="session")
def brood() -> str:
    return str(build_dir() / "tests/e2e/brood")


@pytest.fixture(scope="session")
def offered(family_run) -> dict[str, bool]:
    lines = subprocess.run([family_run, "--domains"], capture_output=True, text=True, timeout=60).stdout.splitlines()
    return {line.split()[0]: line.split()[1] == "yes" for line in lines}


@pytest.fixture
def token() -> str:
    return f"token-{uuid.uuid4().hex}"


def alive(token: str) -> list[int]:
    """Every process that has the token as an argument: also inside PID namespaces, by outer numbers."""
    return [pid for pid in every_pid() if pid != os.getpid() and token in command_line(pid)]


def wait_gone(token: str, seconds: float = 5) -> list[int]:
    deadline = time.monotonic() + seconds
    while (left := alive(token)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def family_cgroups() -> list[pathlib.Path]:
    """os.walk, unlike glob, does not mind folders that vanish."""
    return [
        pathlib.Path(folder, name)
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith("gilotine-family-")
    ]


def every_pid() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(pid: int) -> list[str]:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


@pytest.fixture(autouse=True)
def no_cgroup_is_left(monkeypatch):
    started: set[str] = set()

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.add(str(self.pid))

    def left() -> list[str]:
        return [str(path) for path in family_cgroups() if path.name.split("-")[3] in started]

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    yield
    deadline = time.monotonic() + 5
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left() == []


def run(family_run: str, *args: str, timeout: float = 60, **kwargs) -> dict:
    done = subprocess.run([family_run, *args], stdout=subprocess.PIPE, text=True, timeout=timeout, **kwargs)
    report = json.loads(done.stdout.splitlines()[-1])
    report["output"] = done.stdout.splitlines()[:-1]
    return report


def need(offered: dict[str, bool], domain: str) -> None:
    if not offered[domain]:
        pytest.skip(f"this machine does not offer {domain}")


@pytest.fixture
def public(public_build):
    """public(path of a program of the build folder): its copy that any user may run."""
    return lambda path: str(public_build / pathlib.Path(path).relative_to(build_dir()))


def as_nobody(*args: str) -> list[str]:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become somebody else")
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *args]


@pytest.mark.parametrize("domain", HOLDING)
def test_nothing_survives_a_kill(family_run, offered, token, domain):
    need(offered, domain)
    report = run(
        family_run, f"--domain={domain}", "--kill-after=0.4", "--", sys.executable, "-c", SRC, token, "stay"
    )
    assert report["output"] == ["up"]
    assert (report["state"], report["domain"], report["cause"], report["signal"]) == ("gone", domain, "kill", 9)
    assert alive(token) == []
    assert report["killed"] >= 7
    assert report["leftovers"] == 0 and not report["keeper_killed"]
    assert report["cpu"] > 0 and report["peak"] > 1 << 20


@pytest.mark.parametrize("domain", HOLDING)
def test_what_a_command_leaves_is_counted_and_ended(family_run, offered, token, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--", sys.executable, "-c", SRC, token, "leave")
    assert (report["state"], report["cause"], report["exit"], report["leftovers"]) == ("gone", "command", 7, 7)
    assert alive(token) == []


def test_pgroup_ends_the_group_and_says_what_it_does_not_hold(family_run, token):
    report = run(family_run, "--domain=pgroup", "--", "sh", "-c", f"sleep 100 {token} & exit 3")
    assert (report["state"], report["exit"], report["domain"]) == ("gone", 3, "pgroup")
    assert alive(token) == []
    refused = run(family_run, "--domain=pgroup", "--cpu=1", "--", "true")
    assert "members can leave" in refused["message"]


@pytest.mark.parametrize("domain", HOLDING)
@pytest.mark.parametrize("mode", ["wait 300", "deep 60", "chain 4", "bomb 60"])
def test_families_that_fork_are_ended(family_run, brood, offered, domain, mode):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--kill-after=0.1", "--", brood, *mode.split())
    assert (report["state"], report["cause"]) == ("gone", "kill")


@pytest.mark.parametrize("domain", DOMAINS)
def test_exec_errors_come_back_as_errors(family_run, offered, tmp_path, domain):
    need(offered, domain)
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    missing = run(family_run, f"--domain={domain}", "--", "/no/such/program")
    refused = run(family_run, f"--domain={domain}", "--", str(plain))
    nowhere = run(family_run, f"--domain={domain}", "--cwd=/no/such/folder", "--", "true")
    assert missing["message"] == "/no/such/program: No such file or directory"
    assert refused["message"] == f"{plain}: Permission denied"
    assert missing["error"] != refused["error"]
    assert "/no/such/folder" in nowhere["message"] and nowhere["error"] not in (missing["error"], refused["error"])


def test_an_unknown_domain_names_those_there_are(family_run):
    message = run(family_run, "--domain=fortress", "--", "true")["message"]
    assert all(name in message for name in ["fortress", "auto", *DOMAINS])


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_descriptor_but_those_asked_for_reaches_the_command(family_run, offered, domain):
    need(offered, domain)
    extra = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    for fd in extra:
        os.set_inheritable(fd, True)
    report = run(family_run, f"--domain={domain}", "--", "ls", "/proc/self/fd", close_fds=False)
    for fd in extra:
        os.close(fd)
    assert report["output"] == ["0", "1", "2", "3"]  # 3: ls reading the folder


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_keeper_holds_no_pipe_of_the_command_open(family_run, offered, domain, token):
    need(offered, domain)
    process = subprocess.Popen(
        [family_run, f"--domain={domain}", "--", "sh", "-c", "exec >&- 2>&-; sleep 100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    keepers = []
    deadline = time.monotonic() + 5
    while not keepers and time.monotonic() < deadline:
        keepers = [pid for pid in every_pid() if parent(pid) == process.pid and is_keeper(pid)]
    time.sleep(0.2)
    targets = {os.readlink(f"/proc/{keepers[0]}/fd/{fd}") for fd in os.listdir(f"/proc/{keepers[0]}/fd")}
    pipes = {os.readlink(f"/proc/self/fd/{stream.fileno()}") for stream in (process.stdout, process.stderr)}
    status = pathlib.Path(f"/proc/{keepers[0]}/status").read_text()
    process.kill()
    process.communicate()
    assert targets & pipes == set()
    if "asan" not in str(build_dir()):
        assert int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) < 1024


def is_keeper(pid: int) -> bool:
    return command_line(pid)[:1] != [] and command_line(pid)[0].endswith("gilotine-init")


def parent(pid: int) -> int:
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split()[1])


@pytest.mark.parametrize("domain", DOMAINS)
def test_dispositions_and_mask_are_those_asked_for(family_run, offered, domain):
    need(offered, domain)

    def spoil():
        for s in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(s, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD})

    def masks(*args):
        report = run(
            family_run,
            f"--domain={domain}",
            *args,
            "--",
            "grep",
            "-E",
            "^Sig(Ign|Blk)",
            "/proc/self/status",
            preexec_fn=spoil,
            restore_signals=False,
        )
        return {line.split()[0]: int(line.split()[1], 16) for line in report["output"]}

    assert masks() == {"SigBlk:": 0, "SigIgn:": 0}
    hup, usr1 = 1 << (signal.SIGHUP - 1), 1 << (signal.SIGUSR1 - 1)
    assert masks(f"--ignore={hup}", f"--block={usr1}") == {"SigBlk:": usr1, "SigIgn:": hup}


def test_rlimits_and_sessions_are_set(family_run):
    def session(mode):
        code = "import os; print(os.getsid(0), os.getpgrp(), os.getpid(), os.getppid())"
        return [int(n) for n in run(family_run, mode, "--", sys.executable, "-c", code)["output"][0].split()]

    own, group, caller = (session(f"--session={mode}") for mode in ("own", "group", "caller"))
    assert own[0] == own[3] and own[1] == own[2]
    assert group[0] == os.getsid(0) and group[1] == group[2]
    assert caller[:2] == [os.getsid(0), os.getpgrp()]
    assert run(family_run, "--nofile=64", "--", "sh", "-c", "ulimit -n")["output"] == ["64"]


@pytest.mark.parametrize("domain", ["pidns+cgroup", "pidns", "userns"])
def test_a_namespace_has_a_proc_of_its_own(family_run, offered, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--", "sh", "-c", "cat /proc/1/comm; ls -d /proc/[0-9]* | wc -l")
    assert report["fresh_proc"] == 1
    assert report["output"][0] == "gilotine-init" and int(report["output"][1]) <= 5


@pytest.mark.parametrize("domain", HOLDING)
def test_a_family_that_kills_its_keeper_is_ended_all_the_same(family_run, brood, offered, token, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--kill-after=0.5", "--adopt", "--", brood, "keeper", token)
    assert report["state"] == "gone"
    # The first process of a namespace cannot be killed from inside.
    assert report["keeper_killed"] == (domain in ORDINARY_PIDS)
    assert alive(token) == []


@pytest.mark.parametrize("domain", [name for name in HOLDING if name not in ORDINARY_PIDS])
def test_a_keeper_that_we_help_to_die_was_not_killed_by_its_family(family_run, offered, token, domain):
    """A gigabyte of small pages takes longer to die than a keeper is waited for."""
    need(offered, domain)
    code = "import mmap, time; m = mmap.mmap(-1, 1 << 30); m.madvise(mmap.MADV_NOHUGEPAGE); m.write(bytes(1 << 30)); time.sleep(100)"
    report = run(family_run, f"--domain={domain}", "--kill-after=3", "--", sys.executable, "-S", "-c", code, token)
    assert report["state"] == "gone" and not report["keeper_killed"]
    assert alive(token) == []


def test_without_adoption_the_mark_finds_what_is_left(family_run, brood, token):
    report = run(family_run, "--domain=subreaper", "--kill-after=0.5", "--", brood, "keeper", token)
    assert (report["state"], report["keeper_killed"]) == ("gone", 1)
    assert alive(token) == []


def test_with_adoption_an_empty_environment_hides_nobody(family_run, token):
    code = f"(setsid env -i sh -c 'sleep 100; :' {token} &); sleep 0.3; kill -KILL $PPID; sleep 100"
    report = run(family_run, "--domain=subreaper", "--adopt", "--", "sh", "-c", code)
    assert (report["state"], report["keeper_killed"]) == ("gone", 1)
    assert alive(token) == []


@pytest.mark.parametrize("domain", HOLDING)
def test_a_family_that_stops_its_keeper_is_ended_all_the_same(family_run, brood, offered, token, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--kill-after=0.3", "--", brood, "stopkeeper", token)
    assert report["state"] == "gone" and report["late"] < 2
    assert alive(token) == []


@pytest.mark.parametrize("domain", HOLDING)
def test_a_stopped_keeper_wakes_when_its_owner_dies(family_run, brood, offered, token, domain):
    need(offered, domain)
    process = subprocess.Popen([family_run, f"--domain={domain}", "--", brood, "stopkeeper", token], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.communicate()
    assert wait_gone(token) == []
    reap_orphans()


@pytest.mark.parametrize("domain", HOLDING)
def test_the_owner_killed_at_any_instant_leaves_nothing(family_run, brood, offered, token, domain):
    need(offered, domain)
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(40):
        process = subprocess.Popen(
            [family_run, f"--domain={domain}", "--", brood, "wait", "5", token], stdout=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0, 0.006))
        process.kill()
        process.wait()
        assert wait_gone(token) == []
    # Killed between the making of a cgroup and the start in it, it leaves an empty one: the next start removes it.
    run(family_run, f"--domain={domain}", "--", "true")
    reap_orphans()


def reap_orphans():
    """Keepers come to us, the subreaper, when their owner is killed."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
        except ChildProcessError:
            return


@pytest.mark.parametrize("outer", HOLDING)
@pytest.mark.parametrize("inner", ["cgroup", "subreaper", "userns"])
def test_families_inside_families_end_with_the_outer_one(family_run, brood, offered, token, outer, inner):
    need(offered, outer)
    need(offered, inner)
    report = run(
        family_run, f"--domain={outer}", "--kill-after=0.3", "--",
        family_run, f"--domain={inner}", "--", brood, "wait", "3", token,
    )  # fmt: skip
    assert report["state"] == "gone" and report["output"] == ["ready"]
    assert alive(token) == []
    # The inner owner and its keeper were killed with the rest: the next start sweeps up after them, or,
    # for those of a namespace of their own, some seconds later.
    run(family_run, "--domain=cgroup", "--", "true")
    here = str(os.stat("/proc/self/ns/pid").st_ino)
    for folder in family_cgroups():
        if folder.name.split("-")[2] != here:
            with contextlib.suppress(OSError):  # somebody else's, at work
                folder.rmdir()


@pytest.mark.parametrize("domain", HOLDING)
def test_the_keepers_own_deadline_holds_while_the_owner_is_stopped(family_run, offered, token, domain):
    need(offered, domain)
    process = subprocess.Popen(
        [family_run, f"--domain={domain}", "--deadline=0.4", "--", "sh", "-c", f"echo up; sleep 100; : {token}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any("sleep 100" in c for c in commands_below(process.pid)):
        time.sleep(0.02)
    assert not any("sleep 100" in c for c in commands_below(process.pid))
    process.send_signal(signal.SIGCONT)
    report = json.loads(process.communicate(timeout=10)[0].splitlines()[-1])
    assert (report["state"], report["cause"]) == ("gone", "deadline")
    assert 0.3 < report["ran"]


def commands_below(pid: int) -> list[str]:
    found = []
    for child in every_pid():
        if parent(child) == pid:
            found += [] if is_keeper(child) else [" ".join(command_line(child))]
            found += commands_below(child)
    return found


@pytest.mark.parametrize("domain", HOLDING)
def test_a_memory_limit_ends_the_family_for_that_reason(family_run, brood, offered, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", f"--memory={100 << 20}", "--", brood, "memory", "400")
    assert (report["state"], report["cause"]) == ("gone", "memory")
    assert report["memory_by"] in ("cgroup2", "cgroup1", "watch")
    assert report["peak"] >= 60 << 20
    fine = run(family_run, f"--domain={domain}", f"--memory={200 << 20}", "--", "true")
    assert (fine["cause"], fine["exit"], fine["oom"]) == ("command", 0, 0)


@pytest.mark.parametrize("domain", HOLDING)
def test_a_cpu_limit_counts_the_whole_family(family_run, brood, offered, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--cpu=0.4", "--", brood, "burn", "2")
    assert (report["state"], report["cause"]) == ("gone", "cpu")
    assert 0.35 < report["cpu"] < 2


@pytest.mark.parametrize("domain", HOLDING)
def test_a_limit_of_processes_holds(family_run, brood, offered, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--processes=20", "--kill-after=0.5", "--", brood, "wait", "100")
    assert report["state"] == "gone"
    if report["processes_by"] == "watch":
        assert report["cause"] == "processes"
    else:
        assert report["killed"] <= 20


def test_unprivileged_limits_are_watched(family_run, brood, public):
    family_run, brood = public(family_run), public(brood)

    def limited(*args):
        return run(as_nobody(family_run)[0], *as_nobody(family_run)[1:], *args)

    memory = limited("--domain=subreaper", f"--memory={100 << 20}", "--", brood, "memory", "400")
    assert (memory["cause"], memory["memory_by"], memory["peak_by"]) == ("memory", "watch", "watch")
    many = limited("--domain=subreaper", "--processes=20", "--", brood, "wait", "100")
    assert (many["cause"], many["processes_by"]) == ("processes", "watch")
    burnt = limited("--domain=subreaper", "--cpu=0.3", "--", brood, "burn", "2")
    assert (burnt["cause"], burnt["cpu_by"]) == ("cpu", "watch")


@pytest.mark.parametrize("domain", ["userns", "subreaper"])
def test_an_ordinary_user_has_domains_too(family_run, public, offered, token, domain):
    need(offered, domain)
    command = as_nobody(public(family_run), f"--domain={domain}", "--kill-after=0.4", "--", "/usr/bin/python3", "-c", SRC)
    report = run(command[0], *command[1:], token, "stay")
    assert (report["state"], report["domain"], alive(token)) == ("gone", domain, [])
    assert report["killed"] >= 7


def test_a_domain_that_was_asked_for_is_refused_not_replaced(family_run, public):
    family_run = public(family_run)
    for domain in ("cgroup", "pidns", "pidns+cgroup"):
        command = as_nobody(family_run, f"--domain={domain}", "--", "true")
        report = run(command[0], *command[1:])
        assert "error" in report and "domain" not in report
    # Without a name the best one that there is.
    for purpose, domain in (([], "subreaper"), (["--contain"], "userns")):
        command = as_nobody(family_run, *purpose, "--", "true")
        assert run(command[0], *command[1:])["domain"] == domain


@pytest.mark.parametrize("domain", DOMAINS)
def test_stopping_and_going_on_is_news(family_run, offered, domain):
    need(offered, domain)
    code = "kill -STOP $$; exit 5"
    process = subprocess.Popen(
        [family_run, f"--domain={domain}", "--wait-news", "--", "sh", "-c", code], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == f"stopped {signal.SIGSTOP}\n"
    [command] = [pid for pid in every_pid() if grandparent(pid) == process.pid]
    os.kill(command, signal.SIGCONT)
    report = json.loads(process.communicate(timeout=10)[0].splitlines()[-1])
    assert (report["exit"], report["stopped"], report["state"]) == (5, 1, "gone")


def grandparent(pid: int) -> int:
    up = parent(pid)
    return parent(up) if up > 0 else 0


@pytest.mark.parametrize("domain", ORDINARY_PIDS)
def test_released_members_live_on(family_run, offered, token, domain):
    need(offered, domain)
    # One process of that name: a shell's child, born as we kill, would not bear it.
    code = f"bash -c 'exec -a $0 sleep 100' {token} >&- 2>&- & exit 4"
    report = run(family_run, f"--domain={domain}", "--release", "--", "sh", "-c", code)
    deadline = time.monotonic() + 5
    while not (lived := alive(token)) and time.monotonic() < deadline:
        time.sleep(0.01)  # it may not have been executed yet
    while (members := alive(token)) and time.monotonic() < deadline:
        for victim in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        reap_orphans()
    assert lived != []
    assert (report["state"], report["exit"], report["killed"]) == ("gone", 4, 0)
    assert report["leftovers"] >= 1


def test_a_namespace_refuses_to_release(family_run, offered):
    need(offered, "pidns")
    assert "set free" in run(family_run, "--domain=pidns", "--release", "--", "true")["message"]


@pytest.mark.parametrize("domain", HOLDING)
def test_waiting_lasts_until_the_last_member_has_ended(family_run, offered, domain):
    need(offered, domain)
    report = run(family_run, f"--domain={domain}", "--wait", "--", "sh", "-c", "sleep 0.3 & exit 6")
    assert (report["state"], report["exit"], report["killed"], report["leftovers"]) == ("gone", 6, 0, 1)
    assert report["ran"] >= 0.25


def test_a_folder_goes_with_the_family(family_run, tmp_path):
    folder = tmp_path / "private"
    (folder / "deep").mkdir(parents=True)
    assert run(family_run, f"--remove={folder}", "--", "true")["state"] == "gone"
    assert not folder.exists()


def test_what_a_killed_instance_left_is_swept(family_run, offered):
    need(offered, "cgroup")
    namespace = os.stat("/proc/self/ns/pid").st_ino
    own = pathlib.Path("/proc/self/cgroup").read_text()
    base = subprocess.run(
        ["findmnt", "-n", "-t", "cgroup2", "-o", "TARGET"], capture_output=True, text=True
    ).stdout.split()[0]
    path = re.search(r"^0::(.*)$", own, re.M)[1]
    parent_dir = pathlib.Path(base + path)
    stale = parent_dir / f"gilotine-family-{namespace}-{os.getpid()}-1-0"
    foreign = parent_dir / f"gilotine-family-{namespace + 1}-{os.getpid()}-1-0"
    start = pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    living = parent_dir / f"gilotine-family-{namespace}-{os.getpid()}-{start}-0"
    for folder in (stale, foreign, living):
        folder.mkdir()
    sleeper = subprocess.Popen(["sleep", "100"])
    (stale / "cgroup.procs").write_text(str(sleeper.pid))
    try:
        assert run(family_run, "--domain=cgroup", "--", "true")["state"] == "gone"
        assert sleeper.wait(5) == -signal.SIGKILL
        assert not stale.exists() and foreign.exists() and living.exists()
    finally:
        for folder in (stale, foreign, living):
            if folder.exists():
                folder.rmdir()


def test_as_first_process_of_a_container_it_forwards_and_reaps(gilotine_init, offered):
    need(offered, "pidns")
    code = "trap 'exit 7' TERM; (setsid sleep 100 &); echo up; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", gilotine_init, "sh", "-c", code],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "up\n"
    [init] = [pid for pid in every_pid() if parent(pid) == process.pid]
    os.kill(init, signal.SIGTERM)
    assert process.wait(10) == 7
    process.stdout.close()
