"""`gilotine run` in a default container: no namespaces, no cgroups to write to, so the subreaper must hold."""

from __future__ import annotations

import json
import subprocess

import pytest

from compose_support import LIMIT, Compose, host_members, run

IMAGE = "gilotine-tools"
TIMED_OUT, KILLED = 124, 137


def shell(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run("docker", "run", "--rm", *options, "--entrypoint", "sh", IMAGE, "-c", script, check=False)


def test_doctor_names_the_domain(images: Compose) -> None:
    report = json.loads(shell("gilotine doctor --json").stdout)
    domains = report["checks"]["domains"]["facts"]
    assert {name for name, found in domains.items() if found["works"]} == {"subreaper", "pgroup"}
    assert "gilotine run         subreaper:" in shell("gilotine doctor").stdout


@pytest.mark.parametrize("init", [False, True], ids=["no init", "init"])
@pytest.mark.parametrize("act", ["wait", "child", "group", "session", "daemon", "stubborn", "stop", "storm"])
def test_nobody_outlives_the_limit(images: Compose, act: str, init: bool) -> None:
    """gilotine-case is the same family that `gilotine lab run-tools` puts under every tool."""
    done = shell(f"""
        mkfifo /tmp/report; cat /tmp/report >/dev/null & reader=$!; exec 3>/tmp/report  # when this is open, so is the reader
        gilotine run --kill-after 0.2 --report /tmp/record.json 0.3 /usr/local/libexec/gilotine/gilotine-case /tmp/report {act} 3>&-
        echo "code=$?"; exec 3>&-; wait $reader  # the end of file: the last of the family is dead
        cat /tmp/record.json
        gilotine census --all --json --watch --count=1""", *(["--init"] if init else []))
    code, record, census = done.stdout.splitlines()[-3:]
    assert code in (f"code={TIMED_OUT}", f"code={KILLED}"), done.stdout + done.stderr
    assert json.loads(record)["domain"] == "subreaper"
    left = [process for process in json.loads(census)["processes"] if process["comm"] == "gilotine-case"]
    assert left == []


def test_the_outer_limit_holds_for_a_nested_run_that_ignores_signals(images: Compose) -> None:
    done = shell("""
        gilotine run --kill-after 0.2 0.4 gilotine run 60 sh -c 'trap "" TERM INT HUP; setsid sleep 71 & sleep 72'
        echo "code=$?"; gilotine census --all --json --watch --count=1""")
    code, census = done.stdout.splitlines()[-2:]
    assert code in (f"code={TIMED_OUT}", f"code={KILLED}"), done.stdout + done.stderr
    assert "sleep 7" not in [p["cmdline"][:7] for p in json.loads(census)["processes"]]


def test_a_family_dies_with_its_container(images: Compose) -> None:
    container = run("docker", "run", "--rm", "--detach", IMAGE, "run", str(LIMIT), "sh", "-c",
                    "setsid sleep 1000 & sleep 1000").stdout.strip()
    assert host_members()[container]
    run("docker", "kill", container)
    run("docker", "wait", container, check=False)
    assert container not in host_members()
