"""gilotine query: formats to the byte, parameters, files, wrong input."""

import csv
import io
import json
import os
import pty
import shutil
import subprocess

import pytest
from duckdb_support import every_duckdb
from query_support import WAIT, Query, duckdb, query  # noqa: F401, fixtures

MIXED = "select * from (values (1, 'a,b', 1.50::decimal(5,2)), (-20, null, null), (3, '', 0.25)) t(n, s, d)"
HARD = """select 'a"b' as "q", E'x\\ny' as nl, 'a|b*c_d`<x>\\' as md, 'é漢' as "w|" """

# --- Formats, to the byte ---

EXPECTED = [
    ("csv", MIXED, "n,s,d\r\n1,\"a,b\",1.50\r\n-20,,\r\n3,\"\",0.25\r\n"),
    ("csv", HARD, 'q,nl,md,w|\r\n"a""b","x\ny",a|b*c_d`<x>\\,é漢\r\n'),
    ("csv", "select 1 where false", "1\r\n"),
    ("json", MIXED, '[\n{"n":1,"s":"a,b","d":1.50},\n{"n":-20,"s":null,"d":null},\n{"n":3,"s":"","d":0.25}\n]\n'),
    ("json", "select 1 a where false", "[]\n"),
    ("json", "select 1 a, 2 a, 3 a_1", '[\n{"a":1,"a_2":2,"a_1":3}\n]\n'),
    ("json", "select 1 a; select 2 a", '[\n{"a":1}\n]\n[\n{"a":2}\n]\n'),
    ("ndjson", MIXED, '{"n":1,"s":"a,b","d":1.50}\n{"n":-20,"s":null,"d":null}\n{"n":3,"s":"","d":0.25}\n'),
    ("ndjson", HARD, '{"q":"a\\"b","nl":"x\\ny","md":"a|b*c_d`<x>\\\\","w|":"é漢"}\n'),
    (
        "markdown",
        MIXED,
        "| n | s | d |\n| ---: | --- | ---: |\n| 1 | a,b | 1.50 |\n| -20 | NULL | NULL |\n| 3 |  | 0.25 |\n",
    ),
    (
        "markdown",
        HARD,
        '| q | nl | md | w\\| |\n| --- | --- | --- | --- |\n| a"b | x<br>y | a\\|b\\*c\\_d\\`\\<x\\>\\\\ | é漢 |\n',
    ),
    (
        "table",
        MIXED,
        "┌─────┬──────┬──────┐\n│ n   │ s    │ d    │\n├─────┼──────┼──────┤\n│   1 │ a,b  │ 1.50 │\n"
        "│ -20 │ NULL │ NULL │\n│   3 │      │ 0.25 │\n└─────┴──────┴──────┘\n(3 rows)\n",
    ),
    (
        "table",
        "select 'é漢' a, E'\\t\\x1b[31m\\n' b, 'e\u0301' c; select 1 n where false",
        "┌─────┬──────────────┬───┐\n│ a   │ b            │ c │\n├─────┼──────────────┼───┤\n"
        "│ é漢 │ \\t\\x1b[31m\\n │ e\u0301 │\n└─────┴──────────────┴───┘\n(1 row)\n"
        "\n┌───┐\n│ n │\n├───┤\n└───┘\n(0 rows)\n",
    ),
]


@every_duckdb
@pytest.mark.parametrize(("form", "sql", "expected"), EXPECTED)
def test_a_format_is_written_to_the_byte(query, form, sql, expected):
    assert query.good("--format", form, sql).decode() == expected


def test_without_utf8_a_table_is_drawn_in_ascii(query):
    out = query.good("select 1 as a", env={"LC_ALL": "C"})
    assert out == b"+---+\n| a |\n+---+\n| 1 |\n+---+\n(1 row)\n"


def test_csv_reads_back_with_another_reader(query):
    rows = list(csv.reader(io.StringIO(query.good("--format", "csv", HARD).decode(), newline="")))
    assert rows == [["q", "nl", "md", "w|"], ['a"b', "x\ny", "a|b*c_d`<x>\\", "é漢"]]


