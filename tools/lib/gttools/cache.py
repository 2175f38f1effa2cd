"""The per-user cache: where it is, its locks, its manifest, what lies in it."""
from __future__ import annotations

import configparser
import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Iterator, Mapping, Optional

from .errors import ToolError


def cache_dir() -> Path:
    given = os.environ.get("GILOTINE_CACHE")
    if given:
        return Path(given).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base).absolute() / "gilotine"


def ensure_dir(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"cannot make the folder {path}: {error.strerror}",
                        "set GILOTINE_CACHE to a folder you can write to") from error
    return path


def need_space(path: Path, mebibytes: int) -> None:
    free = shutil.disk_usage(path).free >> 20
    if free < mebibytes:
        raise ToolError(f"{path} has {free} MiB free, {mebibytes} MiB are needed",
                        "free some, or set GILOTINE_CACHE to a folder on a larger disk")


@contextlib.contextmanager
def lock(name: str, tool: str) -> Iterator[None]:
    """One run at a time for each NAME.lock. The kernel drops the lock with its holder, so none is ever stale."""
    path = ensure_dir(cache_dir()) / f"{name}.lock"
    with open(path, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            print(f"{tool}: another run (process {file.read().strip() or '?'}) is at work; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder inside the cache (so that a rename out of it is atomic), gone at the end. Call it under the lock
    of its tool: what an earlier run that was killed left behind is removed first."""
    parent = ensure_dir(cache_dir() / "tmp")
    for old in parent.glob(f"{prefix}-*"):
        shutil.rmtree(old, ignore_errors=True)
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def read_manifest() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    path = cache_dir() / "manifest.ini"
    try:
        parser.read(path, encoding="utf-8")
    except configparser.Error as error:
        raise ToolError(f"{path} cannot be read: {error}", "remove it and run again; it is made anew") from error
    return parser


def manifest_group(group: str) -> dict[str, str]:
    parser = read_manifest()
    return dict(parser[group]) if parser.has_section(group) else {}


def update_manifest(group: str, values: Optional[Mapping[str, str]]) -> None:
    """Replaces one group (None removes it) and leaves the others as they are. Readers see the old file or the new."""
    path = ensure_dir(cache_dir()) / "manifest.ini"
    with open(path.with_suffix(".lock"), "a", encoding="ascii") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        parser = read_manifest()
        parser.remove_section(group)
        if values is not None:
            parser[group] = dict(values)
        new = path.with_suffix(".new")
        with open(new, "w", encoding="utf-8") as file:
            parser.write(file, space_around_delimiters=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)


def remove_stored(*names: str) -> int:
    """Removes these parts of the cache; answers the bytes freed."""
    freed = 0
    for name in names:
        path = cache_dir() / name
        freed += size_of(path)
        shutil.rmtree(path, ignore_errors=True)
    return freed


def size_of(path: Path) -> int:
    """Bytes on the disk, hard links counted once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _dirs, files in os.walk(path):
        for name in files:
            try:
                info = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            if (info.st_dev, info.st_ino) not in seen:
                seen.add((info.st_dev, info.st_ino))
                total += info.st_blocks * 512
    return total


def mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def print_stored(*names: str) -> None:
    """One line for each entry below these parts of the cache, with its size."""
    root = cache_dir()
    print(root)
    total = 0
    for name in names:
        for entry in sorted((root / name).glob("*")):
            size = size_of(entry) if entry.is_dir() else entry.stat().st_size
            total += size
            print(f"  {mebibytes(size):>12}  {name}/{entry.name}")
    print(f"  {mebibytes(total):>12}  in all" if total else "  (empty)")
