"""gilotine query: limits, signals, readers that leave, locked files, killed writers, spilling."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from conftest import our_children
from duckdb_support import every_duckdb
from query_support import LONG, STUBBORN, WAIT, duckdb, end, query, wait_for  # noqa: F401, fixtures

MS = 1_000_000


def hogs() -> float:
    """How much later than on an idle machine anything may be here: other people's load counts."""
    return 1.0 + os.getloadavg()[0] / (os.cpu_count() or 1)


def soon(seconds: float) -> str:
    """A limit that an executor has certainly started before."""
    return f"{2 * seconds * hogs():.2f}"


# --- Limits ---


@every_duckdb
def test_a_soft_limit_stops_what_listens(query):
    done, record = query.record("--soft", soon(0.4), "--hard", "20", LONG)
    assert done.returncode == 124 and done.stdout == b""
    assert (record["outcome"], record["reason"]) == ("soft-timeout", "deadline-soft")
    assert record["acknowledged"] == "calling" and record["committed"] == "no"
    assert 0 <= record["overshoot_ns"] < 500 * MS * hogs()
    text = done.stderr.decode()
    assert re.search(r"soft limit of .* reached: the query stopped", text) and " late" in text
    assert "DuckDB reacted to the interrupt" in text and "nothing was written" in text


@every_duckdb
@pytest.mark.parametrize("domain", ["auto", "subreaper"])
def test_a_hard_limit_kills_what_does_not(query, domain):
    done, record = query.record("--domain", domain, "--soft", soon(0.3), "--hard", soon(0.5), STUBBORN)
    assert done.returncode == 137 and done.stdout == b""
    assert (record["outcome"], record["reason"], record["signal"]) == ("hard-timeout", "deadline-hard", 9)
    assert record["interrupted_ns"] is not None and record["answered_ns"] is None
    assert 0 <= record["overshoot_ns"] < 250 * MS * hogs()
    assert domain in ("auto", record["domain"])
    text = done.stderr.decode()
    assert re.search(r"hard limit of .* reached: the query was killed", text)
    assert "did not react" in text and "nothing was written" in text


def test_without_a_soft_limit_nothing_is_asked(query):
    done, record = query.record("--hard", soon(0.4), LONG)
    assert done.returncode == 137 and record["interrupted_ns"] is None
    assert b"was not asked to stop" in done.stderr


@every_duckdb
def test_a_killed_write_is_not_said_to_have_not_happened(query):
    done, record = query.record("--db", "d.db", "--hard", soon(0.5), f"create table t as {STUBBORN}")
    assert done.returncode == 137 and record["committed"] == "maybe"
    assert b"a write may have happened" in done.stderr
    assert query.value("--db", "d.db", "select count(*) from duckdb_tables()") == 0


@every_duckdb
def test_a_commit_before_the_limit_is_told(query):
    sql = f"create table t as select 1 as i; {LONG}"
    done, record = query.record("--db", "d.db", "--soft", soon(0.5), "--hard", "20", sql)
    assert record["committed"] == "yes"
    assert b"committed" in done.stderr
    assert query.value("--db", "d.db", "select i from t") == 1


def test_cpu_time_has_a_limit(query):
    done, record = query.record("--cpu", "0.3", "--hard", "30", LONG)
    assert (done.returncode, record["outcome"], record["reason"]) == (114, "over-limit", "cpu")


def test_an_outer_deadline_bounds_a_query(query):
    until = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 500 * MS
    begin = time.monotonic()
    done = query("--hard", "50", LONG, env={"GILOTINE_DEADLINE": str(until)})
    assert done.returncode == 137 and time.monotonic() - begin < 20
    assert b"environment GILOTINE_DEADLINE" in done.stderr


def test_a_deadline_that_has_passed_ends_it_before_it_begins(query):
    done, record = query.record("--hard", "0.000001", "select 1")
    assert done.returncode == 137 and record["started_ns"] is None and record["committed"] == "no"
    assert b"before the query could begin" in done.stderr


def test_a_limit_that_is_not_reached_changes_nothing(query):
    done, record = query.record("--json", "--soft", "20", "--hard", "30", "select 42 as a")
    assert json.loads(done.stdout) == [{"a": 42}] and done.returncode == 0
    assert (record["outcome"], record["reason"], record["rows"]) == ("value", "answer", 1)
    assert record["overshoot_ns"] is None and record["error_class"] is None


def test_the_record_of_an_error_names_its_class(query):
    done, record = query.record("selec 1")
    assert (record["outcome"], record["error_class"], done.returncode) == ("error", "syntax", 1)


