"""The experiment itself: run the query under the limit, again and again, and say what came of it."""

import logging
import math
import multiprocessing
import signal
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional, Union

import timeout_decorator

import census
import cleanup
import gil_status
import query
import spill
from lines import pairs
from settings import Settings
from tracing import Tracer

MAX_ITERATIONS = 100_000


def _number(name: str, value: Any, integral: bool) -> Union[int, float]:
    """Numbers, and texts that are numbers: producers written by hand send both."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            # Not by way of float where it can be helped: that would round large integers.
            number = int(value) if integral and not isinstance(value, float) else float(value)
            if math.isfinite(number) and (not integral or number == int(number)):
                return int(number) if integral else number
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{name}={value!r}: must be a {'whole ' if integral else ''}number")


def checked_arguments(iterations: Any, rows: Any, timeout_sec: Any) -> tuple[int, int, float]:
    """The task's arguments as numbers. Raises ValueError, which fails the task."""
    count, size = _number("iterations", iterations, True), _number("rows", rows, True)
    limit = _number("timeout_sec", timeout_sec, False)
    if not 1 <= count <= MAX_ITERATIONS:
        raise ValueError(f"iterations={iterations!r}: must be from 1 to {MAX_ITERATIONS}")
    if not 1 <= size < 2**63:
        raise ValueError(f"rows={rows!r}: must be from 1 to 2^63-1")
    # The decorator takes 0 for "no limit".
    if not 0 < limit <= 86400:
        raise ValueError(f"timeout_sec={timeout_sec!r}: must be seconds above 0, at most 86400")
    return int(count), int(size), float(limit)


def outcome_of(error: Optional[BaseException]) -> str:
    """ok, timeout, or error:TYPE. Only the decorator's own exception is a time-out: a driver that was
    interrupted and says so in its own way is an error of its own kind."""
    if error is None:
        return "ok"
    # It derives from AssertionError, which multiprocessing raises for its own reasons.
    if isinstance(error, timeout_decorator.TimeoutError):
        return "timeout"
    return f"error:{type(error).__name__}"


@contextmanager
def _default_sigterm(wanted: bool) -> Iterator[None]:
    """Without Celery's handler while children start: they inherit the default, which kills."""
    if not wanted:
        yield
        return
    old = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


class Experiment:
    """One run of the task."""

    def __init__(self, settings: Settings, status: gil_status.Status, log: logging.Logger, spill_prefix: str) -> None:
        self._settings = settings
        self._status = status
        self._log = log
        self._spill_prefix = spill_prefix
        self._tracer = Tracer(settings.trace)

    def run(self, task_id: Optional[str], iterations: int, rows: int, timeout_sec: float) -> dict[str, Any]:
        """Returns a summary that is plain JSON."""
        settings = self._settings
        flags = {
            "mode": settings.mode,
            "use_signals": settings.use_signals,
            "cleanup_children": settings.cleanup_children,
        }
        asked = {"iterations": iterations, "rows": rows, "timeout_sec": timeout_sec}
        self._log.info("task_start %s", pairs(**flags))
        how = {"start_method": multiprocessing.get_start_method(), "driver": settings.driver}
        self._tracer.send("task_start", task_id=task_id, **flags, **asked, **how, query=settings.query)
        gil = self._tell_gil()
        done = []
        for n in range(1, iterations + 1):
            done.append(self._iterate(n, rows, timeout_sec))
            if self._status.changed():
                gil = self._tell_gil()
        spill.remove_dead(self._spill_prefix)
        self._tracer.send("task_end")
        return {**flags, **gil, "last_outcome": done[-1]["outcome"], "iterations": done}

    def _tell_gil(self) -> dict[str, Any]:
        report = self._status.report(multiprocessing.get_start_method(), self._settings.driver)
        self._tracer.send("gil_status", **report)
        line = {key: value for key, value in report.items() if key != "culprit"}
        if report["culprit"]:
            line.update({"culprit": report["culprit"]["module"]})
            line.update({key: report["culprit"][key] for key in ("file", "chain")})
        self._log.info("gil_status %s", pairs(**line))
        return report

    def _limited(self, rows: int, timeout_sec: float) -> Optional[Exception]:
        """The strategy under test. The decorator is applied here and not where the function is defined:
        a decorated name refers to the wrapper, and then the function cannot be pickled."""
        limited = timeout_decorator.timeout(timeout_sec, use_signals=self._settings.use_signals)(query.run_query)
        try:
            limited(self._settings.spec(self._spill_prefix), rows)
        except Exception as error:
            return error
        return None

    def _iterate(self, n: int, rows: int, timeout_sec: float) -> dict[str, Any]:
        settings = self._settings
        with _default_sigterm(settings.reset_sigterm and not settings.use_signals):
            asked = time.monotonic_ns()
            self._tracer.send("iter_start", asked, n=n)
            error = self._limited(rows, timeout_sec)
            told = time.monotonic_ns()
        result = {"n": n, "outcome": outcome_of(error), "elapsed": round((told - asked) / 1e9, 6)}
        self._tracer.send("iter_told", told, **result)
        cleaned = None
        if settings.cleanup_children:
            cleaned = cleanup.clean(settings.cleanup_grace)._asdict()
            self._tracer.send("cleanup", n=n, **cleaned)
        # What the clean-up has left is what counts, as in the environment that is reproduced.
        result.update(self._count(result))
        self._log.info(
            "iter=%d outcome=%s elapsed=%.3fs children=%d zombies=%d",
            n, result["outcome"], result["elapsed"], result["children"], result["zombies"],
        )
        if error is not None and result["outcome"] != "timeout":
            self._log.warning("iter_error %s", pairs(n=n, type=type(error).__name__, message=error))
            result["error"] = str(error)
        if cleaned is not None:
            self._log.info("cleanup %s", pairs(**cleaned))
            result["cleanup"] = cleaned
        self._tracer.hold_still()
        return result

    def _count(self, result: dict[str, Any]) -> dict[str, int]:
        census.settle(self._settings.settle, cleanup.infrastructure())
        before = time.monotonic_ns()
        family = census.descendants()
        after = time.monotonic_ns()
        counts = {"children": len(family), "zombies": sum(process.zombie for process in family)}
        self._tracer.send("iter_end", **result, **counts, t_before=before, t_after=after)
        return counts
