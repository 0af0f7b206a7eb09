"""Evaluations of several robots side by side: a process holds one simulation, so every robot has its own processes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.evaluation.episodes import shards
from pipeline.evaluation.episodes.plan import Job
from pipeline.runs import processes


def drive_jobs(jobs: Sequence[Job], folder: Path, *, workers: int, here: Callable[[Job], None]) -> list[Job]:
    """Run the jobs and return those that did not finish; their processes have said why.

    Every robot with open rollouts has a first process. Further ones join the robots that are not finished when a core
    becomes free; a robustness evaluation runs its rollouts one after the other. What one process does alone is run in
    this one, which has most libraries loaded already.

    Args:
        folder: Where the jobs are handed over as files.
        workers: Processes at once; 0: one per core.
        here: Runs a single job in this process, where no other is needed.
    """
    workers = workers or processes.cores()
    for job in jobs:
        shards.forget_claims(job)
    useful = {job.embodiment: _useful_processes(job) for job in jobs}
    if len(jobs) == 1 and min(workers, useful[jobs[0].embodiment]) <= 1:
        here(jobs[0])
        return []
    commands: dict[str, list[str]] = {}
    job_of: dict[str, Job] = {}
    for worker in range(workers):
        for job in jobs if worker == 0 else jobs[::-1]:
            path = folder / f"{job.embodiment}.json"
            job.save(path)
            if worker < useful[job.embodiment]:
                label = job.embodiment if worker == 0 else f"{job.embodiment}+{worker}"
                arguments = ["--job", str(path), "--worker", str(worker), "--workers", str(workers)]
                commands[label] = ["evaluate_robot", *arguments]
                job_of[label] = job

    def is_needed(label: str) -> bool:
        """Return whether a process would find a rollout that no other one has taken; starting takes seconds."""
        return any(rollout.is_open for rollout in shards.rollouts(job_of[label]))

    processes.run_side_by_side(commands, workers=workers, is_needed=is_needed)
    return [job for job in jobs if _open_rollouts(job)]


def _useful_processes(job: Job) -> int:
    """Return how many processes find something to do: one per open rollout, one in all if they follow each other."""
    count = _open_rollouts(job)
    return min(1, count) if job.disturbances else count


def _open_rollouts(job: Job) -> int:
    return sum(not rollout.rows.exists() for rollout in shards.rollouts(job))
