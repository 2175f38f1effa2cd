"""tools/deps, tools/build-python and tools/fetch-duckdb, each run as a user runs it.

Real builds take minutes, so what is tested here is everything round the compiler: a source tree whose configure and
make do next to nothing and whose `make install` puts a real interpreter of the manifest in place."""
from __future__ import annotations

import configparser
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / "tools"
sys.path.insert(0, str(TOOLS / "lib"))
from gttools.duckdb_source import BESIDE, VERSION  # noqa: E402

BUILD, FETCH, DEPS = TOOLS / "build-python", TOOLS / "fetch-duckdb", TOOLS / "deps"
CHECK = TOOLS / "lib" / "check_interpreter.py"
DUCKDB_CHECK = TOOLS / "lib" / "gttools" / "duckdb_check.py"
DEADLINE_SEC = 60
NOWHERE = "http://127.0.0.1:9"  # the discard port: refused at once

FAKE_CONFIGURE = """\
#!/bin/sh
for argument; do case $argument in --prefix=*) prefix=${argument#--prefix=};; esac; done
echo "checking nothing"
if [ -n "$FAKE_BLOCK" ]; then
  sleep 300 & child=$!
  echo $child $$ > "$FAKE_BLOCK.new" && mv "$FAKE_BLOCK.new" "$FAKE_BLOCK"
  wait $child
fi
cat > Makefile <<EOF
all:
install:
	mkdir -p \\$(DESTDIR)$prefix/bin
	ln -s $FAKE_PYTHON \\$(DESTDIR)$prefix/bin/python3
EOF
"""


def cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("GILOTINE_CACHE") or os.path.join(base, "gilotine"))


def read_ini(path: Path) -> dict[str, dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path, encoding="utf-8")
    return {name: dict(parser[name]) for name in parser.sections()}


@functools.lru_cache(maxsize=None)
def manifest() -> dict[str, dict[str, str]]:
    return read_ini(cache_dir() / "manifest.ini")


def entry(group: str) -> dict[str, str]:
    if group not in manifest():
        pytest.skip(f"the manifest has no [{group}]; `make interpreters` makes it")
    return manifest()[group]


def clean_environment(**extra: object) -> dict[str, str]:
    ours = ("GILOTINE_", "PYTHON", "DUCKDB_", "FAKE_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    env.update({key: str(value) for key, value in extra.items()})
    return env


def run(*command: object, **env: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], env=clean_environment(**env), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=DEADLINE_SEC)


def start(*command: object, **env: object) -> subprocess.Popen[str]:
    return subprocess.Popen([str(part) for part in command], env=clean_environment(**env), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + DEADLINE_SEC
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)
    return path.read_text(encoding="ascii")


def is_gone(pid: int) -> bool:
    """Ended, reaped or not: whoever inherits an orphan may take its time."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rsplit(b")", 1)[1].split()[0] in (b"Z", b"X")


def assert_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.02)


def assert_nothing_half_made(cache: Path) -> None:
    assert list((cache / "python").glob("*")) == []
    assert list((cache / "tmp").glob("*")) == []
    assert not (cache / "manifest.ini").exists()


@pytest.fixture
def no_programs(tmp_path: Path) -> Path:
    folder = tmp_path / "no-programs"
    folder.mkdir()
    return folder


@pytest.fixture
def fake_source(tmp_path: Path) -> Path:
    """CPython in name only; its version is the real one's, so that the self-test can pass."""
    folder = tmp_path / "cpython"
    (folder / "Include").mkdir(parents=True)
    (folder / "Include" / "patchlevel.h").write_text(f'#define PY_VERSION  "{entry("gil")["version"]}"\n', encoding="ascii")
    configure = folder / "configure"
    configure.write_text(FAKE_CONFIGURE, encoding="ascii")
    configure.chmod(0o755)
    return folder


@pytest.fixture
def fake_env(tmp_path: Path, fake_source: Path) -> dict[str, object]:
    return {"GILOTINE_CACHE": tmp_path / "cache", "PYTHON_SOURCE": fake_source,
            "FAKE_PYTHON": Path(entry("gil")["prefix"]) / "bin" / "python3"}


