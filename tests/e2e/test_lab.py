"""gilotine lab on the real stack: Celery workers, DuckDB, both builds of CPython."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import time

import pytest

SMALL = """
[experiment]
title = small
iterations = 2
timeout = 0.3
query-seconds = 2
linger = 1
tolerance = 0.5

[matrix asking]
runtime = gil;nogil
strategy = signals

[matrix process]
runtime = gil;nogil
strategy = process;clean
start = fork

[matrix fresh]
runtime = gil;nogil
start = forkserver

[matrix prefork]
runtime = gil;nogil
pool = prefork

[matrix stubborn]
runtime = gil;nogil
strategy = signals
query = stubborn
"""

LONG = """
[experiment]
iterations = 1000
timeout = 0.2
query-seconds = 30
[subject burning]
"""


@pytest.fixture(scope="module")
def small_run(gilotine, tmp_path_factory):
    """One run of a small factorial, shared by the tests that look at its results."""
    folder = tmp_path_factory.mktemp("lab")
    ini, out = folder / "small.ini", folder / "out"
    ini.write_text(SMALL)
    result = subprocess.run(
        [gilotine, "lab", str(ini), "--out", str(out), "--json"], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr + result.stdout
    return out, json.loads(result.stdout), result


def by_name(result: dict) -> dict[str, dict]:
    return {subject["subject"]: subject for subject in result["subjects"]}


@pytest.mark.parametrize("runtime", ["gil", "nogil"])
class TestKnownTruths:
    def test_signals_are_told_late_and_the_interpreter_is_blamed(self, small_run, runtime):
        subject = by_name(small_run[1])[f"{runtime}-signals-fork-capi"]
        assert (subject["verdict"], subject["blame"]) == ("late", "interpreter")
        assert all(it["outcome"] == "timeout" and it["told"] > 0.8 for it in subject["iterations"])
        assert "-> held" in subject["flip"]

    def test_a_stubborn_query_is_the_same_under_what_only_asks(self, small_run, runtime):
        subject = by_name(small_run[1])[f"{runtime}-signals-fork-capi-stubborn"]
        assert (subject["verdict"], subject["blame"]) == ("late", "interpreter")

    def test_fork_leaks_one_more_burning_child_an_iteration(self, small_run, runtime):
        subject = by_name(small_run[1])[f"{runtime}-process-fork-capi"]
        assert (subject["verdict"], subject["blame"]) == ("leaked", "Celery")
        assert "SIGTERM handler" in subject["reason"]
        assert [it["children"] for it in subject["iterations"]] == [1, 2]
        assert subject["burning_after"] == 2
        assert subject["flip"].startswith("start=forkserver -> held")

    def test_forkserver_holds(self, small_run, runtime):
        subject = by_name(small_run[1])[f"{runtime}-process-forkserver-capi"]
        assert subject["verdict"] == "held"
        assert subject["burning_after"] == 0

    def test_clean_up_leaves_nothing(self, small_run, runtime):
        subject = by_name(small_run[1])[f"{runtime}-clean-fork-capi"]
        assert subject["verdict"] == "held"
        assert [it["cleanup"] for it in subject["iterations"]] == [[1, 1, 0], [1, 1, 0]]
        assert subject["burning_after"] == 0

    def test_prefork_refuses(self, small_run, runtime):
        subject = by_name(small_run[1])[f"{runtime}-process-fork-capi-prefork"]
        assert (subject["verdict"], subject["blame"]) == ("refused", "Celery")
        assert {it["outcome"] for it in subject["iterations"]} == {"error:AssertionError"}

    def test_the_gil_is_what_the_build_says(self, small_run, runtime):
        gils = {s["gil"] for s in small_run[1]["subjects"] if s["factors"]["runtime"] == runtime}
        assert gils == {"on (build)" if runtime == "gil" else "off (build)"}


def test_the_observer_and_the_subjects_agree(small_run):
    assert [(s["subject"], s["conflicts"]) for s in small_run[1]["subjects"] if s["conflicts"]] == []
    for subject in small_run[1]["subjects"]:
        for it in subject["iterations"]:
            assert (it["seen_children"], it["seen_zombies"]) == (it["children"], it["zombies"])


def test_nothing_was_left_and_it_says_so(small_run):
    assert small_run[1]["complete"] and not small_run[1]["interrupted"] and small_run[1]["left"] == 0
    assert {s["left"] for s in small_run[1]["subjects"]} == {0}


def test_samples_are_at_most_50_ms_apart_in_nearly_all_cases(small_run):
    """The machine is shared, so single gaps may be longer; a slower timer would make most of them so."""
    last, gaps = {}, []
    for line in (small_run[0] / "raw.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["k"] == "sample":
            if record["s"] in last:
                gaps.append(record["t"] - last[record["s"]])
            last[record["s"]] = record["t"]
    gaps.sort()
    assert len(gaps) > 100
    assert gaps[len(gaps) * 9 // 10] <= 50_000_000


def test_from_recomputes_the_same_figures(small_run, run):
    again = run("lab", "--from", str(small_run[0]), "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == small_run[1]
    assert json.loads((small_run[0] / "result.json").read_text()) == small_run[1]


def test_the_table_has_every_subject_the_blame_and_the_answers(small_run, run):
    text = run("lab", "--from", str(small_run[0])).stdout
    for name in by_name(small_run[1]):
        assert name in text
    assert "Who is to blame" in text
    assert "Does the missing GIL change anything? No" in text
    assert (small_run[0] / "table.txt").read_text().startswith("small")
    assert "iter=1 outcome=timeout" in (small_run[0] / "logs" / "gil-process-fork-capi.log").read_text()


def test_samples_of_a_run_are_never_written_over(small_run, run, tmp_path):
    ini = tmp_path / "x.ini"
    ini.write_text(SMALL)
    before = (small_run[0] / "raw.jsonl").read_bytes()
    result = run("lab", str(ini), "--out", str(small_run[0]))
    assert result.returncode == 2
    assert "choose another --out" in result.stderr
    assert (small_run[0] / "raw.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[experiment]\nnonsense\n", "x.ini:2: neither a comment"),
        ("[experiment]\n[subject a]\nruntme = gil\n", "x.ini:3: no such key 'runtme'"),
        ("[experiment]\n[subject a]\nstart = teleport\n", "x.ini:3: start cannot be 'teleport'"),
        ("[experiment]\ntimeout = soon\n[subject a]\n", "x.ini:2: timeout must be a number"),
        ("[experiment]\n[subject a,b]\n", "x.ini:2: a subject's name is made of"),
    ],
)
def test_a_bad_ini_names_file_and_line(run, tmp_path, text, message):
    ini = tmp_path / "x.ini"
    ini.write_text(text)
    result = run("lab", str(ini), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_unknown_things_are_named(run, tmp_path):
    unknown = run("lab", "nosuch")
    assert unknown.returncode == 2 and "known: " in unknown.stderr and "leak" in unknown.stderr
    glob = run("lab", "--only", "zzz*")
    assert glob.returncode == 2 and "--list names them" in glob.stderr
    option = run("lab", "--nosuch")
    assert option.returncode == 2 and "--help" in option.stderr
    rows = run("lab", env={**os.environ, "DUCKDB_ROWS": "many"})
    assert rows.returncode == 2 and "DUCKDB_ROWS must be" in rows.stderr
    two = run("lab", "leak", "stubborn")
    assert two.returncode == 2 and "one experiment" in two.stderr
    folder = run("lab", "--from", str(tmp_path))
    assert folder.returncode == 2 and "raw.jsonl" in folder.stderr


def test_list_names_experiments_and_subjects(run):
    assert "leak" in run("lab", "--list").stdout
    names = [line.split()[0] for line in run("lab", "leak", "--list").stdout.splitlines()]
    for runtime in ("gil", "nogil"):
        for strategy in ("signals", "process", "clean"):
            for start in ("fork", "forkserver", "spawn"):
                for driver in ("capi", "module"):
                    assert f"{runtime}-{strategy}-{start}-{driver}" in names
    assert {"gil-process-fork-capi-prefork", "original-gil", "original-nogil"} <= set(names)


def test_without_interpreters_subjects_are_skipped_and_it_says_how_to_get_them(run, tmp_path):
    ini = tmp_path / "x.ini"
    ini.write_text("[experiment]\n[subject a]\n")
    env = {**os.environ, "GILOTINE_CACHE": str(tmp_path / "empty")}
    result = run("lab", str(ini), "--out", str(tmp_path / "out"), env=env)
    assert result.returncode == 0
    assert "make interpreters" in result.stderr
    assert "Skipped 1" in result.stdout


def test_a_broker_that_cannot_be_reached_fails_after_visible_retries(run, tmp_path):
    ini = tmp_path / "x.ini"
    ini.write_text("[experiment]\n[subject a]\n")
    result = run("lab", str(ini), "--out", str(tmp_path / "out"), "--broker", "amqp://guest@127.0.0.1:1//", timeout=120)
    assert result.returncode == 111
    assert result.stderr.count("127.0.0.1:1") >= 3
    nonsense = run("lab", str(ini), "--out", str(tmp_path / "out2"), "--broker", "gopher://x")
    assert nonsense.returncode == 2
    assert "gopher" in nonsense.stderr
    # What recorded nothing leaves nothing: the same folder can be tried again.
    assert not (tmp_path / "out").exists() and not (tmp_path / "out2").exists()


ONE = "[experiment]\niterations=2\ntimeout=0.3\nquery-seconds=1.5\nlinger=1\n[subject mine]\n"


def test_a_brokers_url_may_be_used_again_and_keeps_nothing_of_ours(gilotine, run, tmp_path):
    """A run that was killed after it had sent its task must not give its task to the next one."""
    ini, broker = tmp_path / "one.ini", tmp_path / "broker"
    ini.write_text(ONE)
    broker.mkdir()
    url = f"filesystem://{broker}"
    process = subprocess.Popen([gilotine, "lab", str(ini), "--out", str(tmp_path / "killed"), "--broker", url])
    deadline = time.monotonic() + 60
    while not list(broker.glob("messages/*.mine.msg")) and not list(broker.glob("messages/*-mine.msg")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    result = run("lab", str(ini), "--out", str(tmp_path / "out"), "--broker", url, "--json", timeout=120)
    assert result.returncode == 0, result.stderr
    (subject,) = json.loads(result.stdout)["subjects"]
    assert [it["n"] for it in subject["iterations"]] == [1, 2]
    assert all(it["told"] > 0.2 for it in subject["iterations"])
    queue = [f for f in broker.glob("messages/*") if "-mine" in f.name]
    assert len(queue) <= 1, "only what the killed run left may be there"


def test_a_killed_keeper_is_found_and_what_it_kept_is_ended(gilotine, tmp_path):
    process = start_long_run(gilotine, tmp_path)
    raw = [json.loads(line) for line in (tmp_path / "out/raw.jsonl").read_text().splitlines() if line.endswith("}")]
    (spawn,) = [record for record in raw if record["k"] == "spawn"] or [None]
    if spawn is None:
        # The samples are still in the lab's buffer: the keeper is the worker's parent.
        worker = next(pid for pid in marked(tmp_path) if b"celery" in pathlib.Path("/proc", pid, "cmdline").read_bytes())
        stat = pathlib.Path("/proc", worker, "stat").read_bytes()
        keeper = int(stat[stat.rindex(b")") + 2 :].split()[1])
        while b"gilotine-init" not in pathlib.Path(f"/proc/{keeper}/cmdline").read_bytes():
            stat = pathlib.Path(f"/proc/{keeper}/stat").read_bytes()
            keeper = int(stat[stat.rindex(b")") + 2 :].split()[1])
    else:
        keeper = spawn["root"]
    os.kill(keeper, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "broken" in out and "signal 9" in out
    assert "no process of the run was left" in out
    assert marked(tmp_path) == []


def test_from_takes_no_options_of_a_run(small_run, run):
    for option in (["--quick"], ["--only", "gil-*"], ["leak"], ["--broker", "rabbitmq"]):
        result = run("lab", "--from", str(small_run[0]), *option)
        assert result.returncode == 2 and "--from" in result.stderr


def test_an_environment_that_no_worker_takes_is_refused_at_once(run, tmp_path):
    for name, value in (("DUCKDB_THREADS", "abc"), ("LOG_LEVEL", "bogus")):
        result = run("lab", "--out", str(tmp_path / "out"), env={**os.environ, name: value})
        assert result.returncode == 2 and f"{name} must be" in result.stderr


def test_closed_standard_descriptors_do_no_harm(gilotine, tmp_path):
    ini = tmp_path / "one.ini"
    ini.write_text(ONE)
    command = f"exec '{gilotine}' lab '{ini}' --out '{tmp_path}/out' <&- >&- 2>&-"
    assert subprocess.run(["bash", "-c", command], timeout=120).returncode == 0
    assert json.loads((tmp_path / "out/result.json").read_text())["complete"]


def start_long_run(gilotine, tmp_path) -> subprocess.Popen:
    ini = tmp_path / "long.ini"
    ini.write_text(LONG)
    process = subprocess.Popen(
        [gilotine, "lab", str(ini), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DUCKDB_ROWS": "20000000000", "TMPDIR": str(tmp_path)},
    )
    raw = tmp_path / "out" / "logs" / "burning.log"
    deadline = time.monotonic() + 60
    while not (raw.exists() and "iter=2" in raw.read_text()):
        assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return process


def marked(tmp_path) -> list[str]:
    """Processes whose TMPDIR lies in our folder: everything that the run has started."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                if f"TMPDIR={tmp_path}".encode() in pathlib.Path("/proc", name, "environ").read_bytes():
                    found.append(name)
            except OSError:
                continue
    return found


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_and_shows_what_was_seen(gilotine, tmp_path, signo):
    process = start_long_run(gilotine, tmp_path)
    assert len(marked(tmp_path)) >= 4
    process.send_signal(signo)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "burning" in out and "interrupted" in err
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("gilotine-*")) == []