@every_duckdb
def test_types_arrive_exact_in_json(query):
    sql = """select 18446744073709551615::ubigint u, 170141183460469231731687303715884105727::hugeint h,
             [1.10::decimal(3,2), null] l, {'x': 7::hugeint, 'y': {'z': 'q'}} s, map {'k': 2::ubigint} m,
             '{"a": [1, 2]}'::json j, interval '14 months 3 days -1.5 seconds' i, 'nan'::double f, true b"""
    expected = (
        '[\n{"u":18446744073709551615,"h":170141183460469231731687303715884105727,"l":[1.10,null],'
        '"s":{"x":7,"y":{"z":"q"}},"m":[["k",2]],"j":{"a": [1, 2]},'
        '"i":{"months":14,"days":3,"micros":-1500000},"f":"nan","b":true}\n]\n'
    )
    assert query.good("--json", sql).decode() == expected
    quoted = """select {'q"': 1.5, 'h': [7::hugeint], '"': {'""': '[1]'::json}} v"""
    assert query.good("--format", "ndjson", quoted) == b'{"v":{"q\\"":1.5,"h":[7],"\\"":{"\\"\\"":[1]}}}\n'
    unnamed = "select row(1.5, 'x', row(7::hugeint, {'a': '[1]'::json})) v"
    assert query.good("--format", "ndjson", unnamed) == b'{"v":[1.5,"x",[7,{"a":[1]}]]}\n'
    assert query.good("--format", "csv", "select row(1, 'x') v") == b'v\r\n"[1,""x""]"\r\n'
    text = query.good("--format", "csv", "select interval '14 months 3 days -1.5 seconds' i, interval '1 day' d")
    assert text == b"i,d\r\n1 year 2 months 3 days -00:00:01.5,1 day\r\n"


@every_duckdb
def test_json_columns_are_embedded_as_they_are_written(query):
    texts = [
        '{"id": 18446744073709551615}',
        "1e400",
        "12345678901234567890123",
        '{"\\u0000":1}',
        "[" * 900 + "]" * 900,
        '[1,\n "\\u2028"]',
    ]
    rows = "".join(f"select $${text}$$::json j, {{'j': $${text}$$::json}} s;" for text in texts)
    shown = [text.replace("\n", " ") for text in texts]
    expected = "".join(f'{{"j":{text},"s":{{"j":{text}}}}}\n' for text in shown)
    assert query.good("--format", "ndjson", rows).decode() == expected
    assert query.rows("select '[NaN,]'::json j") == [{"j": "[NaN,]"}]


@every_duckdb
def test_parquet_is_read_back(query, tmp_path):
    query.good("--format", "parquet", "-o", "r.parquet", "select i, i::varchar s from range(1000) t(i)")
    assert (tmp_path / "r.parquet").read_bytes()[:4] == b"PAR1"
    assert query.rows("select count(*) n, sum(i) t, max(s) m from 'r.parquet'") == [{"n": 1000, "t": 499500, "m": "999"}]
    assert query.good("--format", "parquet", "select 1")[:4] == b"PAR1"
    done = query("--format", "parquet", "create table t(i int)")
    assert done.returncode == 1 and b"needs a query" in done.stderr


def on_terminal(query: Query, *args: str, columns: int = 40) -> str:
    leader, follower = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = query.start(*args, stdout=follower, stderr=follower, env={**query.env, "TERM": "xterm"})
    os.close(follower)
    out = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(leader)
    process.wait(timeout=WAIT)
    return out.decode()


def test_a_wide_table_is_cut_to_the_terminal(query):
    out = on_terminal(query, "select 'x' a, repeat('long ', 20) b, repeat('y', 100) c")
    assert all(len(line) <= 40 for line in out.splitlines()), out
    assert "…" in out
    many = ", ".join(f"{i} as column_{i}" for i in range(30))
    out = on_terminal(query, f"select {many}")
    assert all(len(line) <= 40 for line in out.splitlines()), out
    assert "column_0" in out and "of 30 columns" in out


@every_duckdb
def test_a_terminal_shows_progress_and_the_time_that_is_left(query):
    out = on_terminal(query, "--soft", "1.5", "--hard", "3", "select sum(hash(i)) from range(200000000000) t(i)", columns=100)
    assert "left to the soft limit" in out
    assert "soft limit of 1.5 s reached" in out.rsplit("\x1b[K", 1)[1]


def test_no_progress_where_nobody_looks(query):
    done = query("--soft", "0.8", "--hard", "3", "select sum(hash(i)) from range(200000000000) t(i)")
    assert b"\x1b" not in done.stderr and b"left" not in done.stderr


