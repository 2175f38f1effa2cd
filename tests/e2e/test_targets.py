"""Where results and records go: descriptors of ours, pipes that nobody reads, links, files that are there already."""

import json
import os
import subprocess

import pytest
from query_support import duckdb, query, wait_for  # noqa: F401, fixtures

ROWS = "select i from range(400000) t(i)"  # more than a pipe and the queue before it hold
ENDLESS = "select i from range(200000000000) t(i)"
LONG_ENOUGH = 30  # a limit that nothing here comes near to


def unread(query, *args):  # noqa: F811
    """With a standard output that nobody reads; the process is awaited all the same."""
    process = query.start("--report", "r.json", "--format", "csv", *args)
    code = process.wait(LONG_ENOUGH)
    return code, process.stderr.read().decode(), json.loads((query.folder / "r.json").read_text())


def test_a_reader_that_does_not_read_does_not_stop_the_kill(query):  # noqa: F811
    code, said, record = unread(query, "--hard", "0.5", ENDLESS)
    assert (code, record["outcome"], record["rows"]) == (137, "hard-timeout", None)
    assert "hard limit of 500.0 ms reached: the query was killed" in said


def test_handing_the_rows_over_is_within_the_hard_limit(query):  # noqa: F811
    # Longer than the query takes on a busy machine: it is done, and its rows are not.
    code, said, record = unread(query, "--hard", "5", ROWS)
    assert (code, record["outcome"], record["reason"], record["rows"]) == (137, "hard-timeout", "deadline-hard", None)
    assert record["committed"] == "no" and record["killed_ns"] is None
    assert "the query was done, but not all its rows were taken" in said and "nothing was written" in said


def test_an_outer_deadline_bounds_it_too(query):  # noqa: F811
    import time

    until = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 3_000_000_000
    process = query.start("--format", "csv", ROWS, env={**query.env, "GILOTINE_DEADLINE": str(until)})
    assert process.wait(LONG_ENOUGH) == 137
    assert b"GILOTINE_DEADLINE" in process.stderr.read()


def test_a_signal_before_the_rows_are_taken_is_what_the_record_says(query):  # noqa: F811
    process = query.start("--report", "r.json", "--format", "csv", ROWS)

    def is_blocked():
        """The executor is gone: the query is done, and only its rows are left."""
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        helpers = [t for t in os.listdir(f"/proc/{process.pid}/task")]
        return len(helpers) == 2 and not open(children).read()

    wait_for(is_blocked)
    process.terminate()
    assert process.wait(LONG_ENOUGH) == 128 + 15
    record = json.loads((query.folder / "r.json").read_text())
    assert (record["outcome"], record["reason"], record["rows"]) == ("cancelled", "cancelled", None)


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_a_pipe_without_a_reader_is_waited_for_until_the_limit(query, option):  # noqa: F811
    os.mkfifo(query.folder / "pipe")
    done = query(option, "pipe", "--hard", "0.4", "select 1")
    assert done.returncode == 137 and b"pipe: nobody has opened it to read within the limit" in done.stderr


@pytest.mark.parametrize("option", ["-o", "--report"])
def test_a_pipe_whose_reader_comes_later_gets_it(query, option):  # noqa: F811
    os.mkfifo(query.folder / "pipe")
    process = query.start(option, "pipe", "--format", "csv", "select 42 as a")
    wait_for(lambda: b"S (sleeping)" in open(f"/proc/{process.pid}/status", "rb").read())
    with open(query.folder / "pipe", "rb") as pipe:
        text = pipe.read()
    assert process.wait(LONG_ENOUGH) == 0
    assert text == b"a\r\n42\r\n" if option == "-o" else json.loads(text)["outcome"] == "value"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_our_own_output_is_no_new_file(query, name):  # noqa: F811
    path = query.folder / "out"
    with open(path, "wb") as out:
        out.write(b"before\n")
        out.flush()
        for _ in range(2):
            subprocess.run(
                [*query.argv, "--format", "csv", "-o", name, "select 1 a"], stdout=out, env=query.env, check=True
            )
        os.write(out.fileno(), b"after\n")
    assert path.read_bytes() == b"before\n" + 2 * b"a\r\n1\r\n" + b"after\n"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "1"])
def test_a_record_on_our_output_keeps_its_place(gilotine, tmp_path, name):
    path = tmp_path / "out"
    with open(path, "wb") as out:
        os.write(out.fileno(), b"before\n")
        subprocess.run([gilotine, "run", "--report", name, "30", "echo", "said"], stdout=out, check=True)
        os.write(out.fileno(), b"after\n")
    first, said, record, last = path.read_text().splitlines()
    assert (first, said, last) == ("before", "said", "after") and json.loads(record)["outcome"] == "value"


def test_a_run_does_not_wait_for_the_reader_of_its_report_for_ever(gilotine, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    argv = [gilotine, "run", "--report", "pipe", "0.3", "touch", "begun"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, timeout=LONG_ENOUGH)
    assert done.returncode == 125 and b"nobody has opened it to read" in done.stderr
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize("command", ["run", "query"])
def test_a_record_keeps_the_permissions_of_its_file(query, command):  # noqa: F811
    path = query.folder / "private"
    path.write_text("old")
    path.chmod(0o600)
    rest = ["30", "true"] if command == "run" else ["select 1"]
    argv = [query.argv[0], command, "--report", str(path), *rest]
    assert subprocess.run(argv, env=query.env, stdout=subprocess.DEVNULL).returncode == 0
    assert path.stat().st_mode & 0o777 == 0o600 and json.loads(path.read_text())["outcome"] == "value"


def test_a_link_to_a_file_that_is_not_there_is_followed(query):  # noqa: F811
    (query.folder / "folder").mkdir()
    (query.folder / "link").symlink_to("folder/link")
    (query.folder / "folder/link").symlink_to("new")
    query.good("-o", "link", "--format", "csv", "select 1 a")
    assert (query.folder / "link").is_symlink() and (query.folder / "folder/new").read_bytes() == b"a\r\n1\r\n"
    (query.folder / "loop").symlink_to("loop")
    assert b"Too many levels" in query("-o", "loop", "select 1").stderr


def test_a_name_that_asks_for_a_folder_makes_no_file(query):  # noqa: F811
    done = query("-o", "new/", "select 1")
    assert done.returncode == 2 and b"new/: Not a directory" in done.stderr
    assert not (query.folder / "new").exists()


@pytest.mark.parametrize(("args", "code"), [(["select 1"], 111), (["--explain-limits"], 111), (["select 1 limit 0"], 111)])
def test_a_closed_output_loses_nothing_silently(query, args, code):  # noqa: F811
    done = query.start(*args, stdout=None, preexec_fn=lambda: os.close(1))
    assert done.wait(LONG_ENOUGH) == code and b"Bad file descriptor" in done.stderr.read()


def test_a_closed_output_that_is_not_needed_is_no_failure(query):  # noqa: F811
    done = query.start("create table t (i int)", stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.wait(LONG_ENOUGH), done.stderr.read()) == (0, b"")
