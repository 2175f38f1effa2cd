"""What even SIGKILL does not end. A freezer of cgroup v1 that is shut holds its members as uninterruptible sleep
would: no signal reaches them until it is opened."""

import json
import os
import pathlib

import pytest
from duckdb_support import duckdb, libexec  # noqa: F401, fixtures
from query_support import STUBBORN, query  # noqa: F401, a fixture
from run_support import BUILD, alive, domains, start, wait_until

DOMAINS = domains(str(BUILD / "src/cli/gilotine")) if (BUILD / "src/cli/gilotine").exists() else ["subreaper"]
FREEZERS = pathlib.Path("/sys/fs/cgroup/freezer")


class Freezer:
    def __init__(self, path: pathlib.Path):
        self.path = path

    def shut_in(self, pid: int) -> None:
        (self.path / "cgroup.procs").write_text(str(pid))
        (self.path / "freezer.state").write_text("FROZEN")
        wait_until(lambda: (self.path / "freezer.state").read_text() == "FROZEN\n")

    def open(self) -> None:
        (self.path / "freezer.state").write_text("THAWED")


@pytest.fixture
def freezer():
    path = FREEZERS / f"gilotine-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no freezer of cgroup v1 for this user: {error}")
    freezer = Freezer(path)
    yield freezer
    freezer.open()
    wait_until(lambda: not (path / "cgroup.procs").read_text())
    path.rmdir()


def below(pid: int) -> list[int]:
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *below(child)]
    return found


def named(root: int, comm: str) -> int | None:
    try:
        pids = below(root)
        return next((p for p in pids if pathlib.Path(f"/proc/{p}/comm").read_text() == comm + "\n"), None)
    except OSError:
        return None


def cpu_seconds(pid: int) -> float:
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return sum(map(int, stat[stat.rindex(")") + 2 :].split()[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("domain", DOMAINS)
def test_run_names_what_does_not_die_and_leaves_it_to_its_keeper(gilotine, freezer, tmp_path, domain):
    record = tmp_path / "record.json"
    said = tmp_path / "stderr"
    with said.open("wb") as stderr:  # no pipe: what is not dead holds it open
        run = start(gilotine, "--domain", domain, "-k", "0.2", "--report", str(record), "2", "sleep", "7777",
                    stderr=stderr)
    command = wait_until(lambda: named(run.pid, "sleep"))
    freezer.shut_in(command)
    assert run.wait(timeout=60) == 125
    assert said.read_text() == f"gilotine run: killed, but not dead: left: sleep (process {command})\n"
    told = json.loads(record.read_text())
    assert (told["outcome"], told["dead_ns"], told["domain"]) == ("undead", None, domain)
    assert alive(command)
    freezer.open()
    wait_until(lambda: not alive(command), what="the end of what was held")


def test_query_says_that_its_executor_is_not_dead_yet(query, freezer, tmp_path):  # noqa: F811
    said = tmp_path / "stderr"
    with said.open("wb") as stderr:
        asked = query.start("--soft", "4", "--hard", "5", STUBBORN, stdout=stderr, stderr=stderr)
    executor = wait_until(lambda: named(asked.pid, "gilotine-duckdb"))
    wait_until(lambda: cpu_seconds(executor) > 0.5, what="a query that runs")
    freezer.shut_in(executor)
    assert asked.wait(timeout=60) == 116
    assert "not dead" in said.read_text()
    assert alive(executor)
    freezer.open()
    wait_until(lambda: not alive(executor), what="the end of what was held")
    query.good("select 1")  # whoever starts next removes the folder that was left
