"""gilotine lab --compose where no engine is needed: what it refuses, and how it ends after a failure.

The docker here is a script; the real one is at work in tests/docker.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import ROOT

# $1: "ARGUMENTS -> what to do", the first pattern that fits decides. Every call is written down.
DOCKER = """#!/bin/bash
echo "$*" >> "{folder}/calls"
case "$*" in
{cases}
  "info "*) echo "99.1.2 2" ;;
  "compose version") echo "v2" ;;
  *"config --services") printf '%s\\n' rabbitmq observer worker-gil worker-gil-init ;;
  *" down "*|"ps "*|"network ls "*|"volume ls "*) ;;
  *" build") ;;
  *) echo "unexpected: $*" >&2; exit 97 ;;
esac
"""


@pytest.fixture
def docker(tmp_path):
    """docker(cases) -> an environment in whose PATH is a docker that behaves so."""

    def make(cases: str = "") -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        script = folder / "docker"
        script.write_text(DOCKER.format(folder=tmp_path, cases=cases))
        script.chmod(0o755)
        return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    return make


def calls(tmp_path: pathlib.Path) -> list[str]:
    path = tmp_path / "calls"
    return path.read_text().splitlines() if path.exists() else []


def lab(run, tmp_path, env, *args: str):
    return run("lab", "leak", "--compose", "--project-directory", str(ROOT), "--out", str(tmp_path / "out"), *args,
               env=env, timeout=60)


def test_without_docker_it_says_how_to_get_it(run, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which("sh"))
    result = lab(run, tmp_path, {**os.environ, "PATH": str(tools)})
    assert result.returncode == 111
    assert "no docker in PATH" in result.stderr and "tools/docker-here" in result.stderr
    assert not (tmp_path / "out").exists()


def test_without_an_engine_it_says_so(run, tmp_path, docker):
    env = docker('  "info "*) echo "Cannot connect to the Docker daemon at unix:///nowhere" >&2; exit 1 ;;')
    result = lab(run, tmp_path, env)
    assert result.returncode == 111
    assert "no Docker engine answers" in result.stderr and "unix:///nowhere" in result.stderr
    assert "tools/docker-here" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_engine_that_answers_nonsense_is_none(run, tmp_path, docker):
    result = lab(run, tmp_path, docker('  "info "*) echo "hello" ;;'))
    assert result.returncode == 111
    assert "'hello'" in result.stderr


def test_without_the_plug_in_it_says_so(run, tmp_path, docker):
    env = docker("""  "compose version") echo "docker: 'compose' is not a docker command." >&2; exit 1 ;;""")
    result = lab(run, tmp_path, env)
    assert result.returncode == 111
    assert "no compose plug-in" in result.stderr and "is not a docker command" in result.stderr


def test_without_compose_yml_it_names_the_option(run, tmp_path, docker):
    result = run("lab", "leak", "--compose", "--project-directory", str(tmp_path), "--out", str(tmp_path / "out"), env=docker())
    assert result.returncode == 2
    assert f"{tmp_path}/compose.yml" in result.stderr and "--project-directory" in result.stderr
    assert not (tmp_path / "out").exists()
    elsewhere = run("lab", "--compose", cwd=tmp_path, env=docker())
    assert elsewhere.returncode == 2 and f"{tmp_path}/compose.yml" in elsewhere.stderr


def test_somebody_elses_compose_yml_is_refused(run, tmp_path, docker):
    result = lab(run, tmp_path, docker('  *"config --services") echo web ;;'))
    assert result.returncode == 2
    assert "has no service 'rabbitmq'" in result.stderr


def test_a_build_that_fails_is_told_and_cleaned_up(run, tmp_path, docker):
    env = docker('  *" build") printf "step 1\\nstep 2\\nno space left on device\\n" >&2; exit 17 ;;')
    result = lab(run, tmp_path, env)
    assert result.returncode == 111
    assert "docker compose build" in result.stderr and "no space left on device" in result.stderr
    assert [call for call in calls(tmp_path) if " down --volumes " in call]
    assert not (tmp_path / "out").exists()


def test_a_service_that_fails_is_shown_with_its_last_lines(run, tmp_path, docker):
    env = docker(
        '  *" up --detach --wait rabbitmq") echo "container is unhealthy" >&2; exit 1 ;;\n'
        '  *" ps --all --quiet rabbitmq") echo 0123 ;;\n'
        '  "logs "*" 0123") printf "starting\\nBOOT FAILED: disk full\\n" ;;'
    )
    result = lab(run, tmp_path, env)
    assert result.returncode == 111
    assert "container is unhealthy" in result.stderr
    assert "rabbitmq said last: starting; BOOT FAILED: disk full" in result.stderr


def test_a_broker_without_a_port_is_told(run, tmp_path, docker):
    env = docker('  *" up --detach --wait rabbitmq") ;;\n  *" port rabbitmq 5672") echo ":0" ;;')
    result = lab(run, tmp_path, env)
    assert result.returncode == 111
    assert "no published port" in result.stderr


def test_what_cannot_be_removed_is_told(run, tmp_path, docker):
    env = docker('  *" build") exit 1 ;;\n  "ps "*) echo 0123456789ab ;;')
    result = lab(run, tmp_path, env)
    assert result.returncode == 111
    assert len([call for call in calls(tmp_path) if " down --volumes " in call]) == 10


def test_the_users_project_is_left_alone(run, tmp_path, docker):
    """A name of its own for every run, and nothing of the user's settings."""
    env = {**docker('  *" build") exit 1 ;;'), "COMPOSE_PROJECT_NAME": "mine", "COMPOSE_FILE": "mine.yml"}
    for _ in range(2):
        lab(run, tmp_path, env)
    names = {call.split("--project-name ")[1].split()[0] for call in calls(tmp_path) if "--project-name" in call}
    assert len(names) == 2 and all(name.startswith("gilotine-lab-") for name in names)


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_at_work_it_cleans_up(gilotine, tmp_path, docker, signo):
    env = docker('  *" build") exec sleep 1000 ;;')
    process = subprocess.Popen(
        [gilotine, "lab", "--compose", "--project-directory", str(ROOT), "--out", str(tmp_path / "out")],
        env=env, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    deadline = time.monotonic() + 60

    def seen(word: str) -> bool:
        return any(word in call for call in calls(tmp_path))

    while not seen(" build"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    # To its whole group, as a terminal does, and who ends a session.
    os.killpg(process.pid, signo)
    _, err = process.communicate(timeout=60)
    if signo != signal.SIGKILL:
        assert process.returncode == 130 and "interrupted" in err
    while not seen("volume ls"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert seen(" down --volumes ")


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["--compose", "--broker", "rabbitmq"], "--broker does not go with it"),
        (["--project-directory", "."], "goes with --compose"),
        (["--compose", "run-tools"], "no workers that could run in containers"),
        (["--compose", "--from", "x"], "only --detail and --json"),
        (["--observe", "one"], "--observe takes a process id"),
        (["--observe", "1"], "GILOTINE_TRACE must name"),
    ],
)
def test_what_does_not_go_together_is_refused(run, args, word):
    result = run("lab", *args)
    assert result.returncode == 2
    assert word in result.stderr


