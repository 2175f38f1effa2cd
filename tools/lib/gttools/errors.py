"""The one exception these tools end with, and how a tool ends."""
from __future__ import annotations

import signal
import sys
from typing import Callable, NoReturn

EXIT_FAILED = 1
EXIT_USAGE = 2


class ToolError(Exception):
    """Something the user can act upon. `hint` is the next thing to do; `log` a file with the whole story."""

    def __init__(self, message: str, hint: str = "", log: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.log = log


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP. A BaseException, so that no `except Exception` swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class _Interrupts:
    """Signals become Interrupted once: a second Ctrl-C must not cut the clean-up of the first short."""

    def __init__(self) -> None:
        self.seen = False

    def handle(self, signum: int, _frame: object) -> None:
        if not self.seen:
            self.seen = True
            raise Interrupted(signum)


def _clear_progress() -> None:
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)


def run_tool(name: str, main: Callable[[], None]) -> NoReturn:
    """Runs main() and turns its end into lines and an exit code: 0, 1, or 128 + the signal."""
    interrupts = _Interrupts()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # nohup means it
            signal.signal(signum, interrupts.handle)
    try:
        main()
        sys.exit(0)
    except Interrupted as stop:
        _clear_progress()
        what = signal.Signals(stop.signum).name
        print(f"{name}: stopped by {what}; nothing half-made was left, run it again to go on", file=sys.stderr)
        sys.exit(128 + stop.signum)
    except ToolError as error:
        _clear_progress()
        print(f"{name}: {error}", file=sys.stderr)
        if error.log:
            print(f"{name}: the whole log: {error.log}", file=sys.stderr)
        if error.hint:
            print(f"{name}: {error.hint}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except OSError as error:
        _clear_progress()
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
