"""Write a page about a large evaluation beside the shipped policies: cell by cell, with its acceptance criteria.

One page per training seed and conditions, ``benchmark_seed_N.md`` or ``benchmark_field_seed_N.md``, and its episodes in
a folder of the same name, for ``compare`` and for ``evaluate_policy --reuse``. The policies of another seed than the
shipped ones need not be there: their page says how they were trained and which files they were. An evaluation of agents
without a file, such as ``planner,mppi,oracle_map``, becomes ``benchmark_reference.md`` or
``benchmark_field_reference.md``.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which evaluation, and of what."""

    evaluation: Path
    """A finished evaluate_policy, such as ``make benchmark`` leaves; or the episodes of an earlier page"""
    run: Path | None = None
    """The run that trained its policies, if they are not the shipped ones"""
    out: Path = ROOT / "export" / "pretrained"


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.ship_benchmark", "main"))
