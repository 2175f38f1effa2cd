"""gilotine-duckdb over its socket: types, parameters, errors, limits, interrupts, commits, files, spilling."""

import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import pytest
from duckdb_support import executor_path, programs
from wire_client import WAIT, Client, Frame, Lost

LONG = "select sum(hash(i)) from range(20000000000) t(i)"
STUBBORN = "select max(levenshtein(repeat('ab',{n}), repeat('ba',{n}+i::int))) from range(1) t(i)"


@pytest.fixture(scope="session", params=programs())
def program(request) -> str:
    """Every test runs with each DuckDB: what is promised here does not depend on its version."""
    return str(executor_path(request.param))


@pytest.fixture
def make(program, tmp_path):
    clients = []

    def start(name: str = "spill", *options: str, under: tuple[str, ...] = (), **popen) -> Client:
        client = Client([*under, program, "--temp-dir", str(tmp_path / name), *options], **popen)
        clients.append(client)
        client.hello = client.start()
        return client

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def executor(make) -> Client:
    return make()


def still_works(client: Client) -> None:
    assert client.sql("select 42").value() == 42


# --- Types and parameters ---

TYPES = [
    ("true", "BOOLEAN", True),
    ("(-128)::tinyint", "TINYINT", -128),
    ("(-32768)::smallint", "SMALLINT", -32768),
    ("(-2147483648)::integer", "INTEGER", -2147483648),
    ("(-9223372036854775807 - 1)::bigint", "BIGINT", -9223372036854775808),
    ("255::utinyint", "UTINYINT", 255),
    ("65535::usmallint", "USMALLINT", 65535),
    ("4294967295::uinteger", "UINTEGER", 4294967295),
    ("18446744073709551615::ubigint", "UBIGINT", "18446744073709551615"),
    ("'-170141183460469231731687303715884105728'::hugeint", "HUGEINT", "-170141183460469231731687303715884105728"),
    ("'340282366920938463463374607431768211455'::uhugeint", "UHUGEINT", "340282366920938463463374607431768211455"),
    ("0::hugeint", "HUGEINT", "0"),
    ("'-123456789012345678901234567890123456789012345'::bignum", "BIGNUM", "-123456789012345678901234567890123456789012345"),
    ("'1000000000000000000000000000'::bignum", "BIGNUM", "1000000000000000000000000000"),
    ("0::bignum", "BIGNUM", "0"),
    ("1.1::float", "FLOAT", 1.1),
    ("0.1::double", "DOUBLE", 0.1),
    ("2::double", "DOUBLE", 2.0),
    ("1e300::double", "DOUBLE", 1e300),
    ("'nan'::double", "DOUBLE", "nan"),
    ("'-inf'::float", "FLOAT", "-inf"),
    ("-0.05::decimal(4,2)", "DECIMAL(4,2)", "-0.05"),
    ("1.5::decimal(9,3)", "DECIMAL(9,3)", "1.500"),
    ("7::decimal(18,0)", "DECIMAL(18,0)", "7"),
    ("'-99999999999999999999999999999999999.999'::decimal(38,3)", "DECIMAL(38,3)", "-99999999999999999999999999999999999.999"),
    ("'a\"b\\c' || chr(10) || chr(1) || 'ü'", "VARCHAR", 'a"b\\c\n\x01ü'),
    ("''", "VARCHAR", ""),
    ("repeat('x', 700000)", "VARCHAR", "x" * 700000),
    ("'\\xAA\\x00b'::blob", "BLOB", "qgBi"),
    ("date '2024-02-29'", "DATE", "2024-02-29"),
    ("date '-infinity'", "DATE", "-infinity"),
    ("date '0044-03-15 (BC)'", "DATE", "-0043-03-15"),
    ("time '23:59:59.000123'", "TIME", "23:59:59.000123"),
    ("timetz '12:00:00+05:30'", "TIME WITH TIME ZONE", "12:00:00+05:30"),
    ("timetz '12:00:00-08'", "TIME WITH TIME ZONE", "12:00:00-08:00"),
    ("timestamp '1969-12-31 23:59:59.5'", "TIMESTAMP", "1969-12-31 23:59:59.5"),
    ("timestamp 'infinity'", "TIMESTAMP", "infinity"),
    ("'2024-01-01 00:00:01'::timestamp_s", "TIMESTAMP_S", "2024-01-01 00:00:01"),
    ("'2024-01-01 00:00:01.25'::timestamp_ms", "TIMESTAMP_MS", "2024-01-01 00:00:01.25"),
    ("'2024-01-01 00:00:01.123456789'::timestamp_ns", "TIMESTAMP_NS", "2024-01-01 00:00:01.123456789"),
    ("timestamptz '2024-01-01 00:30:00+02:00'", "TIMESTAMP WITH TIME ZONE", "2023-12-31 22:30:00+00"),
    ("interval '14 months 3 days -1 seconds'", "INTERVAL", {"months": 14, "days": 3, "micros": -1000000}),
    ("uuid '00112233-4455-6677-8899-aabbccddeeff'", "UUID", "00112233-4455-6677-8899-aabbccddeeff"),
    ("uuid 'ff112233-4455-6677-8899-aabbccddeeff'", "UUID", "ff112233-4455-6677-8899-aabbccddeeff"),
    ("'0101011'::bit", "BIT", "0101011"),
    ("'010101011010'::bit", "BIT", "010101011010"),
    ("'b'::enum('a', 'b')", "ENUM", "b"),
    ("[1, null, 3]", "INTEGER[]", [1, None, 3]),
    ("[[], ['a']]", "VARCHAR[][]", [[], ["a"]]),
    ("[1.5, 2]::double[2]", "DOUBLE[2]", [1.5, 2.0]),
    ("{'a': 1, 'b': [date '2024-01-01']}", 'STRUCT("a" INTEGER, "b" DATE[])', {"a": 1, "b": ["2024-01-01"]}),
    ("{'q\"': 1.5, '\"\"': 2}", 'STRUCT("q""" DECIMAL(2,1), """""" INTEGER)', {'q"': "1.5", '""': 2}),
    ("row(1, 'x', row(null::date))", 'STRUCT("" INTEGER, "" VARCHAR, "" STRUCT("" DATE))', [1, "x", [None]]),
    ("map {1: 'x', 2: null}", "MAP(INTEGER, VARCHAR)", [[1, "x"], [2, None]]),
    ("union_value(k := 'v')::union(n integer, k varchar)", 'UNION("n" INTEGER, "k" VARCHAR)', {"k": "v"}),
    ("'{\"a\": [1]}'::json", "JSON", '{"a": [1]}'),
    ("null::integer", "INTEGER", None),
    ("null::decimal(5,2)", "DECIMAL(5,2)", None),
]  # fmt: skip


