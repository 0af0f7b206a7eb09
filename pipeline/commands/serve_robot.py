"""Serve one simulated robot in full physics on a local socket, for the robot's side to drive as if it were real.

``python -m export.runtime --robot sim`` starts this by itself. It prints ``ready PORT`` when it can be driven.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is served."""

    embodiment: Annotated[str, arg(name="embodiments")] = "stretch3"
    scene: str = "office"
    """Scene kind or path of a Nav2 map"""
    index: int = 0
    split: Literal["train", "val", "test"] = "val"
    start: tuple[float, float, float] | None = None
    """Where it stands at first: x, y [m], yaw [rad] in the scene; by default the start of a random episode"""
    truth: Path | None = None
    """File for what really happened, written at the end: least clearance, fall, times"""
    seed: int = 0


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.serve_robot", "main"), is_internal=True)
