"""A mount namespace whose /proc is empty: what needs it says so instead of waiting for what does not come."""

import os
import subprocess

import pytest
from query_support import duckdb, query  # noqa: F401, fixtures

HIDE = 'mount -t tmpfs none /proc && exec "$@"'


def can_hide() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_hide(), reason="a mount namespace needs root")
def test_a_query_without_proc_fails_at_once(query):  # noqa: F811
    argv = ["unshare", "-m", "sh", "-c", HIDE, "sh", *query.argv, "--hard", "25", "select 1"]
    # Shorter than the engine's own patience with a start that does not come to its end.
    done = subprocess.run(argv, env=query.env, capture_output=True, timeout=20)
    assert done.returncode != 0 and b"/proc" in done.stderr, done
