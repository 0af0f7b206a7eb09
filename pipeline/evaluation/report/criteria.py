"""Acceptance criteria: what the recipe claims of distillation and of depth, judged by paired differences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.evaluation.episodes.summary import ALL, Cell
from pipeline.evaluation.report.formatting import points
from pipeline.evaluation.report.tables import Summary, robot_name

ROBOT_LOSS, CELL_LOSS = 0.015, 0.04
"""How much success the generalist may lose against the specialist: in a robot's mean, in any cell."""
DEPTH_WORTH = 0.10
"""How much success the generalist must lose without depth; with less the scenes are too easy."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One criterion and what was measured."""

    text: str
    measured: str
    verdict: Literal["kept", "open", "broken"]
    """``kept`` and ``broken`` are certain (95 %) in every cell that the criterion covers; ``open`` otherwise"""


def acceptance_criteria(summary: Summary) -> list[Criterion]:
    """Return the criteria as far as the evaluation measured them."""
    found = [c for c in summary["comparisons"] if c["metric"] == "success"]
    distilled = [c for c in found if (c["first"], c["second"]) == ("generalist", "specialist")]
    robots = [c for c in distilled if c["scene"] == ALL and c["embodiment"] != ALL]
    cells = [c for c in distilled if c["scene"] != ALL]
    blind = [c for c in found if (c["first"], c["second"]) == ("generalist", "blind") and c["embodiment"] == ALL]
    return [
        *_criterion("Distillation: no robot's mean loses more than 1.5 points", robots, at_least=-ROBOT_LOSS),
        *_criterion("Distillation: no cell loses more than 4 points", cells, at_least=-CELL_LOSS),
        *_criterion("Eyes: without depth the generalist loses at least 10 points", blind, at_least=DEPTH_WORTH),
    ]


def _criterion(text: str, rows: Sequence[Cell], *, at_least: float) -> list[Criterion]:
    """Judge all differences; show the worst of those that decide: broken before open before kept."""
    if not rows:
        return []
    broken = [c for c in rows if c["ci95"] is not None and c["ci95"][1] < at_least]
    is_certain = all(c["ci95"] is not None and c["ci95"][0] >= at_least for c in rows)
    worst = min(broken or rows, key=lambda c: float(c["difference"]))
    scene = [] if worst["scene"] == ALL else [worst["scene"]]
    place = ", ".join([robot_name(worst["embodiment"]), *scene, f"{worst['route']} route"])
    return [
        Criterion(
            text=text,
            measured=f"at worst {points(worst)} ({place})",
            verdict="broken" if broken else "kept" if is_certain else "open",
        )
    ]
