"""tools/deps and tools/build-python, each run as a user runs it, and what the manifest says of what is stored.

Real builds take minutes, so what is tested here is everything round the compiler: a source tree whose configure and
make do next to nothing and whose `make install` puts a real interpreter of the manifest in place."""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import time
from pathlib import Path

import pytest
from tools_support import (  # noqa: F401, fixtures
    BESIDE, BUILD, CHECK, DEADLINE_SEC, DEPS, DUCKDB_CHECK, FETCH, NOWHERE, ROOT, TOOLS, assert_gone,
    assert_nothing_half_made, cache_dir, entry, fake_env, fake_source, no_programs, read_ini, run, start,
    wait_for, web,
)

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
