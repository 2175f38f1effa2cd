"""Every command of the documentation is run, or belongs to one that is run elsewhere and says where."""

import os
import pathlib
import re
import subprocess

import pytest

from conftest import ROOT, build_dir
from docs_support import DOCUMENTS, commands

# Commands that are not run as they stand, and what stands for them.
ELSEWHERE = {
    "make lab": "the commands behind it: tools/deps, tools/build-python, tools/fetch-duckdb (test_tools.py, test_fetch_duckdb.py), gilotine lab (here, quick)",
    "make lab BROKER=rabbitmq": "test_lab.py::test_over_rabbitmq",
    "make check": "this run",
    "git clone": "needs the published repository",
    "cd gilotine": "with it",
    "tools/deps": "test_tools.py",
    "tools/build-python": "test_tools.py",
    "tools/fetch-duckdb": "test_fetch_duckdb.py",
}


def stands_elsewhere(command: str) -> bool:
    return any(command == known or (known == "git clone" and command.startswith(known)) for known in ELSEWHERE)


ALL = sorted({command for document in DOCUMENTS for command in commands(document) if not stands_elsewhere(command)})


@pytest.fixture(scope="module")
def shell_env(tmp_path_factory, gilotine) -> dict[str, str]:
    """A folder where `gilotine` is in PATH and lab-results/DIR is a small finished run, as the documents assume."""
    folder = tmp_path_factory.mktemp("docs")
    subprocess.run(
        [gilotine, "lab", "--quick", "--only", "gil-process-fork-capi", "--out", str(folder / "lab-results/DIR")],
        check=True,
        capture_output=True,
        timeout=120,
    )
    path = f"{pathlib.Path(gilotine).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DOCS_FOLDER": str(folder), "GILOTINE_BUILD": str(build_dir())}


@pytest.mark.parametrize("command", ALL)
def test_the_command_works(command, shell_env):
    result = subprocess.run(
        ["bash", "-c", command],
        cwd=shell_env["DOCS_FOLDER"],
        env=shell_env,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, result.stderr + result.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"


def test_both_readmes_have_the_same_commands():
    for kind in ("sh", "sh docker"):
        assert commands("README.md", kind) == commands("README.ja.md", kind)


def test_every_block_of_commands_is_of_a_kind_that_is_run():
    """A block of another name would be run by nobody; those of tests/docker are named in its test."""
    for document in DOCUMENTS:
        names = set(re.findall(r"^```(.+)$", (ROOT / document).read_text(), re.MULTILINE))
        assert names <= {"sh", "sh docker", "ini"}, document
    assert "docker" in (ROOT / "tests/docker/test_docs.py").read_text()


def rendered(page: str) -> str:
    """A manual page as people see it, without the overstriking of bold letters."""
    result = subprocess.run(["man", "-l", str(ROOT / "docs/man" / page)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return re.sub(".\b", "", result.stdout).replace("\u2010", "-").replace("\u2212", "-")


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs/man").iterdir()))
def test_manual_pages_render(page):
    assert page.partition(".")[0] in rendered(page)


@pytest.mark.parametrize("name", ["lab", "send", "census", "run", "query", "doctor"])
def test_every_option_of_the_help_is_in_the_manual(run, name):
    text = run(name, "--help").stdout
    shown = set(re.findall(r"--([a-z-]+)", text.partition("Application Options:")[2] or text))
    assert len(shown) >= 2
    documented = set(re.findall(r"--([a-z-]+)", rendered(f"gilotine-{name}.1")))
    assert shown - documented == set()
