"""Where libduckdb.so and the header that belongs to it come from."""
from __future__ import annotations

import json
import os
import platform
import re
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from .cache import ensure_dir
from .errors import ToolError
from .fetch import Unreachable, download, get
from .process import run
from .progress import Progress

# The versions this project is tested with, as each publisher numbers them: gilotine-duckdb is built with the first, a
# further executor with each of the others.
VERSION = "1.5.6"
BESIDE = ("2.0.0",)
RELEASES = "https://github.com/duckdb/duckdb/releases/download"
RELEASE_NOTES = "https://api.github.com/repos/duckdb/duckdb/releases/tags"
CHECK = Path(__file__).resolve().parent / "duckdb_check.py"


class Machine(NamedTuple):
    """How the publishers call one kind of machine."""
    archive: str
    npm: str
    go: str
    jar: str


MACHINES = {
    "x86_64": Machine("linux-amd64", "linux-x64", "linux-amd64", "linux_amd64"),
    "aarch64": Machine("linux-arm64", "linux-arm64", "linux-arm64", "linux_arm64"),
}


class Pair(NamedTuple):
    """A library and its header, somewhere in scratch; `origin` and `checked` are for people. `pins`: their SHA-256, ""
    when none is known before."""
    library: Path
    header: Path
    version: str
    origin: str
    checked: str
    pins: tuple[str, str] = ("", "")


class NotThere(Exception):
    """This source cannot be had; str() says why."""


class Refused(ToolError):
    """What came is not what was published or reviewed: never a reason to go on without it."""


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
        raise Refused(f"{url} has SHA-256 {actual}, expected {expected}: refused",
                      "try again; if it stays so, the download is being tampered with")
    folder = ensure_dir(scratch / "release")
    with zipfile.ZipFile(archive) as packed:
        for wanted in ("libduckdb.so", "duckdb.h"):
            if wanted not in packed.namelist():
                raise NotThere(f"{url} holds no {wanted}")
            packed.extract(wanted, folder)
    return Pair(folder / "libduckdb.so", folder / "duckdb.h", version, url, where)