@pytest.mark.parametrize("sql,type_name,expected", TYPES, ids=[row[0][:40] for row in TYPES])
def test_every_type_arrives_exactly(shared, sql, type_name, expected):
    answer = shared.sql(f"select {sql} as v")
    assert answer.value() == expected
    (column,) = answer.schemas[0]
    assert (column["name"], column["type"]) == ("v", type_name)


@pytest.fixture(scope="module")
def shared(program, tmp_path_factory):
    """One executor for the tests that leave nothing behind in it."""
    client = Client([program, "--temp-dir", str(tmp_path_factory.mktemp("shared") / "spill")])
    client.hello = client.start()
    yield client
    client.close()


def sent_numbers(client: Client, sql_type: str, values: list[float]) -> list[str]:
    """The texts with which they come as that type."""
    rows = ", ".join(f"({value!r}::double)" for value in values)
    client.submit({"sql": f"select v::{sql_type} from (values {rows}) t(v)"})
    body = b""
    while (frame := client.read()).type != "end":
        body += frame.body if frame.head.get("format") == "rows" else b""
    return [line[1:-1].decode() for line in body.splitlines()]


def count_digits(text: str) -> int:
    return len(text.partition("e")[0].replace(".", "").strip("-0"))


def as_float(value: float) -> float:
    return ctypes.c_float(value).value


def test_a_double_is_the_shortest_text_that_reads_back(shared):
    powers = [2.0**n for n in range(-1074, 1024)]
    values = [-5e-324, 1e-323, 2.225073858507201e-308, 0.1, -1 / 3, sys.float_info.max, *powers]
    values += [m * 10.0**n for n in range(-323, 308, 7) for m in (1, -3, 7.25)]
    texts = sent_numbers(shared, "double", values)
    assert [float(text) for text in texts] == values
    assert [count_digits(text) for text in texts] == [count_digits(repr(value)) for value in values]


def test_a_float_is_the_shortest_text_that_reads_back(shared):
    values = [as_float(value) for value in (1e-45, -3e-45, 1.1, 1 / 3, 3.4028234e38, *(2.0**n for n in range(-149, 128)))]
    for value, text in zip(values, sent_numbers(shared, "float", values), strict=True):
        assert as_float(float(text)) == value
        shorter = [Decimal(f"{value:.{digits - 1}e}") for digits in range(1, count_digits(text))]
        steps = [Decimal(1).scaleb(number.as_tuple().exponent) for number in shorter]
        near = [number + n * step for number, step in zip(shorter, steps, strict=True) for n in (-1, 0, 1)]
        assert not [number for number in near if as_float(float(number)) == value], text


def test_enum_columns_name_their_values(shared):
    (column,) = shared.sql("select 'b'::enum('a', 'b') as e").schemas[0]
    assert column == {"name": "e", "type": "ENUM", "values": ["a", "b"]}


