"""gilotine send beside the real Celery, over a private RabbitMQ and over kombu's folders."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from broker_support import (
    TASKS,
    RabbitMQ,
    celery_python,
    celery_worker,
    find_server,
    free_ports,
    gilotine,
    private_rabbitmq,
)

needs_rabbitmq = pytest.mark.skipif(find_server() is None, reason="rabbitmq-server is not installed")
LIMIT = 60  # seconds within which every command here ends


def send(*options: str, broker: str | None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items()
                   if k not in ("CELERY_BROKER_URL", "TARGET_QUEUES", "ITERATIONS", "DUCKDB_ROWS", "DUCKDB_TIMEOUT")}
    where = ["--broker", broker] if broker is not None else []
    return subprocess.run([gilotine(), "send", *where, *options], capture_output=True, text=True, timeout=LIMIT,
                          env={**environment, **(env or {})}, check=False)


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def client(broker: str, code: str, *arguments: str) -> str:
    """Runs code with a real Celery app for that broker; returns what it prints."""
    prelude = "import sys, json, tasks\napp = tasks.app\n"
    folder = pathlib.Path(arguments[0])
    done = subprocess.run([celery_python(), "-c", prelude + code, *arguments], capture_output=True, text=True,
                          timeout=LIMIT, cwd=folder, check=False,
                          env={**os.environ, "CELERY_BROKER_URL": broker, "PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitMQ]:
    with private_rabbitmq() as node:
        yield node


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> str:
    folder = tmp_path / "spool"
    folder.mkdir()
    return f"filesystem://{folder}"


@pytest.fixture(params=[pytest.param("amqp", marks=needs_rabbitmq), "filesystem"], scope="module")
def worker_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of each kind with a real worker on the queue `celery`."""
    folder = tmp_path_factory.mktemp("worker")
    if request.param == "amqp":
        url = request.getfixturevalue("rabbit").url
    else:
        (folder / "spool").mkdir()
        url = f"filesystem://{folder}/spool"
        for name in ("messages", "processed", "control"):
            (folder / "spool" / name).mkdir()
    with celery_worker(url, "celery", folder):
        yield url


# With a real worker, on both transports


def test_a_task_runs_and_its_result_comes_back(worker_broker: str) -> None:
    done = send("--task", "tasks.add", "--args", "[2, 3]", "--queue", "celery", "--wait", "--timeout", "30",
                broker=worker_broker)
    assert done.returncode == 0, done.stderr
    task_id, queue, status, result = done.stdout.split()
    assert (queue, status, result) == ("celery", "SUCCESS", "5")
    assert len(task_id) == 36


def test_arguments_arrive_as_they_were(worker_broker: str) -> None:
    args = [1, -2.5, "süß 日本 🐘", None, True, [[], {}], {"a": {"b": [1]}}, 2**53, "\x00\n\"'"]
    kwargs = {"größe": 1e300, "x": ""}
    done = send("--task", "tasks.echo", "--args", json.dumps(args), "--kwargs", json.dumps(kwargs), "--queue",
                "celery", "--wait", "--timeout", "30", "--json", broker=worker_broker)
    assert done.returncode == 0, done.stderr
    (reply,) = [e for e in events(done) if e["event"] == "reply"]
    assert reply["result"] == {"args": args, "kwargs": kwargs}


def test_what_the_worker_sees_of_the_request(worker_broker: str) -> None:
    done = send("--task", "tasks.request", "--queue", "celery", "--wait", "--timeout", "30", "--json", "--id", "my-id",
                "--time-limit", "20", "--soft-time-limit", "10.5", "--priority", "3", "--countdown", "0.2",
                "--expires", "300", broker=worker_broker)
    assert done.returncode == 0, done.stderr
    (reply,) = [e for e in events(done) if e["event"] == "reply"]
    seen = reply["result"]
    assert isinstance(seen, dict)
    assert seen["timelimit"] == [20, 10.5]
    assert seen["correlation_id"] == "my-id"
    assert (seen["argsrepr"], seen["kwargsrepr"], seen["priority"]) == ("()", "{}", 3)
    assert seen["eta"].endswith("+00:00") and seen["expires"].endswith("+00:00")