def test_a_record_goes_to_a_descriptor(query):
    reader, writer = os.pipe()
    process = query.start("--report", str(writer), "select 1", pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as stream:
        record = json.loads(stream.read())
    process.communicate(timeout=WAIT)
    assert process.returncode == 0 and record["outcome"] == "value"


# --- Readers and signals ---


@pytest.mark.parametrize("form", ["csv", "ndjson", "json", "table", "markdown"])
def test_a_reader_that_leaves_ends_the_query_quietly(query, form):
    process = query.start("--format", form, "select i, repeat('x', 100) s from range(2000000000) t(i)")
    assert process.stdout.readline() != b""
    process.stdout.close()
    assert process.wait(timeout=WAIT) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_reader_that_leaves_before_there_is_anything_is_noticed(query):
    process = query.start(LONG)
    process.stdout.close()
    assert process.wait(timeout=WAIT) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_result_larger_than_memory_streams(query):
    process = query.start("--format", "csv", "select i, repeat('x', 100) s from range(3000000) t(i)")
    peak, total = 0, 0
    for piece in iter(lambda: process.stdout.read(1 << 20), b""):
        total += len(piece)
        status = open(f"/proc/{process.pid}/status").read() if process.poll() is None else ""
        if "VmHWM" in status:
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]))
    end(process)
    assert process.returncode == 0 and total > 300_000_000
    assert 0 < peak < 120_000  # kB


def test_a_slow_reader_does_not_hold_the_limit(query):
    process = query.start("--hard", soon(1), "--format", "csv", "select i, repeat('x', 100) s from range(2000000000) t(i)")
    process.stdout.read(1)
    executors = [entry for entry in descendants(process.pid) if "gilotine-duckdb" in entry[1]]
    assert executors
    wait_for(lambda: not [1 for entry in descendants(process.pid) if "gilotine-duckdb" in entry[1]])
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 137 and b"hard limit" in err


def descendants(pid: int) -> list[tuple[int, str]]:
    parents, names = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = open(f"/proc/{name}/stat", "rb").read()
                names[int(name)] = open(f"/proc/{name}/cmdline", "rb").read().replace(b"\0", b" ").decode(errors="replace")
                parents[int(name)] = int(stat[stat.rindex(b")") + 2 :].split()[1])
            except OSError:
                continue
    found, level = [], {pid}
    while level:
        level = {child for child, parent in parents.items() if parent in level}
        found += [(child, names[child]) for child in level]
    return found


def has_executor(process: subprocess.Popen) -> bool:
    assert process.poll() is None, process.communicate()
    return any("gilotine-duckdb" in name for _, name in descendants(process.pid))


@every_duckdb
@pytest.mark.parametrize("sql", [LONG, STUBBORN])
@pytest.mark.parametrize(("signo", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGQUIT, 131)])
def test_a_signal_cancels(query, sql, signo, code):
    before = set(os.listdir(os.environ["TMPDIR"]))
    process = query.start(sql)
    wait_for(lambda: has_executor(process))
    time.sleep(0.1)
    process.send_signal(signo)
    out, err = process.communicate(timeout=WAIT)
    assert (process.returncode, out) == (code, b"") and b"cancelled" in err
    assert set(os.listdir(os.environ["TMPDIR"])) == before


def test_an_ignored_signal_stays_ignored(query):
    process = query.start("--hard", "0.8", LONG, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    wait_for(lambda: has_executor(process))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT)
    assert process.returncode == 137


def test_killed_itself_it_takes_the_executor_along(query):
    process = query.start(STUBBORN)
    wait_for(lambda: has_executor(process))
    family = [pid for pid, _ in descendants(process.pid)]
    end(process, signal.SIGKILL)
    wait_for(lambda: not [pid for pid in family if os.path.exists(f"/proc/{pid}") and not is_zombie(pid)])
    # Its temporary folder is removed by the next query.
    query.good("select 1")
    assert not [name for name in os.listdir(os.environ["TMPDIR"]) if "duckdb" in name]


def is_zombie(pid: int) -> bool:
    try:
        stat = open(f"/proc/{pid}/stat").read()
    except OSError:
        return True
    return stat[stat.rindex(")") + 2] == "Z"


# --- Files that others hold ---