def test_a_type_that_rows_cannot_carry_is_said(shared):
    answer = shared.sql("select 1::variant as v")
    assert (answer.kind, answer.head["class_name"]) == ("error", "unsupported")
    assert "cast it" in answer.head["message"]
    still_works(shared)


def test_many_rows_in_order_and_long_rows_over_several_chunks(shared):
    rows = shared.sql("select i, i::varchar from range(100000) t(i)").only_rows()
    assert rows == [[i, str(i)] for i in range(100000)]
    (row,) = shared.sql("select repeat('é', 1500000)").only_rows()
    assert row == ["é" * 1500000]


PARAMETERS = [
    (None, None),
    (True, "BOOLEAN"),
    (-(2**63), "BIGINT"),
    (1.25, "DOUBLE"),
    ("it's 'ü\x00'", "VARCHAR"),
    ([1, 2, None], "BIGINT[]"),
    ([1, 2.5], "DOUBLE[]"),
    (["a"], "VARCHAR[]"),
]


@pytest.mark.parametrize("value,type_name", PARAMETERS, ids=[repr(row[0]) for row in PARAMETERS])
def test_json_parameters_of_every_type(shared, value, type_name):
    if isinstance(value, str):
        assert shared.sql("select $1", [value]).value() == value
        return
    (row,) = shared.sql("select $v, typeof($v)", {"v": value}).only_rows()
    assert row[0] == value
    if type_name:
        assert row[1] == type_name


@pytest.mark.parametrize("value", [{"a": [1, "x"]}, [1, "x"], [[1], [2]], []], ids=repr)
def test_objects_and_mixed_arrays_are_json_text(shared, value):
    if value == []:
        assert shared.sql("select len($1)", [value]).value() == 0
        return
    assert json.loads(shared.sql("select $1::json", [value]).value()) == value


TYPED = [
    ("HUGEINT", "170141183460469231731687303715884105727"),
    ("UBIGINT", "18446744073709551615"),
    ("BIGNUM", "-123456789012345678901234567890123456789012345"),
    ("BIGNUM", "0"),
    ("DECIMAL(38,3)", "12345678901234567890123456789012345.678"),
    ("DECIMAL(4,1)", "-0.5"),
    ("DATE", "2024-02-29"),
    ("TIME", "01:02:03.5"),
    ("TIME_NS", "01:02:03.000000001"),
    ("TIMESTAMP", "2024-01-01 00:00:00.000001"),
    ("TIMESTAMP_NS", "2024-01-01 00:00:00.000000001"),
    ("UUID", "ff112233-4455-6677-8899-aabbccddeeff"),
    ("BLOB", "qgBi"),
    ("BIT", "010101011"),
    ("JSON", '{"a": [1]}'),
    ("JSON", "null"),
    ("VARCHAR", "a\x00ü"),
]


@pytest.mark.parametrize("type_name,text", TYPED, ids=[f"{row[0]} {row[1][:5]}" for row in TYPED])
def test_typed_parameters(shared, type_name, text):
    (row,) = shared.sql("select $1, typeof($1)", [{"$type": type_name, "$value": text}]).only_rows()
    assert row == [text, type_name]


NESTED = [
    ("INTEGER[]", "[1, NULL, 3]"),
    ("DECIMAL(4,1)[2][]", "[[1.5, 2.0], NULL]"),
    ("VARCHAR[]", "['it''s, ', NULL, '']"),
    ('STRUCT("a "" b" HUGEINT, j JSON)', """{'a " b': 7, 'j': '[1]'}"""),
    ("MAP(VARCHAR, UUID[])", "{k=[ff112233-4455-6677-8899-aabbccddeeff], l=[], m=NULL}"),
    ("UNION(n INTEGER, s VARCHAR)", "text"),
    ("ENUM('a)', 'it''s')", "it's"),
    ("TIMESTAMP WITH TIME ZONE[]", "['2024-01-01 00:00:00+02']"),
    ("BLOB[]", "['\\xAA']"),
]


@pytest.mark.parametrize("type_name,text", NESTED, ids=[row[0] for row in NESTED])
def test_a_typed_parameter_is_what_the_cast_gives(shared, type_name, text):
    literal = text.replace("'", "''")
    sql = f"select v is not distinct from w, typeof(v) = typeof(w) from (select $1 v, '{literal}'::{type_name} w)"
    assert shared.sql(sql, [{"$type": type_name, "$value": text}]).only_rows() == [[True, True]]