def test_the_observer_sees_a_family_and_its_events(gilotine, tmp_path):
    """On this machine, as it runs in a container: the first record says that it is ready."""
    env = {**os.environ, "GILOTINE_TRACE": str(tmp_path / "socket"), "GILOTINE_SAMPLE_MS": "50"}
    # What an observer that was killed has left.
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stale.bind(env["GILOTINE_TRACE"])
    stale.close()
    family = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], start_new_session=True)
    observer = subprocess.Popen(
        [gilotine, "lab", f"--observe={family.pid}"], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert json.loads(observer.stdout.readline()) == {"k": "observer", "root": family.pid}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            event = {"ev": "task_start", "t": 1, "pid": family.pid, "task_id": "x"}
            sender.sendto(json.dumps(event).encode(), env["GILOTINE_TRACE"])
        commands, sampled, told = {}, set(), None
        while told is None or len(sampled) < 2 or len(commands) < 2:
            record = json.loads(observer.stdout.readline())
            if record["k"] == "proc":
                commands[record["pid"]] = record["cmd"]
            elif record["k"] == "sample":
                sampled |= {row[0] for row in record["p"]}
            elif record["k"] == "trace":
                told = record["e"]
        assert told == event
        assert commands[family.pid].startswith("sh -c") and "sleep 1000" in commands.values()
        observer.send_signal(signal.SIGTERM)
        assert observer.wait(timeout=30) == 0
        assert not os.path.exists(env["GILOTINE_TRACE"])
    finally:
        observer.kill()
        observer.communicate()
        os.killpg(family.pid, signal.SIGKILL)
        family.wait()
