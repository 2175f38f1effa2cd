"""The environment in containers: an engine where there is none, the built images, and the proof that nothing stays."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import amqp
import pytest

from compose_support import PROJECT, QUEUE, ROOT, Compose, free_port, lost_members, run, until

PREPARE = str(ROOT / "tools" / "docker-here")


def engine_answers() -> bool:
    return run("docker", "info", check=False).returncode == 0


def project_containers() -> list[str]:
    return run("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter",
               f"label=com.docker.compose.project={PROJECT}").stdout.split()


def remove_project() -> None:
    for container in project_containers():
        run("docker", "rm", "--force", "--volumes", container, check=False)
    for network in run("docker", "network", "ls", "--quiet", "--filter",
                       f"label=com.docker.compose.project={PROJECT}").stdout.split():
        run("docker", "network", "rm", network, check=False)


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """An engine with images to build on. One that this session starts ends with it."""
    was_there = engine_answers()
    overridden = (ROOT / "compose.override.yml").exists()
    try:
        prepared = subprocess.run([PREPARE], capture_output=True, text=True, check=False)
        assert prepared.returncode == 0, prepared.stdout + prepared.stderr
        print("\n" + prepared.stdout, end="")
        remove_project()
        yield
    finally:
        if engine_answers():
            remove_project()
        if not was_there:
            subprocess.run([PREPARE, "--down"], check=True)
        elif not overridden:
            (ROOT / "compose.override.yml").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def compose(engine: None) -> Compose:
    """`docker compose` in a project of its own: what the user has up is not disturbed."""
    return Compose({"COMPOSE_PROJECT_NAME": PROJECT, "RABBITMQ_PORT": str(free_port()),
                    "RABBITMQ_UI_PORT": str(free_port()), "COMPOSE_PROGRESS": "plain", "COMPOSE_ANSI": "never"})


@pytest.fixture(scope="session")
def images(compose: Compose) -> Compose:
    """compose, with everything built."""
    compose("build", limit=1800)
    return compose


def remove_workers() -> None:
    for container in project_containers():
        if run("docker", "inspect", "--format", '{{ index .Config.Labels "com.docker.compose.service" }}',
               container, check=False).stdout.strip() != "rabbitmq":
            run("docker", "rm", "--force", "--volumes", container, check=False)


def remove_tasks(port: str) -> None:
    """A solo worker acknowledges a task when it is over: what a killed one had is delivered again."""
    with amqp.Connection(f"127.0.0.1:{port}") as connection:
        channel = connection.channel()
        for queue in QUEUE.values():
            channel.queue_delete(queue)


@pytest.fixture
def workers(images: Compose) -> Iterator[Compose]:
    """compose, with a broker that holds no task, and no other container."""
    remove_workers()
    images("up", "--detach", "--wait", "rabbitmq")
    remove_tasks(images.environment["RABBITMQ_PORT"])
    yield images
    remove_workers()


@pytest.fixture(autouse=True)
def nothing_outlives_its_container() -> Iterator[None]:
    """After each test, a process in a container's cgroup belongs to a container that runs."""
    yield
    if engine_answers():
        until("no process outlives its container", lambda: not lost_members(), limit=20)