def test_copy_to_a_descriptor_is_refused(executor, tmp_path):
    """They are the executor's own: what is written there would be lost."""
    (tmp_path / "out").symlink_to("link")
    (tmp_path / "link").symlink_to("/dev/stdout")
    paths = ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/proc/self/fd/2", "/dev/../dev/fd/5", f"{tmp_path}/out"]
    copies = [f"'{path}' (format csv, header false)" for path in paths] + ["stdout", "stdin", '"/dev/stdout"', "'/dev/fd/1' (append)"]
    for copy in copies:
        answer = executor.sql(f"copy (select 1 a) to {copy}")
        assert (answer.kind, answer.head["class_name"]) == ("error", "input"), (copy, answer.head)
        assert "leave the COPY out" in answer.head["message"] and answer.end["committed"] == "no"
    for sql in ("copy (select 1) to ('/dev/' || 'stdout')", "prepare p as copy (select 1) to '/dev/stdout'; execute p"):
        answer = executor.sql(sql)
        assert answer.kind == "error" and 'Cannot open file "/dev/stdout"' in answer.head["message"]
    still_works(executor)


def test_a_parameter_may_have_a_type_of_the_database(executor):
    sql = "create type mood as enum ('sad', 'ok'); select $x, typeof($x) = typeof('ok'::mood)"
    assert executor.sql(sql, {"x": {"$type": "main.mood", "$value": "ok"}}).rows[1] == [["ok", True]]


def test_several_statements_take_their_parameters_in_order(shared):
    answer = shared.sql("select ?; select ? + ?; -- the last\n select 'a;b', ?;;", [1, 2, 3, "x"])
    assert answer.rows == {0: [[1]], 1: [[5]], 2: [["a;b", "x"]]}
    assert answer.head["statements"] == 3


def test_jobs_do_not_see_each_other_in_a_memory_database(executor):
    assert executor.sql("create table t as select 1 as i; select i from t").value() == 1
    assert executor.sql("from t").head["class_name"] == "syntax"


# --- Errors: after each the executor still works ---

ERRORS = [
    ({"sql": "selec 1"}, {}, "error", "syntax", "syntax error"),
    ({"sql": "from nowhere"}, {}, "error", "syntax", "nowhere"),
    ({"sql": " -- nothing"}, {}, "error", "syntax", "no statement"),
    ({"sql": "select 'x'::int"}, {}, "error", "query", "Could not convert"),
    ({"sql": "select $1"}, {}, "error", "parameter", "$1"),
    ({"sql": "select 1", "params": [1]}, {}, "error", "parameter", "the query takes 0"),
    ({"sql": "select $a", "params": {"a": 1, "b": 2}}, {}, "error", "parameter", "$b"),
    ({"sql": "select $1::date", "params": ["soon"]}, {}, "error", "query", "soon"),
    ({"sql": "select $1", "params": [{"$type": "DATE", "$value": "soon"}]}, {}, "error", "parameter", "soon"),
    ({"sql": "select $1", "params": [{"$type": "JSON", "$value": "[1"}]}, {}, "error", "parameter", "JSON"),
    ({"sql": "select $1", "params": [{"$type": "x'; --", "$value": "1"}]}, {}, "error", "parameter", "$type"),
    ({"sql": "select $1", "params": [{"$type": "INT)+(1", "$value": "1"}]}, {}, "error", "parameter", "$type"),
    ({"sql": "select $1", "params": [{"$type": "VARIANT", "$value": "1"}]}, {}, "error", "parameter", "VARIANT"),
    ({"sql": "select 1", "database": "/nowhere/x.db"}, {}, "error", "missing", "/nowhere/x.db"),
    ({"sql": "select 1", "database": "/nowhere.db", "read_only": True}, {}, "error", "missing", "must exist"),
    ({"sql": "from read_csv('/nowhere.csv')"}, {}, "error", "missing", "/nowhere.csv"),
    ({"sql": "from range(100000)"}, {"result_bytes": 1000}, "error", "result-limit", "1000 bytes"),
    ({"sql": "from range(100000)", "output": "csv"}, {"result_bytes": 1000}, "error", "result-limit", "1000 bytes"),
    ({"sql": "create table t(i int)", "output": "csv"}, {}, "error", "unsupported", "query"),
    ({"sql": "set temp_directory = '/tmp'"}, {}, "error", "unsupported", "temp_directory"),
    ({"sql": "set threads = 7"}, {}, "error", "unsupported", "threads"),
    ({"sql": "pragma memory_limit = '1GB'"}, {}, "error", "unsupported", "memory_limit"),
    ({"sql": "select count(distinct hash(i)) from range(30000000) t(i)"}, {"memory_bytes": 60 << 20}, "error", "memory", "Memory"),
    ({"sql": 1}, {}, "refused", "input", "sql"),
    ({}, {}, "refused", "input", "sql"),
    ({"sql": "select 1", "sqll": ""}, {}, "refused", "input", "sqll"),
    ({"sql": "select 1", "params": 1}, {}, "refused", "input", "params"),
    ({"sql": "select 1", "output": "xlsx"}, {}, "refused", "input", "xlsx"),
    ({"sql": "select 1", "read_only": True}, {}, "refused", "input", "read_only"),
    ({"sql": "select 1"}, {"threads": -1}, "refused", "input", "negative"),
    ({"sql": "select 1"}, {"kind": "python"}, "refused", "unsupported", "python"),
    ([], {}, "refused", "input", "object"),
    (b'{"sql": "select $1", "params": [99999999999999999999]}', {}, "refused", "input", "HUGEINT"),
    (b"\xff", {}, "refused", "input", "object"),
]  # fmt: skip


