"""The fake executor does what its script says: the engine's tests stand on it."""

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import build_dir
from wire_client import WAIT, Client, Lost


@pytest.fixture
def make():
    clients = []

    def start(*options: str) -> Client:
        client = Client([str(build_dir() / "tests/fakes/fake_executor"), *options])
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def fake(make) -> Client:
    client = make()
    assert client.start()["kinds"] == "steps"
    return client


def run(client: Client, steps: str):
    client.submit(steps.encode(), kind="steps")
    return client.finish()


@pytest.mark.parametrize(
    "steps,kind", [("value 5", "result"), ("error query", "error"), ("refuse input", "refused"), ("chunks 3 10; value", "result")]
)
def test_answers(fake, steps, kind):
    assert run(fake, steps).kind == kind
    assert run(fake, "value").kind == "result"


def test_progress_and_memory_files(fake):
    answer = run(fake, "progress 50; memfd 10; value")
    assert answer.progress == [{"percent": 50.0}] and answer.file_bytes() == bytes(10)


def test_obeys_or_not(fake):
    fake.submit(b"obey 60000; value", kind="steps")
    fake.interrupt()
    answer = fake.finish()
    assert (answer.head["class_name"], answer.end["interrupted"]) == ("interrupted", True)
    fake.submit(b"sleep 100; value", kind="steps")
    fake.interrupt()
    answer = fake.finish()
    assert answer.kind == "result" and [ack["state"] for ack in answer.acks] == ["calling"]
    fake.submit(b"late 50; value", kind="steps")
    fake.interrupt()
    assert fake.finish().end["late_value"]


def test_a_deaf_one_acknowledges_when_the_job_is_over(fake):
    fake.submit(b"deaf; sleep 50; value", kind="steps")
    fake.interrupt()
    assert fake.finish().acks == []
    assert [ack["state"] for ack in run(fake, "value").acks] == ["stale"]


def test_a_stale_interrupt_is_said_to_be(fake):
    run(fake, "value")
    fake.interrupt()
    assert run(fake, "sleep 50; value").acks[0]["state"] == "stale"


@pytest.mark.parametrize("steps,status", [("exit 7", 7), ("signal 9", -9), (f"signal {int(signal.SIGSEGV)}", -11), ("half; exit 0", 0)])
def test_dies(fake, steps, status):
    fake.submit(steps.encode(), kind="steps")
    with pytest.raises((Lost, ConnectionResetError)):
        fake.read()
    assert fake.process.wait(WAIT) == status


def test_garbage_and_half_frames(fake):
    fake.submit(b"garbage 50", kind="steps")
    with pytest.raises(AssertionError):
        fake.read()


def test_answers_for_another_job(fake):
    fake.submit(b"wrongjob 99; value", kind="steps")
    assert [(frame.type, frame.job) for frame in (fake.read() for _ in range(4))] == [
        ("result", 99),
        ("end", 99),
        ("result", 1),
        ("end", 1),
    ]


def test_floods_and_hangs_until_it_is_killed(fake):
    fake.submit(b"flood", kind="steps")
    for _ in range(50):
        assert len(fake.read().body) == 65536
    fake.process.kill()


def test_leaves_things_behind(fake):
    run(fake, "child 60000; thread; leakfd; value")
    tasks = Path(f"/proc/{fake.process.pid}/task")
    assert len(list(tasks.iterdir())) == 2
    (child,) = (tasks / str(fake.process.pid) / "children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    fake.process.kill()
    fake.process.wait()
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:  # the test is a subreaper: the child comes to it
        try:
            os.waitpid(int(child), 0)
        except ChildProcessError:
            break


def test_starts_badly(make):
    with pytest.raises((Lost, ConnectionResetError)):
        make("--start", "exit 3").read()
    with pytest.raises(AssertionError):
        make("--start", "garbage 30; nohello").read()
    assert make("--start", "protocol 99").read().head["protocol"] == 99
    with pytest.raises(TimeoutError):
        make("--start", "nohello").read(0.2)
