"""What the tests of the environment in containers share."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = "gilotine-check"
LIMIT = 300  # seconds within which everything but a build ends, on a busy machine too

WORKER_SERVICES = [f"worker-{name}" for name in (
    "gil", "nogil", "gil-clean", "nogil-clean", "prefork", "gil-init", "nogil-init", "gil-clean-init", "nogil-clean-init",
    "nogil-prefork", "prefork-init", "nogil-prefork-init")]
QUEUE = {service: service.removeprefix("worker-") for service in WORKER_SERVICES}

# Rows of a query that no test sees the end of.
ENDLESS_ROWS = "1000000000000"


def run(*command: str, check: bool = True, limit: float = LIMIT, env: dict[str, str] | None = None
        ) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, cwd=ROOT, env=env,
                          stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Compose:
    """`docker compose ARGUMENTS` with the environment of one project."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**os.environ, **environment}

    def __call__(self, *arguments: str, check: bool = True, limit: float = LIMIT, **env: str
                 ) -> subprocess.CompletedProcess[str]:
        return run("docker", "compose", *arguments, check=check, limit=limit, env={**self.environment, **env})

    def line(self, command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command line as the documentation has it."""
        return run("bash", "-c", command, check=check, env=self.environment)

    def container(self, service: str) -> str:
        return self("ps", "--quiet", "--no-trunc", service).stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        return json.loads(run("docker", "inspect", self.container(service)).stdout)[0]

    def follow(self, command: str, pattern: str, count: int, limit: float = LIMIT) -> list[dict[str, str]]:
        """Reads a command that does not end (`logs -f`) until so many lines match; answers the named groups."""
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=ROOT, env=self.environment, text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        too_late = threading.Timer(limit, process.kill)
        too_late.start()
        seen, found = [], []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                seen.append(line)
                match = re.search(pattern, line)
                if match:
                    found.append(match.groupdict())
                if len(found) == count:
                    return found
        finally:
            too_late.cancel()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=LIMIT)
        raise AssertionError(f"{len(found)} of {count} lines match {pattern}:\n{''.join(seen)}")

    def produce(self, *services: str, iterations: int = 3, timeout: float = 0.3, rows: str = ENDLESS_ROWS
                ) -> dict[str, dict[str, Any]]:
        """One task to each worker; service -> the task's own summary, by way of its result."""
        service_of = {QUEUE[service]: service for service in services}
        done = self("run", "--rm", "producer", "send", "--await-consumer=120", "--wait", f"--timeout={LIMIT / 2}", "--json",
                    TARGET_QUEUES=",".join(service_of), ITERATIONS=str(iterations), DUCKDB_TIMEOUT=str(timeout),
                    DUCKDB_ROWS=rows)
        replies = [event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "reply"]
        assert [reply["status"] for reply in replies] == ["SUCCESS"] * len(services), done.stdout
        return {service_of[reply["queue"]]: reply["result"] for reply in replies}

    def census(self, service: str) -> dict[str, Any]:
        """The worker's processes as the observer sees them."""
        # Not `up`: the worker would be made anew where the environment has changed.
        done = self("run", "--rm", "--no-deps", "observer", "census", "--json", "1", OBSERVE=service)
        return json.loads(done.stdout)


def host_members() -> dict[str, list[int]]:
    """Container id -> the processes of this machine that are in its cgroup."""
    found: dict[str, list[int]] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "cgroup").read_text()
        except OSError:
            continue
        match = re.search(r"docker[/-]([0-9a-f]{64})", text)
        if match:
            found.setdefault(match.group(1), []).append(int(entry.name))
    return found


def lost_members() -> dict[str, list[int]]:
    """Processes in the cgroups of containers that do not run. Somebody else may be starting one: look again."""
    members = host_members()
    running = set(run("docker", "ps", "--quiet", "--no-trunc").stdout.split())
    return {container: pids for container, pids in members.items() if container not in running}


def until(what: str, condition: Any, limit: float = LIMIT) -> Any:
    """Waits for a condition that is seen only by looking; answers its value."""
    end = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {limit} s"
        time.sleep(0.1)
    return value
