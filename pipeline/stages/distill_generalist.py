"""Stage: distil the specialists into one generalist, first on their recordings, then along its own way (DAgger).

In a DAgger round every robot runs the generalist of the round before, with jittered descriptors; each step is labelled
by that robot's specialist on the same latent, which the executed commands drive.
"""

from dataclasses import dataclass, field, replace

from distill.config import FitConfig
from pipeline.runs.presets import SMOKE_ENVS
from pipeline.runs.stage import Later, Stage
from pipeline.simulation.navigation.config import Disturbance, TrainingEnvironmentConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the generalist is made."""

    embodiments: tuple[str, ...] = ()
    """Robots to distil; by default all that are recorded"""
    hidden: tuple[int, ...] = (384, 384, 256)
    one_hot: bool = False
    """Tell bodies apart by number instead of by descriptor, as an ablation"""
    fit: FitConfig = field(default_factory=FitConfig)
    offline_updates: int = 3000
    """13 looks at every recorded row of four robots, more with fewer"""
    rounds: int = 2
    """DAgger rounds; 0 distils from the recordings alone. A third moved no figure (docs/log/2026-11.md)"""
    round_updates: int = 1500
    round_steps: int = 512
    """Control steps per environment and round: 33 k rows per robot; an episode of a slow body takes up to 900"""
    num_envs: int = 64
    disturbance: Disturbance = field(default_factory=lambda: Disturbance(envs=0.25, deviation=0.2))
    """Less than in the recordings: most rows shall be where the generalist itself goes"""
    drop_failures: bool = False
    environment: TrainingEnvironmentConfig = field(
        default_factory=lambda: TrainingEnvironmentConfig(goals_per_scene=1, episode_seed=2)
    )
    workers: int = 0
    """Robots that run at once; 0 = one per core"""
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(
        config,
        offline_updates=20,
        rounds=1,
        round_updates=10,
        round_steps=32,
        num_envs=SMOKE_ENVS,
        fit=replace(config.fit, batch=128, warmup_updates=5),
        environment=replace(config.environment, goals_per_scene=1, starts_per_goal=1),
    )


def _workstation(config: Config) -> Config:
    return replace(config, offline_updates=20_000, rounds=5, round_updates=5000, num_envs=512, workers=1, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.distill_generalist", "run"),
    needs=("make_scenes", "pretrain_world_model", "train_specialist", "record_specialist"),
    trains="generalist",
    not_in_key=("workers",),
    presets={"smoke": _smoke, "workstation": _workstation},
)
