"""Write episodes of an evaluation, or the teacher's recordings, as MCAP files for Foxglove and rosbag2.

``python -m pipeline export_mcap --evaluation runs/laptop/evaluate_policy --embodiments go2 --scenes office`` drives the
episodes anew, because an evaluation keeps no images; ``--recordings runs/laptop/collect_teacher`` writes sequences.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is written."""

    evaluation: Path | None = None
    """Folder of a finished evaluation"""
    recordings: Path | None = None
    """Folder of the teacher's recordings, instead"""
    out: Path = Path("runs/mcap")
    """Folder for the files, one per episode or sequence"""
    embodiment: Annotated[str, arg(name="embodiments")] = "go2"
    """The robot whose episodes are written"""
    agent: Annotated[str, arg(name="agents")] = "generalist"
    scene: Annotated[str, arg(name="scenes")] = "office"
    """Scene kind or file, as the evaluation names it"""
    route: Literal["straight", "planned"] = "planned"
    episodes: tuple[int, ...] = (0,)
    """Their numbers in the column ``episode`` of episodes.parquet"""
    policies: Path | None = None
    """Folder of the exported files, if they lie elsewhere than for the evaluation"""
    sequences: int = 8
    """Of the recordings at most so many; 0: all"""
    own_camera_only: bool = False
    """Of the recordings leave out what other cameras saw of the same trajectories"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.export_mcap", "main"))
