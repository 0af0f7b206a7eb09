"""Run one robot's part of a robustness evaluation; ``evaluate_robustness`` starts it once per robot."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which job."""

    job: Path
    """File that ``evaluate_robustness`` wrote"""


def main(config: Config) -> None:
    """Run the parts of the job that are not finished yet."""
    from pipeline.evaluation.robustness import runner  # the simulator, which the command line's help does not need

    if not config.job.is_file():
        raise FileNotFoundError(
            f"no job {config.job}; start an evaluation with: python -m pipeline evaluate_robustness"
        )
    runner.evaluate(runner.RobustnessJob.load(config.job))
