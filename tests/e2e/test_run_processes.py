"""`gilotine run --processes` where no cgroup holds the number: a watch, and a wall that no bomb can pass."""

import os
import re
import subprocess

import pytest

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def limit_within(public_build, limit: int, *before: str) -> int | None:
    """RLIMIT_NPROC of a command of somebody without cgroups; None: unlimited."""
    run = [str(public_build / "src/cli/gilotine"), "run", "--domain", "subreaper"]
    argv = [*NOBODY, *before, *run, *(["--processes", str(limit)] if limit else []), "60", "cat", "/proc/self/limits"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    value = re.search(r"Max processes +(\w+)", text).group(1)
    return None if value == "unlimited" else int(value)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_bomb_has_a_wall_above_the_watch(public_build):
    own = limit_within(public_build, 0)
    walled = limit_within(public_build, 20)
    assert walled is not None and 20 < walled < 20_000
    assert own is None or walled <= own
    assert limit_within(public_build, 20, "prlimit", "--nproc=300") == 300  # a lower one stays
