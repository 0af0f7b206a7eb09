"""The route and goal that a policy gets as input: straight to the goal or along a planned path, in the body frame.

The same definitions as in simulation (``pipeline.simulation.sensors.route``), in numpy and for one robot.
"""

import heapq

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import ROUTE_POINTS, ROUTE_SPACING_M
from scenes.grid import Grid
from scenes.path import resample

_WINDOW_M = (1.0, 3.0)
_STEP_M = 0.1
_NEIGHBOURS = [(r, c, float(np.hypot(r, c))) for r in (-1, 0, 1) for c in (-1, 0, 1) if r or c]


class Route:
    """What lies ahead, as the policy was trained to see it."""

    def __init__(
        self, goal: np.ndarray, *, path_xy_m: np.ndarray | None = None, origin: np.ndarray | None = None
    ) -> None:
        """Aim at a goal.

        Args:
            goal: (3,) x, y [m], yaw [rad] in the route's own frame.
            path_xy_m: (P, 2) planned path in that frame that ends at the goal; None for the straight line.
            origin: (3,) pose of that frame in the odometry frame; by default they are the same. May be set later, and
                again when a localisation moves it.
        """
        self.goal = np.asarray(goal, dtype=np.float64)
        self.origin = np.zeros(3) if origin is None else origin
        self._path: np.ndarray | None = None
        if path_xy_m is not None:
            length_m = float(np.hypot(*np.diff(path_xy_m, axis=0).T).sum())
            count = max(2, round(length_m / _STEP_M) + 1)
            self._path, self._step_m = resample(np.asarray(path_xy_m, dtype=np.float64), count), length_m / (count - 1)
        self._along_m = 0.0

    def ahead_b(self, pose: np.ndarray) -> np.ndarray:
        """Return the next route points (10, 2), 1 m apart, padded with the goal, in the body frame.

        Args:
            pose: (3,) of the body in the odometry frame.
        """
        pose = self._own(pose)
        ahead = ROUTE_SPACING_M * np.arange(1, ROUTE_POINTS + 1)
        if self._path is None:
            offset = self.goal[:2] - pose[:2]
            distance = float(np.hypot(*offset))
            points = pose[:2] + offset * (np.minimum(ahead, distance) / max(distance, 1e-6))[:, None]
        else:
            self._along_m = self._project(pose[:2])
            at = np.minimum(self._along_m + ahead, self._step_m * (len(self._path) - 1)) / max(self._step_m, 1e-9)
            index = np.arange(len(self._path))
            points = np.stack([np.interp(at, index, self._path[:, axis]) for axis in range(2)], axis=-1)
        return to_body(points, pose)

    def goal_b(self, pose: np.ndarray) -> np.ndarray:
        """Return (4,): goal x, y [m] in the body frame, cos and sin of the relative heading; pose as ``ahead_b``."""
        pose = self._own(pose)
        turn = self.goal[2] - pose[2]
        return np.asarray([*to_body(self.goal[:2], pose), np.cos(turn), np.sin(turn)])

    def left_m(self, pose: np.ndarray) -> float:
        """Return the distance left [m]: along the path, or straight; pose as ``ahead_b``."""
        pose = self._own(pose)
        if self._path is None:
            return float(np.hypot(*(self.goal[:2] - pose[:2])))
        return self._step_m * (len(self._path) - 1) - self._project(pose[:2])

    def _own(self, pose: np.ndarray) -> np.ndarray:
        """Return a pose (3,) of the odometry frame in the route's own frame."""
        return np.append(to_body(pose[:2], self.origin), pose[2] - self.origin[2])

    def _project(self, xy_m: np.ndarray) -> float:
        assert self._path is not None
        along = self._step_m * np.arange(len(self._path))
        distance = np.hypot(*(self._path - xy_m).T)
        outside = (along < self._along_m - _WINDOW_M[0]) | (along > self._along_m + _WINDOW_M[1])
        return self._step_m * int(np.where(outside, np.inf, distance).argmin())


