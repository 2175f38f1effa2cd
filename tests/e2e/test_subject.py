"""The subject against the real thing: Celery workers, DuckDB, timeout-decorator, every interpreter that
was built."""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import textwrap
from pathlib import Path

import pytest

import subject_support as support
from subject_support import SUBJECT, environment, interpreter_with, interpreters, running

import census
import gil_status
import settings
import tracing

LIMIT = 0.2
LONG = 4_000_000_000  # rows whose query outlives every test here
SECONDS = 400_000_000  # rows whose query takes well over LIMIT, and ends within the test

every_interpreter = pytest.mark.parametrize("it", interpreters())


@pytest.fixture
def folder():
    """Short, since a socket's path must be."""
    path = Path(tempfile.mkdtemp(prefix="subject-"))
    yield path
    shutil.rmtree(path)


def in_python(python, script, *options, **env):
    """Runs a script with the subject's modules at hand and gives what it printed last, from JSON."""
    mark = secrets.token_hex(8)
    with support.family(mark):
        done = subprocess.run(
            [python, *options, "-c", textwrap.dedent(script)], env=environment(**env, GILOTINE_MARK=mark), text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=support.PATIENCE_SECONDS,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# ---- the known truths ----------------------------------------------------------------------------------


@every_interpreter
def test_signals_are_told_only_after_the_whole_query(it, folder):
    with running(it, folder, TIMEOUT_USE_SIGNALS="1") as worker:
        worker.run(1, SECONDS, LIMIT)
        assert worker.outcomes() == ["timeout"]
        assert worker.result["iterations"][0]["elapsed"] > 2 * LIMIT
        assert worker.counts() == [(0, 0)]


@every_interpreter
def test_forked_children_that_inherited_the_handler_pile_up(it, folder):
    with running(it, folder, MP_START_METHOD="fork") as worker:
        worker.run(3, LONG, LIMIT)
        assert worker.outcomes() == ["timeout"] * 3
        assert worker.counts() == [(1, 0), (2, 0), (3, 0)]
        # They burn on, as seen from outside.
        assert [p.state for p in census.descendants(worker.process.pid)] == ["R"] * 3


@every_interpreter
def test_forked_children_without_the_handler_die(it, folder):
    with running(it, folder, MP_START_METHOD="fork", SUBJECT_SIGTERM="default") as worker:
        worker.run(2, LONG, LIMIT)
        assert worker.outcomes() == ["timeout"] * 2
        # Nobody joins the last one: multiprocessing does at the next start.
        assert worker.counts() == [(1, 1), (1, 1)]


@every_interpreter
def test_a_stubborn_query_is_cleaned_up_by_force(it, folder):
    with running(it, folder, MP_START_METHOD="fork", CLEANUP_CHILDREN="true", DUCKDB_QUERY="stubborn") as worker:
        worker.run(2, LONG, LIMIT)
        assert worker.outcomes() == ["timeout"] * 2
        assert worker.counts() == [(0, 0)] * 2
        assert worker.said("cleanup") == ["cleanup terminated=1 killed=1 remaining=0"] * 2
        assert [{k: e[k] for k in ("n", "terminated", "killed", "remaining")} for e in worker.told("cleanup")] == [
            {"n": 1, "terminated": 1, "killed": 1, "remaining": 0},
            {"n": 2, "terminated": 1, "killed": 1, "remaining": 0},
        ]


@every_interpreter
@pytest.mark.parametrize("cleanup", ["0", "1"])
def test_forkserver_leaves_its_two_helpers_and_clean_up_spares_them(it, folder, cleanup):
    with running(it, folder, MP_START_METHOD="forkserver", CLEANUP_CHILDREN=cleanup) as worker:
        worker.run(3, LONG, LIMIT)
        assert worker.outcomes() == ["timeout"] * 3
        assert worker.counts() == [(2, 0)] * 3
        assert all(line.endswith("remaining=0") for line in worker.said("cleanup"))
        assert len(worker.said("cleanup")) == (3 if cleanup == "1" else 0)


@every_interpreter
def test_spawn_works_and_leaves_the_tracker_and_one_zombie(it, folder):
    with running(it, folder, MP_START_METHOD="spawn") as worker:
        worker.run(2, LONG, LIMIT)
        assert worker.outcomes() == ["timeout"] * 2
        assert worker.counts() == [(2, 1)] * 2


@every_interpreter
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_children_that_start_afresh_import_no_celery(it, folder, method):
    (folder / "spy.py").write_text(
        "import sys\n"
        "import query\n"
        "def run_query(spec, rows):\n"
        "    raise LookupError(' '.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
        "query.run_query = run_query\n"
    )
    command = [*support.worker_command(it.python, "solo"), "-I", "spy"]
    with running(it, folder, command=command, PYTHONPATH=f"{folder}:{SUBJECT}", MP_START_METHOD=method) as worker:
        worker.run(1, 1, 20)
        assert worker.outcomes() == ["error:LookupError"]
        imported = set(worker.result["iterations"][0]["error"].split())
        assert "timeout_decorator" in imported
        assert not imported & {"celery", "kombu", "billiard", "app", "tasks"}


@every_interpreter
def test_prefork_refuses_processes(it, folder):
    with running(it, folder, pool="prefork", MP_START_METHOD="fork", CLEANUP_CHILDREN="1") as worker:
        worker.run(1, LONG, LIMIT)
        assert worker.outcomes() == ["error:AssertionError"]
        assert "daemonic processes" in worker.result["iterations"][0]["error"]
        assert worker.counts() == [(0, 0)]
        # The clean-up ran inside the pool's child, and the pool lives on.
        worker.run(1, LONG, LIMIT)


def test_an_interrupted_module_says_so_in_its_own_way_and_is_not_called_a_timeout(folder):
    it = interpreter_with(free_threaded=False)
    if not it.duckdb_module:
        pytest.skip("the interpreter has no duckdb module")
    with running(it, folder, TIMEOUT_USE_SIGNALS="1", DUCKDB_DRIVER="module") as worker:
        worker.run(1, SECONDS, LIMIT)
        # A race by nature: either value may come, but nothing else.
        assert worker.outcomes()[0] in ("timeout", "error:RuntimeError", "error:InterruptException")
        assert worker.told("gil_status")[0]["driver"] == "module"


def test_only_the_decorators_own_exception_is_a_timeout():
    it = interpreter_with(free_threaded=False)
    script = """
        import json, timeout_decorator
        from experiment import outcome_of
        errors = None, timeout_decorator.TimeoutError(), TimeoutError(), AssertionError(), RuntimeError("Query interrupted")
        print(json.dumps([outcome_of(error) for error in errors]))
    """
    assert in_python(it.python, script) == [
        "ok", "timeout", "error:TimeoutError", "error:AssertionError", "error:RuntimeError",
    ]


# ---- lines, trace and result say the same ----------------------------------------------------------------


@every_interpreter
def test_lines_trace_and_result_agree(it, folder):
    with running(it, folder, MP_START_METHOD="fork", GIL_MODE="my label", DUCKDB_THREADS="2") as worker:
        # As a producer by hand might send them.
        worker.run(iterations="2", rows=1000.0, timeout_sec="20")
        assert worker.outcomes() == ["ok", "ok"]
        assert worker.said("task_start") == ['task_start mode="my label" use_signals=False cleanup_children=False']
        version = subprocess.check_output([it.python, "-c", "import platform; print(platform.python_version())"], text=True)
        assert worker.said("gil_status") == [
            f"gil_status build_free_threaded={it.free_threaded} gil_enabled={not it.free_threaded}"
            f" python_version={version.strip()} start_method=fork driver=capi set_by=build"
        ]
        events = [event["ev"] for event in worker.events]
        assert events == ["task_start", "gil_status", *["iter_start", "iter_told", "iter_end"] * 2, "task_end"]
        times = [event["t"] for event in worker.events]
        assert times == sorted(times)
        assert {event["pid"] for event in worker.events} == {worker.process.pid}
        for line, event, iteration in zip(worker.said("iter="), worker.told("iter_end"), worker.result["iterations"]):
            words = re.fullmatch(r"iter=(\d+) outcome=(\S+) elapsed=(\d+\.\d{3})s children=(\d+) zombies=(\d+)", line)
            for said in (event, iteration):
                assert words[1] == str(said["n"]) and words[2] == said["outcome"]
                assert float(words[3]) == pytest.approx(said["elapsed"], abs=0.00051)
                assert (int(words[4]), int(words[5])) == (said["children"], said["zombies"])
            assert event["t_before"] <= event["t_after"] <= event["t"]
        start = worker.told("task_start")[0]
        assert (start["iterations"], start["rows"], start["timeout_sec"]) == (2, 1000, 20.0)
        assert (start["query"], start["start_method"], start["mode"]) == ("interruptible", "fork", "my label")


def test_a_wrong_argument_is_named():
    it = interpreter_with(free_threaded=False)
    script = """
        import json, experiment
        def complaint(*arguments):
            try:
                return list(experiment.checked_arguments(*arguments))
            except ValueError as error:
                return str(error).partition(":")[0]
        print(json.dumps([complaint(*arguments) for arguments in (
            (0, 1, 1), (1, 1.5, 1), (True, 1, 1), (1, None, 1), (1, 1, 0), (1, 1, "nan"), (1, 2**63, 1), (1, [], 1),
            ("3", 2e9, "0.5"), (1, str(2**62 + 1), 1),
        )]))
    """
    assert in_python(it.python, script) == [
        "iterations=0", "rows=1.5", "iterations=True", "rows=None", "timeout_sec=0", "timeout_sec='nan'",
        f"rows={2**63}", "rows=[]", [3, 2_000_000_000, 0.5], [1, 2**62 + 1, 1.0],
    ]


def test_wrong_arguments_fail_the_task_and_not_the_worker(folder):
    it = interpreter_with(free_threaded=False)
    with running(it, folder, DUCKDB_QUERY="select 'rows: {rows}'", MP_START_METHOD="forkserver") as worker:
        with pytest.raises(Exception, match="rows='many'"):
            worker.run(1, "many", 1)
        assert worker.run(1, 1, 20)["last_outcome"] == "ok"


def test_a_listener_that_is_gone_or_too_slow_changes_nothing(folder):
    tracing.Tracer(None).send("task_end")
    tracing.Tracer("/nonexistent/trace").send("task_end")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(folder / "trace"))
        tracer = tracing.Tracer(str(folder / "trace"))
        for n in range(10_000):  # far more than a socket's queue holds
            tracer.send("iter_start", n=n)
        first = json.loads(listener.recv(65536))
        assert (first["ev"], first["n"], first["pid"]) == ("iter_start", 0, os.getpid())


