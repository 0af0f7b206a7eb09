"""Shortest paths, followed down a geodesic field. Numpy only, because the robot's runtime uses it too."""

from collections.abc import Sequence

import numpy as np

from scenes.grid import Grid


def descend(
    field: Grid,
    start_xy_w_m: Sequence[float],
    *,
    step_m: float,
    max_points: int,
    goal_xy_w_m: Sequence[float] | None = None,
) -> np.ndarray:
    """Follow a geodesic field from a start to its goal.

    Args:
        field: (H, W) from ``fields.geodesic_field``; inf where not free.
        start_xy_w_m: x, y; where it is not free the path begins with a straight leg to the nearest free cell.
        step_m: distance between the points returned.
        max_points: the path is cut after this many.
        goal_xy_w_m: the last point; by default the centre of the cell with the lowest value.

    Returns:
        (P, 2) metres, world frame, ``step_m`` apart (the last leg may be shorter), start and goal included.

    Raises:
        ValueError: If no cell of the field is finite.
    """
    if not np.isfinite(field.values).any():
        raise ValueError("no path to the goal: it is not in free space, so the field is infinite everywhere.")
    start = np.asarray(start_xy_w_m, dtype=float)
    row, column = np.unravel_index(int(np.argmin(field.values)), field.values.shape)
    goal_cell = (int(row), int(column))
    goal = field.centre(np.asarray(goal_cell)) if goal_xy_w_m is None else np.asarray(goal_xy_w_m, dtype=float)
    return _space(np.asarray([*_walk(field, start, goal_cell), goal]), step_m)[:max_points]


def resample(path_xy: np.ndarray, n: int) -> np.ndarray:
    """Return (n, 2) points equally spaced along a polyline (P, 2), ends included."""
    along = _arc_length(path_xy)
    return _interpolate(path_xy, along, np.linspace(0.0, along[-1], n))


def _walk(field: Grid, start: np.ndarray, goal_cell: tuple[int, int]) -> list[np.ndarray]:
    """Return points about a cell apart, from the start to a neighbour of the goal's cell."""
    values = field.values
    points, point, waited = [start], start, 0
    cell = _nearest_finite(field, start)
    if cell != _cell(field, start):
        point = field.centre(np.asarray(cell))
        points.append(point)
    # Every change of cell lowers the value, and a point stays in a cell for at most two more steps, so this ends. The
    # cell, not the value, says when: beside an obstacle a weighted field has no bound on its slope.
    while max(abs(cell[0] - goal_cell[0]), abs(cell[1] - goal_cell[1])) > 1:
        proposed = point - field.resolution_m * _uphill(values, field, point, cell)
        next_cell = _cell(field, proposed)
        waited = waited + 1 if next_cell == cell else 0
        if waited > 2 or not _may_move(values, cell, next_cell):
            next_cell, waited = _lowest_neighbour(values, cell), 0
            if next_cell == cell:
                break
            proposed = field.centre(np.asarray(next_cell))
        point, cell = proposed, next_cell
        points.append(point)
    return points


def _arc_length(path_xy: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path_xy, axis=0), axis=1))])


def _interpolate(path_xy: np.ndarray, along: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(at, along, path_xy[:, 0]), np.interp(at, along, path_xy[:, 1])], axis=1)


def _space(path_xy: np.ndarray, step_m: float) -> np.ndarray:
    along = _arc_length(path_xy)
    at = np.append(np.arange(0.0, along[-1] - 1e-6, step_m), along[-1])
    return _interpolate(path_xy, along, at)


def _cell(field: Grid, xy_w_m: np.ndarray) -> tuple[int, int]:
    row, column = field.cell(xy_w_m)
    return int(row), int(column)


def _nearest_finite(field: Grid, xy_w_m: np.ndarray) -> tuple[int, int]:
    cell = _cell(field, xy_w_m)
    if np.isfinite(field.values[cell]):
        return cell
    cells = np.argwhere(np.isfinite(field.values))
    distance = np.linalg.norm(field.centre(cells) - xy_w_m, axis=1)
    row, column = cells[int(np.argmin(distance))]
    return int(row), int(column)


def _upwind(values: np.ndarray, row: int, column: int) -> np.ndarray:
    """Return the (x, y) gradient towards each axis's lower neighbour; it never points into what is not free."""
    height, width = values.shape
    value = values[row, column]
    left = values[row, column - 1] if column > 0 else np.inf
    right = values[row, column + 1] if column + 1 < width else np.inf
    below = values[row - 1, column] if row > 0 else np.inf
    above = values[row + 1, column] if row + 1 < height else np.inf
    gradient_x = max(value - min(left, right), 0.0) * (1.0 if left <= right else -1.0)
    gradient_y = max(value - min(below, above), 0.0) * (1.0 if below <= above else -1.0)
    return np.asarray([gradient_x, gradient_y])


def _uphill(values: np.ndarray, field: Grid, point: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Return the unit uphill direction at a point: upwind gradients of the four cells around it, blended bilinearly."""
    height, width = values.shape
    offset = (point - np.asarray(field.origin_xy_w_m)) / field.resolution_m - 0.5
    column, row = int(np.floor(offset[0])), int(np.floor(offset[1]))
    fraction_x, fraction_y = offset[0] - column, offset[1] - row
    gradient = np.zeros(2)
    for r, weight_y in ((row, 1.0 - fraction_y), (row + 1, fraction_y)):
        for c, weight_x in ((column, 1.0 - fraction_x), (column + 1, fraction_x)):
            if 0 <= r < height and 0 <= c < width and np.isfinite(values[r, c]):
                gradient += weight_x * weight_y * _upwind(values, r, c)
    if not gradient.any():
        gradient = _upwind(values, *cell)
    return gradient / max(float(np.linalg.norm(gradient)), 1e-12)


def _may_move(values: np.ndarray, cell: tuple[int, int], next_cell: tuple[int, int]) -> bool:
    """Tell whether a step stays in free cells, cuts no corner and goes down (or stays in its cell)."""
    if next_cell == cell:
        return True
    corners_free = np.isfinite(values[cell[0], next_cell[1]]) and np.isfinite(values[next_cell[0], cell[1]])
    return bool(corners_free and values[next_cell] < values[cell])


def _lowest_neighbour(values: np.ndarray, cell: tuple[int, int]) -> tuple[int, int]:
    height, width = values.shape
    best = cell
    for row in range(max(cell[0] - 1, 0), min(cell[0] + 2, height)):
        for column in range(max(cell[1] - 1, 0), min(cell[1] + 2, width)):
            if values[row, column] < values[best] and _may_move(values, cell, (row, column)):
                best = (row, column)
    return best
