"""tools/check-layers finds each kind of fault."""

import shutil
import subprocess

import pytest

from conftest import ROOT


@pytest.fixture
def tree(tmp_path):
    for folder in ("src", "tests/unit"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def check(tree) -> subprocess.CompletedProcess:
    return subprocess.run([str(ROOT / "tools/check-layers"), str(tree)], capture_output=True, text=True)


def test_the_tree_as_it_is_has_no_fault(tree):
    result = check(tree)
    assert (result.returncode, result.stdout) == (0, "layers, sizes, tests: in order\n")


@pytest.mark.parametrize(
    ("path", "text", "fault"),
    [
        ("src/os/x.c", '#include "lab/raw.h"\n', "the arrow goes up"),
        ("src/celery/x.c", '#include "os/clock.h"\n', "the arrow goes up"),
        ("src/lab/x.c", '#include "experiment.h"\n', "is no path from src/"),
        ("src/lab/x.c", "#include <rabbitmq-c/amqp.h>\n", "belongs to src/broker/amqp only"),
        ("src/os/x.c", "\n" * 601, "601 lines"),
        ("src/os/x.c", "int\nlong_one (void)\n{\n" + "  ;\n" * 61 + "}\n", "long_one has 62 lines"),
        ("src/novel/x.c", "", "src/novel: not in the list"),
        ("tests/unit/test_forgotten.c", "", "test_forgotten.c: not listed"),
    ],
)
def test_a_fault_is_found(tree, path, text, fault):
    (tree / path).parent.mkdir(exist_ok=True)
    (tree / path).write_text(text)
    result = check(tree)
    assert result.returncode == 1
    assert fault in result.stdout