@pytest.mark.parametrize("body,head,kind,class_name,says", ERRORS, ids=[str(row[0])[:50] + str(row[1]) for row in ERRORS])
def test_errors_are_clear_and_cost_nothing(shared, body, head, kind, class_name, says):
    shared.submit(body, **head)
    answer = shared.finish()
    assert (answer.kind, answer.head["class_name"]) == (kind, class_name), answer.head
    assert says in answer.head["message"]
    assert answer.end["committed"] == "no"
    still_works(shared)


@pytest.mark.parametrize("sql", ["select (1 - i) / 0, error('late') as e from range(10) t(i)", STUBBORN.format(n=5000)])
def test_what_fails_has_answered_nothing_not_even_its_columns(executor, sql):
    executor.submit({"sql": sql})
    executor.interrupt()
    answer = executor.finish()
    assert answer.kind == "error" and answer.schemas == {}, answer.head
    still_works(executor)


def test_the_statement_that_failed_is_named_and_those_before_it_are_done(executor, tmp_path):
    database = str(tmp_path / "f.db")
    answer = executor.sql("create table t as select 7 as i; from nowhere; drop table t", database=database)
    assert (answer.head["statement"], answer.end["statements"], answer.end["committed"]) == (1, 1, "yes")
    assert executor.sql("from t", database=database).value() == 7


def test_a_locked_file_names_its_holder(make, tmp_path):
    holder, other = make("one"), make("two")
    database = str(tmp_path / "f.db")
    assert holder.sql("create table t(i int)", database=database, keep_open=True).kind == "result"
    answer = other.sql("select 1", database=database)
    assert answer.head["class_name"] == "locked"
    assert answer.head["holder_pid"] == holder.process.pid
    still_works(other)
    assert holder.sql("select 1", database=database).kind == "result"  # not kept: closed before the answer
    assert other.sql("select 1", database=database).kind == "result"


def test_read_only_is_kept(executor, tmp_path):
    database = str(tmp_path / "f.db")
    executor.sql("create table t as select 1 as i", database=database)
    answer = executor.sql("insert into t values (2)", database=database, read_only=True)
    assert (answer.kind, answer.head["class_name"]) == ("error", "read-only")
    assert executor.sql("select count(*) from t", database=database, read_only=True).value() == 1


def test_limits_of_one_job_are_not_the_next_ones(executor):
    settings = "select current_setting('threads'), current_setting('memory_limit')"
    before = executor.sql(settings).only_rows()
    assert executor.sql(settings, limits={"threads": 1, "memory_bytes": 200 << 20}).only_rows() == [[1, "200.0 MiB"]]
    assert executor.sql(settings).only_rows() == before


# --- Interrupts ---


def interrupt_after(client: Client, seconds: float, body: dict, **head) -> "tuple":
    client.submit(body, **head)
    time.sleep(seconds)
    client.interrupt()
    return client.finish()


def test_an_interruptible_query_stops_soon(executor):
    answer = interrupt_after(executor, 0.3, {"sql": LONG})
    assert (answer.kind, answer.head["class_name"]) == ("error", "interrupted")
    assert [ack["state"] for ack in answer.acks] == ["calling"]
    assert answer.end["interrupted"] and not answer.end["late_value"]
    assert answer.end["ended_ns"] - answer.end["interrupted_ns"] < 2e9
    assert answer.end["threads"] == executor.hello["threads"]
    assert answer.end["fds"] <= executor.hello["fds"] + 1
    still_works(executor)


def test_an_interrupt_before_the_query_has_begun_is_not_lost(executor):
    for _ in range(10):
        executor.submit({"sql": LONG})
        executor.interrupt()
        answer = executor.finish()
        assert answer.head["class_name"] == "interrupted"
    still_works(executor)


def test_a_job_of_many_short_statements_is_interrupted_too(executor):
    answer = interrupt_after(executor, 0.1, {"sql": "select 1;" * 60000 + "select 2"})
    assert answer.head["class_name"] == "interrupted"


def test_a_stubborn_query_does_not_stop_and_says_nothing(executor):
    executor.submit({"sql": STUBBORN.format(n=20000)})
    time.sleep(0.3)
    executor.interrupt()
    ack = executor.read()
    assert (ack.type, ack.head["state"]) == ("ack", "calling")
    with pytest.raises(TimeoutError):
        executor.read(0.3)
    executor.process.kill()
    with pytest.raises((Lost, ConnectionResetError)):
        executor.read()


