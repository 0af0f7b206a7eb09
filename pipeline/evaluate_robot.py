"""Run the part of an evaluation that belongs to one robot; ``evaluate_policy`` starts it once per robot."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.evaluation.plan import Job


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which job."""

    job: Path
    """File that ``evaluate_policy`` wrote"""


def main(config: Config) -> None:
    """Run the parts of the job that are not finished yet."""
    from pipeline.evaluation.runner import evaluate  # the simulator, which the command line's help does not need

    if not config.job.is_file():
        raise FileNotFoundError(f"no job {config.job}; start an evaluation with: python -m pipeline evaluate_policy")
    evaluate(Job.load(config.job))
