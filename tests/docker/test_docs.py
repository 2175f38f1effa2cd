"""The commands of the documentation that need an engine, in their order, as they stand there."""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

import pytest

from compose_support import ROOT, Compose

sys.path.append(str(ROOT / "tests/e2e"))
from docs_support import DOCUMENTS, commands  # noqa: E402

BLOCKS = "sh docker"


@pytest.fixture
def shell(images: Compose) -> Iterator[Compose]:
    """A shell in the project's folder where `gilotine` is in PATH; the results of its runs are removed."""
    results = ROOT / "lab-results"
    before = set(results.glob("*"))
    build = pathlib.Path(os.environ.get("GILOTINE_BUILD", ROOT / "build"))
    images.environment["PATH"] = f"{build}/src/cli:{os.environ['PATH']}"
    images("--profile", "*", "down", "--volumes")
    yield images
    images("--profile", "*", "down", "--volumes")
    for run in set(results.glob("*")) - before:
        shutil.rmtree(run)


# The Japanese one has the same commands, as a test elsewhere proves.
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if name != "README.ja.md" and commands(name, BLOCKS)])
def test_the_commands_work_in_their_order(shell: Compose, document: str) -> None:
    for command in commands(document, BLOCKS):
        if " logs -f " in command:
            shell.follow(command, r"(?P<seen>iter=\d+ outcome=timeout .*zombies=\d+|cleanup terminated=\d+ killed=\d+ remaining=0)", 2)
        else:
            shell.line(command)
