"""Film a gait on empty ground: ahead, turns, sideways, back, stand. No display is needed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from embodiments import registry
from embodiments.embodiment import GaitDrive
from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is filmed."""

    embodiment: Annotated[str, arg(name="embodiments")]
    out: Path
    """The film, FILE.mp4"""
    weights: Path | None = None
    """Other weights than the ones that ship"""
    seed: int = 0


def main(config: Config) -> None:
    """Write the film.

    Raises:
        ValueError: If the robot does not exist or does not walk.
        FileNotFoundError: If there are no weights.
    """
    from pipeline.evaluation.video.gait_film import film  # the simulator, which the command line's help does not need

    embodiment = registry.get(config.embodiment)
    if not isinstance(embodiment.drive, GaitDrive):
        raise ValueError(f"robot '{embodiment.name}' has no gait to film: its drive is not a gait")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    film(embodiment, config.weights, config.out, seed=config.seed)
    print(f"wrote {config.out}")


COMMAND = Command(config=Config, main=main)
