"""Stage: let a robot drive by its local plan on the anticipated map, and record what it saw and how it ended.

In a part of the environments speed and direction change at random for a second or so, so that what follows from driving
more slowly or beside the plan is in the data, too.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from tyro.conf import Suppress

from pipeline.runs.presets import SMOKE_ENVS
from pipeline.runs.stage import Later, Stage


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is recorded and how."""

    embodiment: Suppress[str] = "tiago"
    num_envs: int = 64
    shards: int = 1
    shard_steps: int = 384
    """Control steps per environment and shard"""
    field_fraction: float = 0.75
    """Fraction of the scenes in which conditions ``field`` hold; ``nominal`` in the others"""
    goals_per_scene: int = 2
    changed_envs: float = 0.6
    """Fraction of the environments in which speed and direction change at random"""
    change_again: float = 0.1
    """Probability that they change again after a control step: they hold for a second"""
    anticipation: Path | None = None
    """Folder of a trained anticipation network to plan with instead of the run's"""
    risk: Path | None = None
    """Folder of a trained collision risk network that slows the robots down, such as RUN/train_collision_risk"""
    device: str = "cpu"
    seed: int = 0

    @property
    def does_without(self) -> tuple[str, ...]:
        """Stages whose results are not needed."""
        return () if self.anticipation is None else ("train_anticipation",)


def _smoke(config: Config) -> Config:
    return replace(config, num_envs=SMOKE_ENVS, shards=1, shard_steps=96, goals_per_scene=1)


def _workstation(config: Config) -> Config:
    return replace(config, num_envs=512, shards=4, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.record_drives", "run"),
    needs=("make_scenes", "train_anticipation"),
    per_robot=True,
    presets={"smoke": _smoke, "workstation": _workstation},
)