# --- Parameters ---

PARAMS = [
    ("42", "BIGINT", 42),
    ("1.5", "DOUBLE", 1.5),
    ("true", "BOOLEAN", True),
    ("null", '"NULL"', None),
    ('"42"', "VARCHAR", "42"),
    ("hello world", "VARCHAR", "hello world"),
    ("0042", "VARCHAR", "0042"),
    ("a=b", "VARCHAR", "a=b"),
    ("", "VARCHAR", ""),
    ("[1,2]", "BIGINT[]", [1, 2]),
    ('["a"]', "VARCHAR[]", ["a"]),
    ('{"a": 1}', "VARCHAR", '{"a":1}'),
    ("99999999999999999999", "HUGEINT", 99999999999999999999),
    ('{"$type": "DECIMAL(9,3)", "$value": "1.5"}', "DECIMAL(9,3)", 1.5),
    ('{"$type": "DATE", "$value": "2024-02-29"}', "DATE", "2024-02-29"),
    ('{"$type": "JSON", "$value": "[1]"}', "JSON", [1]),
]


@pytest.mark.parametrize(("text", "type_name", "value"), PARAMS)
@pytest.mark.parametrize(("name", "place"), [("x", "$x"), ("1", "?")])
def test_a_parameter_of_each_json_type(query, text, type_name, value, name, place):
    out = query.rows("--param", f"{name}={text}", f"select v, typeof(v) t from (select {place} as v)")
    assert out == [{"v": value, "t": type_name}]


def test_several_parameters(query):
    assert query.rows("-p", "2=b", "-p", "1=a", "select ? || ? as s") == [{"s": "ab"}]
    assert query.rows("-p", "b=1", "-p", "a=2", "select $a - $b as n") == [{"n": 1}]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (["x"], b"NAME=VALUE"),
        (["=1"], b"NAME=VALUE"),
        (["a b=1"], b"NAME=VALUE"),
        (["1x=1"], b"begin with a digit"),
        (["x=1", "x=2"], b"given already"),
        (["1=1", "3=1"], b"none is 2"),
        (["1=1", "x=1"], b"cannot be mixed"),
        (["x=1e400"], b"too large"),
    ],
)
def test_a_parameter_that_is_unclear_is_refused(query, params, message):
    done = query(*[word for text in params for word in ("--param", text)], "select 1")
    assert done.returncode == 2 and message in done.stderr and done.stdout == b""


# --- SQL and files ---


def test_sql_from_a_file_and_from_standard_input(query, tmp_path):
    (tmp_path / "q.sql").write_text("-- a comment\nselect 1 as a;\n")
    assert query.good("-f", "q.sql", "--format", "csv") == b"a\r\n1\r\n"
    assert query.good("-f", "-", "--format", "csv", stdin=b"select 2 as a") == b"a\r\n2\r\n"


def test_a_database_file_keeps_what_was_written(query):
    query.good("--db", "d.db", "create table t(i int); insert into t values (1), (2)")
    assert query.value("--db", "d.db", "--read-only", "select sum(i) from t") == 3


