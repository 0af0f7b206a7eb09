"""The report's page: gathers what a run has, leaves out what it has not."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from pipeline.agents import registry as agents
from pipeline.evaluation.report import answers, figures, formatting, tables
from pipeline.evaluation.report.criteria import acceptance_criteria
from pipeline.evaluation.report.figures import Picture
from pipeline.evaluation.report.table import NOTHING, Table, of_rows
from pipeline.runs import manifest
from pipeline.runs.provenance import commit_of
from pipeline.runs.run_folder import ADOPTED
from pipeline.simulation.physics.gait_weights import read_card

TEMPLATE = "report.html.j2"
PREDICTIONS = {
    "depth: last image": ("repeat_depth_error_m", 1.0),
    "depth: decoded": ("depth_error_m", 1.0),
    "depth: predicted": ("predicted_depth_error_m", 1.0),
    "classes: last, true": ("repeat_semantic_accuracy", 100.0),
    "classes: last, own": ("repeat_own_semantic_accuracy", 100.0),
    "classes: decoded": ("semantic_accuracy", 100.0),
    "classes: predicted": ("predicted_semantic_accuracy", 100.0),
}
"""Column -> table of ``figures.json``, and the factor on its values."""
ANTICIPATED = {
    "measured": "obstacles, measured",
    "still": "still things",
    "moving_visible": "people now, visible",
    "moving_0.0s": "people now",
    "moving_0.5s": "people in 0.5 s",
    "moving_1.0s": "people in 1.0 s",
    "moving_1.5s": "people in 1.5 s",
}
"""Name in ``figures.json`` of ``train_anticipation`` -> row of the report"""
_KEEP_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """One finished folder of the run."""

    name: str
    wall_time: str
    seed: str
    preset: str
    commit: str
    digest: str
    machine: str
    settings: tuple[tuple[str, str], ...]


def render(context: Mapping[str, Any], *, template: str = TEMPLATE) -> str:
    """Return the page; every value is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.get_template(template).render(**context)


def evaluation(summary: tables.Summary | None) -> dict[str, Any]:
    """Return answers, tables and criteria of an evaluation; empty ones without it."""
    if summary is None:
        return {
            "overview": None,
            "answers": [],
            "routes": (),
            "said": [],
            "tables": [],
            "acceptance_criteria": [],
            "agents": {},
        }
    driven = dict.fromkeys(cell["agent"] for cell in summary["cells"])
    learned = [agent for agent in driven if agents.get(agent).kind == "learned"] or list(driven)
    names = tables.routes(summary)
    return {
        "overview": tables.overview([tables.success_table(summary, route=route) for route in names]),
        "answers": _answers(summary),
        "routes": names,
        "said": answers.sentences(summary),
        "tables": tables.of_all_routes(summary, agents=learned, scene_by_scene=True),
        "acceptance_criteria": acceptance_criteria(summary),
        "agents": {name: agents.get(name).label for name in tables.in_order(driven)},
    }


def _answers(summary: tables.Summary) -> list[Picture]:
    """Return both panels of the picture that opens the page."""
    found = [Picture(source=figures.data_uri(answers.does_it_drive(summary)), caption="Does it drive?")]
    added = answers.what_learning_added(summary)
    if added is not None:
        found.append(Picture(source=figures.data_uri(added), caption="What did learning add?"))
    return found


def pictures_of(folder: Path | None) -> list[Picture]:
    """Return the pictures that a stage left; none if it is not there."""
    if folder is None:
        return []
    return [
        Picture(source=_png_uri(path), caption=path.stem.replace("_", " ")) for path in sorted(folder.glob("*.png"))
    ]


def anticipation(folder: Path | None) -> Table:
    """Return how well the network knows what is around the body, in held-out frames; no rows without its figures."""
    found = _figures(folder)
    regions = ("2m_ahead", "4m_ahead", "2m", "4m")
    rows = [
        (label, *(_both(found, f"{name}_{region}") for region in regions))
        for name, label in ANTICIPATED.items()
        if f"{name}_2m_recall" in found
    ]
    return of_rows(
        "Precision / recall in %, cells of 0.2 m, by where they are",
        ("what", "2 m ahead", "4 m ahead", "2 m around", "4 m around"),
        rows,
        note="Held-out scenes, both conditions; still things at probability 0.5, people at 0.4. Ahead is within 45 "
        "degrees. Measured: obstacles of the map that the robot drew. Visible: near an obstacle point of the image.",
    )


