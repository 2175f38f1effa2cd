"""Explicit clean-up of what a time-out leaves behind: terminate, wait, kill, reap, count.

Reaches every descendant of this process except multiprocessing's own two helpers, the fork server and
the resource tracker: killing them breaks every later start. They are known by the pids multiprocessing
keeps, not by their names, which any child can bear. In a prefork pool this runs in the pool's child, so
the pool's processes are never among its descendants.
"""

import multiprocessing
import os
import select
import signal
import sys
import time
from typing import NamedTuple

import census

# How long a killed process may take to vanish, and a dead one to be reaped, before it counts as remaining.
KILL_SECONDS = 1.0
_TICK_SECONDS = 0.01


class Result(NamedTuple):
    terminated: int  # alive and sent SIGTERM
    killed: int  # of those, and of any that were born meanwhile, sent SIGKILL
    remaining: int  # still there afterwards, alive or as a zombie


def infrastructure() -> frozenset[int]:
    """The pids of the fork server and the resource tracker, where they run."""
    pids = set()
    # Not imported here: what was never imported was never started.
    for module, holder, attribute in (
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
    ):
        pid = getattr(getattr(sys.modules.get(module), holder, None), attribute, None)
        if pid is not None:
            pids.add(pid)
    return frozenset(pids)


class _Targets:
    """Handles on the living descendants. A pidfd cannot come to mean another process, so nobody who was
    given a dead one's pid is ever signalled, and one that lost its parent is still held."""

    def __init__(self) -> None:
        self._handles: dict[tuple[int, int], int] = {}

    def adopt(self) -> list[int]:
        """Takes handles on descendants not seen before and returns these."""
        spared, fresh = infrastructure(), []
        for process in census.descendants():
            key = (process.pid, process.start)
            if process.pid in spared or process.zombie or key in self._handles:
                continue
            try:
                handle = os.pidfd_open(process.pid)
            except OSError:
                continue
            # The pid may have changed hands between the census and the open; afterwards it cannot.
            again = census.read_process(process.pid)
            if again is None or again.start != process.start:
                os.close(handle)
                continue
            self._handles[key] = handle
            fresh.append(handle)
        return fresh

    def living(self) -> list[int]:
        poll = select.poll()
        for handle in self._handles.values():
            poll.register(handle, select.POLLIN)
        dead = {handle for handle, _ in poll.poll(0)}
        return [handle for handle in self._handles.values() if handle not in dead]

    def close(self) -> None:
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()


def _send(handles: list[int], signum: int) -> int:
    sent = 0
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signum)
            sent += 1
        except ProcessLookupError:
            pass
    return sent


def _reap() -> None:
    """Waits for our own dead children, each by its pid: a wait for any child would steal the exit status
    of somebody else's."""
    # First through multiprocessing, so that its Process objects learn their exit codes.
    multiprocessing.active_children()
    spared, me = infrastructure(), os.getpid()
    for process in census.descendants():
        if process.zombie and process.ppid == me and process.pid not in spared:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def _others() -> int:
    spared = infrastructure()
    return sum(process.pid not in spared for process in census.descendants())


def clean(grace: float) -> Result:
    """Ends the family. Takes at most grace plus twice KILL_SECONDS."""
    targets = _Targets()
    terminated = killed = 0
    try:
        end = time.monotonic() + grace
        while True:  # each round also asks those that were born since the last one
            terminated += _send(targets.adopt(), signal.SIGTERM)
            if not targets.living() or time.monotonic() >= end:
                break
            time.sleep(_TICK_SECONDS)
        killed = _send(targets.living(), signal.SIGKILL)
        end = time.monotonic() + KILL_SECONDS
        while targets.living() and time.monotonic() < end:
            time.sleep(_TICK_SECONDS)
            killed += _send(targets.adopt(), signal.SIGKILL)
    finally:
        targets.close()
    end = time.monotonic() + KILL_SECONDS
    while True:
        _reap()
        if not _others() or time.monotonic() >= end:
            return Result(terminated, killed, _others())
        time.sleep(_TICK_SECONDS)
