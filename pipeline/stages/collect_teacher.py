"""Stage: record the privileged teacher on the demonstration robot, seen through its own camera and through others.

Some environments follow the teacher, some are pushed off its path by noise (so that the way back is in the data),
some act at random (for the world model's dynamics). Every step is labelled with what the teacher would do.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from tyro.conf import arg

from pipeline.runs.presets import SMOKE_ENVS
from pipeline.runs.stage import Later, Stage


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much to record and how."""

    embodiment: Annotated[str, arg(name="embodiments")] = "tiago"
    """The demonstration robot; all others learn from its data"""
    num_envs: int = 64
    """What one core steps efficiently"""
    steps: int = 1664
    """Control steps per environment, 676 episodes at seed 0; with the mounts 320 k frames"""
    shard_steps: int = 64
    """Length of one recorded sequence; also how long a camera mount stays"""
    mounts: int = 2
    """Random camera mounts that every trajectory is rendered from, beside the robot's own"""
    noisy_share: float = 0.5
    """Share of environments whose commands are disturbed, for recoveries"""
    random_share: float = 0.1
    """Share of environments that act at random"""
    val_share: float = 0.125
    """Share of environments in scenes that training never sees"""
    goals_per_scene: int = 6
    """Goals are what costs time to prepare; several starts share one"""
    starts_per_goal: int = 3
    noise_share: float = 0.5
    """Standard deviation of the disturbance, in shares of the limits"""
    disturbed_s: float = 2.0
    calm_s: float = 4.0
    """Disturbances come and go: under steady ones no episode meets the goal's tolerances, and no arrival is recorded"""
    noise_correlation: float = 0.9
    """Of the disturbance from one control step to the next: a second long, so that it leads somewhere"""
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(
        config, num_envs=SMOKE_ENVS, steps=64, shard_steps=32, mounts=1, goals_per_scene=1, starts_per_goal=1
    )


def _workstation(config: Config) -> Config:
    return replace(config, num_envs=512)


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.collect_teacher", "run"),
    needs=("make_scenes", "train_anticipation", "train_collision_risk"),
    presets={"smoke": _smoke, "workstation": _workstation},
)