def test_a_failed_task_makes_exit_code_1(worker_broker: str) -> None:
    done = send("--task", "tasks.fail", "--args", '["bad"]', "--queue", "celery", "--wait", "--timeout", "30",
                broker=worker_broker)
    assert done.returncode == 1
    assert "FAILURE ValueError: bad" in done.stdout


def test_numbers_beyond_json_are_shown(worker_broker: str) -> None:
    done = send("--task", "tasks.numbers", "--queue", "celery", "--wait", "--timeout", "30", broker=worker_broker)
    assert done.returncode == 0, done.stderr
    assert '["NaN","-Infinity","1180591620717411303424"]' in done.stdout


def test_a_megabyte_of_arguments(worker_broker: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "args.json").write_text(json.dumps(["x" * 2**20]))
    done = send("--task", "tasks.size", "--args", f"@{tmp_path}/args.json", "--queue", "celery", "--wait",
                "--timeout", "30", broker=worker_broker)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(2**20)


def test_several_tasks_each_get_one_answer(worker_broker: str) -> None:
    done = send("--task", "tasks.add", "--args", "[1, 1]", "--queue", "celery", "--count", "5", "--wait", "--timeout",
                "50", "--json", broker=worker_broker)
    assert done.returncode == 0, done.stderr
    seen = events(done)
    sent = {e["task_id"] for e in seen if e["event"] == "sent"}
    replied = {e["task_id"] for e in seen if e["event"] == "reply"}
    assert len(sent) == 5 and sent == replied
    assert seen[-1]["event"] == "end" and seen[-1]["answered"] == 5 and seen[-1]["failed"] == 0


# The same task from Celery's own client and from us


def stored(url: str, queue: str, code: str, folder: pathlib.Path) -> dict[str, object]:
    """The message at the head of a queue, as kombu reads it, with code run before."""
    take = """
with app.connection() as connection:
    message = connection.SimpleQueue(sys.argv[2]).get(timeout=20)
    message.ack()
    print(json.dumps({"headers": message.headers, "body": json.loads(message.body),
                      "type": message.content_type, "encoding": message.content_encoding,
                      "properties": {k: message.properties.get(k) for k in
                                     ("correlation_id", "reply_to", "delivery_mode", "priority", "expiration")}}))
"""
    return dict(json.loads(client(url, code + take, str(folder), queue)))


def same_message(url: str, folder: pathlib.Path) -> None:
    (folder / "tasks.py").write_text(TASKS, encoding="utf-8")
    theirs = stored(url, "side", "app.send_task('tasks.some', (1, 'two'), {'three': 3.0}, queue='side', priority=4,"
                    "task_id='same', time_limit=20, soft_time_limit=10, reply_to='back')\n", folder)
    done = send("--task", "tasks.some", "--args", '[1, "two"]', "--kwargs", '{"three": 3.0}', "--queue", "side",
                "--priority", "4", "--id", "same", "--time-limit", "20", "--soft-time-limit", "10", "--reply-to",
                "back", broker=url)
    assert done.returncode == 0, done.stderr
    ours = stored(url, "side", "", folder)
    for message in (theirs, ours):  # names the sending process
        headers = message["headers"]
        assert isinstance(headers, dict)
        assert headers.pop("origin").startswith("gen")
    assert ours == theirs


@needs_rabbitmq
def test_our_message_is_field_by_field_that_of_celerys_client(rabbit: RabbitMQ, tmp_path: pathlib.Path) -> None:
    same_message(rabbit.url, tmp_path)


def test_our_file_is_field_by_field_that_of_celerys_client(spool: str, tmp_path: pathlib.Path) -> None:
    for name in ("messages", "processed", "control"):
        (tmp_path / "spool" / name).mkdir()
    same_message(spool, tmp_path)


