"""Export the shipped policies again from their own weights, after the graph has changed."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which folder."""

    policies: Path = ROOT / "export" / "pretrained"
    """Folder of shipped policies; folders in it that have a ``training.json`` are part of it"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.reexport", "main"))