@pytest.fixture
def holder(query):
    """A query that holds d.db for long."""
    query.good("--db", "d.db", "create table t as select 1 as i")
    # With limits it waits, should one of the looks below have the file when it wants it.
    process = query.start("--soft", "500", "--hard", "600", "--db", "d.db", f"insert into t {LONG.replace('sum', 'count')}")
    wait_for(lambda: has_executor(process))
    wait_for(lambda: b"locked" in query("--db", "d.db", "select 1").stderr)
    yield process
    end(process, signal.SIGTERM)


@every_duckdb
def test_a_locked_file_is_an_error_that_names_the_holder(query, holder):
    done, record = query.record("--db", "d.db", "from t")
    (pid,) = [pid for pid, name in descendants(holder.pid) if "gilotine-duckdb" in name and "--temp-dir" in name and "gilotine-init" not in name.split()[0]]
    assert (done.returncode, record["error_class"], record["holder_pid"]) == (1, "locked", pid)
    text = done.stderr.decode()
    assert f"pid {pid}" in text and f"pid {holder.pid}" in text and "insert into t" in text
    assert holder.poll() is None


def test_a_stranger_is_named_and_left_alone(query, tmp_path):
    query.good("--db", "d.db", "create table t(i int)")
    code = (
        "import fcntl, struct, sys, time\n"
        "f = open(sys.argv[1], 'r+b')\n"
        "fcntl.lockf(f, fcntl.LOCK_EX)\n"
        "print('held', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "d.db"), "stranger"], stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout.readline() == b"held\n"
            done = query("--db", "d.db", "--soft", soon(0.4), "--hard", "30", "from t")
            assert done.returncode == 124
            assert f"locked by pid {stranger.pid}" in done.stderr.decode() and b"stranger" in done.stderr
            done = query("--db", "d.db", "--hard", soon(0.4), "from t")
            assert done.returncode == 137 and f"pid {stranger.pid}" in done.stderr.decode()
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_file_that_becomes_free_is_waited_for(query, holder):
    waiting = query.start("--db", "d.db", "--format", "csv", "--soft", "50", "--hard", "55", "select count(*) n from t")
    time.sleep(0.3)
    assert waiting.poll() is None
    end(holder, signal.SIGINT)
    out, err = waiting.communicate(timeout=WAIT)
    assert (out, err, waiting.returncode) == (b"n\r\n1\r\n", b"", 0)


def test_a_signal_ends_the_wait_for_a_file(query, holder):
    waiting = query.start("--db", "d.db", "--hard", "55", "from t")
    time.sleep(0.3)
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=WAIT)
    assert waiting.returncode == 130 and holder.poll() is None


# --- Writers that are killed ---

SCRIPT = "insert into t select {n}, i from range(500) r(i); copy (select {n} as n) to 'done-{n}.csv';"


@every_duckdb
def test_killed_writers_leave_a_whole_file_and_announced_commits(query, tmp_path):
    """kill -9 of everything at random instants: a statement's COPY comes after the commit before it."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    query.good("--db", "d.db", "create table t(n int, i int)")
    number = 0
    for _ in range(8):
        (tmp_path / "batch.sql").write_text("".join(SCRIPT.format(n=number + k) for k in range(400)))
        process = query.start("--db", "d.db", "-f", "batch.sql")
        wait_for(lambda: has_executor(process) or process.poll() is not None)
        time.sleep(rng.uniform(0, 0.5))
        victims = [pid for pid, name in descendants(process.pid) if "gilotine-duckdb" in name]
        if rng.random() < 0.5 or not victims:
            end(process, signal.SIGKILL)
        else:
            os.kill(rng.choice(victims), signal.SIGKILL)
            process.communicate(timeout=WAIT)
        announced = {int(p.name[5:-4]) for p in tmp_path.glob("done-*.csv")}
        rows = query.rows("--db", "d.db", "--hard", "50", "--soft", "40", "select n, count(*) c, sum(i) s from t group by n")
        assert all((row["c"], row["s"]) == (500, 124750) for row in rows), rows
        assert announced <= {row["n"] for row in rows}
        number += 400
    # Half-written COPY files are gone with the folder of the executor that wrote them.
    assert [p.name for p in tmp_path.glob(".gilotine-*")] == []


@every_duckdb
def test_two_queries_on_a_file_after_a_kill(query):
    query.good("--db", "d.db", "create table t as select i from range(1000) t(i)")
    assert query("--db", "d.db", "--hard", soon(0.4), f"insert into t {STUBBORN}").returncode == 137
    both = [query.start("--db", "d.db", "--soft", "40", "--hard", "50", f"insert into t values ({n})") for n in (1, 2)]
    for process in both:
        process.communicate(timeout=WAIT)
        assert process.returncode == 0
    assert query.value("--db", "d.db", "select count(*) from t") == 1002


SOURCE = "select (i * 2654435761) % 4294967296 as h, i::varchar || 'abc' as s from range({n}) t(i)"
SUMS = "select count(*) n, sum(h) h, sum(length(s)) l from "


def spilled() -> dict[str, set[str]]:
    """Each executor's folder that something is spilled into, and the names of the files there."""
    found = {}
    for folder in pathlib.Path(os.environ["TMPDIR"]).glob("gilotine-*/spill"):
        try:
            found[str(folder)] = set(os.listdir(folder))
        except OSError:
            continue  # it ended
    return {folder: names for folder, names in found.items() if names}


