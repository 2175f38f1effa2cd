"""tools/docker-here beside an engine that answers: what it says, and what it leaves alone."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest

from compose_support import LIMIT, ROOT

TOOL = "tools/docker-here"


def docker_here(*options: str, where: pathlib.Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(where / TOOL), *options], capture_output=True, text=True, check=False, timeout=LIMIT)


def test_help_names_every_option() -> None:
    done = docker_here("--help")
    assert done.returncode == 0
    for word in ("--down", "--purge", "--status", "PYTHON_VERSION", "GILOTINE_CACHE"):
        assert word in done.stdout


@pytest.mark.parametrize("options", [["--upp"], ["--status", "--down"], ["now"]])
def test_a_wrong_option_does_nothing(options: list[str]) -> None:
    done = docker_here(*options)
    assert done.returncode == 2 and "usage:" in done.stderr


def test_the_image_has_the_duckdb_that_the_project_is_tested_with() -> None:
    version = re.search(r"^ARG DUCKDB_VERSION=(\S+)$", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    help_text = subprocess.run([str(ROOT / "tools" / "fetch-duckdb"), "--help"], capture_output=True, text=True, check=True).stdout
    assert version and f"Without VERSION: {version[1]}," in help_text


def test_again_it_changes_nothing(engine: None) -> None:
    override = ROOT / "compose.override.yml"
    before = override.read_text() if override.exists() else None
    done = docker_here()
    assert done.returncode == 0, done.stderr
    assert "making" not in done.stdout and "installing" not in done.stdout and "starting" not in done.stdout
    assert (override.read_text() if override.exists() else None) == before


def test_it_says_what_is_there(engine: None) -> None:
    done = docker_here("--status")
    assert done.returncode == 0
    assert "answers" in done.stdout and "debian:bookworm-slim: " in done.stdout and "rabbitmq:" in done.stdout


def test_somebody_elses_override_is_left_alone(engine: None, tmp_path: pathlib.Path) -> None:
    for name in ("tools", "docker"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "compose.yml", tmp_path)
    (tmp_path / "compose.override.yml").write_text("services: {}\n", encoding="ascii")
    done = docker_here(where=tmp_path)
    assert done.returncode == 1 and "compose.override.yml is not this tool's" in done.stderr
    assert (tmp_path / "compose.override.yml").read_text(encoding="ascii") == "services: {}\n"
