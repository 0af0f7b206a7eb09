"""Specialists side by side: one Ray task per robot, as many at once as the machine or cluster holds.

A robot whose node dies goes on from its last checkpoint on a node that is left.
"""

import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import ray

from pipeline.residual_rl import cluster, shared_folder
from pipeline.residual_rl.config import LEARNER_CPUS
from pipeline.residual_rl.training import PROGRESS, Job, train
from pipeline.runs.progress import Progress, progress

MAX_LOST_NODES = 3
"""Of one robot; more than that are no accident: its training may be what ends them."""
NODE = "node.txt"
"""In the work folder: the node where the robot trains, or trained last"""
_POLL_S = 1.0
_GONE_S = 120.0
"""Ray asks a silent node several times before it counts as dead."""
_SHOWN = ("success", "collision", "fall", "timeout", "return", "kl")

Result = dict[str, Any] | BaseException


def train_many(
    jobs: Sequence[Job],
    *,
    begun: Callable[[Job], None],
    done: Callable[[Job, dict[str, Any]], None],
    note: Callable[[Job, str], None] = lambda job, text: print(f"{job.name}: {text}", flush=True),
    workers: int = 0,
) -> None:
    """Train several specialists, each in a worker process of its own, and wait for all of them.

    Args:
        jobs: One per robot; on a cluster their folders must be shared.
        begun: Called in this process when a robot's turn has come.
        done: Called in this process with the final figures as soon as a robot is finished.
        note: Called in this process when something happened to a robot that its user should know.
        workers: Robots at once; 0 = as many as there are cores for.

    Raises:
        ValueError: If the machine has fewer cores than one specialist asks for, a node of the cluster does not see the
            folders, or one specialist failed; the others are finished first.
    """
    failed: dict[str, BaseException] = {}
    with cluster.connected(), ExitStack() as stack:
        bars = {job.name: _Bar(job, stack.enter_context(progress(job.ppo.control_steps, job.name))) for job in jobs}
        for job, result in _Queue(jobs, begun=begun, note=note, workers=workers).results(bars):
            bars[job.name].update()
            if isinstance(result, BaseException):
                failed[job.name] = result
            else:
                done(job, result)
    if failed:
        causes = {name: " ".join(str(getattr(error, "cause", None) or error).split()) for name, error in failed.items()}
        lines = [f"training of '{name}' failed: {cause}; its last checkpoint remains" for name, cause in causes.items()]
        raise ValueError(" ".join(lines)) from next(iter(failed.values()))


class _Queue:
    """Runs the jobs, never more at once than the nodes that are there have cores for."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        begun: Callable[[Job], None],
        note: Callable[[Job, str], None],
        workers: int,
    ) -> None:
        self._jobs, self._begun, self._note, self._workers = jobs, begun, note, workers
        self._waiting = list(jobs)
        self._running: dict[Any, Job] = {}
        self._lost_nodes: Counter[str] = Counter()
        asked, available = max(map(_cores, jobs)), _available_cores()
        if asked > available:
            raise ValueError(
                f"one specialist asks for {asked} cores and there are {available}; lower --ppo.env-runners"
            )
        folders = [job.work for job in jobs]
        self._token = shared_folder.leave_token(folders)
        if cluster.ADDRESS in os.environ:
            shared_folder.require_on_all_nodes(folders, self._token)

    def results(self, bars: Mapping[str, "_Bar"]) -> Iterator[tuple[Job, Result]]:
        """Yield each job when it is finished."""
        while self._waiting or self._running:
            yield from self._start()
            ready, _ = ray.wait(list(self._running), timeout=_POLL_S) if self._running else ([], [])
            for bar in bars.values():
                bar.update()
            for reference in ready:
                job = self._running.pop(reference)
                result = _result(reference)
                if isinstance(result, ray.exceptions.NodeDiedError) and self._lost_nodes[job.name] < MAX_LOST_NODES:
                    self._lost_nodes[job.name] += 1
                    self._waiting.insert(0, job)
                    self._note(job, f"node {_gone(job)} was lost; going on from the last checkpoint on another one")
                else:
                    yield job, result

    def _start(self) -> Iterator[tuple[Job, Result]]:
        """Start as many waiting jobs as fit; yield those that no node is left for. Nodes come and go meanwhile."""
        available = _available_cores()
        while self._waiting and available == 0:
            yield self._waiting.pop(0), ValueError("no node with cores is left in the cluster")
        while self._waiting and self._fits(job := _shrunk(self._waiting[0], available), available):
            whole = self._waiting.pop(0)
            if job is not whole:
                self._note(job, f"environment runners from now on: {available}, one per core that is left")
            if not self._lost_nodes[job.name]:
                self._begun(job)
            self._running[self._task(job).remote(job, self._token)] = job

    def _fits(self, job: Job, available: int) -> bool:
        used = sum(map(_cores, self._running.values()))
        return used + _cores(job) <= available and len(self._running) < (self._workers or len(self._jobs))

    def _task(self, job: Job) -> Any:
        """Return the Ray task: a fresh process per specialist, as the simulator wants, on the emptiest node."""
        return ray.remote(
            num_cpus=LEARNER_CPUS if job.ppo.env_runners else 1,
            num_gpus=_gpus(job, self._jobs),
            max_calls=1,
            max_retries=0,
            scheduling_strategy="SPREAD",
        )(_train)


def _train(job: Job, token: str) -> dict[str, Any]:
    shared_folder.require([job.work], token)  # a node may have joined the cluster later
    (job.work / NODE).write_text(ray.get_runtime_context().get_node_id(), encoding="utf-8")
    return train(job)


def _gone(job: Job) -> str:
    """Wait until Ray no longer counts the cores of the node that a job was lost with, and return its address."""
    node_id = (job.work / NODE).read_text(encoding="utf-8")
    deadline_s = time.monotonic() + _GONE_S
    while time.monotonic() < deadline_s:
        node = next((node for node in ray.nodes() if node["NodeID"] == node_id), None)
        if node is None or not node["Alive"]:
            break
        time.sleep(_POLL_S)
    return str(node["NodeManagerAddress"]) if node else node_id


def _result(reference: Any) -> Result:
    try:
        return dict(ray.get(reference))
    except ray.exceptions.RayError as error:
        return error


def _cores(job: Job) -> int:
    """Return how many cores a specialist asks for: it learns while its runners wait, and waits while they simulate."""
    return max(1, job.ppo.env_runners)


def _shrunk(job: Job, available: int) -> Job:
    """Return the job with as many environment runners as there are cores for."""
    return job if _cores(job) <= available else replace(job, ppo=replace(job.ppo, env_runners=available))


def _available_cores() -> int:
    return int(ray.cluster_resources().get("CPU", 0))


def _gpus(job: Job, jobs: Sequence[Job]) -> float:
    """Return this job's fraction of a GPU: all robots fit side by side on the GPUs that there are."""
    there = ray.cluster_resources().get("GPU", 0.0)
    if not job.device.startswith("cuda") or there == 0.0:
        return 0.0
    return 1.0 / math.ceil(len(jobs) / there)


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
