"""The services of compose.yml, as their readers use them. (pytest runs these in the order of the file.)"""

from __future__ import annotations

import json
import re
import time

import pytest

from compose_support import ENDLESS_ROWS, LIMIT, PROJECT, QUEUE, WORKER_SERVICES, Compose, host_members, lost_members, run, until

MEGABYTE = 1_000_000
ITERATION = r"iter=(?P<n>\d+) outcome=(?P<outcome>\S+) elapsed=(?P<elapsed>[\d.]+)s children=(?P<children>\d+) zombies=(?P<zombies>\d+)"
STATUS = r"gil_status .*gil_enabled=(?P<enabled>\w+) .*start_method=(?P<start>\w+)"
CLEANUP = r"cleanup terminated=(?P<terminated>\d+) killed=(?P<killed>\d+) remaining=(?P<remaining>\d+)"


def seconds_of(compose: Compose, *arguments: str, limit: float, **env: str) -> tuple[float, str]:
    started = time.monotonic()
    done = compose(*arguments, limit=limit, **env)
    return time.monotonic() - started, done.stdout + done.stderr


# ---- images --------------------------------------------------------------------------------------------------------

def test_a_second_build_runs_nothing(compose: Compose, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = seconds_of(compose, "build", limit=1800)
    second, text = seconds_of(compose, "build", limit=1800)
    with capsys.disabled():
        print(f"\ndocker compose build: {first:.1f} s, again {second:.1f} s")
    steps = dict(re.findall(r"^#(\d+) \[(.*\] RUN .*)$", text, re.MULTILINE))
    cached = set(re.findall(r"^#(\d+) CACHED$", text, re.MULTILINE))
    assert steps, text
    assert {number: steps[number] for number in steps.keys() - cached} == {}


@pytest.mark.parametrize("image, limit", [("worker-gil", 300), ("worker-nogil", 300), ("tools", 100)])
def test_an_image_is_small_and_has_no_compiler(images: Compose, image: str, limit: int,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    name = f"gilotine-{image}"
    about = json.loads(run("docker", "image", "inspect", name).stdout)[0]
    with capsys.disabled():
        print(f"\n{name}: {about['Size'] / MEGABYTE:.0f} MB")
    assert about["Size"] <= limit * MEGABYTE
    assert about["Config"]["User"] == "1000:1000"
    assert about["Config"]["Labels"]["org.opencontainers.image.title"] == "gilotine"
    found = run("docker", "run", "--rm", "--entrypoint", "sh", name, "-c",
                "for name in cc gcc ld make pip; do command -v $name; done; "
                "find / -xdev -path '*/python3*/test' -prune -print -o -name '*.a' -print; true")
    assert found.stdout == ""


def test_no_image_holds_a_credential(images: Compose) -> None:
    for image in ("worker-gil", "worker-nogil", "tools"):
        config = json.loads(run("docker", "image", "inspect", f"gilotine-{image}").stdout)[0]["Config"]
        assert not [entry for entry in config["Env"] if re.search(r"amqp|PASS|TOKEN|SECRET", entry)]


def test_a_release_that_does_not_exist_is_named(images: Compose) -> None:
    done = images("build", "worker-gil", check=False, limit=900, PYTHON_VERSION="3.14.99")
    assert done.returncode != 0
    assert "CPython 3.14.99 cannot be had" in done.stdout + done.stderr


def test_a_version_that_is_none_is_named(images: Compose) -> None:
    done = images("build", "worker-gil", check=False, limit=900, PYTHON_VERSION="latest")
    assert done.returncode != 0
    assert "PYTHON_VERSION=latest is no version of CPython" in done.stdout + done.stderr


# ---- what is described ---------------------------------------------------------------------------------------------

def test_a_bare_up_is_small(compose: Compose) -> None:
    assert set(compose("config", "--services").stdout.split()) == {
        "rabbitmq", "worker-gil", "worker-nogil", "worker-gil-clean", "worker-nogil-clean", "producer"}
    everything = compose("--profile", "*", "config", "--services").stdout.split()
    assert set(everything) == {"rabbitmq", "producer", "observer", *WORKER_SERVICES}


def test_the_four_commands(images: Compose) -> None:
    """As the documentation has them, with nothing set."""
    images.line("docker compose build")
    images.line("docker compose up -d rabbitmq worker-gil worker-nogil")
    images.line("docker compose run --rm producer")
    status = images.follow("docker compose logs -f worker-gil", STATUS, 1)[0]
    rows = images.follow("docker compose logs -f worker-gil", ITERATION, 3)
    assert status["enabled"] == "True"
    assert [row["outcome"] for row in rows] == ["timeout"] * 3
    if status["start"] == "fork":
        assert int(rows[2]["children"]) > int(rows[0]["children"]), "busy children pile up"
    late = images.follow("docker compose logs -f worker-nogil", f"{STATUS}|{ITERATION}", 2, limit=3 * LIMIT)
    assert late[0]["enabled"] == "False"
    assert late[1]["outcome"] == "timeout" and float(late[1]["elapsed"]) > 2.5, "the signal came after the whole query"


def test_containers_have_good_manners(images: Compose) -> None:
    """Of the containers that the four commands have left."""
    for service in ("worker-gil", "worker-nogil"):
        about = images.inspect(service)
        host = about["HostConfig"]
        assert about["Config"]["User"] == "1000:1000"
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"]
        assert host["Memory"] == 1 << 30 and host["PidsLimit"] == 256
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert about["Mounts"] == [] and list(host["Tmpfs"]) == ["/tmp"], "no folder is shared"
        assert images("exec", "-T", service, "sh", "-c", "pwd; id -u; touch /tmp/mine; ! touch /app/x 2>/dev/null"
                      ).stdout.split() == ["/tmp", "1000"]
        assert images.census(service)["processes"][0]["comm"].startswith(("celery", "python"))


@pytest.fixture
def burning(workers: Compose) -> Compose:
    """Both workers with children that go on for hours."""
    workers("up", "--detach", "worker-gil", "worker-nogil", MP_START_METHOD="fork", TIMEOUT_USE_SIGNALS="0")
    workers.produce("worker-gil", "worker-nogil", iterations=2)
    for service in ("worker-gil", "worker-nogil"):
        assert len(host_members()[workers.container(service)]) == 3
    return workers


def test_a_killed_container_takes_its_burning_children_along(burning: Compose) -> None:
    container = burning.container("worker-gil")
    run("docker", "kill", container)
    until("all of them gone", lambda: container not in host_members())


def assert_nothing_is_left() -> None:
    assert not run("docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}").stdout
    assert not run("docker", "network", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}").stdout
    until("no process is left", lambda: not lost_members(), limit=20)


def test_down_leaves_nothing(burning: Compose) -> None:
    burning.line("docker compose down")
    assert_nothing_is_left()


def test_the_three_commands_of_the_clean_up(images: Compose) -> None:
    images.line("docker compose up -d rabbitmq worker-gil-clean")
    images.line("docker compose run --rm -e TARGET_QUEUES=gil-clean -e DUCKDB_ROWS=1000000000 -e DUCKDB_TIMEOUT=0.2 producer")
    cleaned = images.follow("docker compose logs -f worker-gil-clean", CLEANUP, 10)
    assert {row["remaining"] for row in cleaned} == {"0"}
    assert sum(int(row["terminated"]) for row in cleaned) >= 1
    start = images.follow("docker compose logs -f worker-gil-clean", STATUS, 1)[0]["start"]
    rows = images.follow("docker compose logs -f worker-gil-clean", ITERATION, 10)
    assert {row["outcome"] for row in rows} == {"timeout"}
    if start == "fork":
        assert {row["children"] for row in rows} == {"0"}
    images.line("docker compose down")
    assert_nothing_is_left()


def test_down_with_every_profile_leaves_nothing_either(workers: Compose) -> None:
    workers("up", "--detach", "worker-prefork", "worker-gil-init")
    workers.line("docker compose --profile '*' down")
    assert_nothing_is_left()


# ---- strategies and start methods ----------------------------------------------------------------------------------

# start method -> helpers of multiprocessing's own (the resource tracker, the fork server), whether the work goes on.
PROCESSES = {"fork": (0, True), "forkserver": (2, False), "spawn": (1, False)}


def work_of(compose: Compose, service: str) -> list[str]:
    """The command lines of what lives below the worker, without multiprocessing's own helpers."""
    family = [process for process in compose.census(service)["processes"] if not process["zombie"]]
    below = 2 if service.endswith("-init") else 1  # there the worker is a child of the init
    return [process["cmdline"] for process in family if process["depth"] >= below
            and not re.search(r"multiprocessing\.(resource_tracker|forkserver)", process["cmdline"])]


@pytest.mark.parametrize("start", PROCESSES)
def test_processes(workers: Compose, start: str) -> None:
    services = ("worker-gil", "worker-nogil", "worker-gil-init", "worker-nogil-init")
    workers("up", "--detach", *services, MP_START_METHOD=start, TIMEOUT_USE_SIGNALS="0")
    summaries = workers.produce(*services)
    helpers, leaks = PROCESSES[start]
    for service, summary in summaries.items():
        rows = summary["iterations"]
        assert summary["start_method"] == start and summary["build_free_threaded"] == ("nogil" in service)
        assert [row["outcome"] for row in rows] == ["timeout"] * 3, service
        assert len(work_of(workers, service)) == (3 if leaks else 0), service
        if leaks:
            assert [row["children"] for row in rows] == [1, 2, 3], service
        else:
            assert max(row["children"] - row["zombies"] for row in rows) <= helpers, service


@pytest.mark.parametrize("start", PROCESSES)
def test_clean_up(workers: Compose, start: str) -> None:
    services = ("worker-gil-clean", "worker-nogil-clean", "worker-gil-clean-init", "worker-nogil-clean-init")
    workers("up", "--detach", *services, MP_START_METHOD=start, TIMEOUT_USE_SIGNALS="0")
    for service, summary in workers.produce(*services).items():
        rows = summary["iterations"]
        assert [row["outcome"] for row in rows] == ["timeout"] * 3, service
        assert [row["cleanup"]["remaining"] for row in rows] == [0, 0, 0], service
        assert sum(row["cleanup"]["killed"] for row in rows) == (3 if start == "fork" else 0), service
        assert work_of(workers, service) == [], service


def test_signals_come_after_the_query(workers: Compose) -> None:
    workers("up", "--detach", "worker-gil", "worker-nogil", TIMEOUT_USE_SIGNALS="1")
    for summary in workers.produce("worker-gil", "worker-nogil", iterations=1, timeout=0.1, rows="1000000000").values():
        row = summary["iterations"][0]
        assert row["outcome"] == "timeout" and row["elapsed"] > 0.5 and row["children"] == 0


def test_prefork_refuses_children(workers: Compose) -> None:
    workers("up", "--detach", "worker-prefork")
    rows = workers.produce("worker-prefork")["worker-prefork"]["iterations"]
    assert [row["outcome"] for row in rows] == ["error:AssertionError"] * 3
    assert "daemonic" in rows[0]["error"]


@pytest.mark.parametrize("service, reaper", [("worker-gil", False), ("worker-gil-init", True)])
def test_an_orphan_becomes_a_zombie_where_the_worker_is_the_init(workers: Compose, service: str, reaper: bool) -> None:
    workers("up", "--detach", service)
    workers("exec", "-T", service, "sh", "-c", "sleep 0.1 &")

    def orphans() -> list[bool]:  # for each, whether it is a zombie
        return [process["zombie"] for process in workers.census(service)["processes"] if process["comm"] == "sleep"]

    until("the orphan has ended", lambda: False not in orphans())
    assert orphans() == ([] if reaper else [True])


# ---- what goes wrong -----------------------------------------------------------------------------------------------

def test_the_broker_dies_and_comes_back(workers: Compose) -> None:
    workers("up", "--detach", "worker-gil")
    workers("run", "--rm", "producer", TARGET_QUEUES="gil", ITERATIONS="10", DUCKDB_TIMEOUT="0.3", DUCKDB_ROWS=ENDLESS_ROWS)
    workers.follow("docker compose logs -f worker-gil", ITERATION, 2)
    workers("kill", "rabbitmq")
    waiting = workers("run", "--rm", "--no-deps", "producer", "send", "--attempts=2", check=False)
    assert waiting.returncode == 111
    assert "no connection to amqp://guest@rabbitmq" in waiting.stderr and "attempt 2 of 2" in waiting.stderr
    workers.follow("docker compose logs -f worker-gil", r"iter=10 outcome=timeout", 1)
    workers("up", "--detach", "--wait", "rabbitmq")
    assert workers.produce("worker-gil", iterations=1)["worker-gil"]["last_outcome"] == "timeout"


@pytest.mark.parametrize("variable, value, word", [
    ("DUCKDB_TIMEOUT", "abc", "DUCKDB_TIMEOUT in the environment must be a number of seconds above 0, not 'abc'"),
    ("DUCKDB_ROWS", "-1", "DUCKDB_ROWS in the environment must be a whole number"),
    ("ITERATIONS", "0", "ITERATIONS in the environment must be a whole number"),
])
def test_the_producer_refuses_bad_parameters(workers: Compose, variable: str, value: str, word: str) -> None:
    done = workers("run", "--rm", "-e", f"{variable}={value}", "producer", check=False)
    assert done.returncode == 2
    assert word in done.stderr


def test_the_producer_names_a_queue_that_nobody_consumes(workers: Compose) -> None:
    assert json.loads(workers("config", "--format", "json").stdout)["services"]["producer"]["command"] == [
        "send", "--await-consumer=30"]
    done = workers("run", "--rm", "-e", "TARGET_QUEUES=nobody", "producer", "send", "--await-consumer=1", check=False)
    assert done.returncode == 1
    assert "nobody consumes the queue 'nobody'" in done.stderr


@pytest.mark.parametrize("variable, value", [("MP_START_METHOD", "thread"), ("TIMEOUT_USE_SIGNALS", "perhaps"),
                                             ("DUCKDB_QUERY", "select 1"), ("LOG_LEVEL", "LOUD")])
def test_a_worker_refuses_bad_parameters(workers: Compose, variable: str, value: str) -> None:
    done = workers("run", "--rm", "-e", f"{variable}={value}", "worker-gil", check=False)
    assert done.returncode == 2
    assert f"subject: {variable}={value}" in done.stderr
