"""Export the shipped policies again from their own weights, after the graph has changed."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which folder."""

    policies: Path = ROOT / "export" / "pretrained"
    """Folder of shipped policies; folders in it that have a ``training.json`` are part of it"""


def main(config: Config) -> None:
    """Replace every policy and its hash on the card, and note in ``training.json`` which file it was.

    Raises:
        ValueError: If a file is damaged or its new graph computes something else; then nothing is replaced.
    """
    from pipeline.commands.implementation import reexport

    reexport.main(config)


COMMAND = Command(config=Config, main=main)
