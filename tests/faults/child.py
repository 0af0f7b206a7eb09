"""Run a step in a process of its own, forked from this one: what it needs is imported already."""

import contextlib
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
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
    """Greatest memory beyond that of the process that it was forked from"""

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
    with tempfile.TemporaryFile() as output:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _as_command(action, prepare, output.fileno())
        began_s = time.monotonic()
        _, status, usage = os.wait4(pid, 0)
        own_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        output.seek(0)
        return Ended(
            status=os.waitstatus_to_exitcode(status),
            output=output.read().decode(errors="replace"),
            seconds=time.monotonic() - began_s,
            megabytes=max(0.0, (usage.ru_maxrss - own_kb) / 1024.0),
        )


def _as_command(action: Callable[[], Any], prepare: Callable[[], None], output: int) -> None:
    status = 1
    try:
        for number in (1, 2):
            os.dup2(output, number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
        prepare()
        status = guarded(action)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
