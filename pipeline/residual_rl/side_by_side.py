"""Specialists side by side: one Ray task per robot, as many at once as the machine or cluster holds."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray._private import ray_constants

from embodiments.registry import ROBOT_FILES
from pipeline.residual_rl.training import PROGRESS, Job, train
from pipeline.runs.processes import ROOT, cores, python_path
from pipeline.runs.progress import Progress, progress

OBJECT_STORE_BYTES = 200 * 2**20
"""Rollouts stay inside their process; what crosses processes are weights of a few megabytes."""
_POLL_S = 1.0
_STARTS = 4
_SHOWN = ("success", "collision", "fall", "timeout", "return", "kl")


def train_many(
    jobs: Sequence[Job],
    *,
    begun: Callable[[Job], None],
    done: Callable[[Job, dict[str, Any]], None],
    workers: int = 0,
) -> None:
    """Train several specialists, each in a worker process of its own, and wait for all of them.

    Args:
        jobs: One per robot; on a cluster their folders must be shared.
        begun: Called in this process when a robot's turn has come.
        done: Called in this process with the final figures as soon as a robot is finished.
        workers: Robots at once; 0 = as many as there are cores for.

    Raises:
        ValueError: If the machine has fewer cores than one specialist asks for, or one failed; the others are finished
            first.
    """
    failed: dict[str, BaseException] = {}
    with connected(), ExitStack() as stack:
        bars = {job.name: _Bar(job, stack.enter_context(progress(job.ppo.control_steps, job.name))) for job in jobs}
        for job, result in _results(jobs, bars=bars, begun=begun, workers=workers):
            bars[job.name].update()
            if isinstance(result, BaseException):
                failed[job.name] = result
            else:
                done(job, result)
    if failed:
        causes = {name: " ".join(str(getattr(error, "cause", None) or error).split()) for name, error in failed.items()}
        lines = [f"training of '{name}' failed: {cause}; its last checkpoint remains" for name, cause in causes.items()]
        raise ValueError(" ".join(lines)) from next(iter(failed.values()))


def _results(
    jobs: Sequence[Job], *, bars: Mapping[str, "_Bar"], begun: Callable[[Job], None], workers: int
) -> Iterator[tuple[Job, dict[str, Any] | BaseException]]:
    """Run the jobs, never more at once than there are cores for, and yield each when it is finished."""
    available = int(ray.cluster_resources().get("CPU", 1))
    asked = max(1 + job.ppo.env_runners for job in jobs)
    if asked > available:
        raise ValueError(f"one specialist asks for {asked} cores and there are {available}; lower --ppo.env-runners")
    at_once = min(available // asked, workers or available)
    waiting = list(jobs)
    running: dict[Any, Job] = {}
    while waiting or running:
        while waiting and len(running) < at_once:
            job = waiting.pop(0)
            # max_calls=1: a fresh process per specialist, as the simulator wants; the runners ask for their own cores
            task = ray.remote(num_cpus=1, num_gpus=_gpus(job, jobs), max_calls=1, max_retries=0)(train)
            running[task.remote(job)] = job
            begun(job)
        ready, _ = ray.wait(list(running), timeout=_POLL_S)
        for bar in bars.values():
            bar.update()
        for reference in ready:
            job = running.pop(reference)
            try:
                yield job, ray.get(reference)
            except ray.exceptions.RayError as error:
                yield job, error


def _gpus(job: Job, jobs: Sequence[Job]) -> float:
    """Return this job's fraction of a GPU: all robots of one machine fit side by side on it."""
    if not job.device.startswith("cuda"):
        return 0.0
    return min(1.0, ray.cluster_resources().get("GPU", 0.0) / len(jobs))


class _Bar:
    """Shows what a worker wrote into its progress file."""

    def __init__(self, job: Job, bar: Progress) -> None:
        self._file, self._bar, self._shown = job.work / PROGRESS, bar, 0

    def update(self) -> None:
        """Show the newest figures, if there are any."""
        try:
            figures = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there yet
            return
        steps = int(figures["control_steps"])
        if steps != self._shown:
            shown = {name: float(figures[name]) for name in _SHOWN if name in figures}
            self._bar.advance(steps - self._shown, **shown)
            self._shown = steps


@contextmanager
def connected() -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names, or start Ray for this machine alone; shut it down in the end."""
    os.environ.setdefault("RAY_worker_niceness", "0")  # its default, 15, starves workers beside anything else
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    on_terminate = signal.getsignal(signal.SIGTERM)
    if "RAY_ADDRESS" in os.environ:
        robot_files = {ROBOT_FILES: os.environ[ROBOT_FILES]} if ROBOT_FILES in os.environ else {}
        environment = {"env_vars": {"PYTHONPATH": str(ROOT), **robot_files}}
        ray.init(logging_level="ERROR", log_to_driver=False, runtime_env=environment)
    else:
        _start()
    if on_terminate is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)  # Ray's own prints its stack and aborts
    try:
        yield
    finally:
        ray.shutdown()


def _start() -> None:
    """Start Ray here; again if a busy machine keeps it from coming up within the 30 s that it grants itself."""
    os.environ["PYTHONPATH"] = python_path()  # its workers inherit it
    _listen_on_loopback_only()
    for attempt in range(_STARTS):
        try:
            ray.init(
                include_dashboard=False,
                num_cpus=cores(),
                object_store_memory=OBJECT_STORE_BYTES,
                logging_level="ERROR",
                log_to_driver=False,
            )
            return
        except Exception as error:
            ray.shutdown()
            if "timed out" not in str(error) or attempt == _STARTS - 1:
                raise


def _listen_on_loopback_only() -> None:
    """Keep Ray's servers off the network: whoever reaches their ports can run code here.

    Ray replaces ``_node_ip_address="127.0.0.1"`` by the machine's address. Without clusters it keeps the loopback.
    """
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for the processes that Ray starts
    ray_constants.ENABLE_RAY_CLUSTER = False  # for this one, which read the variable when it imported Ray
