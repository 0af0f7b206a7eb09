"""Inspect a robot file or a model: a page with footprint, camera and limits, and what is missing or wrong.

``python -m pipeline inspect_robot my_robot.py``; for a bare URDF, MJCF or xacro it writes a first robot file instead.
"""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is inspected."""

    robot: Positional[str]
    """Robot file (.py), model file (.urdf, .xacro, .xml), or the name of a robot that exists"""
    camera_link: str = ""
    """Link of the model's camera, with the optical axis along z if ``optical`` is in its name, else along x"""
    slack_m: float = 0.02
    """How far a proposed disc may reach beyond the body's convex hull; less takes more discs"""
    out: Path = Path("runs/inspect_robot")
    """Folder of the page"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.inspect_robot", "main"))
