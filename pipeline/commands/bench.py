"""Measure speed and memory per robot, as ratios to bare physics and ray casts; one process per robot and batch size."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the bench measures."""

    embodiments: tuple[str, ...] = DEFAULT_ROBOTS
    sizes: tuple[int, ...] = (64, 256)
    """Environments in one batch"""
    control_steps: int = 60
    """Timed control steps of every measurement"""
    iterations: int = 2
    """Timed PPO iterations; 0 skips learning"""
    env_runners: tuple[int, ...] = ()
    """Also time PPO with so many environment runners, such as `--env-runners 1 2`; all of them are in memory at once"""
    cores: int = 1
    """Cores for the measured process; 1 as when two robots train side by side on two cores, 0 = all"""
    scenes_per_kind: int = 2
    out: Path | None = None
    """File to write the figures to, as JSON"""
    device: str = "cpu"


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.bench", "main"))
