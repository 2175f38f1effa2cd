"""DuckDB's spill folders: a name for each process, and the removal of what killed ones leave behind.

DuckDB names spill files by pid, or not at all, so no two processes may ever share a folder; and a query
that is killed leaves its spill, up to hundreds of megabytes. DuckDB makes the folder when it first spills.
"""

import glob
import os
import secrets
import shutil
import tempfile

import census


def new_prefix() -> str:
    """The start of the names of one worker's folders. Nobody else's start like it."""
    return os.path.join(tempfile.gettempdir(), f"gilotine-spill-{secrets.token_hex(8)}-")


def folder(prefix: str) -> str:
    """A name for a new folder of this process."""
    return f"{prefix}{os.getpid()}-{secrets.token_hex(4)}"


def remove_dead(prefix: str) -> None:
    """Removes this worker's folders whose process is gone or a zombie. Never fails."""
    for path in glob.glob(glob.escape(prefix) + "*"):
        pid = path[len(prefix) :].partition("-")[0]
        process = census.read_process(int(pid)) if pid.isdigit() else None
        if process is None or process.zombie:
            shutil.rmtree(path, ignore_errors=True)
