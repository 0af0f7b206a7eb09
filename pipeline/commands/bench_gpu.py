"""Measure everything once on a GPU, in a few minutes: steps and their parts, a short training, a short distillation."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured, and for how long at most.

    Every part has a process and a time limit of its own; one that fails leaves its reason in the file. The training
    takes the second size of ``envs``, or the only one.
    """

    device: str = "cuda"
    """cuda, or cpu to try the command itself"""
    envs: tuple[int, ...] = (64, 256, 1024, 4096)
    """Environments in one batch"""
    robot: str = "tiago"
    control_steps: int = 20
    """Timed control steps of every size; the median counts"""
    scenes_per_kind: int = 2
    horizon: int = 32
    """Control steps per environment in one PPO iteration"""
    iterations: int = 2
    """Timed PPO iterations, after one that does not count"""
    updates: int = 300
    """Timed updates of the distillation, after one that does not count"""
    limit_s: float = 540.0
    """For everything; what does not fit is written down as such"""
    environment_s: float = 150.0
    """For one size, the simulator's compilation included"""
    training_s: float = 180.0
    distillation_s: float = 60.0
    out: Path = Path("runs/bench_gpu.json")
    """Written anew after every part"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.bench_gpu", "main"))