def pid_inside(process: subprocess.Popen) -> int:
    """The executor's own idea of its process id."""
    for pid, name in descendants(process.pid):
        if "--temp-dir" in name and "gilotine-init" not in name.split()[0]:
            return int(open(f"/proc/{pid}/status").read().split("NSpid:")[1].split("\n")[0].split()[-1])
    return 0


@every_duckdb
@pytest.mark.parametrize("domain", ["auto", "subreaper"])
def test_two_that_spill_at_once_give_the_right_numbers(query, domain):
    """In namespaces of their own they have the same process id, and the same names for their files."""
    sizes = (5_000_000, 6_000_000)
    wanted = {n: query.rows(f"{SUMS} ({SOURCE.format(n=n)})") for n in sizes}
    both = {
        n: query.start("--json", "--domain", domain, "--report", f"{n}.json", "--memory", "160M",
                       f"create temp table t as {SOURCE.format(n=n)}; {SUMS} t") for n in sizes
    }  # fmt: skip
    seen: dict[str, set[str]] = {}
    inside: dict[int, int] = {}
    while any(process.poll() is None for process in both.values()):
        for folder, names in spilled().items():
            seen.setdefault(folder, set()).update(names)
        for n, process in both.items():
            inside[n] = inside.get(n) or pid_inside(process)
        time.sleep(0.01)
    for n, process in both.items():
        out, err = process.communicate(timeout=WAIT)
        assert (process.returncode, err) == (0, b""), err
        assert json.loads(out) == wanted[n]
    assert len(seen) == 2, f"they did not both spill, each into its own folder: {seen}"
    domains = {json.loads((query.folder / f"{n}.json").read_text())["domain"] for n in sizes}
    if all(name.startswith("pidns") for name in domains):
        one, two = seen.values()
        assert one & two, f"in one folder they would not have met: {seen}"
        assert len(set(inside.values())) == 1, inside


def test_no_folder_is_left_in_the_temporary_one(query):
    before = set(os.listdir(os.environ["TMPDIR"]))
    query.good("select 1")
    query("--hard", soon(0.3), STUBBORN)
    assert set(os.listdir(os.environ["TMPDIR"])) == before
    assert our_children() == []


@pytest.mark.parametrize("limit", ["1", "1M", "20M"])
def test_a_limit_below_what_the_executor_has_ends_also_the_shortest_query(query, limit):
    done, record = query.record("--memory", limit, "select 1")
    assert (done.returncode, done.stdout) == (113, b"")
    assert b"its limit is " in done.stderr and b", and it has " in done.stderr
    assert (record["outcome"], record["reason"]) == ("out-of-memory", "memory")


def test_what_such_a_limit_ends_has_not_begun(query):
    done, record = query.record("--db", "none.db", "--memory", "1M", "create table t(i int)")
    assert done.returncode == 113
    assert (record["committed"], record["started_ns"]) == ("no", None)
    assert b"may have happened" not in done.stderr
    assert not (query.folder / "none.db").exists()


@pytest.mark.parametrize("folder", ["/proc", "/nowhere"])
def test_a_temporary_folder_that_cannot_be_is_named_with_what_to_do(query, folder):
    done = query("select 1", env={"TMPDIR": folder})
    assert done.returncode == 119
    assert f"a folder in {folder} (set TMPDIR to where one can be made): ".encode() in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
