"""Real brokers and real Celery workers for the end-to-end tests: private, on loopback, and gone
afterwards."""

from __future__ import annotations

import configparser
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER_SCRIPTS = [
    "/usr/lib/rabbitmq/bin/rabbitmq-server",  # Debian, Ubuntu: runs as the caller, unlike the wrapper in PATH
    "/usr/lib64/rabbitmq/bin/rabbitmq-server",
    "/usr/libexec/rabbitmq/rabbitmq-server",
]


def gilotine() -> str:
    """The program under test, from $GILOTINE_BUILD or build/."""
    program = pathlib.Path(os.environ.get("GILOTINE_BUILD", ROOT / "build"), "src", "cli", "gilotine").absolute()
    if not os.access(program, os.X_OK):
        raise FileNotFoundError(f"{program} is not built: run 'make'")
    return str(program)


def celery_python() -> str:
    """A Python that has Celery: $TEST_PYTHON, the manifest's, else this one."""
    if os.environ.get("TEST_PYTHON"):
        return os.environ["TEST_PYTHON"]
    cache = os.environ.get("GILOTINE_CACHE")
    if cache is None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        cache = os.path.join(base, "gilotine")
    manifest = configparser.ConfigParser(interpolation=None)
    manifest.read(os.path.join(cache, "manifest.ini"))
    python = manifest.get("tests", "python", fallback=sys.executable)
    return python if os.access(python, os.X_OK) else sys.executable


def find_server() -> str | None:
    """RabbitMQ's start script, or None when there is none on this machine."""
    for script in SERVER_SCRIPTS:
        if os.access(script, os.X_OK):
            return script
    return shutil.which("rabbitmq-server")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"port {port} did not open within {seconds} s")


def end_group(process: subprocess.Popen[bytes], first: int = signal.SIGTERM, patience: float = 10) -> None:
    """Ends a process that leads its own session, and everything in its group."""
    if process.poll() is None and first != signal.SIGKILL:
        process.send_signal(first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(patience)


class RabbitMQ:
    """A private node: own name, ports, cookie, data, and an epmd of its own. A context manager."""

    def __init__(self, *, config: Mapping[str, str] | None = None) -> None:
        self._config = dict(config or {})
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder: str | None = None
        self.port = 0
        self.tls_port = 0
        self.environment: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def __enter__(self) -> RabbitMQ:
        self._folder = tempfile.mkdtemp(prefix="gilotine-rabbit-")
        try:
            self._start(self._folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            end_group(process, signal.SIGKILL)
        self._processes.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """As a crash: no goodbye to the clients."""
        end_group(self._processes[-1], signal.SIGKILL)

    def freeze(self) -> None:
        """The connections stay, and nothing answers any more. The node can only be ended after it."""
        os.killpg(self._processes[-1].pid, signal.SIGSTOP)

    def control(self, *arguments: str) -> str:
        """rabbitmqctl on this node."""
        script = os.path.join(os.path.dirname(find_server() or ""), "rabbitmqctl")
        done = subprocess.run([script, "-n", self.environment["RABBITMQ_NODENAME"], *arguments],
                              env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _start(self, folder: str) -> None:
        server = find_server()
        if server is None:
            raise FileNotFoundError("rabbitmq-server is not installed")
        self.port, distribution, epmd, self.tls_port = free_ports(4)
        config = os.path.join(folder, "rabbitmq.conf")
        with open(config, "w", encoding="utf-8") as out:
            for key, value in self._config.items():
                out.write(f"{key} = {value.format(tls_port=self.tls_port)}\n")
        plugins = os.path.join(folder, "enabled_plugins")
        with open(plugins, "w", encoding="utf-8") as out:
            out.write("[].\n")
        self.environment = {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": folder,
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"gilotine-{os.getpid()}-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": os.path.join(folder, "data"),
            "RABBITMQ_LOG_BASE": os.path.join(folder, "log"),
            "RABBITMQ_CONFIG_FILE": config,
            "RABBITMQ_CONF_ENV_FILE": os.path.join(folder, "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": plugins,
            "RUNNING_UNDER_SYSTEMD": "1",  # the script becomes the server, so that its pid is ours
        }
        # Erlang would start an epmd that outlives it; ours is a child.
        self._spawn(["epmd", "-port", str(epmd), "-address", "127.0.0.1"])
        wait_for_port(epmd, self._processes[-1], 20)
        self._spawn([server])
        wait_for_port(self.port, self._processes[-1], 90)

    def _spawn(self, command: list[str]) -> None:
        self._processes.append(subprocess.Popen(
            command, env=self.environment, cwd=self._folder, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


def private_rabbitmq(config: Mapping[str, str] | None = None) -> RabbitMQ:
    """`with private_rabbitmq() as rabbit:` gives a node at rabbit.url."""
    return RabbitMQ(config=config)


TASKS = '''
import os
import celery

broker = os.environ["CELERY_BROKER_URL"]
app = celery.Celery("tasks", backend="rpc://")
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False
app.conf.task_default_queue = "celery"
if broker.startswith("filesystem://"):
    folder = broker[len("filesystem://"):]
    app.conf.broker_url = "filesystem://"
    app.conf.broker_transport_options = {
        "data_folder_in": folder + "/messages", "data_folder_out": folder + "/messages",
        "processed_folder": folder + "/processed", "control_folder": folder + "/control",
        "store_processed": False, "polling_interval": 0.05}
else:
    app.conf.broker_url = broker

@app.task(name="tasks.add")
def add(x, y):
    return x + y

@app.task(name="tasks.echo")
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}

@app.task(name="tasks.size")
def size(text):
    return len(text)

@app.task(name="tasks.fail")
def fail(message):
    raise ValueError(message)

@app.task(name="tasks.numbers")
def numbers():
    return [float("nan"), float("-inf"), 2 ** 70]

@app.task(name="tasks.request", bind=True)
def request(self):
    r = self.request
    return {"timelimit": r.timelimit, "eta": r.eta, "expires": r.expires, "reply_to": r.reply_to,
            "correlation_id": r.correlation_id, "argsrepr": r.argsrepr, "kwargsrepr": r.kwargsrepr,
            "priority": r.delivery_info.get("priority"), "origin": r.origin, "lang": r.lang}
'''


@contextlib.contextmanager
def celery_worker(broker: str, queues: str, folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real solo worker with TASKS, ready to take tasks. Its log is folder/worker.log."""
    (folder / "tasks.py").write_text(TASKS, encoding="utf-8")
    environment = {**os.environ, "CELERY_BROKER_URL": broker, "PYTHONPATH": str(folder), "C_FORCE_ROOT": "1"}
    log_path = folder / "worker.log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen(
            [celery_python(), "-m", "celery", "-A", "tasks", "worker", "-P", "solo", "-c", "1", "-Q", queues,
             "-n", f"worker-{os.getpid()}@%h", "-l", "INFO", "--without-gossip", "--without-mingle",
             "--without-heartbeat"],
            env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while b" ready." not in log_path.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the worker did not start:\n" + log_path.read_text(errors="replace"))
            time.sleep(0.05)
        yield process
    finally:
        # Idle it would take 9 s to leave in good order, and nothing of it is needed any more.
        end_group(process, signal.SIGKILL)
