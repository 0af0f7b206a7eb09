"""Stage: one self-contained page about a run, ``report.html``, and its tables for the README, ``results.md``.

Whatever of the run is not finished yet is left out and named.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import manifest
from pipeline.evaluation import figures, page, results
from pipeline.provenance import ROOT
from pipeline.run_folder import StageRun

NEEDS: tuple[str, ...] = ()
READS_IF_THERE = (
    "make_scenes",
    "collect_teacher",
    "pretrain_world_model",
    "train_specialist",
    "record_specialist",
    "distill_generalist",
    "export_policy",
    "evaluate_policy",
)
PER_ROBOT = False
HTML, MARKDOWN = "report.html", "results.md"


@dataclass(frozen=True, kw_only=True)
class Config:
    """How the page is called."""

    title: str = "One navigation policy for many bodies"
    seed: int = 0
    """Unused: a report draws nothing at random"""


def run(config: Config, run: StageRun) -> None:
    """Write ``report.html`` and ``results.md``."""
    folders = run.inputs
    entries = page.stage_entries(folders)
    evaluated = folders.get("evaluate_policy")
    specialists = {
        where.partition("/")[2]: folder for where, folder in folders.items() if where.startswith("train_specialist/")
    }
    newest = manifest.read(folders[entries[-1].name]).body if entries else {}
    context = {
        "title": config.title,
        "subtitle": f"Run {run.directory.parent.name}, made {datetime.now(UTC):%d %B %Y, %H:%M} UTC.",
        **page.evaluation(evaluated),
        "published": results.published_table(),
        "curves": page.curves(specialists),
        "predictions": page.predictions(folders.get("pretrain_world_model")),
        "gaits": page.gaits(ROOT / "embodiments" / "gaits"),
        "stages": entries,
        "packages": sorted((newest.get("packages") or {}).items()),
        "machine": _machine(newest),
        "line_legend": "generalist and specialist solid, base dashed, go_straight dotted",
        "endings": list(figures.ENDING_COLOURS.items()),
    }
    (run.directory / HTML).write_text(page.render(context), encoding="utf-8")
    (run.directory / MARKDOWN).write_text(_markdown(evaluated), encoding="utf-8")
    run.metrics["stages_shown"] = len(entries)


def _markdown(evaluated: Path | None) -> str:
    if evaluated is None:
        return "No evaluation yet.\n"
    return results.markdown(json.loads((evaluated / "summary.json").read_text(encoding="utf-8")))


def _machine(body: Mapping[str, Any]) -> str:
    if not body:
        return ""
    machine = body.get("machine") or {}
    return f"Python {body.get('python', '–')}, {machine.get('system', '–')}, {machine.get('cpus', '–')} CPUs."
