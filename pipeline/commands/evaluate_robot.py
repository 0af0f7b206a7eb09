"""Run the part of an evaluation that belongs to one robot; ``evaluate_policy`` starts it, once or several times."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.evaluation.episodes.plan import Job


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which job."""

    job: Path
    """File that ``evaluate_policy`` wrote"""
    worker: int = 0
    """Which of the processes that share the job"""
    workers: int = 1


def main(config: Config) -> None:
    """Run the parts of the job that are not finished yet."""
    from pipeline.evaluation.episodes.runner import (
        evaluate,  # the simulator, which the command line's help does not need
    )

    if not config.job.is_file():
        raise FileNotFoundError(f"no job {config.job}; start an evaluation with: python -m pipeline evaluate_policy")
    evaluate(Job.load(config.job), worker=config.worker, workers=config.workers)
