"""Run one robot's job of an evaluation; ``evaluate_policy`` and ``evaluate_robustness`` start it in a process each."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which job."""

    job: Path
    """File that the starting process wrote"""
    worker: int = 0
    """Number of this process among those that work on the job"""
    workers: int = 1


def main(config: Config) -> None:
    """Run the rollouts of the job that are not finished yet."""
    from pipeline.evaluation.episodes import runner
    from pipeline.evaluation.episodes.plan import Job
    from pipeline.evaluation.robustness import runner as robustness

    if not config.job.is_file():
        raise FileNotFoundError(f"no job {config.job}; start an evaluation with: python -m pipeline evaluate_policy")
    job = Job.load(config.job)
    if job.disturbances:
        robustness.evaluate(job)
    else:
        runner.evaluate(job, worker=config.worker, workers=config.workers)


COMMAND = Command(config=Config, main=main, is_internal=True)
