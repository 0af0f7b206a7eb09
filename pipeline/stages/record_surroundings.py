"""Stage: record what a robot measures around itself and what is really there, in both conditions, for anticipation.

Disturbed by correlated noise, three drive: the teacher, the local planner on the true map, and the local planner on the
measured one. With the weights of a trained network the last one uses them, so that the next learns from its mistakes.
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
    shards: int = 2
    shard_steps: int = 384
    """Control steps per environment and shard"""
    every_steps: int = 3
    """Control steps from one recorded frame to the next: neighbours hold much the same"""
    field_fraction: float = 0.5
    """Fraction of the scenes in which conditions ``field`` hold; ``nominal`` in the others"""
    goals_per_scene: int = 2
    noise: float = 0.5
    """Largest standard deviation of the noise on the actions; each episode draws its own between 0 and this"""
    camera_m: float = 0.15
    """Half width of the change of the camera's place, known to the robot, so that other bodies' cameras are met too"""
    camera_pitch_rad: float = 0.15
    weights: Path | None = None
    """Folder of a trained network that the planner drives with, such as ``export/pretrained/anticipation``"""
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(config, num_envs=SMOKE_ENVS, shards=1, shard_steps=48, goals_per_scene=1)


def _workstation(config: Config) -> Config:
    return replace(config, num_envs=512, shards=4, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.record_surroundings", "run"),
    needs=("make_scenes",),
    per_robot=True,
    presets={"smoke": _smoke, "workstation": _workstation},
)
