"""Quality of the teacher's recordings: outcomes, returns, and coverage of commands and goals.

A policy learns to recover only from data with failures, and to arrive only from data with successes.
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
"""A cell counts as visited from this fraction of the samples on."""
GOAL_M = 8.0
"""Goals further away count in the last cell."""


class EpisodeEnd(NamedTuple):
    """How one episode ended, and its return."""

    driver: str
    """``teacher``, ``disturbed`` or ``random``"""
    outcome: str
    total_reward: float


def episode_ends(folder: Path) -> list[EpisodeEnd]:
    """Return how the episodes in a folder of recordings ended; empty for recordings without this information."""
    ends: list[EpisodeEnd] = []
    for path in shard_paths(folder):
        shard = read_shard(path, kind="teacher", fields=("outcome",))
        ends += [EpisodeEnd(*end) for end in shard.attributes.get("ends", [])]
    return ends


def outcome_figures(ends: Sequence[EpisodeEnd]) -> dict[str, float]:
    """Return, per driver, the number of episodes, the success and failure rates, and the mean return."""
    result: dict[str, float] = {}
    for driver in dict.fromkeys(end.driver for end in ends):
        some = [end for end in ends if end.driver == driver]
        success = sum(end.outcome == "success" for end in some) / len(some)
        figures = {"episodes": len(some), "success": success, "failure": 1.0 - success}
        figures["return"] = float(np.mean([end.total_reward for end in some]))
        result |= {f"{driver}/{name}": round(value, 4) for name, value in figures.items()}
    return result


class Coverage(NamedTuple):
    """Fraction of the samples in every cell of two grids, (CELLS, CELLS)."""

    commands: np.ndarray
    """Forward speed (rows) and yaw rate (columns), from limit to limit; the wheel speed limit excludes corners"""
    goals: np.ndarray
    """Distance (rows, up to ``GOAL_M``) and bearing (columns, -π to π) of the goal"""

    def visited_fractions(self) -> dict[str, float]:
        """Return the fraction of each grid's cells that was visited."""
        return {f"coverage/{name}": float((grid > VISITED).mean()) for name, grid in self._asdict().items()}


def coverage(folder: Path, limits: Limits) -> Coverage:
    """Return the coverage of the recordings of a body with these limits; every view of a trajectory counts."""
    grids = np.zeros((2, CELLS, CELLS))
    for path in shard_paths(folder):
        arrays = read_shard(path, kind="teacher", fields=("command", "goal_b")).arrays
        grids += _counts(arrays, limits)
    return Coverage(*(grid / max(1.0, grid.sum()) for grid in grids))


def _counts(arrays: Mapping[str, np.ndarray], limits: Limits) -> np.ndarray:
    """Return the samples in every cell of both grids, (2, CELLS, CELLS)."""
    command, goal = arrays["command"].reshape(-1, 3), arrays["goal_b"].reshape(-1, 4)
    distance, bearing = np.hypot(goal[:, 0], goal[:, 1]), np.arctan2(goal[:, 1], goal[:, 0])
    yaw = limits.yaw_rate_radps
    return np.stack(
        [
            _histogram(command[:, 0], (-limits.reverse_mps, limits.forward_mps), command[:, 2], (-yaw, yaw)),
            _histogram(distance, (0.0, GOAL_M), bearing, (-np.pi, np.pi)),
        ]
    )


def _histogram(
    first: np.ndarray, first_range: tuple[float, float], second: np.ndarray, second_range: tuple[float, float]
) -> np.ndarray:
    first, second = np.clip(first, *first_range), np.clip(second, *second_range)
    grid: np.ndarray = np.histogram2d(first, second, bins=CELLS, range=[first_range, second_range])[0]
    return grid


def plot(path: Path, coverage: Coverage, limits: Limits) -> None:
    """Write a PNG of both grids; the colour is the logarithm of the fraction of the samples."""
    from matplotlib.colors import LogNorm  # slow to import, and only needed here
    from matplotlib.figure import Figure

    yaw = limits.yaw_rate_radps
    panels = (
        ("commands", (-yaw, yaw, -limits.reverse_mps, limits.forward_mps), "yaw rate [rad/s]", "forward speed [m/s]"),
        ("goals", (-np.pi, np.pi, 0.0, GOAL_M), "bearing of the goal [rad]", "distance of the goal [m]"),
    )
    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    visited = coverage.visited_fractions()
    for axes, (name, extent, x, y) in zip(figure.subplots(1, 2), panels, strict=True):
        grid = np.ma.masked_less_equal(getattr(coverage, name), VISITED)
        image = axes.imshow(grid, origin="lower", extent=extent, aspect="auto", norm=LogNorm(VISITED, 1.0))
        axes.set(xlabel=x, ylabel=y, title=f"{name}: {100.0 * visited[f'coverage/{name}']:.0f} % of the cells")
    figure.colorbar(image, ax=figure.axes, label="fraction of the samples")
    figure.savefig(path, dpi=100)
