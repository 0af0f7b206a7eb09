"""Write ``docs/results.md`` and the small table of the README, so that no figure is typed by hand."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """Where the figures come from and where they go."""

    evaluation: Path | None = None
    """A finished evaluate_policy; none: the card of the shipped policies and its benchmark pages"""
    shipped: Path = ROOT / "export" / "pretrained"
    readme: Path = ROOT / "README.md"
    results: Path = ROOT / "docs" / "results.md"


def main(config: Config) -> None:
    """Write both files.

    Raises:
        ValueError: If the evaluation is not finished, there is no card, or the README lacks its markers.
    """
    from pipeline.commands.implementation import fill_readme

    fill_readme.main(config)


COMMAND = Command(config=Config, main=main)
