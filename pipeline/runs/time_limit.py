"""A function in a process of its own, for at most so long; what goes wrong is one line instead of an end."""

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from pipeline.runs.processes import end_with

FAILED = "failed"
"""Key of the reason"""
_LINE = 300


def within(limit_s: float, function: Callable[..., Mapping[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Return what a function returns, or ``FAILED`` and one line that says why there is nothing.

    Args:
        limit_s: Its process is killed after so long.
        function: At module level; it and its arguments must be picklable.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, os.getpid(), function, arguments))
    process.start()
    sender.close()  # the child holds the only one left: its end is noticed here
    try:
        if not receiver.poll(limit_s):
            return {FAILED: f"not finished after {limit_s:.0f} s"}
        found: dict[str, Any] = receiver.recv()
        return found
    except EOFError:
        process.join()
        return {FAILED: f"its process ended with status {process.exitcode}, as for want of memory"}
    finally:
        process.kill()
        process.join()


def _run(sender: Connection, parent: int, function: Callable[..., Mapping[str, Any]], arguments: Sequence[Any]) -> None:
    end_with(parent)
    try:
        found = dict(function(*arguments))
    except Exception as error:
        line = " ".join(str(error).split())[:_LINE]
        found = {FAILED: f"{type(error).__name__}: {line}" if line else type(error).__name__}
    sender.send(found)
