"""Progress of a tool of several steps: one line that updates on a terminal, a line every ten seconds elsewhere."""
from __future__ import annotations

import shutil
import sys
import time
from typing import Sequence

TTY_PERIOD_SEC = 0.1
PLAIN_PERIOD_SEC = 10.0


class Progress:
    """`steps` are (title, weight): weights are the usual seconds of each step and only their ratio counts. Time left =
    time spent on the finished share, scaled to the rest, so a machine half as fast shows twice the time."""

    def __init__(self, tool: str, steps: Sequence[tuple[str, float]]) -> None:
        self.tool = tool
        self.steps = list(steps)
        self.index = -1
        self.fraction = 0.0
        self.detail = ""
        self.started = time.monotonic()
        self.shown = 0.0
        self.tty = sys.stdout.isatty()

    def step(self, detail: str = "") -> None:
        """Begins the next step."""
        self.index += 1
        self.fraction = 0.0
        self.detail = detail
        self._show(force=True)

    def at(self, fraction: float, detail: str = "") -> None:
        """How far the present step is (0..1)."""
        self.fraction = min(max(fraction, self.fraction), 1.0)
        self.detail = detail
        self._show(force=False)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(f"{self.tool}: {text}", flush=True)

    def clear(self) -> None:
        if self.tty and self.shown:
            sys.stdout.write("\r\x1b[K")
            sys.stdout.flush()

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def _line(self) -> str:
        title, weight = self.steps[min(self.index, len(self.steps) - 1)]
        total = sum(w for _t, w in self.steps)
        done = sum(w for _t, w in self.steps[:self.index]) + self.fraction * weight
        share = done / total if total else 1.0
        left = ""
        if share > 0.02 and self.seconds() > 2:
            left = f", about {self.seconds() / share * (1 - share):.0f} s left"
        detail = f" {self.detail}" if self.detail else ""
        return f"[{self.index + 1}/{len(self.steps)}] {title}{detail}: {share * 100:.0f} %{left}"

    def _show(self, force: bool) -> None:
        now = time.monotonic()
        period = TTY_PERIOD_SEC if self.tty else PLAIN_PERIOD_SEC
        if not force and now - self.shown < period:
            return
        self.shown = now
        text = f"{self.tool}: {self._line()}"
        if self.tty:
            width = shutil.get_terminal_size().columns - 1
            sys.stdout.write("\r\x1b[K" + text[:width])
        else:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()