def test_sigkill_of_the_lab_leaves_nothing(gilotine, tmp_path):
    process = start_long_run(gilotine, tmp_path)
    assert list(tmp_path.glob("gilotine-lab.*")) != []
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while (marked(tmp_path) or list(tmp_path.glob("gilotine-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("gilotine-*")) == []


def test_a_full_disk_ends_the_run_with_a_clear_error(gilotine, tmp_path):
    ini = tmp_path / "long.ini"
    ini.write_text(LONG)

    def limit_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    result = subprocess.run(
        [gilotine, "lab", str(ini), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limit_files,
        restore_signals=False,
        env={**os.environ, "DUCKDB_ROWS": "20000000000", "TMPDIR": str(tmp_path)},
    )
    assert result.returncode == 111
    assert "raw.jsonl: File too large" in result.stderr
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("gilotine-*")) == []


def test_over_rabbitmq(gilotine, tmp_path):
    """A private server: the same verdicts, and neither it nor its port mapper remains."""
    ini = tmp_path / "small.ini"
    ini.write_text("[experiment]\niterations=2\ntimeout=0.3\nquery-seconds=1.5\nlinger=1\n[matrix a]\nstart=fork;forkserver\n")
    result = subprocess.run(
        [gilotine, "lab", str(ini), "--out", str(tmp_path / "out"), "--broker", "rabbitmq", "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    subjects = by_name(json.loads(result.stdout))
    assert {name: s["verdict"] for name, s in subjects.items()} == {
        "gil-process-fork-capi": "leaked",
        "gil-process-forkserver-capi": "held",
    }
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("gilotine-*")) == []
