"""Where libduckdb.so and the header that belongs to it come from."""
from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from .cache import ensure_dir
from .errors import ToolError
from .fetch import Unreachable, download, get
from .process import clean_env, run
from .progress import Progress

# The version this project is tested with, as each publisher numbers it.
VERSION = "1.5.6"
RELEASES = "https://github.com/duckdb/duckdb/releases/download"
RELEASE_NOTES = "https://api.github.com/repos/duckdb/duckdb/releases/tags"
CHECK = Path(__file__).resolve().parent / "duckdb_check.py"


class Machine(NamedTuple):
    """How the publishers call one kind of machine, and the SHA-256 of VERSION's library and header for it."""
    archive: str
    npm: str
    go: str
    library_sha256: str
    header_sha256: str


HEADER_SHA256 = "e85f70155b5948c8575e59f66e60d43575cec8b252293534c9e8598eb313a293"
MACHINES = {
    "x86_64": Machine("linux-amd64", "linux-x64", "linux-amd64",
                      "3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633", HEADER_SHA256),
    "aarch64": Machine("linux-arm64", "linux-arm64", "linux-arm64",
                       "23686593dba4ec22c6e581bb1c843b3964e84c4bc4d0063d8b4daddd2e20e30a", HEADER_SHA256),
}


class Pair(NamedTuple):
    """A library and its header, somewhere in scratch; `origin` and `checked` are for people."""
    library: Path
    header: Path
    version: str
    origin: str
    checked: str


class NotThere(Exception):
    """This source cannot be had; str() says why."""


def this_machine() -> Machine:
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise ToolError(f"no libduckdb is published for {platform.machine()}",
                        "DUCKDB_SOURCE=folder takes a libduckdb.so and duckdb.h of your own")
    return machine


def header_version(header: Path) -> str:
    """The API version a header is written for; "" for one that is older than that habit."""
    text = header.read_text(encoding="utf-8", errors="replace")
    found = [re.search(rf"^#define DUCKDB_API_VERSION_{part} (\d+)$", text, re.MULTILINE) for part in ("MAJOR", "MINOR", "PATCH")]
    return ".".join(part.group(1) for part in found if part) if all(found) else ""


def verify(pair: Pair, log: Path) -> str:
    """Loads the library in a process of its own and asks it; answers its version."""
    said = header_version(pair.header)
    text = run([sys.executable, "-I", str(CHECK), str(pair.library), said], what=f"trying {pair.library}", log=log)
    version = text.strip().splitlines()[-1]
    if pair.version and pair.version != version:
        raise ToolError(f"{pair.origin} should hold DuckDB {pair.version}, but its library says {version}", log=str(log))
    return version


def given(folder: Path) -> Pair:
    hint = "DUCKDB_SOURCE names a folder with libduckdb.so and the duckdb.h of the same version"
    if not folder.is_dir():
        raise ToolError(f"DUCKDB_SOURCE={folder} is not a folder", hint)
    for name in ("libduckdb.so", "duckdb.h"):
        if not (folder / name).is_file():
            raise ToolError(f"DUCKDB_SOURCE={folder} has no {name}", hint)
    return Pair(folder / "libduckdb.so", folder / "duckdb.h", "", f"DUCKDB_SOURCE={folder}", "as given")


# --- DuckDB's own release --------------------------------------------------------------------------------------

def _release_digest(version: str, name: str) -> str:
    """SHA-256 that GitHub publishes for an asset of a release; "" when it says none."""
    try:
        notes = json.loads(get(f"{RELEASE_NOTES}/v{version}"))
        for asset in notes.get("assets", []):
            if asset.get("name") == name and str(asset.get("digest", "")).startswith("sha256:"):
                return str(asset["digest"]).split(":", 1)[1].lower()
    except (Unreachable, ValueError, AttributeError):
        pass
    return ""


def from_release(version: str, scratch: Path, log: Path, progress: Progress) -> Pair:
    machine = this_machine()
    name = f"libduckdb-{machine.archive}.zip"
    base = os.environ.get("DUCKDB_MIRROR", "").rstrip("/") or RELEASES
    url = f"{base}/v{version}/{name}"
    expected = os.environ.get("DUCKDB_SHA256", "").lower()
    where = "SHA-256 given by DUCKDB_SHA256"
    try:
        get(base.split("/releases")[0], limit=1)
    except Unreachable as error:
        if not error.missing:
            raise NotThere(str(error)) from error
    if not expected:
        expected, where = _release_digest(version, name), "SHA-256 published with the release"
    try:
        archive = scratch / name
        actual = download(url, archive, progress.at)
    except Unreachable as error:
        raise NotThere(str(error)) from error
    if not expected:
        raise NotThere(f"{url} has SHA-256 {actual}, but none is published to hold it against; "
                       f"DUCKDB_SHA256={actual} accepts it")
    if expected != actual:
        raise ToolError(f"{url} has SHA-256 {actual}, expected {expected}: refused",
                        "try again; if it stays so, the download is being tampered with")
    folder = ensure_dir(scratch / "release")
    with zipfile.ZipFile(archive) as packed:
        for wanted in ("libduckdb.so", "duckdb.h"):
            if wanted not in packed.namelist():
                raise NotThere(f"{url} holds no {wanted}")
            packed.extract(wanted, folder)
    return Pair(folder / "libduckdb.so", folder / "duckdb.h", version, url, where)


