"""gilotine lab --compose on a real engine: what happens in containers is what happens outside."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
from typing import Any

import pytest

from compose_support import LIMIT, ROOT, Compose, host_members, run, until

GILOTINE = str(pathlib.Path(os.environ.get("GILOTINE_BUILD", ROOT / "build")) / "src/cli/gilotine")
LAB = "gilotine-lab-"  # how the projects of its runs begin

# On both builds: each strategy under each start method. The times are far from each other, so that a busy machine
# changes no verdict: a limit that holds is kept within 0.8 s, one that waits for the query takes 2.5 s.
EVERYTHING = """
[experiment]
iterations = 1
timeout = 0.3
query-seconds = 2.5
tolerance = 0.8
linger = 0.5

[matrix signals]
runtime = gil;nogil
strategy = signals

[matrix processes]
runtime = gil;nogil
strategy = process;clean
start = fork;forkserver;spawn

[matrix prefork]
runtime = gil;nogil
pool = prefork

[matrix no-handler]
runtime = gil;nogil
sigterm = default
"""

# In containers only: the worker is PID 1.
PID1 = """
[matrix pid1]
runtime = gil;nogil
strategy = process;clean
reaper = worker

[matrix orphan]
iterations = 2
reaper = init;worker
orphan = yes
"""

BURNING = """
[experiment]
iterations = 1000
timeout = 0.2
query-seconds = 30
[subject burning]
"""


def lab(*arguments: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    return run(GILOTINE, "lab", *arguments, check=check, limit=3 * LIMIT, env={**os.environ, **env})


def lab_leftovers() -> list[str]:
    listings = (["ps", "--all", "--format", "{{.Names}}"], ["network", "ls", "--format", "{{.Name}}"],
                ["volume", "ls", "--format", "{{.Name}}"])
    return [name for listing in listings for name in run("docker", *listing).stdout.split() if name.startswith(LAB)]


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {subject["subject"]: subject for subject in result["subjects"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("lab-compose")


@pytest.fixture(scope="module")
def inside(images: Compose, folder: pathlib.Path) -> dict[str, Any]:
    """One run in containers, shared by the tests that look at its results."""
    (folder / "everything.ini").write_text(EVERYTHING + PID1)
    done = lab("--compose", str(folder / "everything.ini"), "--out", str(folder / "inside"), "--json")
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def outside(images: Compose, folder: pathlib.Path) -> dict[str, Any]:
    (folder / "outside.ini").write_text(EVERYTHING)
    done = lab(str(folder / "outside.ini"), "--out", str(folder / "outside"), "--json")
    return json.loads(done.stdout)


def test_verdicts_are_those_outside_subject_by_subject(inside: dict[str, Any], outside: dict[str, Any]) -> None:
    def said(result: dict[str, Any]) -> dict[str, tuple[str, str]]:
        return {name: (s["verdict"], s["blame"]) for name, s in by_name(result).items() if s["factors"]["reaper"] == "init"
                and s["factors"]["orphan"] == "no"}

    assert said(inside) == said(outside)
    verdicts = said(inside)
    assert len(verdicts) == 18 and {verdict for verdict, _ in verdicts.values()} == {"held", "late", "leaked", "refused"}
    assert {s["factors"]["runtime"] for s in inside["subjects"]} == {"gil", "nogil"}


def test_the_worker_as_pid_1_changes_zombies_and_no_verdict(inside: dict[str, Any]) -> None:
    subjects = by_name(inside)
    pairs = [(subjects[name.replace("-pid1", "")], subject) for name, subject in subjects.items() if "-pid1" in name]
    assert len(pairs) == 5
    assert [s["subject"] for init, s in pairs if s["verdict"] != init["verdict"]] == []
    assert {(init["reaper"], s["reaper"]) for init, s in pairs} == {("docker-init", "nobody")}
    # One busy child and one orphan an iteration: the init reaps the orphan, the worker does not.
    reaped, kept = subjects["gil-process-fork-capi-orphan"], subjects["gil-process-fork-capi-pid1-orphan"]
    assert [(it["children"], it["zombies"]) for it in reaped["iterations"]] == [(1, 0), (2, 0)]
    assert [(it["children"], it["zombies"]) for it in kept["iterations"]] == [(2, 1), (4, 2)]


def test_the_observer_in_a_container_and_the_subjects_agree(inside: dict[str, Any]) -> None:
    assert [(s["subject"], s["conflicts"]) for s in inside["subjects"] if s["conflicts"]] == []
    assert inside["complete"] and inside["left"] == 0


def test_the_gil_is_what_the_image_has(inside: dict[str, Any]) -> None:
    gils = {(s["factors"]["runtime"], s["gil"].split()[0]) for s in inside["subjects"]}
    assert gils == {("gil", "on"), ("nogil", "off")}


def test_samples_come_as_often_as_outside(inside: dict[str, Any], folder: pathlib.Path) -> None:
    last, gaps = {}, []
    for line in (folder / "inside/raw.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["k"] == "sample":
            if record["s"] in last:
                gaps.append(record["t"] - last[record["s"]])
            last[record["s"]] = record["t"]
    gaps.sort()
    assert len(gaps) > 500 and gaps[len(gaps) // 2] <= 25_000_000


def test_the_table_names_the_reaper_and_from_gives_it_again(inside: dict[str, Any], folder: pathlib.Path) -> None:
    again = lab("--from", str(folder / "inside"), "--json")
    assert json.loads(again.stdout) == inside
    text = lab("--from", str(folder / "inside")).stdout
    assert "docker-init" in text and "nobody" in text and "Docker Engine" in text
    assert "0 of 1 subjects under an init, 1 of 1 whose worker is PID 1" in text
    assert "iter=1 outcome=timeout" in (folder / "inside/logs/nogil-process-fork-capi.log").read_text()


def test_nothing_of_a_run_stays(inside: dict[str, Any]) -> None:
    assert lab_leftovers() == []


def test_what_the_user_has_up_is_not_disturbed(workers: Compose, tmp_path: pathlib.Path) -> None:
    workers("up", "--detach", "worker-gil")
    mine = {service: workers.inspect(service) for service in ("rabbitmq", "worker-gil")}
    done = lab("--compose", "--quick", "--only", "gil-process-fork-capi-pid1", "--out", str(tmp_path / "out"), "--json",
               DUCKDB_ROWS="1000000000", COMPOSE_PROJECT_NAME=workers.environment["COMPOSE_PROJECT_NAME"])
    assert by_name(json.loads(done.stdout))["gil-process-fork-capi-pid1"]["verdict"] == "leaked"
    for service, before in mine.items():
        now = workers.inspect(service)
        assert (now["Id"], now["State"]["StartedAt"], now["State"]["Running"]) == (
            before["Id"], before["State"]["StartedAt"], True)


@pytest.fixture
def burning(images: Compose, tmp_path: pathlib.Path) -> Any:
    """A run whose worker has children that burn."""
    (tmp_path / "burning.ini").write_text(BURNING)
    process = subprocess.Popen([GILOTINE, "lab", "--compose", str(tmp_path / "burning.ini"), "--out", str(tmp_path / "out")],
                               cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "DUCKDB_ROWS": "20000000000"})
    log = tmp_path / "out/logs/burning.log"
    try:
        until("two children burn", lambda: process.poll() is not None or (log.exists() and "iter=2" in log.read_text()))
        assert process.poll() is None, process.communicate()[1]
        assert len(lab_leftovers()) >= 5, "rabbitmq, worker, observer, network, volume"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_ctrl_c_removes_the_containers_and_shows_what_was_seen(burning: subprocess.Popen[str]) -> None:
    burning.send_signal(signal.SIGINT)
    out, err = burning.communicate(timeout=LIMIT)
    assert burning.returncode == 130
    assert "burning" in out and "interrupted" in err
    assert lab_leftovers() == []


def test_sigkill_of_the_lab_leaves_nothing(burning: subprocess.Popen[str]) -> None:
    running = set(run("docker", "ps", "--quiet", "--no-trunc", "--filter", f"name={LAB}").stdout.split())
    assert len(running) == 3
    burning.kill()
    burning.communicate(timeout=LIMIT)
    until("its containers are gone", lambda: lab_leftovers() == [])
    assert not running & set(host_members()), "a process outlives its container"


# ---- what goes wrong -----------------------------------------------------------------------------------------------

OWN = """
services:
  rabbitmq:
    image: {rabbitmq}
    ports: ["127.0.0.1:${{RABBITMQ_PORT:-5672}}:5672"]
    healthcheck: {{test: [CMD, rabbitmq-diagnostics, -q, check_port_connectivity], interval: 2s, timeout: 30s, retries: 60}}
  observer:
    image: {tools}
    command: {observer}
    entrypoint: {entrypoint}
  worker-gil-init:
    image: gilotine-worker-gil
    command: {worker}
