"""Child programs: each in a process group of its own, its output in a log, all of it gone when this tool is."""
from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from .errors import ToolError

TERM_SEC = 3.0
TAIL_LINES = 15
PR_SET_PDEATHSIG = 1

# PYTHON*: PYTHON_GIL=0 kills an interpreter with the GIL at its start, PYTHONHOME and PYTHONPATH mislead a new one.
# MAKE*: called from a make recipe, the inner make would look for a job server that it cannot reach.
# PIP_*: these would send packages past the virtual environment.
_POISON_PREFIXES = ("PYTHON", "VIRTUAL_ENV", "CONDA")
_POISON = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "DESTDIR", "PIP_USER", "PIP_TARGET", "PIP_PREFIX",
           "PIP_ROOT", "PIP_REQUIREMENT", "PIP_REQUIRE_VIRTUALENV", "PIP_NO_BINARY", "PIP_ONLY_BINARY", "PIP_PYTHON"}

_libc = ctypes.CDLL(None, use_errno=True)


def clean_env(extra: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """Our environment without what would poison a build or an interpreter; messages of programs in English."""
    env = {key: value for key, value in os.environ.items()
           if key not in _POISON and not key.startswith(_POISON_PREFIXES)}
    env["LC_ALL"] = "C.UTF-8"
    env.update(extra or {})
    return env


def _die_with_parent() -> None:
    # Runs between fork and exec. A SIGKILL of this tool takes the direct child along; make then ends its compilers.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _kill_group(child: subprocess.Popen[str]) -> None:
    """TERM, three seconds, KILL; returns when the group has no member left."""
    for signum, grace_sec in ((signal.SIGTERM, TERM_SEC), (signal.SIGKILL, TERM_SEC)):
        try:
            os.killpg(child.pid, signum)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + grace_sec
        while time.monotonic() < deadline and _group_lives(child):
            time.sleep(0.02)
        if not _group_lives(child):
            break
    child.wait()


def _group_lives(child: subprocess.Popen[str]) -> bool:
    child.poll()  # a leader that nobody reaps would keep the group alive for ever
    try:
        os.killpg(child.pid, 0)
        return True
    except ProcessLookupError:
        return False


def run(command: Sequence[str], *, what: str, log: Path, cwd: Optional[Path] = None,
        env: Optional[Mapping[str, str]] = None, on_line: Optional[Callable[[str], None]] = None) -> str:
    """Runs to the end, output (both streams) to the end of `log` and line by line to on_line; answers the output.
    Raises ToolError with the last lines when it fails. When this call is left by an exception, so is the program."""
    output: list[str] = []
    with open(log, "a", encoding="utf-8", errors="replace") as file:
        file.write("$ " + " ".join(command) + "\n")
        try:
            child = subprocess.Popen(command, cwd=cwd, env=env if env is not None else clean_env(),
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     text=True, errors="replace", start_new_session=True, preexec_fn=_die_with_parent)
        except FileNotFoundError as error:
            raise ToolError(f"{what}: no program {command[0]}", "tools/deps installs what is missing") from error
        try:
            assert child.stdout is not None
            for line in child.stdout:
                file.write(line)
                output.append(line)
                if on_line:
                    on_line(line)
            code = child.wait()
        except BaseException:
            _kill_group(child)
            raise
        finally:
            if child.stdout:
                child.stdout.close()
    if code != 0:
        tail = "".join(output[-TAIL_LINES:]).rstrip()
        how = f"ended with {code}" if code > 0 else f"died of {signal.Signals(-code).name}"
        raise ToolError(f"{what} failed: {command[0]} {how}; its last lines:\n{tail}", log=str(log))
    return "".join(output)