# ---- the query -------------------------------------------------------------------------------------------


def test_an_interrupt_stops_the_interruptible_query_and_not_the_stubborn_one(folder):
    it = interpreter_with(free_threaded=False)
    script = """
        import ctypes, json, threading, time
        import duckdb_capi, query
        library = duckdb_capi.load(LIBRARY)
        library.duckdb_interrupt.argtypes, library.duckdb_interrupt.restype = [ctypes.c_void_p], None
        connect, handles = library.duckdb_connect, []
        class Spy:
            def __getattr__(self, name):
                return getattr(library, name)
            def duckdb_connect(self, database, connection):
                done = connect(database, connection)
                handles.append(connection._obj)
                return done
        duckdb_capi._loaded[LIBRARY] = Spy()
        def run(name, rows, errors):
            try:
                query.run_query(query.Spec("capi", name, 1, LIBRARY, "/nonexistent/spill-"), rows)
            except duckdb_capi.DuckDBError as error:
                errors.append(str(error))
        def interrupted(name, rows, after):
            # Asks for a stop, again and again, once the query has burnt that many CPU-seconds.
            handles.clear()
            start, errors = time.process_time(), []
            thread = threading.Thread(target=run, args=(name, rows, errors), daemon=True)
            thread.start()
            while thread.is_alive():
                if time.process_time() - start > after:
                    library.duckdb_interrupt(handles[0])
                thread.join(0.01)
            return errors, time.process_time() - start
        def alone(name, rows):
            start = time.process_time()
            run(name, rows, [])
            return time.process_time() - start
        alone("stubborn", 1000)
        whole = min(alone("stubborn", 100_000_000) for _ in range(2))
        endless, _ = interrupted("interruptible", 2**62, 0.05)
        _, spent = interrupted("stubborn", 100_000_000, whole / 4)
        print(json.dumps([endless, spent / whole]))
    """.replace("LIBRARY", repr(support.library()))
    endless, share = in_python(it.python, script)
    assert len(endless) == 1 and "Interrupted" in endless[0]
    # All of its work is done, whatever it says at the end.
    assert share > 0.75


