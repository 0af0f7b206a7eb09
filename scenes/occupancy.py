"""Which cells a scene fills, per height layer."""

from collections.abc import Sequence

import numpy as np

from scenes import mesh_occupancy
from scenes.grid import Grid
from scenes.scene import Scene, Solid

BORDER_CELLS = 2
"""Occupied rim around the extent: outside of it nothing can be reached."""


def layer_occupancy(
    scene: Scene, *, layers_m: Sequence[tuple[float, float]], resolution_m: float = 0.05, known_only: bool = False
) -> Grid:
    """Rasterise the solids: a cell is occupied where its centre lies inside one that overlaps the layer.

    Args:
        layers_m: (z_min, z_max) per layer above the ground; touching at a face is no overlap.
        resolution_m: edge of a cell.
        known_only: as the known map shows it: without what it does not know, with what has been taken away since.

    Returns:
        (S, H, W) bool; cells outside the scene's extent are occupied. A solid thinner than a cell also fills the
        cells that its outline crosses. Of a mesh, all of which is known, every cell that a
        surface touches is occupied, and every cell without a floor.
    """
    if not layers_m:
        raise ValueError("layer_occupancy needs at least one (z_min, z_max) layer.")
    x_min, y_min, x_max, y_max = scene.extent_w_m
    columns = int(np.ceil((x_max - x_min) / resolution_m - 1e-6)) + 2 * BORDER_CELLS
    rows = int(np.ceil((y_max - y_min) / resolution_m - 1e-6)) + 2 * BORDER_CELLS
    origin = (x_min - BORDER_CELLS * resolution_m, y_min - BORDER_CELLS * resolution_m)
    x_w = origin[0] + (np.arange(columns) + 0.5) * resolution_m
    y_w = origin[1] + (np.arange(rows) + 0.5) * resolution_m
    inside = ((y_w > y_min) & (y_w < y_max))[:, None] & ((x_w > x_min) & (x_w < x_max))[None, :]
    values = np.repeat(~inside[None], len(layers_m), axis=0)  # (S, H, W)
    shown = [solid for solid in scene.solids if solid.known] + list(scene.map_only) if known_only else scene.solids
    for solid in shown:
        layers = [i for i, (low, high) in enumerate(layers_m) if solid.z_min_m < high and solid.z_max_m > low]
        if layers:
            _fill(values, layers, solid, x_w, y_w)
    if scene.mesh is not None:
        mesh_occupancy.fill(values, scene.mesh, layers_m=layers_m, x_w=x_w, y_w=y_w)
    return Grid(values=values, origin_xy_w_m=origin, resolution_m=resolution_m)


def _fill(values: np.ndarray, layers: list[int], solid: Solid, x_w: np.ndarray, y_w: np.ndarray) -> None:
    polygon = np.asarray(solid.polygon_xy_w_m)
    (x_low, y_low), (x_high, y_high) = polygon.min(axis=0), polygon.max(axis=0)
    first_column, last_column = np.searchsorted(x_w, (x_low, x_high))
    first_row, last_row = np.searchsorted(y_w, (y_low, y_high))
    window = (slice(first_row, last_row), slice(first_column, last_column))
    covered = _inside(polygon, x_w[window[1]], y_w[window[0]])
    for layer in layers:
        values[layer][window] |= covered
    cell_m = x_w[1] - x_w[0]
    after = np.roll(polygon, -1, axis=0)
    area_m2 = abs((polygon[:, 0] * after[:, 1] - after[:, 0] * polygon[:, 1]).sum()) / 2.0
    longest_m = np.linalg.norm(after - polygon, axis=1).max()
    if area_m2 < longest_m * cell_m * (1.0 - 1e-6):  # thinner than a cell: may lie between centres
        fraction = np.linspace(0.0, 1.0, int(np.ceil(2.0 * longest_m / cell_m)) + 1)[None, :, None]
        rim = (polygon[:, None] + fraction * (after - polygon)[:, None]).reshape(-1, 2)
        column = np.round((rim[:, 0] - x_w[0]) / cell_m).astype(int).clip(0, len(x_w) - 1)
        row = np.round((rim[:, 1] - y_w[0]) / cell_m).astype(int).clip(0, len(y_w) - 1)
        for layer in layers:
            values[layer, row, column] = True


def _inside(polygon: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (len(y), len(x)) booleans: which points lie in a convex, counter-clockwise polygon."""
    inside = np.ones((len(y), len(x)), dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        inside &= ((x1 - x0) * (y - y0))[:, None] - ((y1 - y0) * (x - x0))[None, :] >= -1e-9
    return inside
