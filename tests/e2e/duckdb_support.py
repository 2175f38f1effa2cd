"""The DuckDBs that tests run against: the one of gilotine-duckdb, and each that has an executor beside it."""

import configparser
import os
import pathlib

import pytest
from conftest import build_dir

DEFAULT = "gilotine-duckdb"


def manifest() -> configparser.ConfigParser:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = pathlib.Path(os.environ.get("GILOTINE_CACHE") or os.path.join(base, "gilotine"))
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(cache / "manifest.ini", encoding="utf-8")
    return parser


def programs() -> list[str]:
    """Their names. tools/fetch-duckdb notes what it could not get; where it notes nothing it was not asked."""
    beside = [f"gilotine-{group}" for group in manifest().sections() if group.startswith("duckdb-")]
    return [DEFAULT, *(sorted(beside) or ["gilotine-duckdb-beside"])]


def executor_path(name: str) -> pathlib.Path:
    path = build_dir() / "src/executor" / name
    group = name.removeprefix("gilotine-")
    why = manifest().get(group, "unreachable", fallback=None)
    if why is not None:
        pytest.skip(f"DuckDB {group.removeprefix('duckdb-')} is out of reach: {why}")
    if not path.exists():
        pytest.fail(f"{path} is not built: run 'make interpreters all'")
    return path


every_duckdb = pytest.mark.parametrize("duckdb", programs(), indirect=True)


@pytest.fixture
def duckdb(request) -> str:
    """The name of the executor that a test is about; with every_duckdb it runs once for each."""
    name = getattr(request, "param", DEFAULT)
    executor_path(name)
    return name


def libexec(duckdb: str, folder: pathlib.Path) -> dict[str, str]:
    """The environment in which `gilotine query` uses this executor."""
    if duckdb == DEFAULT:
        return {}
    (folder / DEFAULT).symlink_to(executor_path(duckdb))
    (folder / "gilotine-init").symlink_to(build_dir() / "src/executor/gilotine-init")
    return {"GILOTINE_LIBEXECDIR": str(folder)}
