"""Stage: train the network that anticipates still and moving things around the body, on what robots have recorded.

Stopped at any moment, the same command goes on from the last checkpoint.
"""

from dataclasses import dataclass, field, replace

from pipeline.runs.stage import Later, Stage
from world_model.config import AnticipationConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the network is trained."""

    steps: int = 8000
    batch_frames: int = 64
    learning_rate: float = 2e-3
    """Peak, after ``warmup_steps``; it falls to nothing along a half cosine"""
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    gradient_norm: float = 1.0
    val_frames: int = 2048
    """Held-out frames that the figures are taken from"""
    judge_every_steps: int = 1000
    save_every_s: float = 60.0
    """At most this much work is lost to a kill"""
    anticipation: AnticipationConfig = field(default_factory=AnticipationConfig)
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(config, steps=8, batch_frames=8, warmup_steps=2, val_frames=16, judge_every_steps=4)


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.train_anticipation", "run"),
    needs=("record_surroundings",),
    presets={"smoke": _smoke},
)