def test_files_of_celerys_client_have_the_form_that_we_write(spool: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS, encoding="utf-8")
    folder = tmp_path / "spool" / "messages"
    assert send("--task", "tasks.add", "--queue", "one", broker=spool).returncode == 0
    client(spool, "app.send_task('tasks.add', queue='two')", str(tmp_path))
    (our_file,) = folder.glob("*.one.msg")
    (their_file,) = folder.glob("*.two.msg")
    ours, theirs = json.loads(our_file.read_text()), json.loads(their_file.read_text())
    assert ours.keys() == theirs.keys()
    assert list(ours["headers"]) == list(theirs["headers"])
    assert ours["properties"].keys() | {"reply_to"} == theirs["properties"].keys()
    assert ours["properties"]["delivery_info"].keys() == theirs["properties"]["delivery_info"].keys()
    assert oct(our_file.stat().st_mode) == oct(their_file.stat().st_mode)
    assert not list(folder.glob(".*"))


# The environment's producer


def test_without_a_task_it_is_the_experiments_producer(spool: str, tmp_path: pathlib.Path) -> None:
    done = send("--json", broker=None, env={"CELERY_BROKER_URL": spool, "ITERATIONS": "3", "DUCKDB_ROWS": "1000",
                                            "DUCKDB_TIMEOUT": "0.5"})
    assert done.returncode == 0, done.stderr
    assert [e.get("queue") for e in events(done) if e["event"] == "sent"] == ["gil", "nogil"]
    (message,) = (tmp_path / "spool" / "messages").glob("*.nogil.msg")
    envelope = json.loads(message.read_text())
    assert envelope["headers"]["task"] == "tasks.leak_demo"
    assert envelope["headers"]["kwargsrepr"] == "{'iterations': 3, 'rows': 1000, 'timeout_sec': 0.5}"


def test_queues_come_from_the_environment_unless_given(spool: str) -> None:
    env = {"TARGET_QUEUES": " a, b ,,a"}
    done = send("--json", broker=spool, env=env)
    assert [e.get("queue") for e in events(done) if e["event"] == "sent"] == ["a", "b"]
    done = send("--json", "-Q", "x,y", "-Q", "z", broker=spool, env=env)
    assert [e.get("queue") for e in events(done) if e["event"] == "sent"] == ["x", "y", "z"]


@pytest.mark.parametrize(("name", "value"), [("ITERATIONS", "ten"), ("ITERATIONS", "0"), ("DUCKDB_ROWS", "1.5"),
                                             ("DUCKDB_TIMEOUT", "-2"), ("DUCKDB_TIMEOUT", "nan")])
def test_bad_values_in_the_environment_are_named(spool: str, name: str, value: str) -> None:
    done = send(broker=spool, env={name: value})
    assert done.returncode == 2
    assert name in done.stderr and value in done.stderr


# Wrong input: a clear message, exit code 2, nothing sent


@pytest.mark.parametrize(("options", "said"), [
    (["--task", "t", "--args", "[1,"], "--args is not JSON"),
    (["--task", "t", "--args", "[1, x]"], "column"),
    (["--task", "t", "--args", "{}"], "JSON array"),
    (["--task", "t", "--kwargs", "[]"], "JSON object"),
    (["--task", "t", "--kwargs", '{"a": 1, "a": 2}'], "duplicate"),
    (["--task", "t", "--args", "[99999999999999999999]"], "too big integer"),
    (["--task", "t", "--args", "@/nonexistent"], "nonexistent"),
    (["--args", "[]"], "--task"),
    (["--task", ""], "--task"),
    (["--task", "t", "--no-such-option"], "--help"),
    (["--task", "t", "stray"], "stray"),
    (["--task", "t", "--priority", "10"], "from 0 to 9"),
    (["--task", "t", "--count", "0"], "--count"),
    (["--task", "t", "--countdown", "soon"], "soon"),
    (["--task", "t", "--expires", "-1"], "--expires"),
    (["--task", "t", "--time-limit", "0"], "above 0"),
    (["--task", "t", "--timeout", "3"], "--wait"),
    (["--task", "t", "--id", "x", "--count", "2"], "--id"),
    (["--task", "t", "--queue", "a/b"], "a/b"),
])
def test_wrong_options_are_explained(spool: str, tmp_path: pathlib.Path, options: list[str], said: str) -> None:
    done = send(*options, broker=spool)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert not list((tmp_path / "spool").glob("messages/*"))