def test_what_cannot_be_stopped_ends_by_itself_and_the_facts_say_so(executor):
    answer = interrupt_after(executor, 0.2, {"sql": STUBBORN.format(n=5000)})
    assert answer.end["interrupted"] and answer.end["interrupt_calls"] >= 2
    assert answer.end["late_value"] == (answer.kind == "result")
    assert answer.kind == "result" or answer.head["class_name"] == "interrupted"
    still_works(executor)


def test_a_stale_interrupt_does_not_hit_the_next_job(executor):
    answers = []
    for _ in range(8):
        answers.append(executor.sql("select 42"))
        executor.interrupt()
    executor.submit({"sql": "select sum(hash(i)) from range(30000000) t(i)"})
    executor.interrupt(executor.job - 1)
    answers.append(executor.finish())
    assert [answer.kind for answer in answers] == ["result"] * 9
    assert not any(answer.end["interrupted"] for answer in answers)
    assert [ack["state"] for answer in answers for ack in answer.acks] == ["stale"] * 9


def test_rows_that_nobody_takes_any_more_stop(executor):
    executor.submit({"sql": "select i, repeat('x', 100) from range(100000000) t(i)"})
    for _ in range(5):
        assert executor.read().type == "chunk"
    executor.interrupt()
    while (frame := executor.read()).type in ("chunk", "ack"):
        pass
    assert (frame.type, frame.head["class_name"]) == ("error", "interrupted")
    while (frame := executor.read()).type == "ack":  # it may come after the answer, never after the end
        pass
    assert frame.type == "end"
    still_works(executor)


def test_progress_is_told_when_it_is_asked_for(executor):
    answer = interrupt_after(executor, 0.8, {"sql": LONG}, progress=True)
    assert answer.progress and all(-1 <= told["percent"] <= 100 for told in answer.progress)
    assert interrupt_after(executor, 0.3, {"sql": LONG}).progress == []


@pytest.mark.parametrize("explicit", [False, True], ids=["autocommit", "explicit"])
def test_what_is_said_about_commits_is_what_is_in_the_file(executor, tmp_path, explicit):
    """At whichever instant the interrupt comes: a commit that was answered is there, one that was not is not."""
    database, rows, seen = str(tmp_path / "f.db"), 2_000_000, set()
    state = "select count(*), sum(i) from t"
    assert executor.sql(f"create table t as select i from range({rows}) t(i)", database=database).kind == "result"
    sql = "update t set i = i + 1"
    if explicit:
        sql = f"begin; {sql}; commit"
    whole = executor.sql("begin; update t set i = i + 1; rollback", database=database).end
    assert whole["committed"] == "no"
    span = (whole["ended_ns"] - whole["started_ns"]) / 1e9
    before = executor.sql(state, database=database).only_rows()
    for step in range(12):
        answer = interrupt_after(executor, span * 1.6 * step / 12, {"sql": sql, "database": database})
        after = executor.sql(state, database=database).only_rows()
        assert answer.end["committed"] == ("yes" if after != before else "no")
        if answer.end["committed"] == "no":
            assert answer.head["class_name"] == "interrupted"
        else:
            assert answer.kind == "result"
            assert answer.end["late_value"] == answer.end["interrupted"]
            assert answer.end["committed_late"] == answer.end["in_commit"]
        seen.add(answer.end["committed"])
        before = after
    assert "no" in seen


COMMITS = [
    ("insert into t values (5) returning i", "yes", [[5]]),
    ("create index k on t(i)", "yes", None),
    ("merge into t using (select 9 as i) s on t.i = s.i when not matched then insert values (s.i)", "yes", None),
    ("insert into t values (1)", "no", "query"),  # the key is there already
    ("begin; insert into t values (7)", "no", None),  # never committed
    ("begin; insert into t values (7); rollback; select count(*) from t", "no", [[1]]),
    ("begin; insert into t values (7); commit; select count(*) from t", "yes", [[2]]),
    ("checkpoint", "maybe", None),
    ("vacuum", "no", None),
    ("set default_null_order = 'nulls_first'", "no", None),
    ("select i from t", "no", [[1]]),
    ("explain analyze insert into t values (8)", "maybe", None),
    ("prepare p as insert into t values (8); execute p", "maybe", None),
    ("attach ':memory:' as m; create table m.x(i int)", "yes", None),
    ("export database '{folder}/export'", "yes", None),
]