def test_files_are_seen_from_the_current_folder(query, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    assert query.rows("from 'in.csv'") == [{"a": 1, "b": 2}]
    query.good("copy (select 7 as x) to 'out.csv'")
    assert (tmp_path / "out.csv").read_text() == "x\n7\n"


def test_output_has_its_name_only_when_it_is_complete(query, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    out.chmod(0o640)
    for sql in ("selec", "select i / (50000 - i), error('late') from range(100000) t(i) where i > 49999"):
        assert query("--format", "csv", "-o", "out.csv", sql).returncode == 1
        assert out.read_text() == "old"
    query.good("--format", "csv", "-o", "out.csv", "select 1 a")
    assert out.read_bytes() == b"a\r\n1\r\n"
    assert out.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.csv"]


def test_output_follows_a_link_and_writes_into_a_device(query, tmp_path):
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").write_text("old")
    query.good("--format", "csv", "-o", "link", "select 1 a")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"a\r\n1\r\n"
    query.good("-o", "/dev/null", "select 1")
    assert query.good("-o", "/dev/stdout", "--format", "csv", "select 1 a") == b"a\r\n1\r\n"


def test_a_full_disk_is_told(query, tmp_path):
    done = query("-o", "/dev/full", "select 1")
    assert done.returncode == 111 and b"No space left" in done.stderr
    done, record = query.record("-o", "/dev/full", "--format", "csv", "select i from range(100000000) t(i)")
    assert done.returncode == 111 and record["outcome"] == "cancelled"


def test_with_a_closed_standard_output_rows_go_into_no_other_file(query, tmp_path):
    script = '"$0" query --report r.json --format csv "select 1" >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, query.argv[0]], cwd=tmp_path, timeout=WAIT, env=query.env)
    assert done.returncode == 111
    assert json.loads((tmp_path / "r.json").read_text())["outcome"] == "value"


def test_without_a_locale_text_is_utf8(query):
    """As under cron, where not one variable is set."""
    bare = {"env": {"PATH": os.environ["PATH"]}, "capture_output": True, "timeout": WAIT, "stdin": subprocess.DEVNULL}
    args = ["--format", "csv", "--param", "v=漢", 'select $v as "é", \'ü\' as u']
    done = subprocess.run([*query.argv, *args], cwd=query.folder, **bare)
    assert (done.returncode, done.stderr, done.stdout.decode()) == (0, b"", "é,u\r\n漢,ü\r\n")
    done = subprocess.run([*query.argv, b"select '\xff'"], cwd=query.folder, **bare)
    assert done.returncode == 2 and b"an argument is no text in UTF-8" in done.stderr


# --- Wrong input ---


@every_duckdb
@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["selec 1"], 1, b"LINE 1: selec 1"),
        (["select nosuch"], 1, b"nosuch"),
        (["select ?"], 1, b"parameter"),
        (["--param", "x=1", "select 1"], 1, b"x"),
        (["--param", "x=abc", "select $x::int"], 1, b"abc"),
        (["from 'missing.csv'"], 1, b"missing.csv"),
        (["--db", "no/such/folder.db", "select 1"], 1, b"folder.db"),
        (["--db", "missing.db", "--read-only", "select 1"], 1, b"must exist"),
        (["select 'a'::int"], 1, b"Conversion Error"),
        (["set memory_limit='1GB'"], 1, b"executor's"),
        ([], 2, b"no SQL"),
        (["select", "1"], 2, b"quotes"),
        (["-f", "nosuch.sql"], 2, b"nosuch.sql"),
        (["-f", "x", "select 1"], 2, b"exclude each other"),
        (["--format", "xml", "select 1"], 2, b"table, csv, json"),
        (["--format", "csv", "--json", "select 1"], 2, b"contradict"),
        (["--soft", "2", "--hard", "1", "select 1"], 2, b"soft"),
        (["--soft", "1", "select 1"], 2, b"hard"),
        (["--soft", "soon", "select 1"], 2, b"'soon'"),
        (["--memory", "much", "select 1"], 2, b"'much'"),
        (["--threads", "0", "select 1"], 2, b"'0'"),
        (["--domain", "jail", "select 1"], 2, b"pidns"),
        (["--read-only", "select 1"], 2, b"--db"),
        (["-o", "no/such/file", "select 1"], 2, b"no/such"),
        (["--report", "no/such/file", "select 1"], 2, b"no/such"),
        (["-o", "", "select 1"], 2, b"-o"),
        (["--report", "", "select 1"], 2, b"--report"),
        (["--nonsense"], 2, b"--help"),
    ],
)
def test_wrong_input_is_told_and_nothing_is_printed(query, tmp_path, args, code, message):
    done = query(*args)
    assert done.returncode == code, done
    assert message in done.stderr and done.stderr.startswith(b"gilotine query: ")
    assert done.stdout == b""
    assert list(tmp_path.iterdir()) == []


def test_a_write_through_a_read_only_database_fails(query):
    query.good("--db", "d.db", "create table t(i int)")
    done = query("--db", "d.db", "-r", "insert into t values (1)")
    assert done.returncode == 1 and b"read-only" in done.stderr
    assert query.value("--db", "d.db", "select count(*) from t") == 0


def test_a_wrong_deadline_in_the_environment_is_not_ignored(query):
    done = query("select 1", env={"GILOTINE_DEADLINE": "tomorrow"})
    assert done.returncode == 2 and b"GILOTINE_DEADLINE" in done.stderr


