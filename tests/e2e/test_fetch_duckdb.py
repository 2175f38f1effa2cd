"""tools/fetch-duckdb: sources in their order, checksums, versions side by side."""

from __future__ import annotations

import configparser
import hashlib
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
from tools_support import (  # noqa: F401, fixtures
    BESIDE, FETCH, NOWHERE, TOOLS, VERSION, assert_nothing_half_made, entry, no_programs, read_ini, run, web,
)


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
