"""Measure how hard scenes are: how often the straight way to the goal is blocked, how much longer the real one is."""

from dataclasses import dataclass

from pipeline.runs import presets
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure."""

    scenes: tuple[str, ...] = ()
    """Scene kinds; empty: all"""
    embodiments: tuple[str, ...] = presets.DEFAULT_ROBOTS
    """A low, a narrow, a round and a tall body see different obstacles"""
    episodes: int = 64
    """Per kind and robot: a standard error of 6 points"""
    split: str = "val"
    """Tune on val, never on test"""
    seed: int = 0


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.hardness", "main"))
