"""Copy exported policies of an evaluated run into ``export/pretrained``, with a model card of the run's figures."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which policies of which run, and where to."""

    run: Path = Path("runs/laptop")
    """Its ``export_policy`` and ``evaluate_policy`` must be finished, and the second one must be of the first"""
    files: tuple[str, ...] = ("generalist.onnx",)
    """Files of ``export_policy`` to ship"""
    evaluation: Path | None = None
    """Instead of a run: another evaluation of the files that are shipped already, for a new card"""
    out: Path = ROOT / "export" / "pretrained"


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.ship_policy", "main"))
