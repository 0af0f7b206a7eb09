"""Write the teacher's recordings as a LeRobot dataset (v3.0): ``python -m pipeline export_lerobot --recordings DIR``.

LeRobot's own writer runs in an environment of its own, which ``make lerobot`` makes.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is written."""

    recordings: Path = Path("runs/laptop/collect_teacher")
    """Folder of the teacher's recordings"""
    out: Path = Path("runs/lerobot")
    """Folder of the dataset; it must not be there yet"""
    sequences: int = 0
    """At most so many; 0: all. One of 64 frames takes seconds, most of them for LeRobot's statistics"""
    own_camera_only: bool = False
    """Leave out what other cameras saw of the same trajectories"""
    labels: bool = True
    """With what only this project's training needs: semantic classes, plan features, teacher's action"""
    python: Path = Path(".venv-lerobot/bin/python")
    """Python that has lerobot 0.4"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.export_lerobot", "main"))
