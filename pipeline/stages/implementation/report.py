"""Gather what a run has finished into one page."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.evaluation.episodes.summary import ALL
from pipeline.evaluation.report import curves, failures, figures, films, maps, page, tables
from pipeline.evaluation.report.tensorboard_summary import write_tensorboard
from pipeline.evaluation.robustness import curves as robustness_curves
from pipeline.residual_rl.config import CURVE
from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT
from pipeline.runs.run_folder import TENSORBOARD, StageRun, nothing_finished
from pipeline.stages.report import ROBUSTNESS, Config

HTML, MARKDOWN, FILMS = "report.html", "tables.md", "films"
FILMED_POLICY = "generalist.onnx"


def run(config: Config, run: StageRun) -> None:
    """Write ``report.html``, ``tables.md``, the films, and the evaluation's figures for TensorBoard."""
    folders = run.inputs | _own_evaluation(config)
    if not folders:
        raise ValueError(nothing_finished(run.target.parent))
    summary = _summary(folders.get("evaluate_policy"))
    entries = page.stage_entries(folders)
    newest = manifest.read(folders[entries[-1].name]).body if entries else {}
    context = {
        "title": config.title,
        "is_run": config.evaluation is None,
        "subtitle": f"{_shown(config, run)}, made {datetime.now(UTC):%d %B %Y, %H:%M} UTC.",
        **page.evaluation(summary),
        "published": tables.published_table(),
        **_films(config, run, summary, policy=_filmed(folders)),
        **_episodes(folders.get("evaluate_policy"), summary),
        **(_robustness(run) if config.evaluation is None else {}),
        **_learning(folders),
        "surroundings": page.pictures_of(folders.get("train_anticipation")),
        "anticipation": page.anticipation(folders.get("train_anticipation")),
        "collision_risk": page.collision_risk(folders.get("train_collision_risk")),
        "predictions": page.pictures_of(folders.get("pretrain_world_model")),
        "prediction_errors": page.predictions(folders.get("pretrain_world_model")),
        "coverage": page.pictures_of(folders.get("collect_teacher")),
        "gaits": page.gaits(ROOT / "embodiments" / "gaits"),
        "stages": entries,
        "packages": sorted((newest.get("packages") or {}).items()),
        "machine": _machine(newest),
        "policies": page.policies(summary),
    }
    (run.directory / HTML).write_text(page.render(context), encoding="utf-8")
    (run.directory / MARKDOWN).write_text(_markdown(summary), encoding="utf-8")
    if summary is not None:
        write_tensorboard(summary, run.work / TENSORBOARD)
    run.metrics["stages_shown"] = len(entries)


def _own_evaluation(config: Config) -> dict[str, Path]:
    if config.evaluation is None:
        return {}
    try:
        manifest.verify(config.evaluation, stage="evaluate_policy")
    except manifest.ManifestError as error:
        raise ValueError(
            f"{error}. Make it with: python -m pipeline evaluate_policy --out {config.evaluation}"
        ) from None
    return {"evaluate_policy": config.evaluation}


def _shown(config: Config, run: StageRun) -> str:
    return f"Evaluation {config.evaluation.name}" if config.evaluation else f"Run {run.directory.parent.name}"


def _filmed(folders: Mapping[str, Path]) -> Path | None:
    """Return the generalist that drives in the films: the run's own, or the file that was evaluated by itself."""
    if "export_policy" in folders:
        return folders["export_policy"] / FILMED_POLICY
    body = manifest.read(folders["evaluate_policy"]).body if "evaluate_policy" in folders else {}
    policy = Path(str((body.get("config") or {}).get("policy")))
    hashes = {name.removeprefix("file:"): sha256 for name, sha256 in (body.get("inputs") or {}).items()}
    is_same = policy.is_file() and manifest.hash_file(policy) == hashes.get(str(policy))
    return policy if is_same and policy.name == FILMED_POLICY else None


def _summary(evaluated: Path | None) -> tables.Summary | None:
    if evaluated is None:
        return None
    found: tables.Summary = json.loads((evaluated / "summary.json").read_text(encoding="utf-8"))
    return found


def _films(config: Config, run: StageRun, summary: tables.Summary | None, *, policy: Path | None) -> dict[str, Any]:
    """Make the films that are not there yet and return what the page shows of them."""
    robots = config.film_robots or tuple(
        dict.fromkeys(cell["embodiment"] for cell in (summary or {}).get("pooled", []) if cell["embodiment"] != ALL)
    )
    if not config.films:
        return {"films": [], "films_note": "No films were asked for."}
    if policy is None or not policy.is_file() or not robots:
        return {"films": [], "films_note": "Films need an exported generalist and an evaluation."}
    measured = {str(cell.get("conditions", "nominal")) for cell in (summary or {}).get("cells", [])}
    order = films.Order(
        policy=policy,
        robots=robots,
        scene=config.film_scene,
        route=config.film_route,
        seed=config.seed,
        conditions=config.film_conditions or ("field" if measured == {"field"} else "nominal"),
    )
    folder = run.work / FILMS
    missing = films.make(order, folder, made_before=[run.target / FILMS])
    if missing:
        run.note(f"no film of {', '.join(missing)}; see the lines marked so above")
    shown = films.read(folder, robots)
    folder.rename(run.directory / FILMS)
    return {"films": shown, "films_note": f"No film could be made of {', '.join(missing)}." if missing else ""}


def _episodes(evaluated: Path | None, summary: tables.Summary | None) -> dict[str, Any]:
    legend = {
        "line_legend": figures.line_legend(cell["agent"] for cell in (summary or {}).get("cells", [])),
        "endings": list(figures.ENDING_COLOURS.items()),
    }
    if evaluated is None or summary is None:
        return legend | {"maps": [], "whole_maps": [], "failures": []}
    meant = maps.Meant.by(manifest.read(evaluated).body["config"])
    traces, route = maps.read(evaluated / "traces.npz"), tables.routes(summary)[0]
    return legend | {
        "maps": maps.of_episodes(traces, route=route, meant=meant),
        "whole_maps": maps.of_whole_maps(traces, route=route, meant=meant),
        "failures": failures.read(evaluated / "failures.npz", meant=meant),
    }


def _robustness(run: StageRun) -> dict[str, Any]:
    """Return the curves of the exported generalist; those of another file are not shown."""
    found = robustness_curves.read(run.target.parent / ROBUSTNESS)
    exported = run.inputs.get("export_policy")
    policy = exported / FILMED_POLICY if exported else None
    if found and policy and policy.is_file() and found.get("policy_sha256") != manifest.hash_file(policy):
        run.note(f"{ROBUSTNESS} is of another policy and not shown; make it again: make robustness")
        found = {}
    return {"sweeps": robustness_curves.pictures(found), "worst_case": robustness_curves.worst_case(found)}


def _learning(folders: Mapping[str, Path]) -> dict[str, Any]:
    specialists = {
        where.partition("/")[2]: folder / CURVE
        for where, folder in folders.items()
        if where.startswith("train_specialist/")
    }
    found = curves.read(specialists)
    return {"curves": curves.pictures(found), "learning": curves.table(found)}


def _markdown(summary: tables.Summary | None) -> str:
    return "No evaluation yet.\n" if summary is None else tables.markdown(summary)


def _machine(body: Mapping[str, Any]) -> str:
    if not body:
        return ""
    machine = body.get("machine") or {}
    return f"Python {body.get('python', '–')}, {machine.get('system', '–')}, {machine.get('cpus', '–')} CPUs."