def collision_risk(folder: Path | None) -> Table:
    """Return how well the network tells what is before a collision, in held-out drives; no rows without its figures."""
    found = _figures(folder)
    robots = sorted(key.removeprefix("rate_1.2s_") for key in found if key.startswith("rate_1.2s_"))
    columns = ("auc_0.5s", "auc_1.2s", "auc_2.5s", "caught_0.05", "caught_0.10", "caught_0.20", "rate_1.2s")
    rows = [
        (label, *(_percent(found.get(f"{column}{suffix}")) for column in columns))
        for label, suffix in (("all robots", ""), *((robot, f"_{robot}") for robot in robots))
        if f"auc_1.2s{suffix}" in found
    ]
    return of_rows(
        "How well collisions are expected, in %",
        ("robot", "AUC 0.5 s", "AUC 1.2 s", "AUC 2.5 s", "5 % catch", "10 % catch", "20 % catch", "steps before one"),
        rows,
        note="Held-out scenes, both conditions. AUC: area under the ROC curve, for a collision or a fall within that "
        "time; 50 is chance. An alarm in so many % of the steps catches that part of those within 1.2 s of one.",
    )


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100.0 * value:.1f}"


def _both(found: Mapping[str, float], key: str) -> str:
    values = [found.get(f"{key}_{name}") for name in ("precision", "recall")]
    return " / ".join(NOTHING if value is None else f"{100.0 * value:.0f}" for value in values)


def _figures(folder: Path | None) -> dict[str, float]:
    """Return the figures that a training stage left; none if it is not there."""
    file = folder / "figures.json" if folder else None
    return json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else {}


def predictions(folder: Path | None) -> Table:
    """Return the errors of predictions on unseen sequences, one row per horizon; no rows without ``figures.json``."""
    found = _figures(folder)
    rows = []
    for horizon in sorted({int(key.partition("/")[2]) for key in found if "/" in key}):
        values = [(found.get(f"{name}/{horizon}"), factor) for name, factor in PREDICTIONS.values()]
        rows.append(
            (str(horizon), *(NOTHING if value is None else _figure(factor * value) for value, factor in values))
        )
    return of_rows(
        "Depth error in m and fraction of right classes in %, by control steps ahead",
        ("ahead", *PREDICTIONS),
        rows,
        note="Last: the last image, unchanged; no camera knows its true classes. Decoded: from history and sample "
        "alone. Predicted: the last image moved as the model expects the body to move, decoded where that ends.",
    )


def gaits(folder: Path) -> Table:
    """Return what the cards of the gaits say was measured.

    Raises:
        ValueError: If a card is damaged.
    """
    cards = {path.stem: read_card(path) for path in sorted(folder.glob("*.safetensors"))}
    cards = {name: card for name, card in cards.items() if card.get("measured")}
    measured = {key: value for card in cards.values() for key, value in card["measured"].items()}
    keys = [key for key, value in measured.items() if formatting.is_number(value)]
    rows = [
        (name, _minutes(card), *(_figure(card["measured"].get(key)) for key in keys)) for name, card in cards.items()
    ]
    head = ("robot", "training", *(key.replace("_", " ") for key in keys))
    note = "By evaluate_gait: randomised dynamics, noise and pushes. The cards in embodiments/gaits/ say more."
    return of_rows("Velocity tracking of the shipped gaits", head, rows, note=note)


def policies(summary: tables.Summary | None) -> list[tuple[str, str]]:
    """Return the files behind the figures: (agents, and the robot if it is of one alone; SHA-256)."""
    users: dict[str, list[tuple[str, str]]] = {}
    for cell in (summary or {}).get("cells", []):
        if cell.get("policy_sha256"):
            users.setdefault(cell["policy_sha256"], []).append((cell["agent"], cell["embodiment"]))
    rows = []
    for digest, pairs in users.items():
        users_of, robots = (list(dict.fromkeys(names)) for names in zip(*pairs, strict=True))
        rows.append((", ".join([*users_of, *(robots if len(robots) == 1 else [])]), digest))
    return rows


def stage_entries(folders: Mapping[str, Path]) -> list[StageEntry]:
    """Return what the manifests say; "STAGE" or "STAGE/ROBOT" -> folder."""
    entries = []
    for name, folder in folders.items():
        found = manifest.read(folder)
        body = found.body
        adopted = body.get(ADOPTED)
        settings = [(key, _plain(value)) for key, value in body.get("config", {}).items()]
        settings += [(f"→ {key}", _plain(value)) for key, value in body.get("metrics", {}).items()]
        if adopted:
            settings += [(f"adopted {key}", _plain(value)) for key, value in adopted.items()]
        entries.append(
            StageEntry(
                name=name,
                wall_time="adopted" if adopted else f"{float(body.get('wall_time_s') or 0.0) / 60.0:.1f} min",
                seed="–" if adopted else str(body.get("seed")),
                preset=str(body.get("preset") or "–"),
                commit="–" if adopted else commit_of(body),
                digest=found.digest()[:_KEEP_DIGITS],
                machine="–" if adopted else _machine(body),
                settings=tuple(settings),
            )
        )
    return entries


def _machine(body: Mapping[str, Any]) -> str:
    machine = body.get("machine") or {}
    return f"{machine['cpus']} CPUs, {machine['system']}" if machine else "–"


def _png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _minutes(card: Mapping[str, Any]) -> str:
    return f"{card.get('steps', 0) / 1e6:.1f} M steps, {card.get('training_minutes', 0):.0f} min"


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