@pytest.mark.parametrize("name", ["interruptible", "stubborn"])
def test_the_cost_of_a_query_grows_with_its_rows(name):
    it = interpreter_with(free_threaded=False)
    script = f"""
        import json, time, query
        spec = query.Spec("capi", {name!r}, 1, {support.library()!r}, "/nonexistent/spill-")
        def best(rows):
            times = []
            for _ in range(3):
                start = time.process_time(); query.run_query(spec, rows); times.append(time.process_time() - start)
            return min(times)
        best(1000)
        print(json.dumps(best(120_000_000) / best(30_000_000)))
    """
    assert 2.5 < in_python(it.python, script) < 6


@pytest.mark.parametrize("asked", [True, False])
def test_a_query_leaves_an_orphan_where_it_is_asked_to(asked):
    """Whoever adopts it, here the script, has one more child to wait for."""
    it = interpreter_with(free_threaded=False)
    script = f"""
        import ctypes, json, os, query
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        query.run_query(query.Spec("capi", "interruptible", 1, {support.library()!r}, "/nonexistent/spill-", {asked}), 10)
        orphans = 0
        try:
            while True:
                pid, status = os.wait()
                orphans += status == 0
        except ChildProcessError:
            print(json.dumps(orphans))
    """
    assert in_python(it.python, script) == int(asked)


