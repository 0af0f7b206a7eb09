"""The report's page: gathers what a run has, leaves out what it has not."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pipeline import manifest
from pipeline.evaluation import figures, results
from pipeline.evaluation.summary import ALL
from scenes import registry

TEMPLATE = "report.html.j2"
MAP_AGENTS = ("go_straight", "base", "specialist", "generalist")
MAPS_PER_CELL = 2
CURVES = ("success", "collision", "timeout")
_KEEP_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture inside the page."""

    source: str
    """A ``data:`` URI"""
    caption: str


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """One finished folder of the run."""

    name: str
    wall_time: str
    seed: str
    preset: str
    commit: str
    digest: str
    settings: tuple[tuple[str, str], ...]


def render(context: Mapping[str, Any]) -> str:
    """Return the page; every value is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.get_template(TEMPLATE).render(**context)


def evaluation(folder: Path | None) -> dict[str, Any]:
    """Return tables, bars, heat maps and maps of an evaluation's folder; empty ones without it."""
    empty: dict[str, Any] = {"tables": [], "promises": [], "bars": [], "heat_maps": [], "maps": []}
    if folder is None:
        return empty
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    tables = []
    for route in results.routes(summary):
        tables += [results.success_table(summary, route=route), results.difference_table(summary, route=route)]
    route = results.routes(summary)[0]
    agents = dict.fromkeys(cell["agent"] for cell in summary["cells"])
    learned = [agent for agent in agents if agent in ("base", "specialist", "generalist")] or list(agents)
    tables.append(results.quality_table(summary, route=route, agents=learned))
    return {
        "tables": [table for table in tables if table.rows],
        "promises": results.promises(summary),
        "bars": _bars(summary, route=route),
        "heat_maps": _heat_maps(summary, learned),
        "maps": _maps(folder / "traces.npz", route=route),
    }


def curves(folders: Mapping[str, Path]) -> list[Picture]:
    """Return the learning curves of the specialists; robot -> its folder."""
    found = {robot: folder / "curve.json" for robot, folder in folders.items()}
    rows = {robot: json.loads(path.read_text(encoding="utf-8")) for robot, path in found.items() if path.is_file()}
    names = [name for name in CURVES if any(name in row for curve in rows.values() for row in curve)]
    if not names:
        return []
    figure = figures.learning_curves(rows, names=names)
    return [Picture(source=figures.data_uri(figure), caption="How episodes end, over the training of each robot")]


def predictions(folder: Path | None) -> list[Picture]:
    """Return the pictures that the world model's stage left."""
    if folder is None:
        return []
    return [
        Picture(source=_png_uri(path), caption=path.stem.replace("_", " ")) for path in sorted(folder.glob("*.png"))
    ]


def gaits(folder: Path) -> results.TextTable:
    """Return what the cards of the gaits say was measured."""
    cards = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    cards = {name: card for name, card in cards.items() if card.get("measured")}
    keys = list(dict.fromkeys(key for card in cards.values() for key in card["measured"]))
    rows = [
        (name, _minutes(card), *(_figure(card["measured"].get(key)) for key in keys)) for name, card in cards.items()
    ]
    return results.TextTable(
        title="Velocity tracking of the shipped gaits",
        head=("robot", "training", *(key.replace("_", " ") for key in keys)),
        rows=tuple(rows),
        note="Measured over a grid of commands with nominal dynamics; the cards in embodiments/gaits/ say more.",
    )


def stage_entries(folders: Mapping[str, Path]) -> list[StageEntry]:
    """Return what the manifests say; "STAGE" or "STAGE/ROBOT" -> folder."""
    entries = []
    for name, folder in folders.items():
        found = manifest.read(folder)
        body = found.body
        git = body.get("git") or {}
        settings = [(key, _plain(value)) for key, value in body.get("config", {}).items()]
        settings += [(f"→ {key}", _plain(value)) for key, value in body.get("metrics", {}).items()]
        entries.append(
            StageEntry(
                name=name,
                wall_time=f"{float(body.get('wall_time_s') or 0.0) / 60.0:.1f} min",
                seed=str(body.get("seed")),
                preset=str(body.get("preset") or "–"),
                commit=str(git.get("commit", "–"))[:_KEEP_DIGITS] + (" + changes" if git.get("dirty") else ""),
                digest=found.digest()[:_KEEP_DIGITS],
                settings=tuple(settings),
            )
        )
    return entries


def _bars(summary: results.Summary, *, route: str) -> list[Picture]:
    rows = [cell for cell in summary["pooled"] if cell["route"] == route]
    robots = sorted(dict.fromkeys(cell["embodiment"] for cell in rows), key=lambda name: name != ALL)
    return [
        Picture(
            source=figures.data_uri(figures.success_by_agent(rows, robot=robot)),
            caption=f"{'All robots' if robot == ALL else robot}, {route} route",
        )
        for robot in robots
    ]


def _heat_maps(summary: results.Summary, agents: Sequence[str]) -> list[Picture]:
    pictures = []
    for agent in reversed(agents):
        for route in results.routes(summary):
            cells = [cell for cell in summary["cells"] if cell["route"] == route]
            figure = figures.heat_map(cells, agent=agent)
            pictures.append(Picture(source=figures.data_uri(figure), caption=f"{agent}, {route} route"))
    return pictures


def _maps(file: Path, *, route: str) -> list[Picture]:
    """Return the first episodes of every cell from above."""
    if not file.is_file():
        return []
    data = dict(np.load(file))
    ends = np.cumsum(data["length"])
    groups: dict[tuple[str, str, int], list[int]] = {}
    for row in np.flatnonzero((data["route"] == route) & (data["episode"] < MAPS_PER_CELL)):
        key = (str(data["embodiment"][row]), str(data["scene"][row]), int(data["episode"][row]))
        groups.setdefault(key, []).append(int(row))
    pictures = []
    for (robot, kind, _), rows in groups.items():
        shown = [row for row in rows if data["agent"][row] in MAP_AGENTS] or rows
        tracks = [
            figures.Track(
                agent=str(data["agent"][row]),
                ending=str(data["ending"][row]),
                pose_w=data["pose_w"][ends[row] - data["length"][row] : ends[row]],
                start_w=data["start_w"][row],
                goal_w=data["goal_w"][row],
            )
            for row in shown
        ]
        scene = _scene(str(data["scene_name"][rows[0]]))
        if scene is not None:
            said = ", ".join(f"{track.agent} {track.ending}" for track in tracks)
            figure = figures.map_of_tracks(scene, tracks)
            pictures.append(Picture(source=figures.data_uri(figure), caption=f"{robot}, {Path(kind).stem}: {said}"))
    return pictures


def _scene(name: str) -> Any:
    """Return the scene of a trace by its name; None if it is a file that is not there any more."""
    if Path(name).suffix:
        return registry.load(name) if Path(name).is_file() else None
    kind, split, index = name.split("/")
    return registry.generate(kind, split=split, index=int(index))


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
