"""The costmap that a policy remembers, read from its recurrent state, and the path that follows from it.

The same numbers as in ``world_model.local_planner.costmap``, in numpy and for one robot; a test holds them together.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

CELLS, CELL_M = 80, 0.2
MAP_EDGE_M = 7.6
"""A goal further out along an axis is replaced by the point at this edge"""
STATE_SIZE = 3 + 3 * CELLS**2
PLAN_POINTS = 30
"""Of the path that is shown, a cell apart: some 6 m"""
_NETWORKS = "nav.networks"
_NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column]


@dataclass(frozen=True, kw_only=True)
class LocalMap:
    """A costmap in the frame in which it was begun; row is y, column is x, the origin in the middle."""

    pose: np.ndarray
    """(3,) x, y [m], yaw [rad] of the body on it"""
    evidence: np.ndarray
    """(CELLS, CELLS) in [0, 1]; an obstacle above 0.5"""
    seen: np.ndarray
    """(CELLS, CELLS) in [0, 1]"""
    cost_to_go: np.ndarray
    """(CELLS, CELLS) [m] above the straight distance to the goal"""

    def plan_xy(self, goal_b: np.ndarray) -> np.ndarray:
        """Return the points (P, 2) of the cheapest path from the body on, at most ``PLAN_POINTS``, in the map's frame.

        Args:
            goal_b: (4,) as a policy gets it.
        """
        goal = self._held(_turned(goal_b[:2], self.pose[2]))
        axis_m = (np.arange(CELLS) - (CELLS - 1) / 2.0) * CELL_M
        total_m = self.cost_to_go + np.hypot(axis_m[None, :] - goal[0], axis_m[:, None] - goal[1])
        column, row = np.clip(np.rint(self.pose[:2] / CELL_M + (CELLS - 1) / 2.0), 0, CELLS - 1).astype(int)
        points = [self.pose[:2]]
        while len(points) < PLAN_POINTS:
            around = [(row + r, column + c) for r, c in _NEIGHBOURS if 0 <= row + r < CELLS and 0 <= column + c < CELLS]
            best = min(around, key=lambda cell: total_m[cell])
            if total_m[best] >= total_m[row, column]:
                break
            row, column = best
            points.append(np.asarray([axis_m[column], axis_m[row]]))
        return np.stack(points)

    def _held(self, offset: np.ndarray) -> np.ndarray:
        """Return where the goal is on the map, at most at its edge, from its offset (2,) to the body."""
        place = self.pose[:2]
        to_edge = (MAP_EDGE_M - np.sign(offset) * place) / np.maximum(np.abs(offset), 1e-6)
        return place + offset * np.clip(to_edge.min(), 0.0, 1.0)


def read(state: np.ndarray) -> LocalMap:
    """Return the costmap in a local planner's state (S,); what follows it is left out."""
    evidence, seen, cost_to_go = state[3:STATE_SIZE].reshape(3, CELLS, CELLS)
    return LocalMap(pose=state[:3].astype(np.float64), evidence=evidence, seen=seen, cost_to_go=cost_to_go)


def begins_at(metadata: Mapping[str, str]) -> int | None:
    """Return where the local planner's state begins in the recurrent state of a policy; None if its file does not say.

    Args:
        metadata: Of the exported file.
    """
    try:
        sizes = json.loads(metadata[_NETWORKS])["world_model"]["config"]
        return int(sizes["deterministic"]) + int(sizes["stochastic"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _turned(xy: np.ndarray, angle_rad: float) -> np.ndarray:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    return np.asarray([cos * xy[0] - sin * xy[1], sin * xy[0] + cos * xy[1]])