@pytest.mark.parametrize("sql,committed,expected", COMMITS, ids=[row[0][:40] for row in COMMITS])
def test_what_each_kind_of_statement_commits(shared, tmp_path, sql, committed, expected):
    database = str(tmp_path / "f.db")
    assert shared.sql("create table t as select 1 as i; create unique index u on t(i)", database=database).kind == "result"
    before = shared.sql("select sum(i) from t", database=database).only_rows()
    answer = shared.sql(sql.format(folder=tmp_path), database=database)
    assert (answer.kind == "error") == (expected == "query"), answer.head
    assert answer.end["committed"] == committed
    assert not isinstance(expected, list) or list(answer.rows.values())[-1] == expected
    if committed == "no":
        assert shared.sql("select sum(i) from t", database=database).only_rows() == before
    assert shared.sql("select count(*) from t", database=database).kind == "result"


# --- Files and memory files ---


def test_big_results_come_as_a_sealed_memory_file(executor):
    answer = executor.sql("select 1; select i from range(500000) t(i)", output="parquet")
    (frame,) = answer.files
    assert (frame.head["format"], frame.head["rows"], frame.head["statement"]) == ("parquet", 500000, 1)
    assert answer.rows == {0: [[1]]}
    with pytest.raises(PermissionError):
        os.ftruncate(frame.fd, 0)
    path = f"/proc/{os.getpid()}/fd/{frame.fd}"
    assert executor.sql(f"select sum(i) from read_parquet('{path}')").value() == "124999750000"
    os.close(frame.fd)


