"""The subject's own view of its family, read from /proc.

Only os.open and os.read are used. In a free-threaded worker beside busy processes, closing a buffered
file can stall for seconds, and a census that stalls the worker would spoil what it measures.
"""

import os
import time
from typing import NamedTuple, Optional

# One read of this size takes a whole stat line: the name is at most 64 bytes, 51 numbers follow.
_STAT_BYTES = 4096

# Places in the fields after the name, counted from the state.
_STATE, _PPID, _START = 0, 1, 19


class Process(NamedTuple):
    """One process as /proc showed it. (pid, start) names it for ever; pid alone may be used again."""

    pid: int
    ppid: int
    state: str
    start: int  # clock ticks since boot

    @property
    def zombie(self) -> bool:
        return self.state == "Z"


def parse_stat(text: bytes) -> Process:
    """Reads a line of /proc/PID/stat. The name may hold spaces, parentheses and newlines: the last
    parenthesis ends it, since only numbers follow. Raises ValueError for anything else."""
    open_at, close_at = text.find(b" ("), text.rfind(b") ")
    if open_at < 1 or close_at < open_at:
        raise ValueError(f"no process name in stat line {text!r}")
    fields = text[close_at + 2 :].split()
    if len(fields) <= _START:
        raise ValueError(f"stat line ends early: {text!r}")
    return Process(int(text[:open_at]), int(fields[_PPID]), fields[_STATE].decode(), int(fields[_START]))


def read_process(pid: int) -> Optional[Process]:
    """None when the process is gone, also when it went while it was being read."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, _STAT_BYTES)
    except OSError:  # ESRCH: it died between open and read
        return None
    finally:
        os.close(fd)
    process = parse_stat(text) if text else None
    return None if process is None or process.state in "Xx" else process


def descendants(root: Optional[int] = None) -> list[Process]:
    """All descendants of root (default: this process), children before grandchildren. Whoever lost its
    parent belongs to another family by then and is not seen."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := read_process(int(name))) is not None:
            children.setdefault(process.ppid, []).append(process)
    found: list[Process] = []
    seen = {os.getpid() if root is None else root}
    queue = list(seen)
    while queue:
        for child in children.get(queue.pop(0), ()):
            # A pid reused in mid-scan could close a circle.
            if child.pid not in seen:
                seen.add(child.pid)
                found.append(child)
                queue.append(child.pid)
    return found


def still_dying(infrastructure: frozenset[int], me: int, family: list[Process]) -> bool:
    """Whether waiting could still change the count: somebody lives, or is a zombie that somebody else
    (the fork server) is about to reap. Our own zombies stay until this process reaps them."""
    return any(p.pid not in infrastructure and not (p.zombie and p.ppid == me) for p in family)


def settle(seconds: float, infrastructure: frozenset[int]) -> None:
    """Gives children that are on their way out up to that many seconds to go."""
    end, me = time.monotonic() + seconds, os.getpid()
    while time.monotonic() < end and still_dying(infrastructure, me, descendants()):
        time.sleep(0.01)
