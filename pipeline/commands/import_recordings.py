"""Turn your own drives into recordings to train on: a LeRobot dataset, an MCAP file or a rosbag2 folder.

``python -m pipeline import_recordings --source drive.mcap --embodiments go2 --run runs/mine`` writes what the stage
``collect_teacher`` writes; ``pretrain_world_model --run runs/mine`` goes on from there.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.data_formats.import_options import SourceOptions
from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config(SourceOptions):
    """What is read and what is written."""

    source: tuple[Path, ...] = ()
    """LeRobot folders, .mcap files, rosbag2 folders, or folders of .mcap files"""
    run: Path = Path("runs/imported")
    """Run folder that gets the recordings, as its stage collect_teacher"""
    episode_s: float = 30.0
    """Drives without episodes are cut into some of about this length; each one's goal is where it ends"""
    val_fraction: float = 0.125
    """Held out, from the end, where the source does not say which episodes are"""
    sequence_steps: int = 64
    """Length of one recorded sequence"""
    sequences_per_shard: int = 64
    base: Path | None = None
    """Folder of a base policy (RUN/pretrain_world_model): write what distillation reads, as record_specialist"""
    anticipation: Path = ROOT / "export" / "pretrained" / "anticipation"
    """Folder of the network on whose map the planner plans; that of the run you go on with, or the shipped one"""
    collision_risk: Path = ROOT / "export" / "pretrained" / "collision_risk"
    """The same of the network that slows the plan down"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.import_recordings", "main"))
