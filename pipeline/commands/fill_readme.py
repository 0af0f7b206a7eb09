"""Write ``docs/results.md`` and the small table of the README, so that no figure is typed by hand."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where the figures come from and where they go."""

    evaluation: Path | None = None
    """A finished evaluate_policy; none: the card of the shipped policies and its benchmark pages"""
    shipped: Path = ROOT / "export" / "pretrained"
    readme: Path = ROOT / "README.md"
    results: Path = ROOT / "docs" / "results.md"


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.fill_readme", "main"))
