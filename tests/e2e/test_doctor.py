"""gilotine doctor: each fact against another source, and what it says where things are missing."""

from __future__ import annotations

import configparser
import ctypes
import ctypes.util
import errno
import json
import os
import pathlib
import platform
import pty
import re
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from broker_support import find_server, private_rabbitmq
from conftest import build_dir

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = 65534
DOMAINS = ["pidns+cgroup", "pidns", "userns", "cgroup", "subreaper", "pgroup"]

# As the default filter of Docker: no clone3, no namespaces. Installs it and executes its arguments.
CONTAINER_FILTER = """
import ctypes, os, struct, sys
def op(code, jt, jf, k): return struct.pack("HBBI", code, jt, jf, k)
LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
ENOSYS, EPERM, ALLOW = 0x50000 | 38, 0x50000 | 1, 0x7FFF0000
program = b"".join([
    op(LD, 0, 0, 0), op(JEQ, 0, 1, 435), op(RET, 0, 0, ENOSYS), op(JEQ, 0, 1, 272), op(RET, 0, 0, EPERM),
    op(JEQ, 0, 3, 56), op(LD, 0, 0, 16), op(JSET, 0, 1, 0x7E020000), op(RET, 0, 0, EPERM), op(RET, 0, 0, ALLOW)])
text = ctypes.create_string_buffer(program)
header = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, header, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
"""


