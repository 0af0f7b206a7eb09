"""The page of a large evaluation, and a copy of its episodes."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.commands.implementation.ship_policy import (
    BENCHMARK,
    TRAINING,
    earlier_files,
    evaluated_files,
    how_trained,
    read_training,
)
from pipeline.commands.ship_benchmark import Config
from pipeline.evaluation.episodes.summary import SUMMARY
from pipeline.evaluation.report import tables
from pipeline.evaluation.report.criteria import acceptance_criteria
from pipeline.runs import manifest
from world_model import atomic_files

_SHOWN = ("planner", "base", "specialist", "generalist")

REFERENCE = (
    "Nothing here is shipped: `planner` and `mppi` have learned nothing; `oracle_map` and `teacher` know what no robot "
    "knows, and say how far there is to go."
)
REEXPORTED_SINCE = (
    "The policies are those of this folder, measured before `reexport` wrote the same networks into new files; "
    "[`training.json`](training.json) names the old ones."
)


def main(config: Config) -> None:
    """Write the page and copy the episodes.

    Raises:
        ValueError: If the evaluation is not finished, or is of other files than the shipped or the run's ones.
    """
    files = config.run / "export_policy" if config.run else config.out
    try:
        manifest.verify(config.evaluation, stage="evaluate_policy")
        exported = manifest.verify(files, stage="export_policy") if config.run else None
    except manifest.ManifestError as error:
        raise ValueError(f"{error}. Make it with: make benchmark.") from None
    summary: tables.Summary = json.loads((config.evaluation / SUMMARY).read_text(encoding="utf-8"))
    if not any(cell["policy_sha256"] for cell in summary["cells"]):
        page = config.out / BENCHMARK.format(f"{_conditions(summary)}reference")
        _write(page, summary, config, what="agents without a file", origin=REFERENCE, files={})
        return
    try:
        driven = evaluated_files(sorted(files.glob("*.onnx")) if config.run else _shipped(config.out), summary)
    except ValueError as error:
        raise ValueError(f"{config.evaluation}: {error}; those of {files} are meant, --run names others.") from None
    training = how_trained(config.run, exported) if config.run and exported else read_training(config.out)
    shipped = {manifest.hash_file(path) for path in _shipped(config.out)}
    if set(driven.values()) <= shipped:
        origin = "The files are those of this folder; the [card](README.md) says how they were trained."
    elif set(driven.values()) <= shipped | set(earlier_files(config.out)):
        origin = f"{REEXPORTED_SINCE} The [card](README.md) says how they were trained."
    else:
        origin = f"Not shipped. Trained by {training['trained']}"
    page = config.out / BENCHMARK.format(f"{_conditions(summary)}seed_{training['seed']}")
    _write(page, summary, config, what=f"training seed {training['seed']}", origin=origin, files=driven)


def _conditions(summary: tables.Summary) -> str:
    """Return the part of a page's name that tells its conditions: ``field_``, and nothing for nominal ones."""
    conditions = summary["cells"][0].get("conditions", "nominal")
    return "" if conditions == "nominal" else f"{conditions}_"


def _shipped(folder: Path) -> list[Path]:
    """Return the policies that a folder's ``training.json`` names; none if it has none."""
    return [folder / name for name in read_training(folder)["files"]] if (folder / TRAINING).is_file() else []


def _keep(evaluation: Path, target: Path) -> None:
    """Copy a finished evaluation, or nothing of it; one that is there already stays."""
    if evaluation.resolve() == target.resolve():
        return
    temporary = target.with_name(f".{target.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(evaluation, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)


def _write(
    page: Path, summary: tables.Summary, config: Config, *, what: str, origin: str, files: Mapping[str, str]
) -> None:
    _keep(config.evaluation, page.with_suffix(""))
    atomic_files.write_text(page, _page(summary, name=page.stem, what=what, origin=origin, files=files))
    print(f"wrote {page}")


def _page(summary: tables.Summary, *, name: str, what: str, origin: str, files: Mapping[str, str]) -> str:
    shown = _SHOWN if files else tuple(dict.fromkeys(cell["agent"] for cell in summary["cells"]))
    found = tables.of_all_routes(summary, agents=shown, scene_by_scene=True)
    judged = [
        f"* {criterion.text}: **{criterion.verdict}**, {criterion.measured}."
        for criterion in acceptance_criteria(summary)
    ]
    conditions = summary["cells"][0].get("conditions", "nominal")
    where = "" if conditions == "nominal" else f", conditions {conditions}"
    hashes = [f"| `{file}` | `{sha256}` |" for file, sha256 in files.items()]
    lines = [
        f"# {max(cell['episodes'] for cell in summary['cells'])} goals per cell{where}, {what}",
        "",
        "Written by `python -m pipeline ship_benchmark`.",
        origin,
        f"The episodes are in [`{name}/`]({name}): `python -m pipeline compare` sets another evaluation beside them.",
        "",
        *(["| file | SHA-256 |", "|---|---|", *hashes, ""] if hashes else []),
        *judged,
        *([""] if judged else []),
    ]
    return "\n".join(lines) + "\n" + "\n".join(table.markdown() for table in found)