@pytest.mark.parametrize("args", [["select 1"], ["--explain-limits"], ["--explain-limits", "--json"]])
def test_a_domain_that_cannot_be_had_is_told_before_anything_begins(public_build, tmp_path, args):
    done = subprocess.run(
        [public_build / "src/cli/gilotine", "query", "--domain", "pidns", "--report", "1", *args],
        capture_output=True, stdin=subprocess.DEVNULL, user=65534, group=65534, extra_groups=[], cwd="/",
        env={"PATH": os.environ["PATH"]}, timeout=WAIT, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (125, b"")
    assert done.stderr.startswith(b"gilotine query: --domain: domain pidns: ")


@pytest.mark.parametrize(("args", "value", "source"), [([], None, "none"), (["--max-result", "1K"], 1024, "option")])
def test_the_limit_of_a_result_is_explained_as_the_others_are(query, args, value, source):
    told = json.loads(query.good("--explain-limits", "--json", *args))
    assert told["max-result"] == {"value": value, "unit": "bytes", "from": source}
    text = query.good("--explain-limits", *args).decode()
    assert ("max-result: 1024 bytes (option)" in text) == (value is not None)


@pytest.mark.parametrize(("sql", "params"), [
    (b"select length('" + b"\1" * 12_000_000 + b"')", []),
    (b"select length('" + b"\1" * 10_900_000 + b"') + length($x)", ["--param", "x=" + "\1" * 120_000]),
])  # fmt: skip
def test_sql_that_is_too_large_as_json_is_refused_before_anything_begins(query, sql, params):
    done = query("--db", "none.db", "--report", "1", *params, "-f", "-", stdin=sql)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"MiB as JSON, at most 63: " in done.stderr
    assert not (query.folder / "none.db").exists()


def test_sql_that_just_fits_as_json_is_run(query):
    sql = b"select length('" + b"\1" * 10_900_000 + b"') as n"
    assert query.good("--format", "csv", "-f", "-", stdin=sql) == b"n\r\n10900000\r\n"


SAME = [
    (["--db", "x.db", "-o", "x.db"], b"the database and the output"),
    (["--db", "x.db", "-o", "link.db"], b"the database and the output"),
    (["--db", "folder/../x.db", "-o", "hard.db"], b"the database and the output"),
    (["--db", "new.db", "-o", "folder/../new.db"], b"the database and the output"),
    (["--db", "x.db", "-o", "x.db.wal"], b"the database's log and the output"),
    (["--db", "x.db", "--report", "x.db"], b"the database and the report"),
    (["--db", "x.db", "--report", "link.db"], b"the database and the report"),
    (["-o", "same", "--report", "same"], b"the output (-o) and the report"),
    (["-o", "same", "--report", "folder/../same"], b"the output (-o) and the report"),
    (["-f", "x.sql", "-o", "x.sql"], b"the file of the SQL (-f) and the output"),
    (["-f", "x.sql", "--report", "./x.sql"], b"the file of the SQL (-f) and the report"),
]


@pytest.mark.parametrize(("args", "says"), SAME)
def test_no_file_is_replaced_by_another_one_of_the_query(query, tmp_path, args, says):
    query.good("--db", "x.db", "create table t as select 1 as i")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to("x.db")
    os.link(tmp_path / "x.db", tmp_path / "hard.db")
    (tmp_path / "x.sql").write_text("select 1 as a")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    done = query(*args, *([] if "-f" in args else ["select 1 as a"]))
    assert (done.returncode, done.stdout) == (2, b"") and says in done.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


def test_a_report_does_not_replace_what_standard_output_is(query, tmp_path):
    with open(tmp_path / "same", "wb") as out:
        process = query.start("--format", "csv", "--report", "same", "select 1 as a", stdout=out)
        assert b"standard output and the report" in process.communicate(timeout=WAIT)[1]
    assert process.returncode == 2


def test_a_link_to_a_file_that_is_not_there_yet_is_that_file(query, tmp_path):
    (tmp_path / "link").symlink_to("new.db")
    done = query("--db", "new.db", "-o", "link", "select 1 as a")
    assert done.returncode == 2 and b"the database and the output (-o) are the same file" in done.stderr
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("args", [
    ["--report", "1"], ["--report", "/dev/stdout"], ["-o", "/dev/null", "--report", "/dev/null"],
    ["-o", "/dev/stdout", "--report", "1"],
    ["-o", "a", "--report", "b"],
])  # fmt: skip
def test_what_is_written_in_place_may_be_the_same(query, tmp_path, args):
    with open(tmp_path / "out", "wb") as out:
        process = query.start("--format", "csv", *args, "select 1 as a", stdout=out)
        assert process.communicate(timeout=WAIT)[1] == b""
    assert process.returncode == 0
    if "-o" not in args or "/dev/stdout" in args:
        first, _, record = (tmp_path / "out").read_bytes().partition(b"{")
        assert first == b"a\r\n1\r\n" and json.loads(b"{" + record)["outcome"] == "value"
