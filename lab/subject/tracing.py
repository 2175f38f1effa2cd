"""Trace events for an observer: one JSON object per datagram on the socket named by GILOTINE_TRACE.

Sending never blocks and never fails: with nobody listening, or with a listener too slow, events are lost
and the subject goes on as if nothing were.
"""

import json
import os
import socket
import time
from typing import Any, Optional

# Some samples of an observer that looks every 20 ms.
HOLD_SECONDS = 0.06


class Tracer:
    """Sends events to a datagram socket's path; None sends nothing. One per process is enough, and it
    survives a fork: every datagram stands for itself and carries the sender's pid."""

    def __init__(self, path: Optional[str]) -> None:
        self._path = path
        self._socket = None
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def send(self, event: str, at_ns: Optional[int] = None, **fields: Any) -> None:
        """at_ns: CLOCK_MONOTONIC nanoseconds of what is told, default now."""
        if self._socket is None:
            return
        record = {"ev": event, "t": time.monotonic_ns() if at_ns is None else at_ns, "pid": os.getpid(), **fields}
        try:
            # By name each time: a listener that comes late, or again, gets the rest.
            self._socket.sendto(json.dumps(record).encode(), self._path)
        except OSError:
            pass

    def hold_still(self) -> None:
        """With somebody watching: time to see from outside what was just told, before it changes."""
        if self._socket is not None:
            time.sleep(HOLD_SECONDS)