def to_body(xy_m: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Express points (..., 2) in the body frame of a pose (3,)."""
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    x, y = xy_m[..., 0] - pose[0], xy_m[..., 1] - pose[1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], axis=-1)


def plan(occupied: Grid, start_xy_m: np.ndarray, goal_xy_m: np.ndarray, embodiment: Embodiment) -> np.ndarray:
    """Return the shortest path (P, 2) [m] on a map that keeps the body's width clear; the cost is higher near walls.

    Args:
        occupied: (H, W) bool, true where the body must not be.

    Raises:
        ValueError: If start or goal is off the map or too near to a wall, or no path leads there.
    """
    wide = max(embodiment.circumscribed_radius_m(layer) for layer in range(len(embodiment.footprint)))
    clearance_m = _clearance_m(occupied, limit_m=2.0 * wide)
    needed = 0.6 * wide  # half the width of most bodies; they turn where there is more
    cells = [_cell(occupied, xy, name) for name, xy in (("start", start_xy_m), ("goal", goal_xy_m))]
    for name, cell in zip(("start", "goal"), cells, strict=True):
        if clearance_m[cell] < needed:
            raise ValueError(
                f"the {name} is {clearance_m[cell]:.2f} m from an obstacle on the map; {needed:.2f} m are needed"
            )
    cost = np.where(
        clearance_m >= needed, 1.0 + 2.0 * np.clip(2.0 * wide - clearance_m, 0.0, None) / (2.0 * wide), np.inf
    )
    path = _dijkstra(cost, *cells)
    if not path:
        raise ValueError("no path leads from the start to the goal on this map that is wide enough for the body")
    centres = np.asarray([occupied.centre(np.asarray(cell)) for cell in path])
    return np.concatenate([[start_xy_m], centres[1:-1], [goal_xy_m]])


def _cell(grid: Grid, xy_m: np.ndarray, name: str) -> tuple[int, int]:
    column, row = np.floor((np.asarray(xy_m) - np.asarray(grid.origin_xy_w_m)) / grid.resolution_m).astype(int)
    height, width = grid.values.shape
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"the {name} ({xy_m[0]:g}, {xy_m[1]:g}) is off the map")
    return int(row), int(column)


def _clearance_m(occupied: Grid, *, limit_m: float) -> np.ndarray:
    """Return (H, W) distance to the nearest occupied cell or to the border, at most ``limit_m``."""
    reach = int(np.ceil(limit_m / occupied.resolution_m))
    padded = np.pad(occupied.values, reach, constant_values=True)
    clearance = np.full(occupied.values.shape, limit_m)
    height, width = occupied.values.shape
    for rows in range(-reach, reach + 1):
        for columns in range(-reach, reach + 1):
            distance = float(np.hypot(rows, columns)) * occupied.resolution_m
            if distance < limit_m:
                shifted = padded[reach + rows : reach + rows + height, reach + columns : reach + columns + width]
                np.minimum(clearance, distance, out=clearance, where=shifted)
    return clearance


def _dijkstra(cost: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the cheapest path over 8 neighbours, or nothing."""
    best, parent, queue = {start: 0.0}, {start: start}, [(0.0, start)]
    while queue:
        paid, cell = heapq.heappop(queue)
        if cell == goal:
            path = [cell]
            while path[-1] != start:
                path.append(parent[path[-1]])
            return path[::-1]
        if paid > best[cell]:
            continue
        for rows, columns, length in _NEIGHBOURS:
            row, column = cell[0] + rows, cell[1] + columns
            if not (0 <= row < cost.shape[0] and 0 <= column < cost.shape[1]) or not np.isfinite(cost[row, column]):
                continue
            total = paid + length * float(cost[row, column])
            if total < best.get((row, column), np.inf):
                best[row, column], parent[row, column] = total, cell
                heapq.heappush(queue, (total, (row, column)))
    return []
