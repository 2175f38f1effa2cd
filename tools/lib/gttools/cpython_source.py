"""Where the source of CPython comes from: the one given, python.org, the distribution's source package."""
from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple, Optional

from .apt_source import NotThere, apt_sources
from .cache import cache_dir, ensure_dir
from .errors import ToolError
from .fetch import Unreachable, download, get, sha256_of
from .progress import Progress

DEFAULT_SERIES = "3.14"
FALLBACK_SERIES = ("3.13",)  # older ones have no free-threaded build
DEFAULT_MIRROR = "https://www.python.org/ftp/python"
TARBALL_SUFFIXES = (".tar.xz", ".tgz", ".tar.gz", ".tar.bz2", ".tar.zst", ".tar")


class Request(NamedTuple):
    """What the user wants: kind is `default`, `version` (3.14 or 3.14.2) or `source` (a path)."""
    kind: str
    value: str

    def text(self) -> str:
        return self.kind if self.kind == "default" else f"{self.kind}:{self.value}"


class Source(NamedTuple):
    version: str
    path: Path      # a tarball or a folder
    origin: str     # for people: where it came from
    checked: str    # for people: what was verified
    identity: str   # "" for a release (the version says it all), else a digest of the content


def request_from_environment() -> Request:
    path, version = os.environ.get("PYTHON_SOURCE", ""), os.environ.get("PYTHON_VERSION", "")
    if version and not re.fullmatch(r"3\.\d+(\.\d+((a|b|rc)\d+)?)?", version):
        raise ToolError(f"PYTHON_VERSION={version} is no version of CPython",
                        "give a release such as 3.14.2, or a series such as 3.14 for its newest release")
    if path:
        return Request("source", os.path.abspath(path))
    return Request("version", version) if version else Request("default", DEFAULT_SERIES)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def in_series(version: str, wanted: str) -> bool:
    return version == wanted or (wanted.count(".") == 1 and version.startswith(wanted + "."))


# --- the one given ---------------------------------------------------------------------------------------------

def _version_of_text(text: str, where: str) -> str:
    found = re.search(r'^#define PY_VERSION\s+"([^"]+)"', text, re.MULTILINE)
    if not found:
        raise ToolError(f"{where} does not say which version of CPython it is")
    return found.group(1)


