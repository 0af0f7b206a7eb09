"""How good the teacher's recordings are: how episodes ended, what they earned, how much of what can happen they hold.

A dataset of arrivals alone teaches nobody to recover, one of wanderings nobody to arrive.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distill.recordings import read_shard, shard_paths
from embodiments.embodiment import Limits

CELLS = 16
"""Cells along an axis of a coverage grid."""
VISITED = 1e-4
"""Share of the rows that makes a cell visited."""
GOAL_M = 8.0
"""Goals further away are in the last cell."""


class End(NamedTuple):
    """How one episode ended, and what all its rewards come to."""

    sort: str
    """``teacher``, ``disturbed`` or ``random``: who drove"""
    outcome: str
    total_reward: float


def ends(folder: Path) -> list[End]:
    """Return how the episodes of a folder of recordings ended; none for recordings that do not say."""
    shards = [read_shard(path, kind="teacher", fields=("outcome",)) for path in shard_paths(folder)]
    return [End(*end) for shard in shards for end in shard.attributes.get("ends", [])]


def figures(found: Sequence[End]) -> dict[str, float]:
    """Return, per sort of driving, the episodes, the share that succeeded and failed, and the mean return."""
    result: dict[str, float] = {}
    for sort in dict.fromkeys(end.sort for end in found):
        some = [end for end in found if end.sort == sort]
        success = sum(end.outcome == "success" for end in some) / len(some)
        figures = {"episodes": len(some), "success": success, "failure": 1.0 - success}
        figures["return"] = float(np.mean([end.total_reward for end in some]))
        result |= {f"{sort}/{name}": round(value, 4) for name, value in figures.items()}
    return result


class Coverage(NamedTuple):
    """Share of the rows in every cell of two grids, (CELLS, CELLS)."""

    commands: np.ndarray
    """Forward speed (rows) and yaw rate (columns), from limit to limit; a wheel's own limit rules out corners"""
    goals: np.ndarray
    """Distance (rows, to ``GOAL_M``) and bearing (columns, from behind over the right to behind) of the goal"""

    def shares(self) -> dict[str, float]:
        """Return the share of each grid's cells that was visited."""
        return {f"coverage/{name}": float((grid > VISITED).mean()) for name, grid in self._asdict().items()}


def coverage(folder: Path, limits: Limits) -> Coverage:
    """Return what the recordings of a body with these limits cover; every view of a trajectory counts."""
    grids = np.zeros((2, CELLS, CELLS))
    for path in shard_paths(folder):
        rows = read_shard(path, kind="teacher", fields=("command", "goal_b")).arrays
        grids += _counted(rows, limits)
    return Coverage(*(grid / max(1.0, grid.sum()) for grid in grids))


def _counted(rows: Mapping[str, np.ndarray], limits: Limits) -> np.ndarray:
    command, goal = rows["command"].reshape(-1, 3), rows["goal_b"].reshape(-1, 4)
    distance, bearing = np.hypot(goal[:, 0], goal[:, 1]), np.arctan2(goal[:, 1], goal[:, 0])
    yaw = limits.yaw_rate_radps
    return np.stack(
        [
            _grid(command[:, 0], (-limits.reverse_mps, limits.forward_mps), command[:, 2], (-yaw, yaw)),
            _grid(distance, (0.0, GOAL_M), bearing, (-np.pi, np.pi)),
        ]
    )


def _grid(
    first: np.ndarray, first_range: tuple[float, float], second: np.ndarray, second_range: tuple[float, float]
) -> np.ndarray:
    first, second = np.clip(first, *first_range), np.clip(second, *second_range)
    grid: np.ndarray = np.histogram2d(first, second, bins=CELLS, range=[first_range, second_range])[0]
    return grid


def draw(path: Path, found: Coverage, limits: Limits) -> None:
    """Write a PNG of both grids; the colour is the logarithm of the share of the rows."""
    from matplotlib.colors import LogNorm  # slow to import, and only needed here
    from matplotlib.figure import Figure

    yaw = limits.yaw_rate_radps
    panels = (
        ("commands", (-yaw, yaw, -limits.reverse_mps, limits.forward_mps), "yaw rate [rad/s]", "forward speed [m/s]"),
        ("goals", (-np.pi, np.pi, 0.0, GOAL_M), "bearing of the goal [rad]", "distance of the goal [m]"),
    )
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    for axes, (name, extent, x, y) in zip(figure.subplots(1, 2), panels, strict=True):
        grid = np.ma.masked_less_equal(getattr(found, name), VISITED)
        image = axes.imshow(grid, origin="lower", extent=extent, aspect="auto", norm=LogNorm(VISITED, 1.0))
        axes.set(xlabel=x, ylabel=y, title=f"{name}: {100.0 * found.shares()[f'coverage/{name}']:.0f} % of the cells")
    figure.colorbar(image, ax=figure.axes, label="share of the rows")
    figure.savefig(path, dpi=100)