def test_help_names_options_and_exit_codes() -> None:
    done = send("--help", broker=None)
    assert done.returncode == 0
    for word in ("--soft-time-limit", "TARGET_QUEUES", "filesystem:///DIR", "Exit codes", "130"):
        assert word in done.stdout


@pytest.mark.parametrize(("broker", "code"), [("gopher://x", 2), ("amqp://h/?colour=red", 2),
                                              ("filesystem:///nonexistent/x", 111), ("nothing", 2)])
def test_brokers_that_cannot_be_are_refused(broker: str, code: int) -> None:
    done = send("--task", "t", broker=broker)
    assert done.returncode == code
    assert done.stderr.startswith("gilotine send: ")


def test_a_folder_without_permission_is_named(spool: str, tmp_path: pathlib.Path) -> None:
    """Root may write anywhere, so as root the capability is dropped."""
    assert send("--task", "t", broker=spool).returncode == 0
    (tmp_path / "spool" / "messages").chmod(0o500)
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run([*unprivileged, gilotine(), "send", "--broker", spool, "--task", "t"], capture_output=True,
                          text=True, timeout=LIMIT, check=False)
    assert done.returncode == 111
    assert "messages" in done.stderr


def test_standard_output_that_is_full_is_an_error(spool: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([gilotine(), "send", "--broker", spool, "--task", "t"], stdout=full,
                              stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    assert done.returncode == 111
    assert b"standard output" in done.stderr


# Waiting


def test_unanswered_tasks_are_named(spool: str) -> None:
    done = send("--task", "t", "--queue", "nobody", "--wait", "--timeout", "0.2", "--id", "lonely", broker=spool)
    assert done.returncode == 1
    assert "lonely (nobody)" in done.stderr


def test_an_interrupt_says_how_far_it_came(spool: str) -> None:
    process = subprocess.Popen([gilotine(), "send", "--broker", spool, "--task", "t", "--queue", "nobody", "--count",
                                "3", "--wait", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = pathlib.Path(spool.removeprefix("filesystem://"), "messages")
    deadline = time.monotonic() + 20
    while len(list(folder.glob("*.nobody.msg"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "3 of 3 tasks sent, 3 of them confirmed by the broker, 0 answered" in err
    assert json.loads(out.splitlines()[-1])["error"] == "interrupted"


def test_malformed_replies_stay_and_the_good_one_is_found(spool: str) -> None:
    folder = pathlib.Path(spool.removeprefix("filesystem://"), "messages")
    folder.mkdir()
    (folder / "1_x.back.msg").write_text('{"body": "trunc')
    body = json.dumps({"task_id": "mine", "status": "SUCCESS", "result": 7})
    (folder / "2_x.back.msg").write_text(json.dumps(
        {"body": body, "headers": {}, "properties": {"correlation_id": "mine"}, "content-type": "application/json"}))
    done = send("--task", "t", "--id", "mine", "--queue", "q", "--reply-to", "back", "--wait", "--timeout", "20",
                broker=spool)
    assert done.returncode == 0, done.stderr
    assert "mine q SUCCESS 7" in done.stdout
    assert "1_x.back.msg" in done.stderr
    assert (folder / "1_x.back.msg").exists()


def test_a_result_that_cannot_be_read_counts_as_failed(spool: str) -> None:
    folder = pathlib.Path(spool.removeprefix("filesystem://"), "messages")
    folder.mkdir()
    (folder / "1_x.back.msg").write_text(json.dumps(
        {"body": "nonsense", "headers": {}, "properties": {"correlation_id": "mine"}}))
    done = send("--task", "t", "--id", "mine", "--queue", "q", "--reply-to", "back", "--wait", "--timeout", "20",
                broker=spool)
    assert done.returncode == 1
    assert "mine" in done.stderr and "not JSON" in done.stderr


# RabbitMQ says no


@needs_rabbitmq
def test_a_wrong_password_is_refused_at_once(rabbit: RabbitMQ) -> None:
    done = send("--task", "t", broker=rabbit.url.replace("guest:guest", "guest:secret"))
    assert done.returncode == 111
    assert "403" in done.stderr and "attempt" not in done.stderr
    assert "secret" not in done.stderr


@needs_rabbitmq
def test_a_missing_virtual_host_is_refused_at_once(rabbit: RabbitMQ) -> None:
    done = send("--task", "t", broker=rabbit.url[:-1] + "nowhere")
    assert done.returncode == 111
    assert "nowhere" in done.stderr and "attempt" not in done.stderr


def test_an_unreachable_broker_is_retried_visibly() -> None:
    (port,) = free_ports(1)
    done = send("--task", "t", "--attempts", "2", broker=f"amqp://127.0.0.1:{port}//")
    assert done.returncode == 111
    assert "attempt 2 of 2 in 0.5 s" in done.stderr
    assert "all attempts failed" in done.stderr
    assert "refused" in done.stderr


def test_a_port_that_never_answers_does_not_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen([gilotine(), "send", "--task", "t", "--broker",
                                    f"amqp://127.0.0.1:{silent.getsockname()[1]}//"], stderr=subprocess.PIPE, text=True)
        connection, _ = silent.accept()
        connection.recv(8)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        process.communicate(timeout=10)
        connection.close()
        assert process.returncode in (130, -signal.SIGINT)


@needs_rabbitmq
def test_a_queue_that_does_not_exist_is_reported(rabbit: RabbitMQ) -> None:
    done = send("--task", "t", "--queue", "missing", "--no-declare", broker=rabbit.url)
    assert done.returncode == 1
    assert "missing" in done.stderr and "312" in done.stderr
    assert "0 of them confirmed" in done.stderr


@needs_rabbitmq
def test_a_queue_that_nobody_consumes_is_named_and_not_created(rabbit: RabbitMQ) -> None:
    done = send("--task", "t", "--queue", "mistyped", "--await-consumer", "0", broker=rabbit.url)
    assert done.returncode == 1
    assert "nobody consumes the queue 'mistyped'" in done.stderr and "tasks sent" not in done.stderr
    again = send("--task", "t", "--queue", "mistyped", "--no-declare", broker=rabbit.url)
    assert again.returncode == 1 and "312" in again.stderr


@needs_rabbitmq
def test_a_queue_that_exists_without_consumers_is_not_sent_to(rabbit: RabbitMQ) -> None:
    assert send("--task", "t", "--queue", "idle", broker=rabbit.url).returncode == 0
    done = send("--task", "t", "--queue", "idle", "--await-consumer", "0.3", broker=rabbit.url)
    assert done.returncode == 1 and "'idle'" in done.stderr


@needs_rabbitmq
def test_a_task_is_sent_when_its_consumer_has_come(rabbit: RabbitMQ, tmp_path: pathlib.Path) -> None:
    process = subprocess.Popen([gilotine(), "send", "--broker", rabbit.url, "--task", "tasks.add", "--args", "[2, 3]",
                                "--queue", "late", "--await-consumer", str(LIMIT), "--wait", "--timeout", str(LIMIT)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "waiting for a worker" in process.stderr.readline()
    with celery_worker(rabbit.url, "late", tmp_path):
        out, err = process.communicate(timeout=2 * LIMIT)
    assert process.returncode == 0, err
    assert out.split()[2:] == ["SUCCESS", "5"]


@needs_rabbitmq
def test_the_wait_for_a_consumer_can_be_interrupted(rabbit: RabbitMQ) -> None:
    process = subprocess.Popen([gilotine(), "send", "--broker", rabbit.url, "--task", "t", "--queue", "never",
                                "--await-consumer", str(LIMIT)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None and "waiting" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=LIMIT / 2) == 130


def test_a_transport_that_does_not_know_its_consumers_refuses_to_wait(spool: str) -> None:
    done = send("--task", "t", "--await-consumer", "1", broker=spool)
    assert done.returncode == 2 and "consumers" in done.stderr


@needs_rabbitmq
def test_a_queue_with_other_settings_is_reported(rabbit: RabbitMQ, tmp_path: pathlib.Path) -> None:
    (tmp_path / "tasks.py").write_text(TASKS, encoding="utf-8")
    client(rabbit.url, "import kombu\nwith app.connection() as c:\n"
           "  kombu.Queue('short', exchange=kombu.Exchange('short'), durable=False)(c.default_channel).declare()\n",
           str(tmp_path))
    done = send("--task", "t", "--queue", "short", broker=rabbit.url)
    assert done.returncode == 1
    assert "406" in done.stderr


@needs_rabbitmq
def test_the_count_is_honest_when_the_broker_dies(tmp_path: pathlib.Path) -> None:
    with private_rabbitmq() as node:
        process = subprocess.Popen([gilotine(), "send", "--broker", node.url, "--task", "t", "--queue", "q", "--count",
                                    "5000000", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(100)]
        node.kill()
        lines += process.stdout.readlines()
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 111, err
    seen = [json.loads(line) for line in lines]
    end = seen[-1]
    assert end["event"] == "end" and end["error"]
    assert end["confirmed"] == len(seen) - 1 < end["sent"] <= end["total"]
    assert f"{end['confirmed']} of them confirmed" in err


@needs_rabbitmq
def test_what_is_confirmed_is_in_the_queue(rabbit: RabbitMQ) -> None:
    done = send("--task", "t", "--queue", "counted,other", "--count", "3000", "--quiet", broker=rabbit.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    rows = dict(line.split() for line in rabbit.control("-q", "list_queues", "name", "messages").splitlines()
                if line.startswith(("counted", "other")))
    assert rows == {"counted": "3000", "other": "3000"}


@needs_rabbitmq
def test_the_memory_alarm_is_told_and_holds_publishing_back() -> None:
    with private_rabbitmq({"vm_memory_high_watermark.absolute": "1"}) as node:
        process = subprocess.Popen([gilotine(), "send", "--broker", node.url, "--task", "t", "--queue", "q", "--count",
                                    "100000", "--quiet"], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "takes no messages for now" in line and "memory" in line
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "interrupted" in err


@needs_rabbitmq
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_trusts_only_whom_it_is_told_to(tmp_path: pathlib.Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out",
                    cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
                   check=True, capture_output=True, timeout=LIMIT)
    with private_rabbitmq({"listeners.ssl.1": "127.0.0.1:{tls_port}", "ssl_options.certfile": str(cert),
                           "ssl_options.keyfile": str(key), "ssl_options.verify": "verify_none"}) as node:
        base = f"amqps://guest:guest@localhost:{node.tls_port}//"
        trusted = send("--task", "t", "--queue", "q", "--count", "200", broker=f"{base}?cacert={cert}")
        assert trusted.returncode == 0, trusted.stderr
        distrusted = send("--task", "t", "--queue", "q", broker=base)
        assert distrusted.returncode == 111 and "TLS" in distrusted.stderr
        assert "attempt" not in distrusted.stderr
        unchecked = send("--task", "t", "--queue", "q", broker=f"{base}?verify=none")
        assert unchecked.returncode == 0, unchecked.stderr
        plain = send("--task", "t", "--queue", "q", broker=f"amqps://localhost:{node.port}//?cacert={cert}")
        assert plain.returncode == 111 and "TLS" in plain.stderr


@needs_rabbitmq
def test_heartbeats_keep_a_silent_wait_alive(rabbit: RabbitMQ) -> None:
    done = send("--task", "t", "--queue", "silent", "--wait", "--timeout", "4", broker=f"{rabbit.url}?heartbeat=1")
    assert done.returncode == 1, done.stderr
    assert "not answered within 4 s" in done.stderr


@needs_rabbitmq
def test_a_broker_that_falls_silent_is_noticed() -> None:
    with private_rabbitmq() as node:
        process = subprocess.Popen([gilotine(), "send", "--broker", f"{node.url}?heartbeat=1", "--task", "t", "--queue",
                                    "q", "--wait", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert '"sent"' in process.stdout.readline()
        node.freeze()
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 111
    assert "heartbeat" in err and "1 of 1 tasks sent, 1 of them confirmed" in err