# ---- clean-up --------------------------------------------------------------------------------------------


@every_interpreter
def test_clean_up_reaches_grandchildren_and_those_that_ignore_sigterm(it):
    script = """
        import json, multiprocessing, os, signal, subprocess, sys, time
        import census, cleanup
        family = '''if True:
            import signal, subprocess, sys, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
            child = subprocess.Popen([sys.executable, "-c", deaf + "; time.sleep(600)"])
            time.sleep(600)'''
        stubborn = subprocess.Popen([sys.executable, "-c", family], stdout=subprocess.PIPE)
        stubborn.stdout.readline()
        meek = subprocess.Popen(["sleep", "600"])
        context = multiprocessing.get_context("forkserver")
        served = context.Process(target=time.sleep, args=(600,))
        served.start()
        forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        forked.start()
        zombie = subprocess.Popen(["true"])
        while not census.read_process(zombie.pid).zombie: time.sleep(0.01)
        helpers = cleanup.infrastructure()
        result = cleanup.clean(0.3)
        left = {p.pid for p in census.descendants()}
        again = context.Process(target=int)
        again.start(); again.join(30)
        print(json.dumps([list(result), len(helpers), left == helpers, served.exitcode, forked.exitcode, again.exitcode]))
    """
    result, helpers, only_helpers, *exits = in_python(it.python, script)
    # stubborn and its child, meek, served and forked were alive; two of them ignored the request.
    assert result == [5, 2, 0]
    assert (helpers, only_helpers) == (2, True)
    # multiprocessing knows how its own children ended, and can start new ones.
    assert exits == [-15, -15, 0]


# ---- census ----------------------------------------------------------------------------------------------

REST = b" 4242 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2\n"


@pytest.mark.parametrize(
    "name", [b"python3", b"a b", b"(((", b")))", b") Z 1 2", b"new\nline", b"\xff\xfe", b"", b" ) R 1 (x) S "]
)
def test_a_nasty_name_does_not_confuse_the_census(name):
    process = census.parse_stat(b"31 (" + name + b") S" + REST)
    assert process == census.Process(31, 4242, "S", 987654)


@pytest.mark.parametrize("text", [b"", b"31", b"31 (a", b"31 (a) S 4", b"(a) S" + REST, b"31 a S" + REST])
def test_a_torn_stat_line_is_an_error(text):
    with pytest.raises(ValueError):
        census.parse_stat(text)


