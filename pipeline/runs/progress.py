"""Progress of a long loop: a bar with rate and time left in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

LINE_EVERY_S = 15.0
"""Without a terminal at most one line in this time, so that logs stay readable."""


class Progress(Protocol):
    """What a loop reports to."""

    def advance(self, n: int = 1, **figures: float | int | str) -> None:
        """Count ``n`` more units done; ``figures`` are shown beside the count (loss, success rate)."""


@contextmanager
def progress(total: int, description: str) -> Iterator[Progress]:
    """Show how far a loop has come.

    Args:
        total: Units to do (steps, frames, episodes); progress may start above 0 by advancing once after a resume.
        description: A few words, shown in front.
    """
    if sys.stderr.isatty():
        with RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
            transient=False,
        ) as bars:
            yield _Bar(bars, bars.add_task(description, total=total, rate="", figures=""), _Count(total))
        return
    lines = _Lines(description, _Count(total))
    yield lines
    lines.close()


@dataclass
class _Count:
    """Counts units and their rate since the first report, so that units skipped by a resume do not flatter it."""

    total: int
    done: int = 0
    started_s: float = field(default_factory=time.monotonic)
    first: int | None = None

    def add(self, n: int) -> None:
        self.done += n
        if self.first is None or n < 0:  # back at a checkpoint: what was done after it is done again
            self.first, self.started_s = self.done, time.monotonic()

    def rate(self) -> str:
        rate_hz = self.rate_hz()
        if rate_hz == 0.0:
            return "…"
        return f"{rate_hz:,.0f}/s" if rate_hz >= 10.0 else f"{rate_hz:.2g}/s"

    def rate_hz(self) -> float:
        elapsed_s = time.monotonic() - self.started_s
        return (self.done - (self.first or 0)) / elapsed_s if elapsed_s > 0.0 else 0.0

    def left_s(self) -> float:
        rate_hz = self.rate_hz()
        return (self.total - self.done) / rate_hz if rate_hz > 0.0 else float("inf")


class _Bar:
    def __init__(self, bars: RichProgress, task: int, count: _Count) -> None:
        self._bars, self._task, self._count = bars, task, count

    def advance(self, n: int = 1, **figures: float | int | str) -> None:
        self._count.add(n)
        self._bars.update(
            self._task,  # type: ignore[arg-type]
            advance=n,
            rate=self._count.rate(),
            figures=_text(figures),
        )


class _Lines:
    def __init__(self, description: str, count: _Count) -> None:
        self._description, self._count = description, count
        self._figures, self._printed, self._printed_s = "", -1, time.monotonic()

    def advance(self, n: int = 1, **figures: float | int | str) -> None:
        self._count.add(n)
        self._figures = _text(figures) or self._figures
        if time.monotonic() - self._printed_s >= LINE_EVERY_S:
            self._print()

    def close(self) -> None:
        if self._printed != self._count.done:
            self._print()

    def _print(self) -> None:
        count = self._count
        self._printed, self._printed_s = count.done, time.monotonic()
        left_s = count.left_s()
        left = f", {left_s:.0f} s left" if 0.0 < left_s < float("inf") else ""
        figures = f"  {self._figures}" if self._figures else ""
        print(f"{self._description}: {count.done}/{count.total} ({count.rate()}{left}){figures}", flush=True)


def _text(figures: dict[str, float | int | str]) -> str:
    return "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
