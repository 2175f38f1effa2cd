"""gilotine lab run-tools: real tools, real cases, and what is known of them."""

import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

# The machine may be busy: the limits are wide where a test does not depend on them.
SETTINGS = """
[experiment]
kind = run-tools
seconds = 0.3
grace = 0.3
tolerance = 1
settle = 0.4
patience = 1
starts = 3
"""
TOOLS = """
[tool timeout]
command = timeout {seconds} {command}
timed-out = 124
[tool timeout-KILL]
command = timeout -s KILL {seconds} {command}
timed-out = 137
[tool bwrap]
command = timeout -s KILL {seconds} bwrap --dev-bind / / --unshare-pid --die-with-parent {command}
needs = timeout;bwrap
timed-out = 137
not-found = any
not-executable = any
[tool absent]
command = no-such-timeout {seconds} {command}
timed-out = 124
[tool refuses]
command = sh -c 'echo I will not; exit 3' {seconds} {command}
timed-out = 124
"""
DOMAINS = ["pidns+cgroup", "pidns", "userns", "cgroup", "subreaper"]
GILOTINE = "".join(
    f"[tool {domain}]\ncommand = {{gilotine}} run -s KILL --domain {domain} {{seconds}} {{command}}\ntimed-out = 124;137\n"
    for domain in DOMAINS
) + "[tool default]\ncommand = {gilotine} run -k {grace} {seconds} {command}\ntimed-out = 124;137\n"


def run_lab(gilotine, folder: pathlib.Path, text: str, *options: str) -> tuple[dict, subprocess.CompletedProcess]:
    ini = folder / "tools.ini"
    ini.write_text(text)
    result = subprocess.run(
        [gilotine, "lab", str(ini), "--out", str(folder / "out"), "--json", *options],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr + result.stdout
    return json.loads(result.stdout), result


@pytest.fixture(scope="module")
def known_run(gilotine, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtools")
    return folder / "out", *run_lab(gilotine, folder, SETTINGS + TOOLS)


@pytest.fixture(scope="module")
def gilotine_run(gilotine, tmp_path_factory):
    return run_lab(gilotine, tmp_path_factory.mktemp("runtools"), SETTINGS + GILOTINE)[0]


def tool_of(result: dict, name: str) -> dict:
    return next(tool for tool in result["tools"] if tool["tool"] == name)


def faults(tool: dict) -> dict[str, list[str]]:
    return {case["case"]: case["faults"] for case in tool["cases"]}


class TestKnownTruths:
    def test_timeout_holds_what_stays_in_its_group(self, known_run):
        found = faults(tool_of(known_run[1], "timeout"))
        for case in ["exit-0", "exit-1", "exit-42", "signal", "not-found", "not-executable", "wait", "child", "stopped"]:
            assert (case, found[case]) == (case, [])

    def test_timeout_loses_what_leaves_its_group(self, known_run):
        tool = tool_of(known_run[1], "timeout")
        found = faults(tool)
        for case in ["setpgid", "setsid", "daemon", "storm", "leftovers", "tool-killed"]:
            assert (case, found[case]) == (case, ["survived"])
        assert found["pipe"] == ["pipe", "survived"]
        assert tool["survivors"] >= 7

    def test_timeout_waits_for_who_ignores_term(self, known_run):
        assert faults(tool_of(known_run[1], "timeout"))["ignores-term"] == ["hung"]

    def test_a_nested_timeout_is_enough_to_escape_sigkill(self, known_run):
        assert "survived" in faults(tool_of(known_run[1], "timeout-KILL"))["nested"]

    def test_bwrap_holds(self, known_run):
        tool = tool_of(known_run[1], "bwrap")
        if tool["skipped"]:
            pytest.skip(tool["skipped"])
        assert faults(tool) == {case: [] for case in faults(tool)}
        assert tool["survivors"] == 0

    @pytest.mark.parametrize("name", [*DOMAINS, "default"])
    def test_gilotine_run_holds(self, gilotine_run, name):
        tool = tool_of(gilotine_run, name)
        if tool["skipped"]:
            assert name not in ("subreaper", "default"), tool["skipped"]
            pytest.skip(tool["skipped"])
        assert faults(tool) == {case: [] for case in faults(tool)}
        assert tool["survivors"] == 0 and tool["trials"] >= 20


def test_what_is_not_there_or_does_not_work_is_one_clear_line(known_run):
    _, result, process = known_run
    assert tool_of(result, "absent")["skipped"].startswith("no-such-timeout is not installed")
    assert tool_of(result, "refuses")["skipped"] == "does not work here: I will not"
    assert process.stderr.count("absent: skipped: no-such-timeout") == 1


def test_every_figure_comes_from_the_raw_samples(known_run, run):
    out, result, _ = known_run
    again = run("lab", "--from", str(out), "--json")
    assert again.returncode == 0 and json.loads(again.stdout) == result
    table = run("lab", "--from", str(out), "--detail")
    assert table.stdout.startswith((out / "table.txt").read_text())
    assert json.loads((out / "result.json").read_text()) == result


def test_late_and_start_are_measured(known_run):
    tool = tool_of(known_run[1], "timeout-KILL")
    assert tool["late_samples"] >= 3
    assert 0 <= tool["late_p50_ms"] <= tool["late_max_ms"] < 1000
    for case in tool["cases"]:
        if case["case"] == "wait":
            assert case["start_ns"] <= case["begin_ns"] <= case["ready_ns"]
            assert case["dead_ns"] >= case["start_ns"] + case["limit_ns"]


def test_nothing_was_left_and_it_says_so(known_run, gilotine_run):
    for result in known_run[1], gilotine_run:
        assert result["complete"] and not result["interrupted"] and result["left"] == 0


def test_the_experiment_of_the_project_is_listed_and_runs_in_part(run, tmp_path):
    assert "run-tools" in run("lab", "--list").stdout
    listed = run("lab", "run-tools", "--list").stdout
    assert "{seconds}" in listed and "setsid" in listed
    result = run("lab", "run-tools", "--quick", "--only", "timeout-K*", "--out", str(tmp_path / "out"), timeout=100)
    assert result.returncode == 0, result.stderr
    assert "timeout-KILL" in result.stdout and "S processes of the command were alive" in result.stdout


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("[experiment]\nkind = odd\n", [], "tools.ini:2: no such kind 'odd'; known: limits, run-tools"),
        (SETTINGS + "[tool a]\ncommand = x\n", [], "needs {seconds}"),
        (SETTINGS + TOOLS, ["--only", "nobody"], "no tool of 'tools' matches nobody"),
        (SETTINGS + TOOLS, ["--broker", "rabbitmq"], "leave --broker"),
    ],
)
def test_wrong_use_is_refused_before_anything_runs(run, tmp_path, text, options, message):
    (tmp_path / "tools.ini").write_text(text)
    result = run("lab", str(tmp_path / "tools.ini"), "--out", str(tmp_path / "out"), *options)
    assert result.returncode == 2 and message in result.stderr
    assert not (tmp_path / "out").exists()