def _identity_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for parent, dirs, files in os.walk(folder):
        dirs[:] = sorted(name for name in dirs if name not in (".git", "__pycache__"))
        for name in sorted(files):
            path = os.path.join(parent, name)
            info = os.lstat(path)
            digest.update(f"{os.path.relpath(path, folder)}\0{info.st_size}\0{info.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def given_source(path: Path, wanted: Optional[str]) -> Source:
    """PYTHON_SOURCE: a folder or a tarball. A tarball's version is known from its name; unpacking checks it."""
    hint = "PYTHON_SOURCE names a folder with CPython's source or a tarball of it, such as Python-3.14.2.tar.xz"
    if not path.exists():
        raise ToolError(f"PYTHON_SOURCE={path} does not exist", hint)
    if path.is_dir():
        header = path / "Include" / "patchlevel.h"
        if not header.exists() or not (path / "configure").exists():
            raise ToolError(f"PYTHON_SOURCE={path} is no source of CPython: it has no configure or no {header.name}", hint)
        if (path / "pybuilddir.txt").exists() or (path / "Makefile").exists():
            raise ToolError(f"PYTHON_SOURCE={path} was built in before, its objects would get in the way",
                            "run `make distclean` there, or give a fresh copy")
        version = _version_of_text(header.read_text(encoding="utf-8"), str(header))
        source = Source(version, path, f"PYTHON_SOURCE={path}", "as given", _identity_of_folder(path))
    else:
        if not path.name.endswith(TARBALL_SUFFIXES):
            raise ToolError(f"PYTHON_SOURCE={path} is neither a folder nor a tarball ({' '.join(TARBALL_SUFFIXES)})", hint)
        found = re.search(r"(3\.\d+\.\d+((?:a|b|rc)\d+)?)", path.name)
        if not found:
            raise ToolError(f"the name of PYTHON_SOURCE={path} does not hold a version", hint)
        source = Source(found.group(1), path, f"PYTHON_SOURCE={path}", "as given", sha256_of(path))
    if wanted and not in_series(source.version, wanted):
        raise ToolError(f"PYTHON_SOURCE={path} is {source.version}, but PYTHON_VERSION asks for {wanted}", "unset one of them")
    return source


# --- kept from an earlier run ----------------------------------------------------------------------------------

def _keep(tarball: Path, version: str, origin: str, checked: str, sha256: str) -> Source:
    """Writes the note beside a stored tarball: one without its note is not used again."""
    note = {"version": version, "origin": origin, "checked": checked, "sha256": sha256}
    partial = tarball.with_name(tarball.name + ".json.part")
    partial.write_text(json.dumps(note), encoding="utf-8")
    os.replace(partial, tarball.with_name(tarball.name + ".json"))
    return Source(version, tarball, origin, checked, "")


def _kept(wanted: str) -> Optional[Source]:
    best: Optional[Source] = None
    for note in (cache_dir() / "sources").glob("*.json"):
        tarball = note.with_suffix("")
        try:
            said = json.loads(note.read_text(encoding="utf-8"))
            if not in_series(said["version"], wanted) or sha256_of(tarball) != said["sha256"]:
                continue
            source = Source(said["version"], tarball, said["origin"], said["checked"] + ", and as stored then", "")
        except (OSError, ValueError, KeyError):
            continue
        if best is None or numbers(source.version) > numbers(best.version):
            best = source
    return best


# --- python.org ------------------------------------------------------------------------------------------------

def _mirror() -> str:
    return os.environ.get("PYTHON_MIRROR", "").rstrip("/") or DEFAULT_MIRROR


def _releases(wanted: str) -> list[str]:
    """Releases of a series, newest first. The folder of a release to come holds only candidates, so several are tried."""
    listing = get(_mirror() + "/").decode("utf-8", "replace")
    found = set(re.findall(r'href="(3\.\d+\.\d+)/?"', listing))
    return sorted((v for v in found if in_series(v, wanted)), key=numbers, reverse=True)


def _published_sha256(url: str) -> tuple[str, str]:
    """(digest, where it is published), from the bill of materials or the signature bundle beside the tarball."""
    try:
        for package in json.loads(get(url + ".spdx.json")).get("packages", []):
            if package.get("name", "").lower() in ("cpython", "python"):
                for checksum in package.get("checksums", []):
                    if checksum.get("algorithm") == "SHA256":
                        return checksum["checksumValue"].lower(), "SHA-256 of its SPDX file"
    except (Unreachable, ValueError, KeyError, AttributeError):
        pass
    try:
        digest = json.loads(get(url + ".sigstore"))["messageSignature"]["messageDigest"]
        if digest["algorithm"] in ("SHA2_256", "SHA256"):
            return base64.b64decode(digest["digest"]).hex(), "SHA-256 of its sigstore bundle"
    except (Unreachable, ValueError, KeyError, TypeError):
        pass
    return "", ""


def _from_python_org(wanted: str, progress: Progress) -> Source:
    exact = wanted.count(".") == 2
    versions = [wanted] if exact else _releases(wanted)
    if not versions:
        raise Unreachable(f"{_mirror()} lists no {wanted}.x", missing=True)
    last = Unreachable(f"{_mirror()} has no {wanted}", missing=True)
    for version in versions[:3]:
        folder = re.sub(r"(a|b|rc)\d+$", "", version)
        url = f"{_mirror()}/{folder}/Python-{version}.tar.xz"
        try:
            if exact:
                get(_mirror() + "/", limit=1)  # an unreachable host is found out in seconds, not at a download's pace
            published, where = _published_sha256(url)
            target = ensure_dir(cache_dir() / "sources") / f"Python-{version}.tar.xz"
            actual = download(url, target, progress.at)
        except Unreachable as error:
            if not error.missing:
                raise
            last = error
            continue
        if published and published != actual:
            target.unlink()
            raise ToolError(f"{url} has SHA-256 {actual}, but {published} is published: refused",
                            "try again; if it stays so, the download is being tampered with")
        checked = where if published else f"no checksum published for it; over {url.split(':')[0]}, SHA-256 {actual}"
        return _keep(target, version, url, checked, actual)
    raise last


# --- the distribution ------------------------------------------------------------------------------------------

def _from_distribution(series: list[str], scratch: Path, log: Path, progress: Progress, tried: list[str]) -> Optional[Source]:
    names = list(dict.fromkeys("python" + ".".join(wanted.split(".")[:2]) for wanted in series))
    try:
        for apt in apt_sources(ensure_dir(cache_dir() / "apt"), log):
            progress.at(0.3, f"asking {apt.where}")
            try:
                offers = [offer for offer in apt.packages(names) if any(in_series(offer.upstream, s) for s in series)]
            except NotThere as error:
                _fell_through(tried, progress, apt.where, str(error))
                continue
            if not offers:
                _fell_through(tried, progress, apt.where, f"no source package of {' or '.join(series)}")
            for offer in offers:
                origin = f"{apt.where}, source package {offer.name} {offer.version}"
                try:
                    tarball = apt.fetch(offer, scratch)
                except NotThere as error:
                    _fell_through(tried, progress, origin, str(error))
                    continue
                suffix = tarball.name.split(".orig", 1)[1]
                target = ensure_dir(cache_dir() / "sources") / f"Python-{offer.upstream}{suffix}"
                shutil.move(str(tarball), target)
                return _keep(target, offer.upstream, origin, "SHA-256 and signature checked by apt", sha256_of(target))
    except NotThere as error:
        _fell_through(tried, progress, "the distribution's source package", str(error))
    return None


def _fell_through(tried: list[str], progress: Progress, what: str, why: str) -> None:
    tried.append(f"{what}: {why}")
    progress.say(f"not from {what}: {why}")


def find_source(request: Request, scratch: Path, log: Path, progress: Progress) -> Source:
    """Tries the sources in order, says why each fell through, and which it took."""
    if request.kind == "source":
        return given_source(Path(request.value), os.environ.get("PYTHON_VERSION"))
    tried: list[str] = []
    exact = request.kind == "version" and request.value.count(".") == 2
    source = _kept(request.value) if exact else None
    if source is None:
        try:
            source = _from_python_org(request.value, progress)
        except Unreachable as error:
            _fell_through(tried, progress, f"python.org ({request.value})", str(error))
    if source is None:
        series = [request.value, *(FALLBACK_SERIES if request.kind == "default" else ())]
        source = _from_distribution(series, scratch, log, progress, tried)
        for wanted in series:
            source = source or _kept(wanted)
    if source is None:
        what = "CPython" if request.kind == "default" else f"CPython {request.value}"
        raise ToolError("\n  ".join([f"the source of {what} cannot be had; tried", *tried]),
                        "PYTHON_SOURCE=folder-or-tarball takes a source of your own, PYTHON_VERSION= another version", str(log))
    progress.say(f"source: CPython {source.version} from {source.origin} ({source.checked})")
    return source
