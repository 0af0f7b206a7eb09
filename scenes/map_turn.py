"""A map whose origin is turned, on a grid along the axes."""

import math

import numpy as np

from scenes.grid import Grid

_MOST_CELLS = 20_000_000
"""So that turning takes seconds"""
_SUBCELLS = (-1.0 / 3.0, 0.0, 1.0 / 3.0)
_BAND_ROWS = 128
"""Rows at a time, for the sake of memory"""


def turned(grid: Grid, yaw_rad: float, *, outside: int, solid: int) -> Grid:
    """Turn a grid (H, W) about its origin; a yaw that moves no cell by half an edge counts as none.

    A cell takes the value under its centre, or ``solid`` where any of nine points in it is solid, so that no wall
    opens.

    Args:
        outside: Value of the cells that the grid does not cover.
        solid: Value of an occupied cell.

    Raises:
        ValueError: If the turned grid would be too large.
    """
    height, width = grid.values.shape
    if abs(yaw_rad) * math.hypot(height, width) < 0.5:
        return grid
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    corners = np.asarray([(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)])  # x, y in cells
    corners = corners @ np.asarray([(cos, sin), (-sin, cos)])
    low = corners.min(axis=0)
    columns, rows = np.ceil(np.ptp(corners, axis=0) - 1e-3).astype(int).tolist()
    if columns * rows > _MOST_CELLS:
        raise ValueError(f"a map of {width} x {height} pixels is too large to be turned; set its origin's yaw to 0.")
    values = np.full((rows, columns), outside, dtype=grid.values.dtype)
    for first in range(0, rows, _BAND_ROWS):
        band = values[first : first + _BAND_ROWS]
        x, y = np.meshgrid(np.arange(columns) + 0.5 + low[0], np.arange(first, first + len(band)) + 0.5 + low[1])
        for dx, dy in ((dx, dy) for dx in _SUBCELLS for dy in _SUBCELLS):
            column = np.floor(cos * (x + dx) + sin * (y + dy)).astype(int)
            row = np.floor(cos * (y + dy) - sin * (x + dx)).astype(int)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            found = np.where(inside, grid.values[row.clip(0, height - 1), column.clip(0, width - 1)], outside)
            if dx == dy == 0.0:
                band[:] = np.where(band == solid, solid, found)
            band[found == solid] = solid
    x_m, y_m = (
        corner + grid.resolution_m * float(shift) for corner, shift in zip(grid.origin_xy_w_m, low, strict=True)
    )
    return Grid(values=values, origin_xy_w_m=(x_m, y_m), resolution_m=grid.resolution_m)
