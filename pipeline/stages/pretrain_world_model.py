"""Stage: train the world model and the base policy's head on the teacher's recordings, jointly.

Stopped at any moment, the same command goes on from the last checkpoint; on one machine with the same number of threads
the weights come out as if it had not been stopped, unless ``max_minutes`` cuts the training short.
"""

from dataclasses import dataclass, field, replace

from pipeline.runs.presets import SMOKE_ENVS
from pipeline.runs.stage import Later, Stage
from world_model.config import LossWeights, Precision, WorldModelConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """How world model and base head are trained."""

    steps: int = 4500
    """Updates; 2.3 M frames, 8 looks at every recorded frame, 11 minutes on two idle cores"""
    max_minutes: float = 20.0
    """Ends the training on a slower machine; the learning rate falls to nothing by then all the same"""
    batch_sequences: int = 32
    sequence_steps: int = 16
    """1.6 s: longer than an obstacle takes to leave the image when turning"""
    decoded_share: float = 0.5
    """Frames decoded per update; decoding all of them costs a third of the updates"""
    learning_rate: float = 8e-4
    """Peak, after ``warmup_steps``"""
    warmup_steps: int = 100
    weight_decay: float = 1e-4
    gradient_norm: float = 5.0
    precision: Precision = "auto"
    """For the image layers; auto = bfloat16 where the processor has it: 1.5 times the speed"""
    pool_frames: int = 400_000
    """Frames in memory at a time, 8 kB each"""
    val_sequences: int = 96
    """Held-out sequences that the figures are taken from"""
    judge_every_steps: int = 600
    save_every_s: float = 60.0
    """At most this much work is lost to a kill"""
    world_model: WorldModelConfig = field(default_factory=WorldModelConfig)
    base_hidden: tuple[int, ...] = (256, 256)
    loss: LossWeights = field(default_factory=LossWeights)
    validation_envs: int = 64
    validation_episodes: int = 256
    """In held-out scenes, with none, half and all of the base head's correction of the way; what arrives most often is
    kept. 0: all of it"""
    device: str = "cpu"
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(
        config,
        steps=12,
        batch_sequences=4,
        val_sequences=4,
        warmup_steps=4,
        judge_every_steps=6,
        validation_envs=SMOKE_ENVS,
        validation_episodes=SMOKE_ENVS,
    )


def _workstation(config: Config) -> Config:
    return replace(
        config,
        steps=40_000,
        max_minutes=480.0,
        batch_sequences=64,
        warmup_steps=1000,
        judge_every_steps=5000,
        pool_frames=1_500_000,
        device="cuda",
    )


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.pretrain_world_model", "run"),
    needs=("make_scenes", "train_anticipation", "train_collision_risk", "collect_teacher"),
    not_in_key=("save_every_s",),
    presets={"smoke": _smoke, "workstation": _workstation},
)
