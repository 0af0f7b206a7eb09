"""Episodes from above: single ones in their scene, and all of them over a map that a user gave."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.agents import registry as agents
from pipeline.evaluation.report.figures import (
    ENDING_COLOURS,
    ENDING_MARKERS,
    Picture,
    Track,
    data_uri,
    draw_goal,
    draw_scene,
    draw_start,
    map_of_tracks,
    new_figure,
)
from pipeline.evaluation.report.tables import in_order
from pipeline.simulation.navigation.config import Protocol
from scenes import registry
from scenes.registry import FileOptions
from scenes.scene import Scene

PER_CELL = 2
"""Episodes of each cell that have a picture"""
_WHOLE_MAP_IN = 5.0

Traces = Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Meant:
    """How an evaluation read its files and what it asked for at the goal."""

    options: FileOptions = field(default_factory=FileOptions)
    protocol: Protocol = "compass"

    @classmethod
    def by(cls, config: Mapping[str, Any]) -> "Meant":
        """Return it from the configuration in a manifest; of an older one, which lacks a name, the default."""
        usual = asdict(FileOptions())
        options = FileOptions(**{name: config.get(name, value) for name, value in usual.items()})
        return cls(options=options, protocol=config.get("protocol", "compass"))


def read(file: Path) -> Traces:
    """Return the columns of ``traces.npz``; none where it is not there."""
    return dict(np.load(file)) if file.is_file() else {}


def of_episodes(traces: Traces, *, route: str, meant: Meant) -> list[Picture]:
    """Return the first episodes of every cell, each with the paths of all agents."""
    if not traces:
        return []
    groups: dict[tuple[str, str, int], list[int]] = {}
    for row in np.flatnonzero((traces["route"] == route) & (traces["episode"] < PER_CELL)):
        key = (str(traces["embodiment"][row]), str(traces["scene"][row]), int(traces["episode"][row]))
        groups.setdefault(key, []).append(int(row))
    pictures = []
    for (robot, kind, _), rows in groups.items():
        tracks = list(_tracks(traces, [row for row in rows if agents.get(str(traces["agent"][row])).on_maps] or rows))
        scene = scene_named(str(traces["scene_name"][rows[0]]), meant.options)
        if scene is not None:
            said = ", ".join(f"{track.agent} {track.ending}" for track in tracks)
            source = data_uri(map_of_tracks(scene, tracks, protocol=meant.protocol))
            pictures.append(Picture(source=source, caption=f"{robot}, {Path(kind).stem}: {said}"))
    return pictures


def of_whole_maps(traces: Traces, *, route: str, meant: Meant) -> list[Picture]:
    """Return every map that a user gave, as it was read, in metres, with one agent's paths on it."""
    if not traces:
        return []
    pictures = []
    for name in dict.fromkeys(str(name) for name in traces["scene"]):
        scene = scene_named(name, meant.options) if registry.is_map(name) else None
        if scene is None:
            continue
        here = (traces["scene"] == name) & (traces["route"] == route)
        ran = list(dict.fromkeys(str(name) for name in traces["agent"][here]))
        agent = next(iter(_by_weight(ran)), "")
        tracks = list(_tracks(traces, [int(row) for row in np.flatnonzero(here & (traces["agent"] == agent))]))
        paths = "1 path" if len(tracks) == 1 else f"{len(tracks)} paths"
        said = f"{paths} of {agent}, {route} route; axes and origin are the map's own"
        pictures.append(Picture(source=_whole_map(scene, tracks, meant.protocol), caption=f"{name}: {said}"))
    return pictures


def _by_weight(ran: list[str]) -> list[str]:
    """Return agents with the one that matters most first: the last learned one, else a privileged one."""
    ordered = in_order(ran)
    learned, privileged = (
        [name for name in ordered if agents.get(name).kind == kind] for kind in ("learned", "privileged")
    )
    return [*reversed(learned), *privileged, *ran]


def scene_named(name: str, options: FileOptions) -> Scene | None:
    """Return the scene that a trace names; None if it is a file that is not there or not readable any more."""
    try:
        kind, _, rest = name.partition("/")
        split, _, index = rest.partition("/")
        if kind in registry.names() and index.isdigit():
            return registry.generate(kind, split=split, index=int(index))
        return registry.load(name, options=options) if Path(name).is_file() else None
    except (ValueError, OSError):
        return None


def _tracks(traces: Traces, rows: list[int]) -> Iterator[Track]:
    ends = np.cumsum(traces["length"])
    for row in rows:
        yield Track(
            agent=str(traces["agent"][row]),
            ending=str(traces["ending"][row]),
            pose_w=traces["pose_w"][ends[row] - traces["length"][row] : ends[row]],
            start_w=traces["start_w"][row],
            goal_w=traces["goal_w"][row],
        )


def _whole_map(scene: Scene, tracks: list[Track], protocol: Protocol) -> str:
    x_min, y_min, x_max, y_max = scene.extent_w_m
    ratio = (y_max - y_min) / (x_max - x_min)
    figure, axes = new_figure(width=_WHOLE_MAP_IN, height=float(np.clip(_WHOLE_MAP_IN * ratio, 1.5, 10.0)))
    draw_scene(axes, scene, as_pixels=True)
    for track in tracks:
        colour, xy = ENDING_COLOURS[track.ending], track.pose_w[:, :2]
        axes.plot(xy[:, 0], xy[:, 1], color=colour, linewidth=1.4)
        axes.plot(*xy[-1], ENDING_MARKERS[track.ending], color=colour, markersize=5, markeredgecolor="white")
        draw_start(axes, track.start_w)
        draw_goal(axes, track.goal_w, protocol=protocol)
    axes.plot(0.0, 0.0, "+", color="black", markersize=9)
    axes.annotate("origin", (0.0, 0.0), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axes.set_xlim(min(x_min, 0.0) - 0.3, max(x_max, 0.0) + 0.3)
    axes.set_ylim(min(y_min, 0.0) - 0.3, max(y_max, 0.0) + 0.3)
    axes.set_aspect("equal")
    axes.set_xlabel("x in m")
    axes.set_ylabel("y in m")
    return data_uri(figure)
