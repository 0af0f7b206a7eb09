"""Run a step in a process of its own, forked from this one: what it needs is imported already."""

import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.__main__ import guarded


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended."""

    status: int
    """Exit status, or minus the signal"""
    output: str
    """Standard output and error"""
    seconds: float
    megabytes: float
    """Greatest memory beyond that at its beginning; 0 if it was killed"""

    @property
    def has_traceback(self) -> bool:
        """Whether a person would see one."""
        return "Traceback (most recent call last)" in self.output

    @property
    def error(self) -> str:
        """The line that the command ends with."""
        lines = [line for line in self.output.splitlines() if line.startswith("error: ")]
        return lines[-1] if lines else ""


def run(action: Callable[[], Any], *, prepare: Callable[[], None] = lambda: None) -> Ended:
    """Fork, call ``prepare`` and then ``action`` as the command line does, and wait for the end."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as memory:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _as_command(action, prepare, output.fileno(), memory.fileno())
        began_s = time.monotonic()
        _, status = os.waitpid(pid, 0)
        seconds = time.monotonic() - began_s
        output.seek(0)
        memory.seek(0)
        return Ended(
            status=os.waitstatus_to_exitcode(status),
            output=output.read().decode(errors="replace"),
            seconds=seconds,
            megabytes=float(memory.read() or 0),
        )


def _as_command(action: Callable[[], Any], prepare: Callable[[], None], output: int, memory: int) -> None:
    status, began_mb = 1, 0.0
    try:
        for number in (1, 2):
            os.dup2(output, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        began_mb = _peak_mb()
        prepare()
        status = guarded(action)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(memory, str(_peak_mb() - began_mb).encode())
        os._exit(status)


def _peak_mb() -> float:
    """Return this process's greatest memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024.0 for line in lines if line.startswith("VmHWM"))