"""

SUBJECT = "[experiment]\niterations=1\nquery-seconds=2\n[subject mine]\n"


def own_project(images: Compose, folder: pathlib.Path, **services: str) -> subprocess.CompletedProcess[str]:
    """A run on a compose.yml of the test's own."""
    model = json.loads(images("--profile", "*", "config", "--format", "json").stdout)["services"]
    parts = {"rabbitmq": model["rabbitmq"]["image"], "tools": model["observer"]["image"], "observer": "[census]",
             "entrypoint": "[gilotine]", "worker": "[sh, -c, exit]", **services}
    (folder / "compose.yml").write_text(OWN.format(**parts))
    (folder / "mine.ini").write_text(SUBJECT)
    return lab("--compose", "--project-directory", str(folder), str(folder / "mine.ini"), "--out", str(folder / "out"), "--json",
               check=False, DUCKDB_ROWS="1000000")


def test_a_worker_that_does_not_start_is_a_finding(images: Compose, tmp_path: pathlib.Path) -> None:
    done = own_project(images, tmp_path, worker='[sh, -c, "echo no such library; exit 3"]')
    assert done.returncode == 0, done.stderr
    (subject,) = json.loads(done.stdout)["subjects"]
    assert subject["verdict"] == "broken" and subject["reason"] == "the worker did not start; its log says why"
    assert "no such library" in subject["note"]
    assert lab_leftovers() == []


def test_a_broker_that_does_not_start_is_an_error_with_its_last_lines(images: Compose, tmp_path: pathlib.Path) -> None:
    done = own_project(images, tmp_path, rabbitmq='gilotine-worker-gil\n    command: [sh, -c, "echo BOOT FAILED; exit 1"]')
    assert done.returncode == 111
    assert "rabbitmq said last: BOOT FAILED" in done.stderr
    assert lab_leftovers() == []


def test_an_observer_of_another_version_is_named(images: Compose, tmp_path: pathlib.Path) -> None:
    done = own_project(images, tmp_path, worker="[sleep, infinity]", entrypoint="[echo, hello]")
    assert done.returncode == 111
    assert "docker compose build" in done.stderr and "hello" in done.stderr
    assert lab_leftovers() == []


def test_an_engine_out_of_reach_is_named(images: Compose, tmp_path: pathlib.Path) -> None:
    done = lab("--compose", "--out", str(tmp_path / "out"), check=False, DOCKER_HOST="unix:///nowhere.sock")
    assert done.returncode == 111
    assert "no Docker engine answers" in done.stderr and "/nowhere.sock" in done.stderr
