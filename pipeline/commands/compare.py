"""Compare two runs: ``python -m pipeline compare RUN_A RUN_B`` shows B − A with intervals and what else differs.

Episode by episode where both ran the same ones, else as independent samples, and the table says which.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared."""

    run_a: Annotated[Positional[Path], arg(metavar="RUN_A")]
    """Run folder (runs/NAME) or folder of evaluate_policy: the one to compare with"""
    run_b: Annotated[Positional[Path], arg(metavar="RUN_B")]
    """The other one"""
    out: Path = Path("runs/compare")
    """Folder for compare.html and compare.json"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.compare", "main"))
