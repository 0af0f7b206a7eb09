"""Drive the robot's side closed loop through an evaluation's own episodes, in full physics on a simulated clock.

With ``--clock real`` the whole command line drives instead, its processes on a real clock, one episode at a time.
With ``--against runs/laptop/evaluate_policy`` each episode is paired with the same one of that evaluation: the
difference is what gates, limits, stop zone, sensor rates and retries cost or gain.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from pipeline.runs.stage import Command, Later
from scenes.registry import FileOptions


@dataclass(frozen=True, kw_only=True)
class Config(FileOptions):
    """What is driven."""

    policy: Path = Path("export/pretrained/generalist.onnx")
    scenes: tuple[str, ...] = ("office", "warehouse_single", "warehouse_multi", "combined")
    episodes: int = 50
    """Per scene kind: the first of those that ``evaluate_policy`` would run with ``drawn``"""
    drawn: int = 64
    """Episodes per scene kind that the evaluation drew; another number draws others"""
    max_speed_mps: float = 0.3
    """As in evaluation: the robot's own limit"""
    against: Path | None = None
    """Finished evaluation of the same policy, to pair episodes with"""
    agent: Annotated[str, arg(name="agents")] = "generalist"
    """Agent in that evaluation"""
    split: str = "test"
    seed: int = 0
    clock: Literal["simulated", "real"] = "simulated"
    """Real: minutes per episode"""
    workers: int = 0
    """Processes on a simulated clock; 0 = one per core"""
    out: Path = Path("runs/evaluate_runtime")


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.evaluate_runtime", "main"))