def marked(tmp_path) -> list[str]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                if f"TMPDIR={tmp_path}".encode() in pathlib.Path("/proc", name, "environ").read_bytes():
                    found.append(name)
            except OSError:
                continue
    return found


def start_long_run(gilotine, tmp_path) -> subprocess.Popen:
    (tmp_path / "tools.ini").write_text(SETTINGS + "repeat = 1000\ncases = wait;daemon\n" + TOOLS)
    process = subprocess.Popen(
        [gilotine, "lab", str(tmp_path / "tools.ini"), "--only", "timeout", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 30
    while len(marked(tmp_path)) < 5:  # the lab, its two keepers, the tool and its command
        assert time.monotonic() < deadline and process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_and_shows_what_was_seen(gilotine, tmp_path, signo):
    process = start_long_run(gilotine, tmp_path)
    process.send_signal(signo)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "The run is not complete" in out and "interrupted" in err
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("gilotine-*")) == []


def test_sigkill_of_the_lab_leaves_nothing(gilotine, tmp_path):
    process = start_long_run(gilotine, tmp_path)
    assert list(tmp_path.glob("gilotine-lab.*")) != []
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while (marked(tmp_path) or list(tmp_path.glob("gilotine-*"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marked(tmp_path) == []
    assert list(tmp_path.glob("gilotine-*")) == []


def test_a_tool_is_measured_through_the_running_program(gilotine, tmp_path):
    """{gilotine} is the program that runs the lab, also when PATH knows no gilotine."""
    text = SETTINGS + "cases = wait\n[tool me]\ncommand = {gilotine} run {seconds} {command}\ntimed-out = 124\n"
    result, _ = run_lab(gilotine, tmp_path, text)
    assert faults(tool_of(result, "me")) == {"wait": []}