@pytest.fixture
def web(tmp_path: Path):
    """A web server on the loopback; answers (folder it serves, its address)."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, directory=str(folder), **options)

        def log_message(self, *_arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(DEADLINE_SEC)
    server.server_close()


# --- all of them -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("tool", [DEPS, BUILD, FETCH], ids=lambda tool: tool.name)
def test_help_explains_the_tool_and_an_unknown_option_is_a_usage_error(tool: Path) -> None:
    done = run(tool, "--help")
    assert done.returncode == 0 and "usage:" in done.stdout
    wrong = run(tool, "--no-such-option")
    assert wrong.returncode == 2 and "--no-such-option" in wrong.stderr


def test_shell_scripts_are_sound() -> None:
    scripts = (DEPS, TOOLS / "docker-here", ROOT / "docker" / "python-image")
    for script in scripts:
        assert run("bash", "-n", script).returncode == 0
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if shellcheck:
        done = run(shellcheck, *scripts)
        assert done.returncode == 0, done.stdout


# --- deps ------------------------------------------------------------------------------------------------------------

def test_deps_names_what_a_bare_machine_lacks_and_touches_nothing(no_programs: Path) -> None:
    done = run("/bin/bash", DEPS, "--check", PATH=no_programs)
    assert done.returncode == 1
    for package in ("gcc", "meson", "ninja-build", "libglib2.0-dev", "librabbitmq-dev", "libjansson-dev", "libssl-dev",
                    "clang-14"):
        assert package in done.stdout


def test_deps_finds_in_no_time_that_nothing_is_missing_for_the_build_at_hand() -> None:
    started = time.monotonic()
    done = run(DEPS, "--check", "build")
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("manager", "command"), [("dnf", "sudo dnf install "), ("pacman", "sudo pacman -S --needed ")])
def test_deps_prints_the_command_of_a_distribution_it_does_not_drive(no_programs: Path, manager: str, command: str) -> None:
    (no_programs / manager).write_text("#!/bin/sh\nexit 99\n", encoding="ascii")
    (no_programs / manager).chmod(0o755)
    done = run("/bin/bash", DEPS, "build", PATH=no_programs)
    assert done.returncode == 1
    assert command in done.stdout and "jansson" in done.stdout
    assert "not installed" in done.stderr


def test_deps_knows_its_tiers() -> None:
    done = run(DEPS, "--check", "everything")
    assert done.returncode == 2 and "build python broker check" in done.stderr


# --- the manifest ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("group", "free_threaded"), [("gil", False), ("nogil", True)])
def test_the_manifest_tells_the_truth_about_each_interpreter(group: str, free_threaded: bool) -> None:
    said = entry(group)
    done = run(said["python"], "-I", CHECK)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["problems"] == {}
    assert answer["facts"]["version"] == said["version"]
    assert answer["facts"]["free_threaded"] is free_threaded
    assert answer["facts"]["gil_enabled"] is not free_threaded
    assert said["free_threaded"] == str(free_threaded).lower()
    assert (Path(said["prefix"]) / "bin" / "python3").exists()


@pytest.mark.parametrize("group", ["gil", "nogil"])
def test_each_interpreter_has_the_pinned_packages_and_imports_leave_the_gil_alone(group: str) -> None:
    code = ("import sys, json, importlib.metadata as m, importlib.util as u; before = sys._is_gil_enabled()\n"
            "import celery, kombu, timeout_decorator\n"
            "print(json.dumps({'same': before == sys._is_gil_enabled(), 'hiredis': u.find_spec('hiredis') is not None,\n"
            "  'packages': {d.name.lower().replace('_', '-'): d.version for d in m.distributions()}}))")
    done = run(entry(group)["python"], "-I", "-c", code)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["same"] and not answer["hiredis"]
    lines = (ROOT / "lab" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if "==" in line]
    assert len(pins) > 10
    for name, version in pins:
        assert answer["packages"].get(name) == version


@pytest.mark.parametrize("group", ["gil", "nogil"])
def test_the_duckdb_module_is_in_the_manifest_exactly_where_it_can_be_imported(group: str) -> None:
    done = run(entry(group)["python"], "-I", "-c", "import duckdb; print(duckdb.__version__)")
    assert (done.stdout.strip() if done.returncode == 0 else None) == entry(group).get("duckdb_module")


@pytest.mark.parametrize("group", ["duckdb", *(f"duckdb-{version}" for version in BESIDE)])
def test_libduckdb_and_its_header_match_and_answer_a_query(group: str) -> None:
    said = entry(group)
    if "unreachable" in said:
        pytest.skip(f"DuckDB {said['version']} is out of reach: {said['unreachable']}")
    done = run(sys.executable, "-I", DUCKDB_CHECK, said["library"], said["version"])
    assert done.stdout.strip() == said["version"], done.stderr
    header = Path(said["header"]).read_text(encoding="utf-8")
    assert "duckdb_interrupt" in header and "duckdb_query_progress" in header


@pytest.mark.parametrize("group", ["gil", "nogil"])
def test_a_second_run_of_build_python_has_nothing_to_do(group: str) -> None:
    record = read_ini(Path(entry(group)["prefix"]) / "gilotine-build.ini").get("build")
    if record is None:
        pytest.skip("the manifest names an interpreter that the user brought")
    source = record["source"].partition("PYTHON_SOURCE=")[2]
    asked = {"PYTHON_SOURCE": source} if source else {"PYTHON_VERSION": record["version"]}
    started = time.monotonic()
    done = run(BUILD, group, GILOTINE_CACHE=cache_dir(), **asked)
    assert done.returncode == 0 and "nothing to do" in done.stdout, done.stdout + done.stderr
    assert time.monotonic() - started < 5


def test_a_second_run_of_fetch_duckdb_has_nothing_to_do() -> None:
    source = entry("duckdb")["source"].partition("DUCKDB_SOURCE=")[2]
    asked = {"DUCKDB_SOURCE": source} if source else {"DUCKDB_VERSION": entry("duckdb")["version"]}
    started = time.monotonic()
    done = run(FETCH, GILOTINE_CACHE=cache_dir(), **asked)
    assert done.returncode == 0 and "nothing to do" in done.stdout, done.stdout + done.stderr
    assert time.monotonic() - started < 5


# --- build-python: what cannot be ------------------------------------------------------------------------------------

@pytest.mark.parametrize(("env", "message"), [
    ({"PYTHON_VERSION": "banana"}, "PYTHON_VERSION=banana is no version"),
    ({"PYTHON_VERSION": "3.12.1"}, "3.13 is the oldest"),
    ({"PYTHON_SOURCE": "/no/such/folder"}, "does not exist"),
    ({"PYTHON_SOURCE": "/etc"}, "no source of CPython"),
    ({"PYTHON_SOURCE": "/etc/passwd"}, "neither a folder nor a tarball"),
    ({"GILOTINE_PYTHON_NOGIL": "/bin/false"}, "does not run as a Python interpreter"),
])
def test_what_cannot_be_built_is_refused_at_once(tmp_path: Path, env: dict[str, str], message: str) -> None:
    started = time.monotonic()
    done = run(BUILD, "nogil", GILOTINE_CACHE=tmp_path / "cache", **env)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 5
    assert_nothing_half_made(tmp_path / "cache")


def test_an_interpreter_that_is_not_what_was_asked_for_is_not_installed(tmp_path: Path, fake_env: dict[str, object]) -> None:
    fake_env["FAKE_PYTHON"] = Path(entry("nogil")["prefix"]) / "bin" / "python3"
    done = run(BUILD, "gil", "--no-venv", **fake_env)
    assert done.returncode == 1
    assert "Py_GIL_DISABLED: is True, should be False" in done.stderr
    assert_nothing_half_made(tmp_path / "cache")


def test_a_failing_build_shows_its_last_lines_and_names_the_log(tmp_path: Path, fake_source: Path,
                                                                fake_env: dict[str, object]) -> None:
    (fake_source / "configure").write_text("#!/bin/sh\necho no compiler in the house\nexit 77\n", encoding="ascii")
    done = run(BUILD, "gil", "--no-venv", **fake_env)
    assert done.returncode == 1
    assert "no compiler in the house" in done.stderr and "ended with 77" in done.stderr
    assert "no compiler in the house" in (tmp_path / "cache" / "log" / "python-gil.log").read_text(encoding="utf-8")
    assert_nothing_half_made(tmp_path / "cache")


def test_a_cache_whose_path_has_blanks_is_refused_before_anything_is_built(tmp_path: Path, fake_env: dict[str, object]) -> None:
    fake_env["GILOTINE_CACHE"] = tmp_path / "my cache"
    done = run(BUILD, "gil", "--no-venv", **fake_env)
    assert done.returncode == 1 and "blanks" in done.stderr


def test_packages_that_cannot_be_had_leave_no_half_made_environment(tmp_path: Path, fake_env: dict[str, object]) -> None:
    done = run(BUILD, "gil", PIP_INDEX_URL=NOWHERE, PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="", PIP_RETRIES="0", **fake_env)
    assert done.returncode == 1 and "pip install for" in done.stderr and "venv-gil.log" in done.stderr
    assert list((tmp_path / "cache" / "venv").glob("*")) == []
    assert len(list((tmp_path / "cache" / "python").glob("*"))) == 1  # the interpreter stays: the next run needs no build
    assert not (tmp_path / "cache" / "manifest.ini").exists()


# --- build-python: what happens on the way ---------------------------------------------------------------------------

@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_and_a_rerun_goes_through(tmp_path: Path, fake_env: dict[str, object],
                                                                      signum: signal.Signals) -> None:
    blocked = tmp_path / "blocked"
    tool = start(BUILD, "gil", "--no-venv", FAKE_BLOCK=blocked, **fake_env)
    sleeper, shell = map(int, wait_for(blocked).split())
    tool.send_signal(signum)
    output, _ = tool.communicate(timeout=DEADLINE_SEC)
    assert tool.returncode == 128 + signum and f"stopped by {signum.name}" in output
    assert_gone(sleeper)
    assert_gone(shell)
    assert_nothing_half_made(tmp_path / "cache")

    again = run(BUILD, "gil", "--no-venv", **fake_env)
    assert again.returncode == 0, again.stdout + again.stderr
    built = list((tmp_path / "cache" / "python").glob("*"))
    assert len(built) == 1 and (built[0] / "bin" / "python3").exists()
    third = run(BUILD, "gil", "--no-venv", **fake_env)
    assert third.returncode == 0 and "nothing to do" in third.stdout


def test_what_a_killed_build_left_is_removed_by_the_next_one(tmp_path: Path, fake_env: dict[str, object]) -> None:
    blocked = tmp_path / "blocked"
    tool = start(BUILD, "gil", "--no-venv", FAKE_BLOCK=blocked, **fake_env)
    sleeper, shell = map(int, wait_for(blocked).split())
    tool.kill()
    tool.wait(DEADLINE_SEC)
    assert tool.stdout is not None
    tool.stdout.close()
    try:
        assert_gone(shell)  # the kernel told it
    finally:
        os.kill(sleeper, signal.SIGTERM)  # a grandchild: make ends its own, this shell does not
    assert list((tmp_path / "cache" / "tmp").glob("*")) != []
    again = run(BUILD, "gil", "--no-venv", **fake_env)
    assert again.returncode == 0, again.stdout + again.stderr
    assert list((tmp_path / "cache" / "tmp").glob("*")) == []


def test_a_second_run_at_the_same_time_waits_for_the_first(tmp_path: Path, fake_env: dict[str, object]) -> None:
    blocked = tmp_path / "blocked"
    first = start(BUILD, "gil", "--no-venv", FAKE_BLOCK=blocked, **fake_env)
    sleeper, _shell = map(int, wait_for(blocked).split())
    second = start(BUILD, "gil", "--no-venv", **fake_env)
    assert second.stdout is not None and first.stdout is not None
    assert f"another run (process {first.pid}) is at work" in second.stdout.readline()
    os.kill(sleeper, signal.SIGTERM)  # the first one goes on
    first_output, _ = first.communicate(timeout=DEADLINE_SEC)
    second_output, _ = second.communicate(timeout=DEADLINE_SEC)
    assert first.returncode == 0, first_output
    assert second.returncode == 0, second_output
    assert "built and tested" in first_output and "built and tested" not in second_output


def test_list_shows_what_is_stored_and_clean_removes_it(tmp_path: Path, fake_env: dict[str, object]) -> None:
    assert run(BUILD, "gil", "--no-venv", **fake_env).returncode == 0
    assert f"python/{entry('gil')['version']}-gil-" in run(BUILD, "--list", **fake_env).stdout
    assert "freed" in run(BUILD, "--clean", **fake_env).stdout
    assert not (tmp_path / "cache" / "python").exists()
    assert "(empty)" in run(BUILD, "--list", **fake_env).stdout


def test_prune_removes_only_what_the_manifest_does_not_name(tmp_path: Path, fake_env: dict[str, object]) -> None:
    assert run(BUILD, "gil", "--no-venv", **fake_env).returncode == 0
    cache = tmp_path / "cache"
    built = next((cache / "python").glob("*"))
    venv = cache / "venv" / f"{built.name}-tests-00000000"
    for stale in (cache / "venv" / "stale", cache / "python" / "stale", venv):
        stale.mkdir(parents=True)
    (cache / "manifest.ini").write_text(f"[tests]\npython={venv}/bin/python\n", encoding="utf-8")
    done = run(BUILD, "--prune", **fake_env)
    assert done.returncode == 0 and "freed" in done.stdout
    assert [path.name for path in (cache / "python").glob("*")] == [built.name]
    assert [path.name for path in (cache / "venv").glob("*")] == [venv.name]


def publish(folder: Path, source: Path, digest: str = "") -> str:
    """Puts a release on the web server the way python.org does, with a bill of materials; answers its version."""
    version = entry("gil")["version"]
    (folder / version).mkdir()
    tarball = folder / version / f"Python-{version}.tar.xz"
    with tarfile.open(tarball, "w:xz") as packed:
        packed.add(source, f"Python-{version}")
    digest = digest or hashlib.sha256(tarball.read_bytes()).hexdigest()
    bill = {"packages": [{"name": "expat"}, {"name": "CPython", "checksums": [{"algorithm": "SHA256", "checksumValue": digest}]}]}
    tarball.with_name(tarball.name + ".spdx.json").write_text(json.dumps(bill), encoding="utf-8")
    return version


def test_the_newest_release_of_a_series_is_found_checked_and_built(web, fake_source: Path, fake_env: dict[str, object]) -> None:
    folder, address = web
    version = publish(folder, fake_source)
    del fake_env["PYTHON_SOURCE"]
    series = ".".join(version.split(".")[:2])
    (folder / f"{series}.999").mkdir()  # a release to come: a folder without its tarball
    done = run(BUILD, "gil", "--no-venv", PYTHON_MIRROR=address, PYTHON_VERSION=series, **fake_env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"CPython {version} from {address}/{version}/Python-{version}.tar.xz (SHA-256 of its SPDX file)" in done.stdout


def test_a_version_asked_for_by_name_is_never_replaced_by_another(web, tmp_path: Path, no_programs: Path, fake_source: Path,
                                                                  fake_env: dict[str, object]) -> None:
    folder, address = web
    version = publish(folder, fake_source)
    del fake_env["PYTHON_SOURCE"]
    done = run(BUILD, "gil", "--no-venv", PYTHON_MIRROR=address, PYTHON_VERSION=version, **fake_env)
    assert done.returncode == 0, done.stderr  # now a source and a build are at hand
    done = run(sys.executable, BUILD, "gil", "--no-venv", PYTHON_VERSION="3.14.998", PYTHON_MIRROR=NOWHERE, PATH=no_programs,
               **fake_env)
    assert done.returncode == 1
    assert "CPython 3.14.998 cannot be had" in done.stderr
    assert NOWHERE in done.stderr and "no apt-get" in done.stderr  # everything that was tried, and why it failed
    assert len(list((tmp_path / "cache" / "python").glob("*"))) == 1


def test_without_a_source_in_reach_the_default_takes_the_one_it_stored(web, no_programs: Path, fake_source: Path,
                                                                       fake_env: dict[str, object]) -> None:
    folder, address = web
    version = publish(folder, fake_source)
    del fake_env["PYTHON_SOURCE"]
    assert run(BUILD, "gil", "--no-venv", PYTHON_MIRROR=address, PYTHON_VERSION=version, **fake_env).returncode == 0
    done = run(sys.executable, BUILD, "gil", "--no-venv", PYTHON_MIRROR=NOWHERE, PATH=no_programs, **fake_env)
    assert done.returncode == 0, done.stderr
    assert "not from python.org" in done.stdout and f"source: CPython {version} from" in done.stdout
    assert "nothing to do" in run(BUILD, "gil", "--no-venv", **fake_env).stdout


def test_a_release_that_differs_from_its_published_checksum_is_refused(web, tmp_path: Path, fake_source: Path,
                                                                       fake_env: dict[str, object]) -> None:
    folder, address = web
    version = publish(folder, fake_source, digest="0" * 64)
    del fake_env["PYTHON_SOURCE"]
    done = run(BUILD, "gil", "--no-venv", PYTHON_MIRROR=address, PYTHON_VERSION=version, **fake_env)
    assert done.returncode == 1 and "refused" in done.stderr and "0" * 64 in done.stderr
    assert list((tmp_path / "cache" / "sources").glob("*.tar.xz")) == []
    assert_nothing_half_made(tmp_path / "cache")


def test_the_source_alone_is_fetched_checked_and_named(web, tmp_path: Path, fake_source: Path, fake_env: dict[str, object]) -> None:
    folder, address = web
    version = publish(folder, fake_source)
    del fake_env["PYTHON_SOURCE"]
    done = run(BUILD, "--source", PYTHON_MIRROR=address, PYTHON_VERSION=version, **fake_env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "cache" / "sources" / f"Python-{version}.tar.xz")
    assert Path(done.stdout.splitlines()[-1]).is_file()
    assert not (tmp_path / "cache" / "python").exists() and not (tmp_path / "cache" / "manifest.ini").exists()


def test_the_environment_of_the_projects_own_tests_can_be_left_out(tmp_path: Path) -> None:
    real, cache = cache_dir(), tmp_path / "cache"
    entry("gil")
    cache.mkdir()
    for name in ("python", "venv"):
        (cache / name).symlink_to(real / name)
    text = (real / "manifest.ini").read_text(encoding="utf-8").replace(str(real), str(cache))
    without = re.sub(r"^\[tests\]\n(?:.+\n)*", "", text, flags=re.MULTILINE)
    assert without != text
    (cache / "manifest.ini").write_text(without, encoding="utf-8")
    done = run(BUILD, "gil", "--no-tests", GILOTINE_CACHE=cache)
    assert done.returncode == 0 and "nothing to do" in done.stdout, done.stdout + done.stderr
    assert "tests" not in read_ini(cache / "manifest.ini")
    assert run(BUILD, "gil", GILOTINE_CACHE=cache).returncode == 0
    assert "tests" in read_ini(cache / "manifest.ini")


# --- fetch-duckdb ----------------------------------------------------------------------------------------------------

@pytest.fixture
def duckdb_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "duck"
    folder.mkdir()
    shutil.copy(entry("duckdb")["header"], folder / "duckdb.h")
    (folder / "libduckdb.so").symlink_to(entry("duckdb")["library"])
    return folder


def test_a_duckdb_of_ones_own_is_tried_stored_and_not_fetched_twice(tmp_path: Path, duckdb_folder: Path) -> None:
    env = {"GILOTINE_CACHE": tmp_path / "cache", "DUCKDB_SOURCE": duckdb_folder}
    done = run(FETCH, **env)
    assert done.returncode == 0, done.stderr
    said = read_ini(tmp_path / "cache" / "manifest.ini")["duckdb"]
    assert said["version"] == entry("duckdb")["version"]
    assert Path(said["library"]).is_file() and Path(said["header"]).is_file()
    assert "nothing to do" in run(FETCH, **env).stdout


def test_a_header_of_another_version_is_refused(tmp_path: Path, duckdb_folder: Path) -> None:
    header = duckdb_folder / "duckdb.h"
    text = header.read_text(encoding="utf-8").replace("#define DUCKDB_API_VERSION_MINOR ", "#define DUCKDB_API_VERSION_MINOR 9")
    header.write_text(text, encoding="utf-8")
    done = run(FETCH, GILOTINE_CACHE=tmp_path / "cache", DUCKDB_SOURCE=duckdb_folder)
    assert done.returncode == 1 and "its header is" in done.stderr
    assert_nothing_half_made(tmp_path / "cache")


def test_a_file_that_is_no_library_is_refused(tmp_path: Path, duckdb_folder: Path) -> None:
    (duckdb_folder / "libduckdb.so").unlink()
    (duckdb_folder / "libduckdb.so").write_text("quack", encoding="ascii")
    done = run(FETCH, GILOTINE_CACHE=tmp_path / "cache", DUCKDB_SOURCE=duckdb_folder)
    assert done.returncode == 1 and "trying" in done.stderr
    assert_nothing_half_made(tmp_path / "cache")


@pytest.mark.parametrize(("env", "message"), [
    ({"DUCKDB_SOURCE": "/no/such/folder"}, "is not a folder"),
    ({"DUCKDB_SOURCE": "/etc"}, "has no libduckdb.so"),
    ({"DUCKDB_VERSION": "newest"}, "is no version of DuckDB"),
])
def test_what_cannot_be_fetched_is_refused_at_once(tmp_path: Path, env: dict[str, str], message: str) -> None:
    done = run(FETCH, GILOTINE_CACHE=tmp_path / "cache", **env)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_with_no_source_in_reach_every_one_that_was_tried_is_named(tmp_path: Path, no_programs: Path) -> None:
    done = run(sys.executable, FETCH, GILOTINE_CACHE=tmp_path / "cache", DUCKDB_MIRROR=NOWHERE, DUCKDB_SHA256="0" * 64,
               PATH=no_programs)
    assert done.returncode == 1
    assert NOWHERE in done.stderr and "no program npm and no program go" in done.stderr


@pytest.mark.parametrize("honest", [True, False])
def test_a_release_archive_is_taken_only_with_its_checksum(web, tmp_path: Path, duckdb_folder: Path, honest: bool) -> None:
    folder, address = web
    version = entry("duckdb")["version"]
    machine = {"x86_64": "linux-amd64", "aarch64": "linux-arm64"}[os.uname().machine]
    (folder / f"v{version}").mkdir()
    archive = folder / f"v{version}" / f"libduckdb-{machine}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(duckdb_folder / "libduckdb.so", "libduckdb.so")
        packed.write(duckdb_folder / "duckdb.h", "duckdb.h")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest() if honest else "0" * 64
    done = run(FETCH, GILOTINE_CACHE=tmp_path / "cache", DUCKDB_MIRROR=address, DUCKDB_VERSION=version, DUCKDB_SHA256=digest)
    if honest:
        assert done.returncode == 0, done.stderr
        assert read_ini(tmp_path / "cache" / "manifest.ini")["duckdb"]["source"].startswith(address)
    else:
        assert done.returncode == 1 and "refused" in done.stderr
        assert_nothing_half_made(tmp_path / "cache")


@pytest.fixture
def cache_with_duckdb(tmp_path: Path) -> Path:
    """A cache that has the default version already."""
    folder = tmp_path / "cache"
    folder.mkdir()
    parser = configparser.ConfigParser(interpolation=None)
    parser["duckdb"] = {**entry("duckdb"), "version": VERSION, "source": "this test"}
    with open(folder / "manifest.ini", "w", encoding="utf-8") as file:
        parser.write(file)
    return folder


def test_without_the_version_beside_it_everything_goes_on_and_it_is_noted(cache_with_duckdb: Path, no_programs: Path) -> None:
    env = {"GILOTINE_CACHE": cache_with_duckdb, "DUCKDB_MIRROR": NOWHERE, "PATH": no_programs}
    done = run(sys.executable, FETCH, **env)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = [line for line in done.stdout.splitlines() if BESIDE[0] in line and "going on without" in line]
    assert NOWHERE in line and "no program mvn and no program cargo" in line
    said = read_ini(cache_with_duckdb / "manifest.ini")
    assert "no program mvn" in said[f"duckdb-{BESIDE[0]}"]["unreachable"] and said["duckdb"]["source"] == "this test"
    found = run(sys.executable, TOOLS / "find-duckdb", "--all", **env)
    assert [line.split("\t")[0] for line in found.stdout.splitlines()] == ["gilotine-duckdb"]
    # Who asks for it by name is not content with less.
    done = run(sys.executable, FETCH, BESIDE[0], **env)
    assert done.returncode == 1 and f"libduckdb {BESIDE[0]} cannot be had" in done.stderr


FAKE_MAVEN = """\
import pathlib, re, sys, zipfile
(version,) = re.findall("<version>.([0-9.]+)", pathlib.Path("pom.xml").read_text())
pathlib.Path("jars").mkdir()
with zipfile.ZipFile(f"jars/duckdb_jdbc-{version}.jar", "w") as jar:
    for machine in ("linux_amd64", "linux_arm64"):
        jar.write("LIBRARY", f"libduckdb_java.so_{machine}")
