"""Measure the parts of the policy's step, computed by the graph and by compiled kernels, as ratios; one thread."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured."""

    embodiments: tuple[str, ...] = ("tiago",)
    num_envs: int = 64
    """Robots in the batch"""
    warm_up_steps: int = 20
    """Control steps driven before, so that the costmaps are filled"""
    turns: int = 20
    """Timed repetitions of every measurement; the median counts"""
    out: Path | None = None
    """File to write the figures to, as JSON"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.bench_policy", "main"))
