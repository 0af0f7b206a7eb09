"""Learning curves: how fast each specialist learns, over control steps and over time."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.evaluation.report.figures import STYLE, Picture, data_uri, robot_colour
from pipeline.evaluation.report.formatting import percent
from pipeline.evaluation.report.table import Table, of_rows
from pipeline.residual_rl.config import SMOOTHING_EPISODES

NAMES = ("success", "collision", "timeout")
AIM = 0.8
"""The success rate whose first passing is named"""
Curve = Sequence[Mapping[str, Any]]
"""Rows with ``control_steps``, ``wall_s`` and ``episodes`` (old ones without) and rates in 0 to 1"""

AXES = {
    "control_steps": ("control steps in thousands", 1e-3),
    "wall_s": ("minutes of training", 1.0 / 60.0),
}


def read(files: Mapping[str, Path]) -> dict[str, Curve]:
    """Return robot -> the rows of its curve with enough episodes, of robots that have one.

    Left out are the first rows, over a few episodes, which ended soon and therefore mostly well; not the last row.
    """
    rows = {robot: json.loads(file.read_text(encoding="utf-8")) for robot, file in files.items() if file.is_file()}
    return {robot: _settled(curve) or curve[-1:] for robot, curve in rows.items() if curve}


def _settled(curve: Curve) -> list[Mapping[str, Any]]:
    """Return the rows whose rates are over enough episodes; all of them if the curve has no counts."""
    counts = [_episodes(row) for row in curve]
    if not any(counts):
        return list(curve)
    return [row for row, count in zip(curve, counts, strict=True) if count >= SMOOTHING_EPISODES]


def _episodes(row: Mapping[str, Any]) -> float:
    """Return over how many episodes a row is; an older one holds only their length, if any had ended."""
    steps = row.get("episode_steps")
    return float(row.get("episodes", row["control_steps"] / steps if steps else 0.0))


def pictures(curves: Mapping[str, Curve]) -> list[Picture]:
    """Return the curves over control steps and over time, as far as they were written down."""
    names = [name for name in NAMES if any(name in row for curve in curves.values() for row in curve)]
    if not names:
        return []
    found = []
    for axis, said in (("control_steps", "control steps"), ("wall_s", "time")):
        if any(axis in row for curve in curves.values() for row in curve):
            source = data_uri(draw(curves, names=names, axis=axis))
            found.append(Picture(source=source, caption=f"How episodes end while a specialist learns, over {said}"))
    return found


def table(curves: Mapping[str, Curve]) -> Table:
    """Return how far each robot came and when it first passed the aim."""
    rows = []
    for robot, curve in curves.items():
        scored = [row for row in curve if "success" in row]
        if not scored:
            continue
        best = max(scored, key=lambda row: float(row["success"]))
        passed = next((row for row in scored if row["success"] >= AIM), None)
        when = "not passed" if passed is None else f"{_thousands(passed)}{_minutes(passed)}"
        last = scored[-1]
        figures = (percent(last["success"]), percent(best["success"]))
        rows.append((robot, _thousands(last), _minutes(last).strip(", "), *figures, when))
    head = ("robot", "control steps", "time", "success % at the end", "best", f"{100 * AIM:.0f} % first passed")
    note = f"Over the latest {SMOOTHING_EPISODES} training episodes: explored, randomised, training scenes."
    return of_rows("How fast they learn", head, rows, note=note)


def draw(curves: Mapping[str, Curve], *, names: Sequence[str], axis: str) -> Figure:
    """Return one panel per rate, one line per robot, over ``control_steps`` or ``wall_s``."""
    label, scale = AXES[axis]
    figure = Figure(figsize=(4.4, 1.7 * len(names) + 0.5), layout="constrained")
    with matplotlib.rc_context(STYLE):
        panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for axes, name in zip(panels, names, strict=True):
        for robot, rows in curves.items():
            shown = [row for row in rows if name in row and axis in row]
            x, rate = [scale * row[axis] for row in shown], [100.0 * row[name] for row in shown]
            axes.plot(x, rate, label=robot, color=robot_colour(robot), linewidth=1.3)
            if name == "success":
                _mark_aim(axes, shown, axis=axis)
        axes.set_ylim(0, 100)
        axes.set_ylabel(f"{name} in %")
        axes.grid(alpha=0.25)
    panels[-1].set_xlabel(label)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", frameon=False, fontsize=8, ncols=4
    )
    return figure


def _mark_aim(axes: Axes, rows: Curve, *, axis: str) -> None:
    axes.axhline(100.0 * AIM, color="#999999", linewidth=0.8, linestyle=":")
    passed = next((row for row in rows if row["success"] >= AIM), None)
    if passed is not None:
        axes.plot(AXES[axis][1] * passed[axis], 100.0 * passed["success"], "o", color="black", markersize=4)


def _thousands(row: Mapping[str, Any]) -> str:
    return f"{row['control_steps'] / 1e3:,.0f} k"


def _minutes(row: Mapping[str, Any]) -> str:
    return f", {row['wall_s'] / 60.0:.0f} min" if "wall_s" in row else ""
