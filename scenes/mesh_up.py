"""Which axis of a mesh points up, judged by the floor that a body could stand on under each.

A file's format does not tell: GLB is y-up by its standard, but many programs write z-up into it, and OBJ is either.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenes.mesh_occupancy import samples

Axis = Literal["y", "z"]
AXES: tuple[Axis, ...] = ("z", "y")
FLOOR_SLOPE = 0.9
"""Least vertical part of a floor's normal: 26 degrees."""
FLOOR_STEP_M = 0.05
"""What lies within this height of the floor is the floor: the lowest layer of a body begins there."""
_LARGE_LEVEL = 0.3
"""The floor is the lowest level with at least this fraction of the largest level's area: a roof may be larger."""
LEAST_FLOOR_M2 = 4.0
_HEADROOM_M = (0.2, 2.1)
"""A place on the floor counts as free where nothing is between these heights; rooms are higher, corridors may be
narrower."""
_CELL_M, _MOST_CELLS = 0.2, 400
"""Edge of a cell in which free floor is counted, and most cells along a side"""
_CLEARLY = 1.5
"""Ratio of free floor from which on the larger one decides; a room about as high as it is wide stays unclear."""
_NO_FLOOR = (
    f"has no floor{{how}}: no level with {LEAST_FLOOR_M2:g} m² that face up and have headroom (free floor: {{areas}}); "
    "check --mesh-up and --mesh-scale, or that its faces point outwards."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Floor:
    """The floor of a mesh with one axis up."""

    up: Axis
    height_m: float
    """Above the mesh's zero, along that axis"""
    area_m2: float
    """0 where no level is large enough"""
    free_m2: float
    """Area with headroom, counted in cells"""
    size_m: np.ndarray
    """(3,) of the whole mesh, the last along that axis"""


def turned(vertices: np.ndarray, up: Axis) -> np.ndarray:
    """Return vertices (V, 3) with an axis turned to z."""
    return vertices if up == "z" else vertices[:, [0, 2, 1]] * (1.0, -1.0, 1.0)  # still right-handed


def choose(vertices: np.ndarray, triangles: np.ndarray, *, up: Literal["auto", "y", "z"]) -> tuple[Floor, str]:
    """Return the floor of a mesh in metres, with the axis that points up, and a remark on the choice.

    Args:
        vertices: (V, 3)
        triangles: (F, 3), none without an area.
        up: auto: the axis with clearly more free floor, of a scene that is wider than high.

    Raises:
        ValueError: If there is no floor, or it is unclear which axis points up.
    """
    floors = {axis: _floor(turned(vertices, axis), triangles, axis) for axis in AXES}
    areas = ", ".join(f"{floor.free_m2:.1f} m² with {axis} up" for axis, floor in floors.items())
    if up != "auto":
        if floors[up].area_m2 <= 0.0:
            raise ValueError(_NO_FLOOR.format(how=f" with {up} up, as --mesh-up says", areas=areas))
        return floors[up], f"{up} points up (free floor: {areas}), as --mesh-up says."
    best, other = sorted(floors.values(), key=lambda floor: floor.free_m2, reverse=True)
    if best.free_m2 <= 0.0:
        raise ValueError(_NO_FLOOR.format(how="", areas=areas))
    width_m, height_m = best.size_m[:2].min(), best.size_m[2]
    if best.free_m2 < _CLEARLY * other.free_m2 or height_m > width_m:
        shape = f"; with {best.up} up it is {height_m:.1f} m high and {width_m:.1f} m wide"
        raise ValueError(f"does not show which axis points up (free floor: {areas}{shape}); give --mesh-up y or z.")
    return best, f"{best.up} points up (free floor: {areas}); --mesh-up overrules."


def _floor(vertices: np.ndarray, triangles: np.ndarray, axis: Axis) -> Floor:
    """Return the lowest large level that faces up, z being up; without one its free area is 0."""
    size_m = np.ptp(vertices[triangles].reshape(-1, 3), axis=0)
    normals, areas = normals_and_areas(vertices, triangles)
    flat = np.flatnonzero(normals[:, 2] > FLOOR_SLOPE)
    z_m = vertices[triangles[flat]][..., 2].mean(axis=1)
    level = np.round(z_m / FLOOR_STEP_M).astype(int)
    names, member = np.unique(level, return_inverse=True)
    area = np.bincount(member, weights=areas[flat], minlength=len(names))
    large = area >= max(_LARGE_LEVEL * area.max(initial=0.0), LEAST_FLOOR_M2)
    if not large.any():
        return Floor(up=axis, height_m=0.0, area_m2=0.0, free_m2=0.0, size_m=size_m)
    chosen = np.abs(level - names[large].min()) <= 1  # a level may lie across two bins
    height_m = float(np.average(z_m[chosen], weights=areas[flat][chosen]))
    return Floor(
        up=axis,
        height_m=height_m,
        area_m2=float(areas[flat][chosen].sum()),
        free_m2=_free_m2(vertices, triangles, flat[chosen], height_m),
        size_m=size_m,
    )


def _free_m2(vertices: np.ndarray, triangles: np.ndarray, floor: np.ndarray, height_m: float) -> float:
    """Return the area of a floor, given as indices of triangles, that has headroom."""
    corners = vertices[triangles[floor]].reshape(-1, 3)[:, :2]
    low = corners.min(axis=0)
    cell_m = max(_CELL_M, float(np.ptp(corners, axis=0).max()) / _MOST_CELLS)
    columns, rows = np.floor(np.ptp(corners, axis=0) / cell_m).astype(int) + 1

    def mark(chosen: np.ndarray, z_min_m: float, z_max_m: float) -> np.ndarray:
        points, _ = samples(vertices, triangles[chosen], step_m=cell_m / 2.0)
        points = points[(points[:, 2] >= z_min_m) & (points[:, 2] <= z_max_m)]
        column, row = np.floor((points[:, :2] - low) / cell_m).astype(int).T
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        marked = np.zeros((rows, columns), dtype=bool)
        marked[row[inside], column[inside]] = True
        return marked

    bottom, top = height_m + _HEADROOM_M[0], height_m + _HEADROOM_M[1]
    z_m = vertices[triangles][..., 2]
    above = np.flatnonzero((z_m.max(axis=1) >= bottom) & (z_m.min(axis=1) <= top))
    free = mark(floor, -np.inf, np.inf) & ~mark(above, bottom, top)
    return float(free.sum()) * cell_m**2


def normals_and_areas(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit normals (F, 3) and areas (F,)."""
    first, second, third = (vertices[triangles[:, corner]] for corner in range(3))
    crossed = np.cross(second - first, third - first)
    length = np.linalg.norm(crossed, axis=1)
    return crossed / np.maximum(length, 1e-12)[:, None], length / 2.0
