"""The command line: ``python -m pipeline STAGE --run runs/NAME --preset laptop [--field value ...]``."""

import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from types import FrameType

from pipeline.runs import caches, command_line, discovery, processes

USAGE = """\
usage: python -m pipeline STAGE [--run runs/NAME] [--preset smoke|laptop|workstation] [--FIELD VALUE ...]
       python -m pipeline STAGE --help     what a stage's fields mean
       python -m pipeline list             robots, scenes, stages, commands, presets

options of every stage
  --run runs/NAME       run folder (default: runs/PRESET)
  --preset PRESET       sizes (default: laptop)
  --out DIR             write into DIR instead of the run folder
  --embodiments a,b     robots
  --workers N           robots at once (default: one per core)
  --robot-file FILE.py  a robot of your own, from any folder; then --embodiments knows its name. Commands take it, too
  --traceback           show where an error comes from"""


def main(arguments: Sequence[str]) -> int:
    """Run one stage or command; return 0, 2 for a mistake, 130 when interrupted, 141 when nobody reads any more."""
    processes.end_with_starter()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that lacks a character shows "?" and goes on
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, _terminate)
    return guarded(lambda: dispatch(list(arguments)), shows_origin="--traceback" in arguments)


def guarded(action: Callable[[], int], *, shows_origin: bool = False) -> int:
    """Return an action's exit status; its errors are one line, those of the threads that it starts too."""
    threading.excepthook = _say_in_one_line
    try:
        return action()
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough; a stage is not finished by that
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except BrokenProcessPool:
        print("error: a worker process was killed, as for want of memory; try --workers 1", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        if shows_origin:
            traceback.print_exc()
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; same command resumes", file=sys.stderr)
        return 130


def dispatch(arguments: list[str]) -> int:
    """Run the stage or command that the first word names; return its exit status."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0
    if line := caches.prepare():
        print(line, file=sys.stderr)
    rest = [argument for argument in arguments if argument != "--traceback"]
    name, *rest = command_line.with_robot_files(rest)
    if name in discovery.stage_names():
        return command_line.run_stage(discovery.stage(name), rest)
    if name in discovery.command_names():
        return command_line.run_command(discovery.command(name), rest)
    raise ValueError(discovery.unknown("stage or command", name, discovery.listed()))


def _one_line(error: Exception) -> str:
    """Return an error's message in one line; of an error that a worker process raised, the worker's message."""
    cause = getattr(error, "cause", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__


def _say_in_one_line(failed: threading.ExceptHookArgs) -> None:
    """Say what ended a thread; the main thread goes on, or meets the same error."""
    if isinstance(failed.exc_value, OSError | ValueError):
        print(f"in a thread: {_one_line(failed.exc_value)}", file=sys.stderr)
    else:
        threading.__excepthook__(failed)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