def test_the_census_counts_all_generations_and_knows_zombies():
    it = interpreter_with(free_threaded=False)
    script = """
        import json, os, subprocess, time
        import census
        shell = subprocess.Popen(["sh", "-c", "sleep 600 & echo; wait"], stdout=subprocess.PIPE)
        shell.stdout.readline()
        dead = subprocess.Popen(["true"])
        deadline = time.monotonic() + 30
        while not census.read_process(dead.pid).zombie and time.monotonic() < deadline: time.sleep(0.01)
        family = census.descendants()
        nobody = census.read_process(dead.pid)
        dead.wait()
        gone = census.read_process(dead.pid)
        subprocess.run(["kill", *[str(p.pid) for p in family if not p.zombie]])
        shell.wait()
        zombies = sum(p.zombie for p in family)
        print(json.dumps([len(family), zombies, nobody.zombie, gone is None, census.descendants(2**22)]))
    """
    assert in_python(it.python, script) == [3, 1, True, True, []]


# ---- the GIL ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "free_threaded,enabled,xoptions,environ,expected",
    [
        (False, True, {}, {}, "build"),
        (False, True, {"gil": "1"}, {"PYTHON_GIL": "1"}, "build"),
        (True, False, {}, {}, "build"),
        (True, False, {}, {"PYTHON_GIL": "0"}, "PYTHON_GIL"),
        (True, True, {}, {"PYTHON_GIL": "1"}, "PYTHON_GIL"),
        (True, False, {"gil": "0"}, {"PYTHON_GIL": "1"}, "-X gil"),
        (True, True, {}, {}, "import"),
        (True, True, {}, {"PYTHON_GIL": ""}, "import"),
    ],
)
def test_what_set_the_gil(free_threaded, enabled, xoptions, environ, expected):
    assert gil_status.set_by(free_threaded, enabled, xoptions, environ) == expected


@pytest.fixture(scope="module")
def undeclared(tmp_path_factory):
    """A folder with the extension _undeclared, which does not say that it can do without the GIL, and two
    plain modules on the way to it."""
    it = interpreter_with(free_threaded=True)
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    path = tmp_path_factory.mktemp("undeclared")
    (path / "ext.c").write_text(
        "#include <Python.h>\n"
        "static PyModuleDef_Slot slots[] = {{0, NULL}};\n"
        'static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "_undeclared", NULL, 0, NULL, slots, NULL, NULL, NULL};\n'
        "PyMODINIT_FUNC PyInit__undeclared(void) { return PyModuleDef_Init(&def); }\n"
    )
    ask = "import sysconfig; print(sysconfig.get_path('include')); print(sysconfig.get_config_var('EXT_SUFFIX'))"
    include, suffix = subprocess.check_output([it.python, "-c", ask], text=True).split()
    subprocess.run(
        [compiler, "-shared", "-fPIC", f"-I{include}", str(path / "ext.c"), "-o", str(path / f"_undeclared{suffix}")],
        check=True,
    )
    (path / "middle.py").write_text("import _undeclared\n")
    (path / "outer.py").write_text("import middle\n")
    return path


def test_an_extension_that_turns_the_gil_on_is_caught_in_the_act(undeclared):
    it = interpreter_with(free_threaded=True)
    script = """
        import json, sys
        import gil_status
        watch = gil_status.Watch(); watch.install()
        status = gil_status.Status(watch)
        before, same = status.report("fork", "capi"), status.changed()
        import outer
        changed = status.changed()
        print(json.dumps([before, same, changed, status.report("fork", "capi"), status.changed()]))
    """
    before, same, changed, after, again = in_python(it.python, script, PYTHONPATH=f"{SUBJECT}:{undeclared}")
    assert (before["gil_enabled"], before["set_by"], before["culprit"]) == (False, "build", None)
    assert (same, changed, again) == (False, True, False)
    assert (after["gil_enabled"], after["set_by"]) == (True, "import")
    assert after["culprit"]["module"] == "_undeclared"
    assert after["culprit"]["file"].startswith(str(undeclared))
    assert after["culprit"]["chain"] == "__main__>outer>middle>_undeclared"


