"""Stage: train the network that anticipates still and moving things around the body, on what robots have recorded.

Recordings of further runs may be added; so a network can learn from what happened when it drove itself.

Stopped at any moment, the same command goes on from the last checkpoint.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.runs.stage import Later, Stage
from world_model.config import AnticipationConfig, Precision


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the network is trained."""

    steps: int = 4000
    batch_frames: int = 64
    more: tuple[Path, ...] = ()
    """Further folders RUN/record_surroundings to train on"""
    learning_rate: float = 2e-3
    """Peak, after ``warmup_steps``; it falls to nothing along a half cosine"""
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    gradient_norm: float = 1.0
    precision: Precision = "auto"
    """bfloat16 and channels last together are 2.4 times as fast as neither"""
    val_frames: int = 2048
    """Held-out frames that the figures are taken from"""
    judge_every_steps: int = 1000
    save_every_s: float = 60.0
    """At most this much work is lost to a kill"""
    start_from: Path | None = None
    """Folder of a trained network whose weights the training begins with, instead of random ones"""
    teacher: Path | None = None
    """Folder of a trained network, of any size, whose answers it learns from beside the truth"""
    anticipation: AnticipationConfig = field(default_factory=AnticipationConfig)
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(config, steps=8, batch_frames=8, warmup_steps=2, val_frames=16, judge_every_steps=4)


def _workstation(config: Config) -> Config:
    return replace(config, steps=20_000, batch_frames=256, device="cuda")


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.train_anticipation", "run"),
    needs=("record_surroundings",),
    presets={"smoke": _smoke, "workstation": _workstation},
)
