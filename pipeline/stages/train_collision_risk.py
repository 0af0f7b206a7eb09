"""Stage: train the network that says how likely a collision is soon, on how recorded episodes ended, of all robots.

Recordings of further runs may be added; so a network can learn from what happened when it slowed the robots down.

Stopped at any moment, the same command goes on from the last checkpoint.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.runs.stage import Later, Stage
from world_model.config import CollisionRiskConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the network is trained."""

    steps: int = 2000
    batch: int = 256
    """Control steps per update"""
    more: tuple[Path, ...] = ()
    """Further folders RUN/record_drives to train on"""
    learning_rate: float = 1e-3
    """Peak, after ``warmup_steps``; it falls to nothing along a half cosine"""
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    gradient_norm: float = 1.0
    judge_every_steps: int = 1000
    save_every_s: float = 60.0
    """At most this much work is lost to a kill"""
    collision_risk: CollisionRiskConfig = field(default_factory=CollisionRiskConfig)
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(config, steps=8, batch=16, warmup_steps=2, judge_every_steps=4)


def _workstation(config: Config) -> Config:
    return replace(config, steps=20_000, batch=1024, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.train_collision_risk", "run"),
    needs=("record_drives",),
    presets={"smoke": _smoke, "workstation": _workstation},
)