@pytest.mark.parametrize("options,env,set_by", [(["-X", "gil=1"], {}, "-X gil"), ([], {"PYTHON_GIL": "1"}, "PYTHON_GIL")])
def test_a_gil_that_was_asked_for_has_no_culprit(undeclared, options, env, set_by):
    it = interpreter_with(free_threaded=True)
    script = """
        import json, outer, gil_status
        status = gil_status.Status(gil_status.Watch())
        status.find_culprit()
        report = status.report("fork", "capi")
        print(json.dumps([report["gil_enabled"], report["set_by"], report["culprit"]]))
    """
    assert in_python(it.python, script, *options, PYTHONPATH=f"{SUBJECT}:{undeclared}", **env) == [True, set_by, None]


def test_a_culprit_from_before_the_watch_is_found_afterwards(undeclared, folder):
    it = interpreter_with(free_threaded=True)
    # Imported by the interpreter's own start-up, long before the subject.
    (folder / "sitecustomize.py").write_text("import outer\n")
    path = f"{folder}:{SUBJECT}:{undeclared}"
    with running(it, folder, PYTHONPATH=path, TIMEOUT_USE_SIGNALS="1") as worker:
        worker.run(1, 1, 20)
        status = worker.told("gil_status")
        assert len(status) == 1 and (status[0]["gil_enabled"], status[0]["set_by"]) == (True, "import")
        assert status[0]["culprit"]["module"] == "_undeclared"
        line = worker.said("gil_status")[0]
        assert f"set_by=import culprit=_undeclared file={undeclared}/_undeclared" in line
        assert line.endswith(" chain=_undeclared")


def test_an_extension_that_comes_when_the_gil_is_on_already_is_not_blamed(undeclared):
    it = interpreter_with(free_threaded=True)
    script = """
        import json, outer, gil_status
        watch = gil_status.Watch(); watch.install()
        import _sqlite3
        early = watch.culprit
        gil_status.Status(watch).find_culprit()
        print(json.dumps([early, watch.culprit.module, gil_status.probe(["_sqlite3", "no_such_module"])]))
    """
    assert in_python(it.python, script, PYTHONPATH=f"{SUBJECT}:{undeclared}") == [None, "_undeclared", None]


@pytest.mark.parametrize("gil", ["", "0", "1"])
def test_modules_can_be_asked_for_by_hand(undeclared, gil):
    it = interpreter_with(free_threaded=True)

    def ask(*names: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [it.python, "-m", "gil_status", *names], env=environment(PYTHONPATH=f"{SUBJECT}:{undeclared}", PYTHON_GIL=gil),
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=support.PATIENCE_SECONDS,
        )

    assert ask("json", "_sqlite3").stdout == "gil_status build_free_threaded=True gil_enabled=False\n"
    found = ask("json", "outer")
    assert found.returncode == 0
    assert found.stdout.startswith("gil_status build_free_threaded=True gil_enabled=True culprit=_undeclared file=")
    assert found.stdout.endswith("chain=outer>middle>_undeclared\n")
    missing = ask("json", "no_such_module.x")
    assert missing.returncode == 2 and missing.stderr == "gil_status: no such module: no_such_module.x\n"


def test_a_gil_that_comes_on_during_a_task_is_told_again(undeclared, folder):
    it = interpreter_with(free_threaded=True)
    # The driver's library is loaded at the start, its module inside the task: this one brings the extension.
    (folder / "late.py").write_text(
        "import query\n"
        "real = query.run_query\n"
        "def run_query(spec, rows):\n"
        "    import outer\n"
        "    return real(spec, rows)\n"
        "query.run_query = run_query\n"
    )
    command = [*support.worker_command(it.python, "solo"), "-I", "late"]
    path = f"{folder}:{SUBJECT}:{undeclared}"
    with running(it, folder, command=command, PYTHONPATH=path, TIMEOUT_USE_SIGNALS="1") as worker:
        worker.run(2, 1, 20)
        assert [e["gil_enabled"] for e in worker.told("gil_status")] == [False, True]
        assert worker.told("gil_status")[1]["culprit"]["chain"] == "late>outer>middle>_undeclared"
        assert [e["ev"] for e in worker.events].index("task_end") == len(worker.events) - 1
        assert worker.result["gil_enabled"] is True


