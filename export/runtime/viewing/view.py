"""A view: takes moments and shows them from a thread of its own, so that who drives neither waits nor fails.

``--view rerun`` opens a window, ``--view rerun:FILE.rrd`` writes a file for later, as on a machine without a screen.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from export.runtime.viewing.moment import Moment

SUFFIX = ".rrd"
_KIND = "rerun"
_WAITING = 16
"""Moments that wait to be shown; of a robot's drive further ones are left out"""
_CLOSE_S = 10.0
_HANGS_S = 30.0
"""After so long without room for a moment a simulation goes on without its view"""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a view goes: a window, or a file."""

    file: Path | None = None

    def named(self, name: str) -> "Target":
        """Return the target of one of several views: FILE_NAME.rrd."""
        return (
            self if self.file is None else replace(self, file=self.file.with_name(f"{self.file.stem}_{name}{SUFFIX}"))
        )

    def absolute(self) -> "Target":
        """Return the same target for a process that runs in another folder."""
        return self if self.file is None else replace(self, file=self.file.absolute())

    def __str__(self) -> str:
        """Return what ``parse`` reads."""
        return _KIND if self.file is None else f"{_KIND}:{self.file}"


def parse(text: str) -> Target:
    """Read the option ``--view``.

    Raises:
        ValueError: If it is neither ``rerun`` nor ``rerun:FILE.rrd``.
    """
    kind, _, file = text.partition(":")
    if kind != _KIND or (":" in text and Path(file).suffix != SUFFIX):
        raise ValueError(f"--view {text}: say rerun for a window, or rerun:FILE{SUFFIX} for a file")
    return Target(file=Path(file) if file else None)


class Viewer(Protocol):
    """Shows moments; called by one thread."""

    def show(self, moment: Moment) -> None:
        """Show the next moment."""

    def close(self) -> None:
        """Write what is waiting."""


class View:
    """Hands moments to a viewer; whatever goes wrong there is announced once, and nothing more is shown."""

    def __init__(self, viewer: Viewer, *, announce: Callable[[str], None], waits: bool) -> None:
        """Start the thread.

        Args:
            announce: Gets a line when something goes wrong.
            waits: Whether ``show`` waits for a viewer that is slower than the drive. On a robot it must not: then
                moments are left out.
        """
        self._viewer, self._announce, self._waits = viewer, announce, waits
        self._moments: queue.Queue[Moment | None] = queue.Queue(_WAITING)
        self.failure = ""
        """Why nothing is shown any more, or empty"""
        self._thread = threading.Thread(target=self._run, name="view", daemon=True)
        self._thread.start()

    def show(self, moment: Moment) -> None:
        """Show a moment soon."""
        if self.failure:
            return
        try:
            self._moments.put(moment, block=self._waits, timeout=_HANGS_S)
        except queue.Full:
            if self._waits:
                self.fail(TimeoutError("it hangs"))

    def fail(self, error: Exception) -> None:
        """Show nothing more, and say why, once."""
        if not self.failure:
            reason = " ".join(str(error).split()) or type(error).__name__
            self.failure = f"the view ended early, the drive goes on: {reason}"
            self._announce(self.failure)

    def close(self) -> None:
        """Show what is waiting and end; do not wait for a viewer that hangs."""
        with contextlib.suppress(queue.Full):
            self._moments.put(None, timeout=_CLOSE_S)
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self.fail(TimeoutError("it hangs"))

    def _run(self) -> None:
        while (moment := self._moments.get()) is not None:
            if not self.failure:
                self._guarded(lambda moment=moment: self._viewer.show(moment))  # type: ignore[misc]
        self._guarded(self._viewer.close)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            self.fail(error)