def doctor(*command: str, **kwargs) -> tuple[int, dict]:
    """The JSON of a run, and its exit code; `command` starts it."""
    kwargs.setdefault("timeout", 60)
    result = subprocess.run(
        [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL, check=False, **kwargs)
    assert result.stderr == ""
    return result.returncode, json.loads(result.stdout)


@pytest.fixture(scope="module")
def here(gilotine) -> dict:
    """The facts of this machine, one run for all tests that only read them."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CELERY_BROKER_URL", "DUCKDB_LIBRARY")}
    code, report = doctor(gilotine, "doctor", env=environment)
    assert code == (0 if report["holds"] else 1)
    return report["checks"]


def facts(report: dict, name: str) -> dict:
    return report["checks"][name]["facts"]


def status_field(name: str) -> str:
    return re.search(rf"^{name}:\s*(.*)$", pathlib.Path("/proc/self/status").read_text(), re.MULTILINE)[1]


# This machine, against other sources


def test_kernel(here):
    kernel = here["kernel"]["facts"]
    assert kernel["release"] == os.uname().release
    assert kernel["machine"] == platform.machine()
    features = kernel["features"]
    os.close(os.pidfd_open(os.getpid()))
    os.close(os.memfd_create("x"))
    assert features["pidfd"] and features["memfd"] and features["subreaper"]
    assert features["/proc/PID/task/TID/children"] == os.path.exists("/proc/thread-self/children")
    assert features["PSI"] == os.path.exists("/proc/pressure/memory")
    release = tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", kernel["release"]).groups())
    if here["seccomp"]["facts"]["mode"] == "off":
        assert features["clone3"] == (release >= (5, 3))
        assert features["CLONE_INTO_CGROUP"] == (release >= (5, 7))
        assert features["close_range"] == (release >= (5, 9))
        assert features["PIDFD_GET_INFO"] == (release >= (6, 13))
        assert features["sched_setattr slice"] == (release >= (6, 12))


def test_clock_and_proc(here):
    assert here["clock"]["facts"]["resolution_ns"] == round(time.get_clock_info("monotonic").resolution * 1e9)
    assert here["proc"]["facts"] == {"mounted": True, "hides": not os.path.exists("/proc/1/stat")}


def test_cgroup_layout(here):
    mounts = [line.split(" - ")[1].split() for line in open("/proc/self/mountinfo", encoding="utf-8")]
    v2 = any(m[0] == "cgroup2" for m in mounts)
    v1 = any(m[0] == "cgroup" and "name=" not in m[2] for m in mounts)
    expected = {(False, False): "none", (True, False): "v1", (True, True): "hybrid", (False, True): "v2"}[v1, v2]
    cgroups = here["cgroups"]["facts"]
    assert cgroups["layout"] == expected
    if v2:
        assert os.path.ismount(cgroups["v2_mount"])
        assert cgroups["own"] is None or os.path.exists(cgroups["own"] + "/cgroup.procs")
        assert cgroups["writable"] == os.access(cgroups["own"] or "/nonexistent", os.W_OK)


def test_machine_and_rlimits(here):
    limits = here["limits"]["facts"]
    assert limits["cpus"] == len(os.sched_getaffinity(0))
    assert limits["machine_memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("nofile", "nproc", "as"):
        values = [None if v == resource.RLIM_INFINITY else v
                  for v in resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))]
        assert here["rlimits"]["facts"][name] == {"soft": values[0], "hard": values[1]}
    assert here["core"]["facts"]["pattern"] == pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip("\n")


def test_privileges_and_filters(here):
    effective = int(status_field("CapEff"), 16)
    numbers = {"KILL": 5, "SETUID": 7, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_NICE": 23, "SYS_RESOURCE": 24}
    held = {name: bool(effective >> number & 1) for name, number in numbers.items()}
    assert here["privileges"]["facts"] == {"uid": os.geteuid(), "capabilities": held}
    assert here["seccomp"]["facts"]["mode"] == ["off", "strict", "filter"][int(status_field("Seccomp"))]
    assert here["seccomp"]["facts"]["no_new_privs"] == (status_field("NoNewPrivs") == "1")


def test_landlock(here):
    abi = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    assert here["landlock"]["facts"]["abi"] == max(abi, 0)


def test_a_marker_file_alone_is_no_container(here):
    """Disks of virtual machines are made from container images, /.dockerenv included."""
    first = [os.readlink("/proc/self/ns/pid"), os.readlink("/proc/self/ns/cgroup")]
    container = here["container"]["facts"]
    assert container["own_pid_namespace"] == (first[0] != "pid:[4026531836]")
    clues = re.search("kubepods|docker|libpod|lxc", pathlib.Path("/proc/self/cgroup").read_text())
    if first == ["pid:[4026531836]", "cgroup:[4026531835]"] and not clues and "container" not in os.environ:
        assert container["engine"] is None


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
def test_namespaces_as_unshare_can_make_them(here):
    def can(*options: str) -> bool:
        command = ["unshare", *options, "--fork", "true"]
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    assert here["namespaces"]["facts"] == {"pid": can("--pid"), "user": can("--user", "--pid")}


def test_domains_agree_with_what_is_used(here):
    domains = here["domains"]["facts"]
    assert list(domains) == DOMAINS
    works = [name for name in DOMAINS if domains[name]["works"]]
    assert {"subreaper", "pgroup"} <= set(works)
    assert here["run"]["facts"]["domain"] == ("cgroup" if "cgroup" in works else "subreaper")
    assert here["executors"]["facts"]["domain"] == works[0]
    for check in ("run", "executors"):
        assert here[check]["facts"]["promise"] and here[check]["facts"]["gap"]
    assert all(domains[name]["reason"] for name in DOMAINS if name not in works)


def test_interpreters_and_duckdb_of_the_manifest(here):
    cache = os.environ.get("GILOTINE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gilotine")
    manifest = configparser.ConfigParser(interpolation=None)
    if not manifest.read(os.path.join(cache, "manifest.ini")):
        pytest.skip("no manifest: 'make interpreters' writes it")
    for group in ("gil", "nogil"):
        if group not in manifest:
            assert here["python"]["facts"][group] is None
            continue
        found, python = here["python"]["facts"][group], manifest[group]["python"]
        asked = subprocess.run(
            [python, "-c", "import sys, celery; print(celery.__version__, getattr(sys, '_is_gil_enabled', lambda: 1)())"],
            capture_output=True, text=True, check=True).stdout.split()
        assert found["version"] == manifest[group]["version"]
        assert found["celery"] == asked[0]
        assert found["gil_enabled"] == (asked[1] in ("True", "1"))
        assert found["free_threaded_build"] == manifest.getboolean(group, "free_threaded")
        assert found["duckdb"] == manifest[group].get("duckdb_module")
    if "duckdb" in manifest:
        assert here["duckdb"]["facts"]["version"].lstrip("v") == manifest["duckdb"]["version"]
        assert here["duckdb"]["facts"]["library"] == manifest["duckdb"]["library"]
    beside = {entry["version"].rsplit("DuckDB v", 1)[1] for entry in here["duckdb"]["facts"]["beside"]}
    assert beside == {manifest[g]["version"] for g in manifest if g.startswith("duckdb-") and "library" in manifest[g]}


def test_an_executor_beside_the_first_that_does_not_start_is_a_warning(gilotine, tmp_path):
    for name in ("gilotine-duckdb", "gilotine-init"):
        (tmp_path / name).symlink_to(build_dir() / "src/executor" / name)
    broken = tmp_path / "gilotine-duckdb-9.0.0"
    broken.write_text("#!/bin/sh\necho no such library; exit 127\n")
    broken.chmod(0o755)
    (tmp_path / "gilotine-duckdb-8.0.0.p").mkdir()
    code, report = doctor(gilotine, "doctor", env={**os.environ, "GILOTINE_LIBEXECDIR": str(tmp_path)})
    assert code == 0
    (row,) = [row for row in report["checks"]["duckdb"]["rows"] if row["label"] == "beside it"]
    assert row["mark"] == "warn" and str(broken) in row["value"] and "no such library" in row["value"]
    assert facts(report, "duckdb")["beside"] == [{"executor": str(broken), "version": None}]


def test_tools_as_path_finds_them(here):
    for name, path in here["tools"]["facts"].items():
        assert path == shutil.which(name)
    assert (here["rabbitmq"]["facts"]["program"] is None) == (find_server() is None)


# What the report looks like


def test_the_text_says_what_the_json_says(gilotine, here):
    text = subprocess.run([gilotine, "doctor"], capture_output=True, text=True, check=False).stdout
    assert "\033" not in text
    assert text.rstrip().splitlines()[-1].startswith("verdict: ")
    for check in here.values():
        for row in check["rows"]:
            mark = "-" if row["mark"] == "fact" else row["mark"]
            pattern = rf"^  {re.escape(mark)} +{re.escape(row['label'])} +"
            assert re.search(pattern, text, re.MULTILINE), row


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_colours_on_a_terminal_only_and_never_with_no_color(gilotine, no_color, colored):
    leader, follower = pty.openpty()
    process = subprocess.Popen([gilotine, "doctor"], stdout=follower, stdin=subprocess.DEVNULL,
                               env={**os.environ, "NO_COLOR": no_color})
    os.close(follower)
    output = b""
    while select.select([leader], [], [], 30)[0]:
        try:
            output += os.read(leader, 65536)
        except OSError as gone:
            assert gone.errno == errno.EIO
            break
    os.close(leader)
    process.wait(30)
    assert b"verdict:" in output
    assert (b"\033[32m" in output) == colored


def test_quiet_tells_problems_only(gilotine, tmp_path):
    environment = {**os.environ, "GILOTINE_CACHE": str(tmp_path)}
    quiet = subprocess.run([gilotine, "doctor", "-q"], env=environment, capture_output=True, text=True, check=False)
    rows = [line for line in quiet.stdout.splitlines() if re.match(r"  \S", line)]
    assert rows and all(re.match(r"  (warn|missing) ", row) for row in rows)
    assert "'make interpreters' builds it" in quiet.stdout
    _, report = doctor(gilotine, "doctor", "--quiet", env=environment)
    shown = [row["mark"] for check in report["checks"].values() for row in check["rows"]]
    assert len(shown) == len(rows) and set(shown) <= {"warn", "missing"}


@pytest.mark.parametrize("arguments", [["now"], ["--jsonn"], ["--ask", "what"]])
def test_wrong_arguments(run, arguments):
    result = run("doctor", *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("gilotine doctor: ")


def test_a_report_that_cannot_be_written_is_an_error(gilotine):
    with open("/dev/full", "wb") as full:
        result = subprocess.run([gilotine, "doctor"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 111
    assert b"cannot write the report" in result.stderr


# Degraded machines


def test_an_installation_without_its_keeper(gilotine, tmp_path):
    alone = shutil.copy(gilotine, tmp_path / "gilotine")
    shutil.copy(pathlib.Path(gilotine).parent / "gilotine-full", tmp_path)
    environment = {k: v for k, v in os.environ.items() if k != "GILOTINE_LIBEXECDIR"}
    code, report = doctor(alone, "doctor", env=environment)
    if facts(report, "keeper")["path"] is not None:
        pytest.skip("gilotine-init is installed on this machine")
    assert code == 1 and not report["holds"]
    assert report["checks"]["keeper"]["mark"] == "missing"
    assert facts(report, "run")["domain"] is None
    reasons = {d["reason"] for d in facts(report, "domains").values()}
    assert reasons == {"not tried: gilotine-init is missing"}


@needs_root
def test_an_unprivileged_user(public_build):
    code, report = doctor(str(public_build / "src/cli/gilotine"), "doctor", user=NOBODY, group=NOBODY, extra_groups=[],
                          env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"}, cwd="/")
    assert code == 0 and report["holds"]
    assert facts(report, "privileges") == {
        "uid": NOBODY, "capabilities": dict.fromkeys(facts(report, "privileges")["capabilities"], False)}
    assert facts(report, "domains")["pidns"]["works"] is False
    assert facts(report, "run")["domain"] == "subreaper"
    assert facts(report, "python") == {"gil": None, "nogil": None}


def in_mounts(script: str, gilotine: str, *before: str) -> list[str]:
    """A command for doctor(): in a mount namespace of its own, changed by a shell script."""
    return ["unshare", "--mount", "sh", "-ec", script + '\nexec "$@"', "sh", *before, gilotine, "doctor"]


READ_ONLY = """
for point in $(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo); do mount -o remount,bind,ro "$point"; done"""


@needs_root
def test_without_proc_nothing_can_be_promised(gilotine):
    if b"__asan_init" in pathlib.Path(gilotine).read_bytes():
        pytest.skip("a sanitizer needs /proc itself")
    code, report = doctor(*in_mounts("mount -t tmpfs none /proc", gilotine))
    assert code == 1 and not report["holds"]
    assert report["checks"]["proc"]["mark"] == "missing"
    assert facts(report, "kernel")["features"]["PSI"] is None
    assert facts(report, "seccomp")["mode"] is None
    assert facts(report, "cgroups")["layout"] == "none"
    assert all(d["reason"] == "not tried: /proc is not mounted" for d in facts(report, "domains").values())


@needs_root
def test_without_sys(gilotine):
    code, report = doctor(*in_mounts("mount -t tmpfs none /sys", gilotine))
    assert code == 0
    assert facts(report, "clock")["clock_source"] is None
    assert facts(report, "limits")["memory_known"] is False
    assert facts(report, "domains")["cgroup"]["works"] is False
    assert facts(report, "run")["domain"] == "subreaper"
    assert facts(report, "controllers") == {"memory": None, "pids": None, "cpu": None}


@needs_root
def test_with_cgroups_mounted_read_only(gilotine):
    code, report = doctor(*in_mounts(READ_ONLY, gilotine))
    assert code == 0
    assert facts(report, "cgroups").get("writable") in (False, None)
    assert facts(report, "run")["domain"] == "subreaper"
    assert report["checks"]["run"]["mark"] == "warn"
    assert "Delegate=yes" in report["checks"]["run"]["rows"][0]["advice"]


@needs_root
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the filter's numbers are of x86-64")
def test_in_what_a_default_container_is(gilotine, tmp_path):
    inside = ["unshare", "--pid", "--fork", "--mount-proc",
              "env", "KUBERNETES_SERVICE_HOST=10.0.0.1", sys.executable, "-c", CONTAINER_FILTER]
    if not os.path.exists("/.dockerenv"):
        inside = ["env", "container=docker", *inside]
    code, report = doctor(*in_mounts(READ_ONLY, gilotine, *inside))
    assert code == 0, report
    assert facts(report, "container")["own_pid_namespace"] is True
    assert facts(report, "container")["engine"] in ("docker", "kubernetes")
    assert facts(report, "seccomp") == {"mode": "filter", "no_new_privs": True}
    features = facts(report, "kernel")["features"]
    assert features["pidfd"] and not features["clone3"] and not features["CLONE_INTO_CGROUP"]
    assert facts(report, "namespaces") == {"pid": False, "user": False}
    assert facts(report, "run")["domain"] == facts(report, "executors")["domain"] == "subreaper"
    advice = [row["advice"] for row in report["checks"]["executors"]["rows"]]
    assert "docker run --security-opt seccomp=unconfined allows them" in advice


@needs_root
def test_limits_of_our_own_cgroup(gilotine, here):
    bases = {name: found["folder"] for name, found in here["controllers"]["facts"].items() if found}
    versions = {name: found["version"] for name, found in here["controllers"]["facts"].items() if found}
    if set(versions.values()) != {1} or not {"memory", "pids", "cpu"} <= set(versions):
        pytest.skip("needs version 1 controllers that can be written")
    wanted = {"memory": ("memory.limit_in_bytes", 1 << 30), "pids": ("pids.max", 400),
              "cpu": ("cpu.cfs_quota_us", 150000)}
    folders = {name: pathlib.Path(bases[name], f"gt-test-{os.getpid()}") for name in wanted}
    try:
        for name, (file, value) in wanted.items():
            folders[name].mkdir()
            (folders[name] / file).write_text(str(value))
        period = int((folders["cpu"] / "cpu.cfs_period_us").read_text())

        def join() -> None:
            for folder in folders.values():
                (folder / "cgroup.procs").write_text(str(os.getpid()))

        _, report = doctor(gilotine, "doctor", preexec_fn=join)
    finally:
        for folder in folders.values():
            deadline = time.monotonic() + 5
            while folder.exists() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.02)
    limits = facts(report, "limits")
    assert limits["memory_bytes"]["limit"] == 1 << 30
    assert limits["memory_bytes"]["folder"] == str(folders["memory"])
    assert 0 < limits["memory_bytes"]["used"] < 1 << 30
    assert limits["pids"]["limit"] == 400
    assert limits["cpu_quota"]["limit"] == pytest.approx(150000 / period)


def test_tight_rlimits(gilotine):
    def tighten() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    code, report = doctor(gilotine, "doctor", preexec_fn=tighten)
    assert code == 0
    assert facts(report, "rlimits")["nofile"] == {"soft": 100, "hard": 100}
    assert report["checks"]["rlimits"]["mark"] == "warn"


# What may hang or crash


def cache_with(folder: pathlib.Path, manifest: str) -> dict[str, str]:
    (folder / "manifest.ini").write_text(manifest)
    return {**os.environ, "GILOTINE_CACHE": str(folder)}


def executable(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_an_interpreter_that_hangs_and_forks_is_left_behind_by_nobody(gilotine, tmp_path):
    python = executable(tmp_path / "python", "#!/bin/sh\nsetsid sleep 1000 &\ntrap '' TERM\nsleep 1000\n")
    begin = time.monotonic()
    code, report = doctor(gilotine, "doctor", env=cache_with(tmp_path, f"[gil]\npython={python}\n"))
    assert time.monotonic() - begin < 25
    assert code == 0
    assert facts(report, "python")["gil"] is None
    assert "no answer within 5 s" in report["checks"]["python"]["rows"][0]["value"]


@pytest.mark.parametrize(("script", "says"), [
    ("kill -SEGV $$", "signal 11"),
    ("echo gone wrong; exit 3", "gone wrong"),
    ("echo no json", "no answer that can be read"),
    ("yes | head -c 300000", "no answer that can be read"),
    ("exit 1", "without a word"),
])
def test_an_interpreter_that_fails(gilotine, tmp_path, script, says):
    python = executable(tmp_path / "python", f"#!/bin/sh\n{script}\n")
    code, report = doctor(gilotine, "doctor", env=cache_with(tmp_path, f"[gil]\npython={python}\n"))
    row = report["checks"]["python"]["rows"][0]
    assert code == 0 and row["mark"] == "warn"
    assert says in row["value"]


def test_an_interpreter_that_is_gone(gilotine, tmp_path):
    _, report = doctor(gilotine, "doctor", env=cache_with(tmp_path, f"[gil]\npython={tmp_path}/none\n"))
    assert "none" in report["checks"]["python"]["rows"][0]["value"]
    assert report["checks"]["python"]["rows"][0]["mark"] == "warn"


def test_the_gil_is_asked_of_the_interpreter_not_of_the_manifest(gilotine, tmp_path):
    """This interpreter has a GIL, so it is no good as 'nogil', whatever the manifest says."""
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("these tests run without the GIL")
    manifest = f"[nogil]\npython={sys.executable}\nfree_threaded=true\n"
    environment = {**cache_with(tmp_path, manifest), "PYTHON_GIL": "0", "PYTHONHOME": "/nonexistent"}
    _, report = doctor(gilotine, "doctor", env=environment)
    assert facts(report, "python")["nogil"]["gil_enabled"] is True
    assert facts(report, "python")["nogil"]["version"] == platform.python_version()
    assert [row["mark"] for row in report["checks"]["python"]["rows"]] == ["warn", "warn"]


@pytest.mark.parametrize("kind", ["text", "folder", "fifo", "absent", "other"])
def test_a_library_that_is_none(gilotine, tmp_path, kind):
    library = tmp_path / "libduckdb.so"
    if kind == "text":
        library.write_text("not a library\n")
    elif kind == "folder":
        library.mkdir()
    elif kind == "fifo":
        os.mkfifo(library)
    elif kind == "other":
        library = pathlib.Path(ctypes.util.find_library("m") or "libm.so.6")
    environment = {**cache_with(tmp_path, ""), "DUCKDB_LIBRARY": str(library)}
    code, report = doctor(gilotine, "doctor", env=environment)
    assert code == 0
    assert facts(report, "duckdb")["version"] is None
    row = next(row for row in report["checks"]["duckdb"]["rows"] if row["label"] == "libduckdb")
    assert row["mark"] == "warn" and str(library) in row["value"]


@pytest.mark.parametrize("text", ["no key file", "[gil]\npython", b"\xff\xfe[gil]\n"])
def test_a_manifest_that_cannot_be_read(gilotine, tmp_path, text):
    (tmp_path / "manifest.ini").write_bytes(text if isinstance(text, bytes) else text.encode())
    code, report = doctor(gilotine, "doctor", env={**os.environ, "GILOTINE_CACHE": str(tmp_path)})
    assert code == 0
    assert report["checks"]["duckdb"]["rows"][0]["label"] == "manifest"


def test_a_manifest_that_is_a_fifo(gilotine, tmp_path):
    os.mkfifo(tmp_path / "manifest.ini")
    code, report = doctor(gilotine, "doctor", env={**os.environ, "GILOTINE_CACHE": str(tmp_path)})
    assert code == 0
    assert report["checks"]["duckdb"]["rows"][0]["label"] == "manifest"


# Brokers


def broker_row(gilotine: str, url: str, tmp_path: pathlib.Path) -> tuple[dict, dict]:
    environment = {**cache_with(tmp_path, ""), "CELERY_BROKER_URL": url}
    code, report = doctor(gilotine, "doctor", env=environment)
    assert code == 0
    assert "s3cret" not in json.dumps(report)
    return facts(report, "broker"), report["checks"]["broker"]["rows"][0]


@pytest.mark.skipif(find_server() is None, reason="needs RabbitMQ")
def test_a_real_broker_is_reached_and_named(gilotine, tmp_path):
    with private_rabbitmq() as node:
        found, row = broker_row(gilotine, node.url, tmp_path)
        assert found["reachable"] is True and found["login_problem"] is None
        assert found["product"] == "RabbitMQ"
        assert found["version"] == node.control("version").strip()
        assert row["mark"] == "ok"
        refused, row = broker_row(gilotine, node.url.replace("guest:guest", "guest:s3cret"), tmp_path)
        assert refused["reachable"] is True and refused["login_problem"]
        assert row["mark"] == "warn"


@pytest.mark.parametrize(("answer", "says"), [
    (None, "says nothing within 1 s"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else than AMQP"),
    (b"", "something else than AMQP"),
    (b"\1\0\0\xff\xff\xff\xff", "something else than AMQP"),
])
def test_a_port_where_no_broker_answers(gilotine, tmp_path, answer, says):
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            connection, _ = server.accept()
            held.append(connection)
            if answer is not None:
                connection.recv(8)
                connection.sendall(answer)
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        begin = time.monotonic()
        found, row = broker_row(gilotine, f"amqp://user:s3cret@127.0.0.1:{port}//", tmp_path)
        assert time.monotonic() - begin < 20
        thread.join(10)
        for connection in held:
            connection.close()
    assert found["reachable"] is False
    assert row["mark"] == "warn" and says in row["value"]


def test_a_broker_that_refuses(gilotine, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found, row = broker_row(gilotine, f"amqp://user:s3cret@127.0.0.1:{port}//", tmp_path)
    assert found["reachable"] is False
    assert "Connection refused" in row["value"]


@pytest.mark.parametrize(("url", "reachable", "mark"), [
    ("filesystem://{folder}", True, "ok"),
    ("filesystem://{folder}/none", False, "warn"),
    ("redis://:s3cret@127.0.0.1/0", None, "warn"),
    ("amqp://u:s3cret@127.0.0.1:1/?what=1", False, "warn"),
    ("nonsense", None, "warn"),
])
def test_other_broker_urls(gilotine, tmp_path, url, reachable, mark):
    found, row = broker_row(gilotine, url.format(folder=tmp_path), tmp_path)
    assert found["reachable"] is reachable
    assert row["mark"] == mark


# A secret that is there in every form that people write; the last ones are meant so and can be read.
SECRET = "s3cret"
UNREADABLE = [
    "guest:s3cret@localhost:1//", "amqp:user:s3cret@localhost", "amqp://user:s3cret",
    "amqp://user:s3cret/s3cret@localhost:1/v", "amqp://user:3/s3cret@localhost:1/v",
    "amqp://user:s3cret#s3cret@localhost:1/v", "amqp://user:3#s3cret@localhost:1/v",
    "amqp://user:s3cret?s3cret@localhost:1/v", "amqp://user:3?s3cret@localhost:1/v",
    "amqp://user:s3cret@s3cret@localhost:1/v", "amqp://user:s3cret%zz@localhost:1/v",
    "amqp://user:s3cret;s3cret@localhost:1/v", "amqp://user:3;s3cret@localhost:1/v",
    "amqp://user%3As3cret%40localhost:1/v", "redis://:s3cret/s3cret@localhost/0",
    "amqp://u:s3cret@localhost:1//;u2:s3cret@localhost:2//",
]
READABLE = [
    "amqp://u:s3cret@localhost:1//", "pyamqp://u:s3cret:s3cret@localhost:1//", "redis://:s3cret@127.0.0.1/0",
    "amqp://u:s3cret@localhost:1/?password=s3cret", "amqp://u:s3cret@localhost:1/?heartbeat=s3cret",
    "amqp://u:s3cret@localhost:1//;amqp://u2:s3cret@localhost:2//",
]


@pytest.mark.parametrize("url", UNREADABLE + READABLE)
def test_a_password_is_shown_nowhere(gilotine, tmp_path, url):
    (tmp_path / "x.ini").write_text("[experiment]\n[subject a]\n")
    environment = {**cache_with(tmp_path, ""), "CELERY_BROKER_URL": url}
    commands = [
        ("doctor",), ("doctor", "--json"), ("doctor", url), ("doctor", f"--broker={url}"), ("doctor", f"-b{url}"),
        ("send", "-t", "x", "--attempts", "1"), ("send", "-t", "x", "--attempts", "1", "--broker", url),
        ("send", "-t", "x", url),
    ]
    if url in UNREADABLE:
        commands.append(("lab", str(tmp_path / "x.ini"), "--out", str(tmp_path / "out"), "--broker", url))
    for command in commands:
        done = subprocess.run([gilotine, *command], capture_output=True, text=True, env=environment, timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
        assert done.stdout + done.stderr != ""
        assert SECRET not in done.stdout + done.stderr, command


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_that_cannot_be_read_is_not_tried(gilotine, tmp_path, url):
    found, row = broker_row(gilotine, url, tmp_path)
    assert found["url"] is None and found["reachable"] is None and found["alternates"] == []
    assert row["mark"] == "warn"
    assert "expected SCHEME://USER:PASSWORD@HOST:PORT/VHOST" in row["value"] and row["value"].endswith("; not tried")


def test_each_broker_of_a_list_is_checked(gilotine, tmp_path):
    urls = f"amqp://u:s3cret@127.0.0.1:1//;amqp://u2:s3cret2@127.0.0.1:2/v;filesystem://{tmp_path}"
    environment = {**cache_with(tmp_path, ""), "CELERY_BROKER_URL": urls}
    _, report = doctor(gilotine, "doctor", env=environment)
    found, rows = facts(report, "broker"), report["checks"]["broker"]["rows"]
    assert [row["label"] for row in rows] == ["broker 1", "broker 2", "broker 3"]
    assert [row["mark"] for row in rows] == ["warn", "warn", "ok"]
    shown = ["amqp://u@127.0.0.1:1//", "amqp://u2@127.0.0.1:2/v", f"filesystem://{tmp_path}"]
    assert [found["url"], *(other["url"] for other in found["alternates"])] == shown
    assert [found["reachable"], *(other["reachable"] for other in found["alternates"])] == [False, False, True]
    assert all(row["value"].startswith(text) for row, text in zip(rows, shown, strict=True))


def test_it_changes_nothing(gilotine, here):
    """No cgroup, file or process remains; the fixtures look after files and processes."""
    folders = [here["cgroups"]["facts"].get("own")]
    folders += [found["folder"] for found in here["controllers"]["facts"].values() if found]
    own = re.compile(r"gilotine-[a-z]+-\d+-(\d+)-")

    def left() -> set[str]:
        """Without what belongs to others who live."""
        names = {f"{folder}/{name}": own.match(name) for folder in filter(None, folders) for name in os.listdir(folder)}
        return {name for name, found in names.items() if found and not os.path.exists(f"/proc/{found[1]}")}

    before = left()
    enabled = [pathlib.Path(f, "cgroup.subtree_control") for f in filter(None, folders)]
    texts = [path.read_text() if path.exists() else None for path in enabled]
    with tempfile.TemporaryDirectory() as empty:
        doctor(gilotine, "doctor", env={**os.environ, "GILOTINE_CACHE": empty})
    assert left() <= before
    assert texts == [path.read_text() if path.exists() else None for path in enabled]
