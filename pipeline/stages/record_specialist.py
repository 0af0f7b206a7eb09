"""Stage: record what a specialist does, with jittered descriptors and disturbed commands, for distillation."""

from dataclasses import dataclass, field, replace

from tyro.conf import Suppress

from pipeline.runs.presets import SMOKE_ENVS
from pipeline.runs.stage import Later, Stage
from pipeline.simulation.navigation.config import Disturbance, TrainingEnvironmentConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """How much is recorded and how."""

    embodiment: Suppress[str] = "tiago"
    num_envs: int = 64
    shards: int = 4
    shard_steps: int = 256
    """Control steps per environment and shard: 25.6 s, a whole episode of most bodies; 66 k rows in all"""
    val_share: float = 0.125
    """Share of the environments that run in scenes which training never sees"""
    disturbance: Disturbance = field(default_factory=Disturbance)
    environment: TrainingEnvironmentConfig = field(default_factory=lambda: TrainingEnvironmentConfig(episode_seed=1))
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    environment = replace(config.environment, goals_per_scene=1, starts_per_goal=1)
    return replace(config, num_envs=SMOKE_ENVS, shards=1, shard_steps=32, environment=environment)


def _workstation(config: Config) -> Config:
    return replace(config, num_envs=512, shards=4, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.record_specialist", "run"),
    needs=("make_scenes", "pretrain_world_model", "train_specialist"),
    per_robot=True,
    presets={"smoke": _smoke, "workstation": _workstation},
)
