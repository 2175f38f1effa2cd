"""gilotine lab interrupt: a real run, its figures recomputed, wrong input."""

import configparser
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from conftest import ROOT, build_dir
from duckdb_support import DEFAULT, duckdb, every_duckdb, executor_path  # noqa: F401, a fixture
from query_support import WAIT, query  # noqa: F401, a fixture

INI = """[experiment]
kind = interrupt
title = A title
offsets = 0.4
patience = 0.5
threads = 1

[query endless]
class = interruptible
sql = with recursive r(n) as (select 1 union all select n + 1 from r) select max(n) from r

[query stubborn]
class = stubborn
sql = select max(levenshtein(repeat('ab', 20000), repeat('ba', 20000 + i::int))) from range(2000) t(i)

[query early]
sql = select 1

[query inserts]
database = file
setup = create table t(i int)
sql = insert into t values (1)
times = 20000
check = select count(*) from t
"""


@pytest.fixture
def ini(tmp_path) -> str:
    executor_path(DEFAULT)
    path = tmp_path / "mine.ini"
    path.write_text(INI)
    return str(path)


def versions() -> list[str]:
    """Of every executor that is built: first that of gilotine-duckdb."""
    paths = sorted(path for path in (build_dir() / "src/executor").glob("gilotine-duckdb*") if path.is_file())
    said = [subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout for path in paths]
    return [text.rsplit("DuckDB v", 1)[1].strip() for text in said]


@every_duckdb
def test_every_duckdb_at_hand_is_in_the_table(duckdb, run, ini, tmp_path):  # noqa: F811
    version = subprocess.run([executor_path(duckdb), "--version"], capture_output=True, text=True).stdout.split("DuckDB v")[1].strip()
    path = pathlib.Path(ini)
    path.write_text(path.read_text().replace("threads = 1", f"threads = 1\nduckdb = {version}"))
    done = run("lab", "--quiet", "--only", "early", "--out", str(tmp_path / "out"), ini)
    assert done.returncode == 0 and version in done.stdout
    assert json.loads((tmp_path / "out/result.json").read_text())["duckdb"] == [version]


def test_a_version_that_is_not_at_hand_is_told_with_those_that_are(run, ini, tmp_path):
    path = pathlib.Path(ini)
    path.write_text(path.read_text().replace("threads = 1", "threads = 1\nduckdb = 0.9.*"))
    done = run("lab", "--quiet", "--out", str(tmp_path / "out"), ini)
    assert done.returncode == 2 and f"no DuckDB 0.9.* is at hand; there is {', '.join(versions())}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_says_who_obeyed_and_what_was_written(run, ini, tmp_path):
    out = tmp_path / "out"
    done = run("lab", "--quiet", "--json", "--out", str(out), ini, timeout=WAIT)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["complete"] and result["duckdb"] == versions()
    trials = {(t["duckdb"], t["query"]): t for t in result["trials"]}
    assert len(trials) == 4 * len(result["duckdb"])
    for version in result["duckdb"]:
        endless, stubborn = trials[version, "endless"], trials[version, "stubborn"]
        assert endless["end"] == "stopped" and endless["late_ns"] >= 0
        assert endless["record"]["outcome"] == "soft-timeout"
        assert stubborn["end"] == "killed" and stubborn["late_ns"] >= 500_000_000
        assert trials[version, "early"]["end"] == "early" and trials[version, "early"]["late_ns"] is None
        inserts = trials[version, "inserts"]
        assert inserts["before"] == 0 and inserts["after"] > 0 and inserts["wrote"]
        assert inserts["record"]["committed"] != "no" and not inserts["misstated"]
    # Every figure again from the raw samples alone.
    again = run("lab", "--json", "--from", str(out))
    assert json.loads(again.stdout) == result
    text = run("lab", "--detail", "--from", str(out)).stdout
    assert "stopped" in text and "killed" in text and "at 0.4 s" in text and "check: 0 -> " in text
    assert (out / "table.txt").exists() and (out / "result.json").exists()


def test_a_run_that_is_interrupted_shows_what_was_seen(gilotine, ini, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen([gilotine, "lab", "--out", str(out), ini], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    raw = out / "raw.jsonl"
    deadline = time.monotonic() + WAIT
    while not (raw.exists() and '"trial"' in raw.read_text()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=WAIT)
    assert process.returncode == 130 and b"interrupted" in stdout
    assert [name for name in os.listdir(os.environ["TMPDIR"]) if name.startswith("gilotine-lab")] == []


def test_a_check_that_is_no_number_is_told(run, tmp_path):
    executor_path(DEFAULT)
    path = tmp_path / "bad.ini"
    path.write_text("[experiment]\nkind=interrupt\noffsets=0.1\n[query a]\nsql=select 1\ncheck=select 'x'\n")
    done = run("lab", "--quiet", "--out", str(tmp_path / "out"), str(path))
    assert done.returncode == 2 and "[query a]" in done.stderr and "one number" in done.stderr


def test_the_shipped_experiment_is_in_order(run):
    assert "interrupt" in run("lab", "--list").stdout
    listed = run("lab", "--list", "interrupt").stdout
    for name in ("range-sum", "levenshtein", "many-inserts", "copy-csv", "ctas", "delete"):
        assert name in listed


@every_duckdb
def test_every_shipped_query_is_understood(query, tmp_path):  # noqa: F811
    """Each with numbers so small that it ends; one without an end is explained."""
    plan = configparser.ConfigParser(interpolation=None)
    plan.read(ROOT / "lab/experiments/interrupt.ini")
    queries = [plan[name] for name in plan.sections() if name.startswith("query ")]
    assert len(queries) > 10
    for number, group in enumerate(queries):
        endless = "explain " if "recursive" in group["sql"] else ""
        sql = f"{group.get('setup', 'select 1')}; {endless}{group['sql']}; {group.get('check', 'select 1')}"
        query.good("--db", f"{number}.db", re.sub(r"\b\d{4,}\b", "3", sql.replace("{dir}", str(tmp_path))))


def test_only_chooses_queries(run, ini, tmp_path):
    done = run("lab", "--quiet", "--json", "--only", "ear*", "--out", str(tmp_path / "out"), ini)
    assert {t["query"] for t in json.loads(done.stdout)["trials"]} == {"early"}
    assert run("lab", "--only", "nosuch", "--out", str(tmp_path / "o2"), ini).returncode == 2
    assert pathlib.Path(tmp_path / "o2").exists() is False
