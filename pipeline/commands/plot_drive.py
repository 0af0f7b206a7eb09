"""Plot the log of a drive: commands of policy and driver, measured motion, path, and which gate or zone held it.

``python -m pipeline plot_drive runs/runtime/TIME-PID.jsonl`` writes a picture beside the log.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from export.runtime.driver import cycle_log
from pipeline.runs.stage import Command


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is plotted."""

    log: tyro.conf.Positional[Path]
    """A log that ``python -m export.runtime`` wrote"""
    out: Path | None = None
    """Picture; beside the log by default"""


def main(config: Config) -> None:
    """Write the picture.

    Raises:
        FileNotFoundError: If there is no such log.
        ValueError: If it is not a log, or empty.
    """
    header, cycles = cycle_log.read(config.log)
    out = config.out or config.log.with_suffix(".png")
    draw(out, header, cycles)
    print(f"wrote {out}: {len(cycles)} cycles, {cycles[-1]['time_s'] - cycles[0]['time_s']:.1f} s")


def draw(path: Path, header: dict[str, Any], cycles: list[dict[str, Any]]) -> None:
    """Write a PNG: commands over time with the gates below, and the path driven."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    time_s = np.asarray([cycle["time_s"] for cycle in cycles])
    time_s = time_s - time_s[0]
    figure = Figure(figsize=(11.0, 7.0), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(2, 1))
    for row, (axis, unit) in enumerate(((0, "v [m/s]"), (2, "yaw rate [rad/s]"))):
        plot = figure.add_subplot(grid[row, 0])
        series = (("asked", "0.6", 1.0), ("command", "tab:blue", 1.4), ("velocity_b", "tab:orange", 0.9))
        for name, colour, width in series:
            values = [cycle[name][axis] for cycle in cycles]
            plot.plot(time_s, values, color=colour, lw=width, label=name.removesuffix("_b"))
        plot.set(ylabel=unit)
        plot.legend(loc="upper right", fontsize=8, ncols=3)
    _draw_gates(figure.add_subplot(grid[2, 0]), time_s, cycles)
    _draw_path(figure.add_subplot(grid[:, 1]), header, cycles)
    figure.savefig(path, dpi=110)


def _draw_gates(plot: Any, time_s: np.ndarray, cycles: list[dict[str, Any]]) -> None:
    names = ["latched" if cycle["latched"] else cycle["gate"] or _zone(cycle["zone"]) for cycle in cycles]
    shown = list(dict.fromkeys(name for name in names if name))
    for line, name in enumerate(shown):
        held = [time for time, found in zip(time_s, names, strict=True) if found == name]
        plot.plot(held, [line] * len(held), "|", ms=8)
    plot.set(xlabel="time [s]", yticks=range(len(shown)), yticklabels=shown, xlim=(time_s[0], time_s[-1]))
    plot.set(ylim=(-0.7, max(len(shown), 1) - 0.3))


def _zone(name: str) -> str:
    return f"zone: {name}" if name else ""


def _draw_path(plot: Any, header: dict[str, Any], cycles: list[dict[str, Any]]) -> None:
    pose = np.asarray([cycle["pose"] for cycle in cycles])
    plot.plot(pose[:, 0], pose[:, 1], lw=1.2)
    plot.plot(*pose[0, :2], "o", color="tab:green", label="start")
    if header.get("goal"):
        x, y, yaw = _from_start(np.asarray(header["goal"]), cycles)
        plot.plot(x, y, "*", ms=12, color="tab:red", label="goal")
        plot.annotate("", (x + 0.4 * np.cos(yaw), y + 0.4 * np.sin(yaw)), (x, y), arrowprops={"arrowstyle": "->"})
    plot.set(aspect="equal", xlabel="x [m]", ylabel="y [m]", title=str(header.get("robot", "")))
    plot.legend(fontsize=8)


def _from_start(goal: np.ndarray, cycles: list[dict[str, Any]]) -> np.ndarray:
    """Return a goal (3,), which counts from where the robot stood, in the odometry frame."""
    poses = [cycle["pose"] for cycle in cycles if "odometry" in cycle.get("ages_s", {})]
    x, y, yaw = poses[0] if poses else (0.0, 0.0, 0.0)
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.asarray([x + cos * goal[0] - sin * goal[1], y + sin * goal[0] + cos * goal[1], yaw + goal[2]])


COMMAND = Command(config=Config, main=main)
