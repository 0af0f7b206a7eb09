"""The failure gallery: how some episodes ended, from above, and what the robot saw just before."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.agents import registry as agents
from pipeline.evaluation.report.figures import (
    ENDING_COLOURS,
    ENDING_MARKERS,
    data_uri,
    draw_goal,
    draw_scene,
    frame,
    new_figure,
)
from pipeline.evaluation.report.maps import Meant, scene_named
from pipeline.evaluation.video.frames import depth_picture
from scenes.scene import Scene

PER_ROBOT = 4
COLUMNS = 5
"""Depth frames side by side: all that were recorded"""
FRAME_PX = (160, 100)
_GAP_PX = 4


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failed episode on the page."""

    map_source: str
    """A ``data:`` URI; "" where the scene is not there any more"""
    strip_source: str
    """A ``data:`` URI: the depth frames before the end, oldest first"""
    caption: str


def read(file: Path, *, meant: Meant) -> list[Failure]:
    """Return some failures of every robot from ``failures.npz``, as different ones as there are; none without it."""
    if not file.is_file():
        return []
    columns = dict(np.load(file))
    return [_failure(columns, row, meant) for row in choose(columns)]


def choose(columns: Mapping[str, np.ndarray]) -> list[int]:
    """Return the rows to show: per robot ``PER_ROBOT`` of the agent that matters most, every kind of ending in turn."""
    chosen: list[int] = []
    for robot in dict.fromkeys(columns["embodiment"].tolist()):
        own = np.flatnonzero(columns["embodiment"] == robot)
        present = dict.fromkeys(columns["agent"][own].tolist())
        agent = max(present, key=lambda name: agents.get(name).order)
        by_ending: dict[str, list[int]] = {}
        for row in own[columns["agent"][own] == agent].tolist():
            by_ending.setdefault(str(columns["ending"][row]), []).append(row)
        # One of each kind, then a second of each, ...
        turns = [(turn, row) for rows in by_ending.values() for turn, row in enumerate(rows)]
        chosen += [row for _, row in sorted(turns, key=lambda item: item[0])[:PER_ROBOT]]
    return chosen


def strip(depth_m: np.ndarray) -> np.ndarray:
    """Return depth frames (F, H, W) as one picture (h, w, 3) uint8, in rows of ``COLUMNS``, the last one framed."""
    count = len(depth_m)
    rows = -(-count // COLUMNS)
    width, height = FRAME_PX
    columns = min(count, COLUMNS)
    size = (columns * (width + _GAP_PX) + _GAP_PX, rows * (height + _GAP_PX) + _GAP_PX)
    sheet = Image.new("RGB", size, "white")
    for index, depth in enumerate(depth_m.astype(np.float32)):
        left = _GAP_PX + index % COLUMNS * (width + _GAP_PX)
        top = _GAP_PX + index // COLUMNS * (height + _GAP_PX)
        if index == count - 1:
            box = (left - _GAP_PX, top - _GAP_PX, left + width + _GAP_PX, top + height + _GAP_PX)
            sheet.paste(ENDING_COLOURS["collision"], box)
        sheet.paste(Image.fromarray(depth_picture(depth)).resize(FRAME_PX, Image.Resampling.NEAREST), (left, top))
    return np.asarray(sheet)


def _failure(columns: Mapping[str, np.ndarray], row: int, meant: Meant) -> Failure:
    text = {name: str(columns[name][row]) for name in ("embodiment", "agent", "route", "scene", "scene_name", "ending")}
    scene = scene_named(text["scene_name"], meant.options)
    pose_w, goal_w = columns["pose_w"][row], columns["goal_w"][row]
    away_m = float(np.hypot(*(goal_w[:2] - pose_w[:2])))
    return Failure(
        map_source="" if scene is None else _map(scene, pose_w, goal_w, ending=text["ending"], meant=meant),
        strip_source=_png(strip(columns["depth_m"][row])),
        caption=f"{text['embodiment']}, {text['agent']}, {Path(text['scene']).stem}, {text['route']} route, "
        f"episode {int(columns['episode'][row])}: {text['ending']} {away_m:.1f} m from the goal",
    )


def _map(scene: Scene, pose_w: np.ndarray, goal_w: np.ndarray, *, ending: str, meant: Meant) -> str:
    figure, axes = new_figure(width=2.4, height=2.4)
    window = frame(axes, np.stack([pose_w[:2], goal_w[:2]]), margin_m=1.5)
    draw_scene(axes, scene, window=window)
    draw_goal(axes, goal_w, protocol=meant.protocol)
    colour = ENDING_COLOURS.get(ending, "#444444")
    tip = pose_w[:2] + 0.7 * np.asarray([np.cos(pose_w[2]), np.sin(pose_w[2])])
    arrow = {"arrowstyle": "-|>", "color": colour, "lw": 1.8}
    axes.annotate("", xy=tip, xytext=pose_w[:2], arrowprops=arrow)
    marker = ENDING_MARKERS.get(ending, "o")
    axes.plot(*pose_w[:2], marker, color=colour, markersize=9, markeredgecolor="white")
    return data_uri(figure)


def _png(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    # Few colours: a palette is a fraction of the size and looks the same.
    Image.fromarray(picture).quantize(64).save(buffer, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
