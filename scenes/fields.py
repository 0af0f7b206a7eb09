"""Distance to obstacles, clearance of a body, and length of the shortest path to a goal, as grids."""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import skfmm

from scenes.grid import Grid


def distance_field(occupied: Grid) -> Grid:
    """Return the distance of every cell centre from the nearest obstacle's surface.

    Args:
        occupied: (..., H, W) bool; layers are treated one by one.

    Returns:
        (..., H, W) float32 metres, minus half a cell inside obstacles, inf where a layer is empty. The transform
        measures between cell centres; half a cell is taken off, because the surface lies between the last free and the
        first occupied centre. Straight surfaces come out within half a cell.
    """
    flat = occupied.values.reshape(-1, *occupied.values.shape[-2:])
    fields = np.empty(flat.shape, dtype=np.float32)
    for index, layer in enumerate(flat):
        if layer.any():
            fields[index] = scipy.ndimage.distance_transform_edt(~layer)
            fields[index] = (fields[index] - 0.5) * occupied.resolution_m
        else:
            fields[index] = np.inf
    return Grid(
        values=fields.reshape(occupied.values.shape),
        origin_xy_w_m=occupied.origin_xy_w_m,
        resolution_m=occupied.resolution_m,
    )


def clearance(distance: Grid, radii_m: Sequence[float]) -> Grid:
    """Return the gap between a body of one radius per layer and the nearest obstacle, negative where they overlap.

    Args:
        distance: (S, H, W) metres, from ``distance_field``.
        radii_m: radius per layer; a layer with radius 0 is ignored, the body is absent there.

    Returns:
        (H, W) float32 metres.

    Raises:
        ValueError: If the number of radii is not the number of layers, or none is positive.
    """
    if distance.values.ndim != 3 or len(radii_m) != len(distance.values):
        raise ValueError(f"clearance needs one radius per layer: got {len(radii_m)} for {distance.values.shape}.")
    layers = [layer - radius for layer, radius in zip(distance.values, radii_m, strict=True) if radius > 0.0]
    if not layers:
        raise ValueError("clearance needs a positive radius in at least one layer; all are 0.")
    return Grid(
        values=np.min(layers, axis=0).astype(np.float32),
        origin_xy_w_m=distance.origin_xy_w_m,
        resolution_m=distance.resolution_m,
    )


def geodesic_field(free: Grid, goal_xy_w_m: Sequence[float], *, speed: np.ndarray | None = None) -> Grid:
    """Return the length of the shortest path through free cells to the goal.

    Solves the Eikonal equation |grad T| = 1 / speed by fast marching (second order), started on a small circle around
    the exact goal.

    Args:
        free: (H, W) bool.
        goal_xy_w_m: x, y.
        speed: (H, W) positive; the result is then the least integral of 1 / speed along a path.

    Returns:
        (H, W) float32 metres (or seconds, or cost, by ``speed``); inf where there is no path and where not free.
        All inf if the goal's own cell is not free.
    """
    result = np.full(free.values.shape, np.inf, dtype=np.float32)
    goal = np.asarray(goal_xy_w_m, dtype=float)
    row, column = free.cell(goal)
    if free.values[row, column] and _contains(free, goal):
        result = _march(free, goal, row, column, speed)
    return Grid(values=result, origin_xy_w_m=free.origin_xy_w_m, resolution_m=free.resolution_m)


def _contains(grid: Grid, xy_w_m: np.ndarray) -> bool:
    height, width = grid.values.shape[-2:]
    offset = (xy_w_m - np.asarray(grid.origin_xy_w_m)) / grid.resolution_m
    return bool((offset >= 0.0).all() and offset[0] < width and offset[1] < height)


def _march(free: Grid, goal: np.ndarray, row: int, column: int, speed: np.ndarray | None) -> np.ndarray:
    resolution, (height, width) = free.resolution_m, free.values.shape
    x_w = free.origin_xy_w_m[0] + (np.arange(width) + 0.5) * resolution
    y_w = free.origin_xy_w_m[1] + (np.arange(height) + 0.5) * resolution
    straight = np.hypot(x_w[None, :] - goal[0], y_w[:, None] - goal[1])
    # A larger start circle is more exact, but must not reach through a wall.
    around = free.values[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
    start_radius = (3.0 if around.all() and around.shape == (7, 7) else 1.0) * resolution
    phi = np.ma.MaskedArray(straight - start_radius, ~free.values)
    pace = 1.0 if speed is None else 1.0 / float(speed[row, column])
    if speed is None:
        marched = skfmm.distance(phi, dx=resolution)
    else:
        marched = skfmm.travel_time(phi, np.asarray(speed, dtype=float), dx=resolution)
    outside = np.ma.filled(marched, np.inf) + start_radius * pace
    result = np.where(straight < start_radius, straight * pace, outside)
    return np.where(free.values, result, np.inf).astype(np.float32)
