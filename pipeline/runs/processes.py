"""Processes side by side: a command per robot, their lines told apart, and pools whose processes do one job each.

No child outlives its parent: on Linux the kernel ends it, even if the parent was killed.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_GRACE_S = 20.0
_PARENT = "CROSSBODY_PARENT"
"""Environment variable that tells a command which process started it."""
_PR_SET_PDEATHSIG = 1


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(*, among: int = 1) -> int:
    """Return how many threads each of so many processes may use of what ``run_side_by_side`` left, or every core."""
    return max(1, min(cores(), int(os.environ.get("OMP_NUM_THREADS") or cores())) // among)


def end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, and end it now if that has happened already.

    Call it in a child as early as possible. The kernel counts the thread that started the child as its parent: that
    thread must wait for the child. Without effect elsewhere than on Linux.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def end_with_starter() -> None:
    """Do so for the process that started this command, if it was ``run_side_by_side``."""
    if parent := os.environ.pop(_PARENT, ""):
        end_with(int(parent))


@contextmanager
def spawned(workers: int, *, jobs_each: int | None = 1) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool whose processes do one job each, because a process can hold one simulated scene only.

    ``jobs_each=None`` is for jobs that simulate nothing: their processes stay, and load their libraries once.
    An interruption ends the running jobs, also one that only this process was told of (SIGTERM).
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=context, max_tasks_per_child=jobs_each, initializer=end_with, initargs=(os.getpid(),)
    ) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - before:
                process.terminate()
            raise


def python_path() -> str:
    """Return a ``PYTHONPATH`` with which a process in any folder finds this project's packages, ``ROOT`` first."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, others)]))


def run_side_by_side(
    commands: Mapping[str, Sequence[str]], *, workers: int, is_needed: Callable[[str], bool] = lambda name: True
) -> dict[str, int]:
    """Run ``python -m pipeline ...`` once per name and wait for all; one that fails does not stop the others.

    Args:
        commands: Label shown before each line -> arguments after ``python -m pipeline``.
        workers: How many at once; each gets its share of the cores.
        is_needed: Asked with a label when its turn has come; a command that others have made needless does not start.

    Returns:
        Exit status per label; 0 for what did not start.
    """
    workers = max(1, min(workers, len(commands)))
    # Found by the path, not in the working folder (-P): paths of the user's are relative to that.
    environment = {**os.environ, "PYTHONPATH": python_path(), "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    environment[_PARENT] = str(os.getpid())
    if workers > 1:
        environment["OMP_NUM_THREADS"] = str(threads(among=workers))
    running: set[subprocess.Popen[str]] = set()
    stopping = threading.Event()

    def run(item: tuple[str, Sequence[str]]) -> tuple[str, int]:
        name, arguments = item
        if stopping.is_set():
            return name, 130
        if not is_needed(name):
            return name, 0
        # Its own session: a Ctrl-C reaches it once, from here, and not a second time from the terminal.
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline", *arguments],
            env=environment,
            encoding="utf-8",
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            running.add(process)
            if stopping.is_set():  # between the check above and here
                _signal(process, signal.SIGINT)
            assert process.stdout is not None
            for line in process.stdout:
                print(f"[{name}] {line.rstrip()}", flush=True)
        running.discard(process)
        if process.returncode < 0 and not stopping.is_set():
            print(f"[{name}] error: killed by {_name(-process.returncode)}, as for want of memory", flush=True)
        return name, process.returncode

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(run, item) for item in commands.items()]
        try:
            return dict(future.result() for future in futures)
        except BaseException:
            stopping.set()
            _stop(running)
            raise


def _stop(processes: set[subprocess.Popen[str]]) -> None:
    """Ask the processes to stop as by Ctrl-C, then end those that do not."""
    for process in list(processes):
        _signal(process, signal.SIGINT)
    for process in list(processes):
        try:
            process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