def test_the_subject_itself_leaves_the_gil_off(folder):
    it = interpreter_with(free_threaded=True)
    script = "import json, sys, tasks; print(json.dumps(sys._is_gil_enabled()))"
    env = {"CELERY_BROKER_URL": f"filesystem://{folder}", "DUCKDB_LIBRARY": support.library()}
    assert in_python(it.python, script, **env) is False


# ---- settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name,value,complaint",
    [
        ("DUCKDB_THREADS", "abc", "a whole number"),
        ("DUCKDB_THREADS", "0", "a whole number"),
        ("MP_START_METHOD", "foo", "fork, forkserver, spawn"),
        ("DUCKDB_DRIVER", "odbc", "capi, module"),
        ("DUCKDB_QUERY", "select 1", "{rows}"),
        ("DUCKDB_LIBRARY", "/nonexistent/libduckdb.so", "no such file"),
        ("TIMEOUT_USE_SIGNALS", "maybe", "0, 1, false, true"),
        ("CLEANUP_CHILDREN", "2", "0, 1, false, true"),
        ("SUBJECT_SIGTERM", "ignore", "inherit, default"),
        ("SUBJECT_ORPHAN", "two", "0, 1, false, true"),
        ("CLEANUP_GRACE", "-1", "seconds"),
        ("SETTLE", "nan", "seconds"),
        ("LOG_LEVEL", "LOUD", "INFO"),
        ("CELERY_BROKER_URL", "rabbitmq", "URL"),
        ("CELERY_BROKER_URL", "filesystem://relative", "filesystem:///DIR"),
        ("CELERY_BROKER_URL", "filesystem:///", "filesystem:///DIR"),
        ("GILOTINE_TRACE", "/" + "x" * 107, "107 bytes"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write_instead(tmp_path, name, value, complaint):
    library = tmp_path / "libduckdb.so"
    library.touch()
    with pytest.raises(settings.SettingsError) as caught:
        settings.read_settings({"DUCKDB_LIBRARY": str(library), name: value})
    assert f"{name}={value}" in str(caught.value) and complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_setting_stops_the_worker_with_one_line(folder):
    it = interpreter_with(free_threaded=False)
    for extra, said in (
        ({"MP_START_METHOD": "foo"}, "subject: MP_START_METHOD=foo: must be one of fork, forkserver, spawn\n"),
        ({"DUCKDB_LIBRARY": __file__}, f"subject: DUCKDB_DRIVER=capi: cannot be loaded: {__file__}: invalid ELF header\n"),
        ({"CELERY_BROKER_URL": f"filesystem://{__file__}"}, f"subject: CELERY_BROKER_URL=filesystem://{__file__}: cannot make"),
    ):
        env = {"CELERY_BROKER_URL": f"filesystem://{folder}/broker", "DUCKDB_LIBRARY": support.library(), **extra}
        done = subprocess.run(
            support.worker_command(it.python, "solo"), env=environment(**env), cwd=folder, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=support.PATIENCE_SECONDS,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(said) and done.stderr.count("\n") == 1


def test_the_defaults_are_those_of_the_environment_that_is_reproduced(tmp_path):
    library = tmp_path / "libduckdb.so"
    (tmp_path / "manifest.ini").write_text(f"[duckdb]\nlibrary={library}\n")
    library.touch()
    # Empty counts as absent.
    config = settings.read_settings({"GILOTINE_CACHE": str(tmp_path), "DUCKDB_THREADS": ""})
    assert (config.broker_url, config.result_backend) == ("amqp://guest:guest@rabbitmq:5672//", "rpc://")
    assert (config.threads, config.driver, config.query, config.mode) == (1, "capi", "interruptible", "unknown")
    assert (config.use_signals, config.cleanup_children, config.start_method) == (False, False, None)
    assert config.library == str(library) and config.trace is None
    assert settings.read_settings({"DUCKDB_DRIVER": "module"}).library == ""