def test_a_result_beyond_its_limit_ends_the_query(query):
    done = query("--max-result", "1K", "--format", "csv", "select repeat('x', 100000) a")
    assert (done.returncode, done.stdout) == (115, b"a\r\n") and b"1024 bytes" in done.stderr


@every_duckdb
def test_what_came_before_a_mistake_was_shown(query):
    done = query("--format", "csv", "select 1 a; select nope")
    assert (done.returncode, done.stdout) == (1, b"a\r\n1\r\n") and b"nope" in done.stderr


def test_the_position_of_a_mistake_stays_under_its_place(query):
    lines = query("select 1 +").stderr.decode().splitlines() + query("select 1 frm x").stderr.decode().splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("LINE 1: select 1 frm x")]
    assert lines[at + 1].index("^") in (lines[at].index("frm"), lines[at].index(" x") + 1)


def test_limits_are_explained_without_a_run(query):
    out = query.good("--explain-limits", "--soft", "1", "--hard", "2", "--memory", "1G", "--threads", "3").decode()
    assert "soft: 1 s (option)" in out and "hard: 2 s (option)" in out and "memory: 1.0" in out
    assert "threads: 3 (option)" in out and "domain: " in out
    table = json.loads(query.good("--explain-limits", "--json", "--hard", "2"))
    assert table["hard"] == {"value": 2000000000, "unit": "ns", "from": "option"}
    assert table["memory"]["from"] in ("machine", "cgroup")


def test_threads_are_one_for_each_cpu_that_it_may_use(query):
    """A machine's other CPUs are not a query's: taskset, and containers with a part of the CPUs."""
    count = "select current_setting('threads') as threads"
    own = os.sched_getaffinity(0)
    try:
        for cpus in (own, {min(own)}):
            os.sched_setaffinity(0, cpus)
            table = json.loads(query.good("--explain-limits", "--json"))
            assert json.loads(query.good("--format", "json", count)) == [{"threads": table["threads"]["value"]}]
            assert table["threads"]["value"] <= len(cpus)
    finally:
        os.sched_setaffinity(0, own)


def test_an_outer_deadline_is_named(query):
    import time

    until = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 5_000_000_000
    out = query.good("--explain-limits", "--hard", "60", "x", env={"GILOTINE_DEADLINE": str(until)}).decode()
    assert "environment GILOTINE_DEADLINE" in out


def test_help_names_every_format(run):
    out = run("query", "--help").stdout
    for name in ("table", "csv", "json", "ndjson", "markdown", "parquet", "--soft", "--explain-limits"):
        assert name in out


def test_without_duckdb_it_says_how_to_get_it(gilotine, tmp_path):
    (tmp_path / "libexec").mkdir()
    alone = shutil.copy(gilotine, tmp_path / "gilotine")
    done = subprocess.run(
        [alone, "query", "select 1"],
        env={**os.environ, "GILOTINE_LIBEXECDIR": str(tmp_path / "libexec")},
        capture_output=True,
        timeout=WAIT,
    )
    assert done.returncode == 111 and b"fetch-duckdb" in done.stderr


@every_duckdb
def test_a_message_obeys_nothing_of_the_data(query, tmp_path):
    done = query("select error(chr(27) || '[31mred' || chr(10) || 'line')")
    assert done.returncode == 1 and b"\\x1b[31mred\nline\n" in done.stderr and b"\x1b" not in done.stderr
    (tmp_path / "in.csv").write_bytes(b"a\n1\n\x1b]0;title\x07\n")
    done = query("from read_csv('in.csv', columns = {'a': 'int'}, header = true, auto_detect = false, delim = ',')")
    assert done.returncode == 1 and b"\\x1b]0;title\\x07" in done.stderr
    assert not {0x1B, 0x07} & set(done.stderr)


@every_duckdb
@pytest.mark.parametrize("sql", ["select '\x1b\x01é漢', nope", "select 1,\n\t'a\tb',\tnope"])
def test_the_position_stays_under_its_place_behind_what_a_screen_does_not_show(query, sql):
    lines = query(sql).stderr.decode().expandtabs().splitlines()
    (at,) = [i for i, line in enumerate(lines) if line.startswith("LINE ")]
    wide = lines[at].replace("漢", "漢 ")
    assert lines[at + 1].index("^") == wide.index("nope")