@pytest.mark.parametrize(
    "output,expected",
    [("csv", b"a,b\n1,x\n2,y\n"), ("ndjson", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n')],
)
def test_other_formats(shared, output, expected):
    sql = "from (values (1, 'x'), ($1, 'y')) v(a, b) -- ; no statement\n;"
    assert shared.sql(sql, [2], output=output).file_bytes() == expected


def test_json_output_is_an_array(shared):
    assert json.loads(shared.sql("select 1 as a", output="json").file_bytes()) == [{"a": 1}]


def test_a_copied_file_appears_when_it_is_complete(executor, tmp_path):
    target = tmp_path / "out.csv"
    target.write_text("old")
    target.chmod(0o640)
    slow = f"copy (select i, hash(i) as h from range(300000000) t(i)) to '{target}'"
    answer = interrupt_after(executor, 0.5, {"sql": slow})
    assert answer.head["class_name"] == "interrupted"
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "spill"]
    answer = executor.sql(f"/* to 'x' */ copy (select 'to ''y''' as a) TO '{target}' (header false);")
    assert answer.kind == "result" and answer.end["committed"] == "yes"
    assert target.read_text() == "to 'y'\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert os.listdir(tmp_path / "spill/unfinished") == []


def test_the_next_executor_removes_what_a_killed_one_had_begun(make, tmp_path):
    first = make()
    first.submit({"sql": f"copy (select i, hash(i) from range(3000000000) t(i)) to '{tmp_path}/out.csv'"})
    deadline = time.monotonic() + WAIT
    while not list(tmp_path.glob(".gilotine-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    first.process.kill()
    first.process.wait()
    (left,) = tmp_path.glob(".gilotine-*")
    make()
    assert not left.exists() and not (tmp_path / "out.csv").exists()


def test_other_copies_are_left_as_they_are(executor, tmp_path):
    assert executor.sql(f"copy (select 1 as a, 2 as b) to '{tmp_path}/parts' (format csv, partition_by (a))").kind == "result"
    assert (tmp_path / "parts/a=1").is_dir()
    assert executor.sql("copy (select 1) to '/dev/null'").kind == "result"
    link, real = tmp_path / "link.csv", tmp_path / "real.csv"
    real.write_text("")
    link.symlink_to(real)
    assert executor.sql(f"copy (select 5 as a) to '{link}'").kind == "result"
    assert link.is_symlink() and real.read_text() == "a\n5\n"


# --- Spilling ---

SPILL = "select count(*), count(distinct h) from (select distinct hash(i) as h, i from range(3000000) t(i))"
PID_1 = ("unshare", "--pid", "--fork", "--kill-child")


@pytest.mark.parametrize("under", [(), PID_1], ids=["plain", "both-pid-1"])
def test_two_executors_that_spill_at_once_are_right(make, tmp_path, under):
    """Executors that are PID 1 of their own namespaces give their files the same names, with every DuckDB: in one folder
    they would read each other's blocks. That each has a folder of its own is why the numbers are right."""
    if under and subprocess.run([*under, "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not make PID namespaces")
    clients = {name: make(name, under=under) for name in ("one", "two")}
    for name, client in clients.items():
        assert not under or client.hello["pid"] == 1
        assert client.sql("select current_setting('temp_directory')").value() == str(tmp_path / name / "spill")
        client.submit({"sql": SPILL}, memory_bytes=110 << 20, threads=1)
    files: dict[str, set[str]] = {name: set() for name in clients}
    answers: dict[str, object] = {}
    threads = [threading.Thread(target=lambda n=n, c=c: answers.update({n: c.finish()})) for n, c in clients.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for name in files:
            files[name] |= set(os.listdir(tmp_path / name / "spill"))
        time.sleep(0.002)
    assert files["one"] and files["two"], "nothing was spilled: the test proves nothing"
    assert not under or files["one"] & files["two"]
    for answer in answers.values():
        assert answer.only_rows() == [[3000000, 3000000]]


def test_a_folder_that_is_in_use_is_refused(program, executor, tmp_path):
    client = Client([program, "--temp-dir", str(tmp_path / "spill")], stderr=subprocess.PIPE)
    with pytest.raises((Lost, ConnectionResetError)):
        client.read()
    said = client.process.stderr.read().decode()
    client.process.stderr.close()
    assert client.close() == 111
    assert "belongs to another executor" in said and f"pid={executor.process.pid}" in said


@pytest.mark.parametrize("trouble", ["things", "others"])
def test_a_folder_that_was_given_by_mistake_is_not_emptied(program, tmp_path, trouble):
    (tmp_path / "spill").mkdir()
    if trouble == "things":
        (tmp_path / "spill/thesis.txt").write_text("years of work")
    else:
        (tmp_path / "spill").chmod(0o777)
    client = Client([program, "--temp-dir", str(tmp_path / "spill")], stderr=subprocess.DEVNULL)
    with pytest.raises((Lost, ConnectionResetError)):
        client.read()
    assert client.close() == 111
    assert trouble == "others" or (tmp_path / "spill/thesis.txt").read_text() == "years of work"


def test_what_an_earlier_one_left_is_removed(make, tmp_path):
    for name in ("spill/spill", "spill/unfinished"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "spill").chmod(0o700)
    (tmp_path / "spill/spill/duckdb_temp_storage-0.tmp").write_text("x")
    (tmp_path / "innocent.csv").write_text("kept")
    (tmp_path / "spill/unfinished/note").symlink_to(tmp_path / "innocent.csv")
    make()
    assert os.listdir(tmp_path / "spill/spill") == [] and os.listdir(tmp_path / "spill/unfinished") == []
    assert (tmp_path / "innocent.csv").read_text() == "kept"


# --- The process ---


def test_reset_and_bye(executor):
    executor.send(Frame("reset"))
    assert executor.read().type == "ready"
    still_works(executor)
    executor.send(Frame("bye"))
    assert executor.process.wait(WAIT) == 0


def test_it_dies_when_its_socket_closes(executor):
    executor.submit({"sql": STUBBORN.format(n=20000)})
    time.sleep(0.1)
    started = time.monotonic()
    assert executor.close() == 0
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n              ", b"gtx\x01\x07\x00" + bytes(18)], ids=["magic", "side"])
def test_garbage_ends_it_with_a_reason(make, junk):
    client = make(stderr=subprocess.PIPE)
    client.socket.sendall(junk)
    said = client.process.stderr.read().decode()
    client.process.stderr.close()
    assert client.process.wait(WAIT) == 1
    assert said.startswith("gilotine-duckdb: ")


def test_inherited_signals_do_not_matter_and_no_core_is_dumped(make):
    def inherit():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    client = make(preexec_fn=inherit)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{client.process.pid}/status").read_text().splitlines())
    assert int(status["SigBlk"], 16) == 0
    # 32 and 33 are glibc's own: whoever started the tests may have left them ignored.
    assert int(status["SigIgn"], 16) & ~(0b11 << 31) == 1 << (signal.SIGPIPE - 1)
    (core,) = [line for line in Path(f"/proc/{client.process.pid}/limits").read_text().splitlines() if "core" in line]
    assert core.split()[4:6] in (["1", "1"], ["0", "0"])
    client.process.terminate()
    assert client.process.wait(WAIT) == -signal.SIGTERM


def test_help_version_and_wrong_options(program):
    def call(*options: str) -> subprocess.CompletedProcess:
        return subprocess.run([program, *options], capture_output=True, text=True, timeout=WAIT)

    assert "--temp-dir" in call("--help").stdout
    assert "DuckDB v" in call("--version").stdout
    assert (call().returncode, call("--nonsense").returncode, call("--fd", "x").returncode) == (2, 2, 2)
    answer = call("--temp-dir", "/nowhere", "--fd", "0")
    assert answer.returncode == 2 and "no connected stream socket" in answer.stderr


def test_no_descriptor_of_the_database_is_inherited(executor, tmp_path):
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    executor.sql("create table t(i int)", database=str(tmp_path / "f.db"), keep_open=True)
    for fd in Path(f"/proc/{executor.process.pid}/fdinfo").iterdir():
        if int(fd.name) > 2:
            flags = int(fd.read_text().split("flags:\t")[1].split()[0], 8)
            assert flags & os.O_CLOEXEC, os.readlink(f"/proc/{executor.process.pid}/fd/{fd.name}")