# --- npm and Go ------------------------------------------------------------------------------------------------

def _npm_package(version: str, scratch: Path, log: Path) -> tuple[Path, str]:
    """npm pack checks the registry's integrity digest; `view` picks the newest packaging of this DuckDB."""
    name = f"@duckdb/node-bindings-{this_machine().npm}"
    env = clean_env({"npm_config_fetch_retries": "1", "npm_config_fetch_timeout": "20000", "npm_config_update_notifier": "false"})
    listing = run(["npm", "view", name, "versions", "--json"], what=f"asking npm for {name}", log=log, env=env)
    versions = [v for v in json.loads(listing[listing.index("["):]) if re.fullmatch(rf"{re.escape(version)}-r\.\d+", v)]
    if not versions:
        raise NotThere(f"npm has no {name} {version}")
    newest = max(versions, key=lambda v: int(v.rsplit(".", 1)[1]))
    folder = ensure_dir(scratch / "npm")
    run(["npm", "pack", f"{name}@{newest}", "--silent", "--pack-destination", str(folder)], what=f"npm pack {name}@{newest}",
        log=log, env=env)
    tarball = next(folder.glob("*.tgz"))
    run(["tar", "-xf", str(tarball), "-C", str(folder), "package/libduckdb.so"], what=f"unpacking {tarball.name}", log=log)
    return folder / "package" / "libduckdb.so", f"npm {name} {newest}"


def _go_header(version: str, scratch: Path, log: Path) -> tuple[Path, str]:
    """The module numbers DuckDB 1.5.6 as v0.10506.0. go checks it against its checksum database."""
    major, minor, patch = (int(part) for part in version.split("."))
    module = f"github.com/duckdb/duckdb-go-bindings/lib/{this_machine().go}@v0.{major * 10000 + minor * 100 + patch}.0"
    env = clean_env({"GOMODCACHE": str(scratch / "gomod"), "GOFLAGS": "-mod=mod -modcacherw", "GOTOOLCHAIN": "local"})
    text = run(["go", "mod", "download", "-json", module], what=f"go mod download {module}", log=log, cwd=scratch, env=env)
    said = json.loads(text[text.index("{"):text.rindex("}") + 1])
    return Path(said["Dir"]) / "duckdb.h", f"Go module {module}"


def from_packages(version: str, scratch: Path, log: Path, progress: Progress) -> Pair:
    missing = [program for program in ("npm", "go") if not shutil.which(program)]
    if missing:
        raise NotThere(f"no program {' and no program '.join(missing)} here; `tools/deps registries` installs them")
    try:
        progress.at(0.1, "library from npm")
        library, npm_origin = _npm_package(version, scratch, log)
        progress.at(0.5, "header from its Go module")
        header, go_origin = _go_header(version, scratch, log)
    except ToolError as error:
        raise NotThere(str(error).strip().splitlines()[-1]) from error
    except (ValueError, KeyError, StopIteration) as error:
        raise NotThere(f"npm or go answered something unexpected ({error}); see {log}") from error
    return Pair(library, header, version, f"{npm_origin}, header of {go_origin}", "integrity checked by npm and by go")


def check_pins(pair: Pair, library_sha256: str, header_sha256: str) -> None:
    """For the version this project pins: what the packages hold must be what was reviewed. The archive of the release is
    built separately and has a digest of its own."""
    if pair.version != VERSION or not pair.origin.startswith("npm "):
        return
    machine = this_machine()
    for name, actual, pinned in (("libduckdb.so", library_sha256, machine.library_sha256),
                                 ("duckdb.h", header_sha256, machine.header_sha256)):
        if actual != pinned:
            raise ToolError(f"{name} of {pair.origin} has SHA-256 {actual}, {pinned} is pinned: refused",
                            "a new packaging of the same version needs a new pin in tools/lib/gttools/duckdb_source.py")