"""
FAKE_CARGO = """\
import pathlib, tarfile
crate = pathlib.Path("home/registry/src/there/libduckdb-sys-1.2.3")
crate.mkdir(parents=True)
with tarfile.open(crate / "duckdb.tar.gz", "w:gz") as source:
    source.add("HEADER", "duckdb/src/include/duckdb.h")
"""


@pytest.fixture
def fake_registries(tmp_path: Path) -> Path:
    """A folder of mvn and cargo, which have a library and a header of theirs, and timeout."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "timeout").symlink_to(shutil.which("timeout") or "")
    for name, text in (("mvn", FAKE_MAVEN), ("cargo", FAKE_CARGO)):
        text = text.replace("LIBRARY", entry("duckdb")["library"]).replace("HEADER", entry("duckdb")["header"])
        (folder / name).write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        (folder / name).chmod(0o755)
    return folder


def test_a_library_out_of_the_java_driver_can_be_linked_with(tmp_path: Path, fake_registries: Path) -> None:
    """Programs look for it under its own name."""
    version = entry("duckdb")["version"]
    done = run(sys.executable, FETCH, GILOTINE_CACHE=tmp_path / "cache", DUCKDB_MIRROR=NOWHERE, DUCKDB_VERSION=version,
               PATH=fake_registries)
    assert done.returncode == 0, done.stderr
    said = read_ini(tmp_path / "cache" / "manifest.ini")["duckdb"]
    assert said["version"] == version and "duckdb_jdbc" in said["source"]
    (name,) = [path for path in Path(said["library"]).parent.iterdir() if path.is_symlink()]
    assert name.name.startswith("libduckdb_java.so_") and name.resolve() == Path(said["library"]).resolve()
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


def test_a_pinned_package_of_another_content_is_refused_before_it_is_loaded(cache_with_duckdb: Path, fake_registries: Path) -> None:
    """Also when everything could go on without it: somebody should look."""
    done = run(sys.executable, FETCH, GILOTINE_CACHE=cache_with_duckdb, DUCKDB_MIRROR=NOWHERE, PATH=fake_registries)
    assert done.returncode == 1 and "is pinned: refused" in done.stderr, done.stdout
    assert f"duckdb-{BESIDE[0]}" not in read_ini(cache_with_duckdb / "manifest.ini")


def test_several_versions_and_one_digest_contradict_each_other(tmp_path: Path) -> None:
    done = run(FETCH, "1.5.5", "2.0.0", GILOTINE_CACHE=tmp_path / "cache", DUCKDB_SHA256="0" * 64)
    assert done.returncode == 1 and "DUCKDB_SHA256" in done.stderr
    assert run(FETCH, "2.x", GILOTINE_CACHE=tmp_path / "cache").returncode == 1
    assert run(FETCH, "--list", "2.0.0", GILOTINE_CACHE=tmp_path / "cache").returncode == 2
