"""One CPython from source: configure, compile, install into a staging folder, verify there, rename into place."""
from __future__ import annotations

import configparser
import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from .cache import cache_dir, ensure_dir
from .cpython_source import Request, Source, in_series, numbers
from .errors import ToolError
from .process import clean_env, run
from .progress import Progress

RECORD = "gilotine-build.ini"
CHECK = Path(__file__).resolve().parent.parent / "check_interpreter.py"
USUAL_COMPILES = 290  # what 3.13 compiles; only for the progress of a make that cannot tell

# No PGO and no LTO: they take a quarter of an hour and change no verdict. Both builds get the same flags, so that
# --disable-gil is the only difference between them.
COMMON_FLAGS = ("--disable-test-modules", "--with-ensurepip=no", "--without-static-libpython")
OPT = "-DNDEBUG -fwrapv -O2 -Wall"


class Flavour(NamedTuple):
    name: str
    title: str
    flags: tuple[str, ...]
    free_threaded: bool
    oldest: tuple[int, int]


FLAVOURS = {
    "gil": Flavour("gil", "with the GIL", (), False, (3, 11)),
    "nogil": Flavour("nogil", "without the GIL", ("--disable-gil",), True, (3, 13)),
}


def build_name(version: str, flavour: Flavour, identity: str) -> str:
    """VERSION-FLAVOUR-HASH: the hash covers everything that makes two builds of one version differ."""
    parts = [version, *COMMON_FLAGS, *flavour.flags, OPT, identity,
             *(f"{name}={os.environ.get(name, '')}" for name in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS"))]
    return f"{version}-{flavour.name}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:8]}"


def read_record(prefix: Path) -> Optional[dict[str, str]]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(prefix / RECORD, encoding="utf-8")
        return dict(parser["build"])
    except (configparser.Error, KeyError, OSError):
        return None


def find_built(flavour: Flavour, request: Request, identity: str) -> Optional[Path]:
    """A build in the cache that answers this request: for the default the one an earlier default made, else the version."""
    best: Optional[tuple[tuple[int, ...], str, Path]] = None
    for prefix in (cache_dir() / "python").glob(f"*-{flavour.name}-*"):
        record = read_record(prefix)
        if record is None or prefix.name != build_name(record["version"], flavour, identity):
            continue
        if request.kind == "default" and request.text() not in record["requests"].split():
            continue
        if request.kind == "version" and not in_series(record["version"], request.value):
            continue
        rank = (numbers(record["version"]), record["built"], prefix)
        best = rank if best is None or rank > best else best
    return best[2] if best else None


def note_request(prefix: Path, request: Request) -> None:
    """A default that lands on a build made for a named version is remembered, or every run would look again."""
    record = read_record(prefix)
    if record is not None and request.text() not in record["requests"].split():
        record["requests"] += " " + request.text()
        _write_record(prefix, record)


def _write_record(prefix: Path, record: dict[str, str]) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser["build"] = record
    new = prefix / (RECORD + ".new")
    with open(new, "w", encoding="utf-8") as file:
        parser.write(file, space_around_delimiters=False)
    os.replace(new, prefix / RECORD)


def verify(python: Path, flavour: Flavour, version: str, log: Path) -> dict[str, str]:
    """Asks the interpreter itself; raises when it is not what was wanted. Answers what it said."""
    text = run([str(python), "-I", str(CHECK)], what=f"the self-test of {python}", log=log)
    try:
        said = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise ToolError(f"the self-test of {python} printed no result", log=str(log)) from error
    facts, problems = said["facts"], dict(said["problems"])
    if facts["version"].rstrip("+") != version.rstrip("+"):
        problems["version"] = f"is {facts['version']}, should be {version}"
    if facts["free_threaded"] != flavour.free_threaded:
        problems["Py_GIL_DISABLED"] = f"is {facts['free_threaded']}, should be {flavour.free_threaded}"
    if facts["gil_enabled"] == flavour.free_threaded:
        problems["sys._is_gil_enabled()"] = f"is {facts['gil_enabled']}, should be {not flavour.free_threaded}"
    if problems:
        lines = [f"  {name}: {what}" for name, what in problems.items()]
        raise ToolError("\n".join([f"{python} is not fit for the experiments:", *lines]),
                        "`tools/deps python` installs the libraries CPython is built against; then run again", str(log))
    return {name: str(value) for name, value in facts.items()}


class Build:
    """One build. `scratch` is a folder inside the cache; nothing outside it is touched before the final rename."""

    STEPS = (("configuring", 16.0), ("compiling", 50.0), ("installing", 5.0), ("testing", 2.0))

    def __init__(self, source: Source, flavour: Flavour, request: Request, scratch: Path, progress: Progress) -> None:
        self.source = source
        self.flavour = flavour
        self.request = request
        self.progress = progress
        self.prefix = cache_dir() / "python" / build_name(source.version, flavour, source.identity)
        self.folder = ensure_dir(scratch / f"build-{flavour.name}")
        self.stage = ensure_dir(scratch / f"stage-{flavour.name}")
        self.old = scratch / f"old-{flavour.name}"
        self.log = ensure_dir(cache_dir() / "log") / f"python-{flavour.name}.log"
        self.jobs = os.environ.get("JOBS", "") or str(len(os.sched_getaffinity(0)))

    def _make(self, *arguments: str, on_line: Optional[Callable[[str], None]] = None) -> str:
        what = f"building CPython {self.source.version} {self.flavour.title}"
        return run(["make", "-j", self.jobs, *arguments], what=what, log=self.log, cwd=self.folder, on_line=on_line)

    def _configure(self, unpacked: Path) -> None:
        checks = 0

        def count(_line: str) -> None:
            nonlocal checks
            checks += 1
            self.progress.at(checks / 790)  # lines that configure prints, roughly

        run([str(unpacked / "configure"), f"--prefix={self.prefix}", *COMMON_FLAGS, *self.flavour.flags, f"OPT={OPT}"],
            what=f"configuring CPython {self.source.version} {self.flavour.title}", log=self.log, cwd=self.folder,
            on_line=count)

    def _compile(self) -> None:
        expected = sum(" -c " in line for line in self._make("-n").splitlines()) or USUAL_COMPILES
        done = 0

        def count(line: str) -> None:
            nonlocal done
            done += " -c " in line
            self.progress.at(done / expected, f"{min(done, expected)}/{expected} objects")

        self._make(on_line=count)

    def _install(self) -> Path:
        self._make("install", f"DESTDIR={self.stage}")
        staged = self.stage / self.prefix.relative_to("/")
        if not (staged / "bin" / "python3").exists():
            raise ToolError(f"make install left no bin/python3 in {staged}", log=str(self.log))
        return staged

    def run(self, unpacked: Path) -> Path:
        started = time.monotonic()
        self.log.unlink(missing_ok=True)
        self.progress.step()
        self._configure(unpacked)
        self.progress.step()
        self._compile()
        self.progress.step()
        staged = self._install()
        self.progress.step()
        facts = verify(staged / "bin" / "python3", self.flavour, self.source.version, self.log)
        seconds = time.monotonic() - started
        _write_record(staged, {
            "version": self.source.version, "flavour": self.flavour.name, "requests": self.request.text(),
            "source": self.source.origin, "checked": self.source.checked,
            "flags": " ".join((*COMMON_FLAGS, *self.flavour.flags, f"OPT='{OPT}'")),
            "ssl": facts.get("ssl", ""), "seconds": f"{seconds:.1f}", "jobs": self.jobs,
            "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})
        ensure_dir(self.prefix.parent)
        if self.prefix.exists():  # one that no longer passes its test
            os.rename(self.prefix, self.old)
        os.rename(staged, self.prefix)
        self.progress.say(f"CPython {self.source.version} {self.flavour.title}: built and tested in {seconds:.0f} s, "
                          f"{self.prefix}")
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.prefix


def check_age(version: str, flavour: Flavour) -> None:
    if numbers(version)[:2] < flavour.oldest:
        oldest = ".".join(map(str, flavour.oldest))
        raise ToolError(f"CPython {version} cannot be built {flavour.title} for the experiments: {oldest} is the oldest",
                        f"ask for PYTHON_VERSION={oldest} or newer")


def unpack(source: Source, scratch: Path, log: Path) -> Path:
    """A private copy of the source: a build may write into it, and the user's own stays clean."""
    target = scratch / "src"
    if source.path.is_dir():
        shutil.copytree(source.path, target, symlinks=True, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        return target
    ensure_dir(target)
    run(["tar", "-xf", str(source.path), "-C", str(target), "--strip-components=1"], what=f"unpacking {source.path}",
        log=log, env=clean_env())
    header = target / "Include" / "patchlevel.h"
    if not header.exists() or f'"{source.version}' not in header.read_text(encoding="utf-8"):
        raise ToolError(f"{source.path} does not hold CPython {source.version}")
    return target
