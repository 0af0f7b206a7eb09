"""Scenes from mesh files with a floor, such as scanned or modelled buildings: GLB, OBJ, PLY. trimesh reads them.

Z up and metres afterwards, the floor moved to z = 0.
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from scenes import mesh_up
from scenes.map_yaml import FARTHEST_M
from scenes.mesh_occupancy import samples
from scenes.mesh_up import FLOOR_SLOPE, FLOOR_STEP_M
from scenes.scene import FLOOR, OTHER, WALL, Mesh, Scene

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
WALL_SLOPE = 0.3
"""Greatest vertical part of a wall's normal."""
WALL_FOOT_M, WALL_TOP_M = 0.5, 1.8
"""A wall reaches from below the first to above the second height; what is upright but shorter is furniture."""
_WALL_CELL_M = 0.1
PLAUSIBLE_M = (2.0, 200.0)
"""Longer side of a scene on the ground, in metres."""
_HEIGHT_M = (1.5, 30.0)
_UNITS = {0.001: "millimetres", 0.01: "centimetres", 0.0254: "inches", 0.3048: "feet", 1000.0: "kilometres"}
_LARGEST_BYTES = 500_000_000
_MOST_TRIANGLES = 5_000_000


def load_scene(path: Path, *, up: Literal["auto", "y", "z"] = "auto", scale: float = 1.0) -> Scene:
    """Return the scene of a mesh file: all of it is on the known map.

    Args:
        up: Which axis points up; auto: the one with clearly more free floor.
        scale: Metres per unit of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, holds no triangles, is not in metres, has no floor, or does not show which
            axis points up.
    """
    if not 0.0 < scale < np.inf:
        raise ValueError(f"a mesh's scale is {scale:g}; metres per unit, above 0, are expected.")
    vertices, triangles = _read(Path(path))
    vertices = vertices * scale
    try:
        _check_unit(np.ptp(vertices[triangles].reshape(-1, 3), axis=0), up=up, scale=scale)
        _, areas = mesh_up.normals_and_areas(vertices, triangles)
        triangles = triangles[areas > 0.0]
        if not len(triangles):
            raise ValueError("holds no triangle that has an area.")
        floor, remark = mesh_up.choose(vertices, triangles, up=up)
        vertices = mesh_up.turned(vertices, floor.up) - (0.0, 0.0, floor.height_m)
        if np.abs(vertices[triangles][..., :2]).max() > FARTHEST_M:
            raise ValueError(f"lies farther than {FARTHEST_M:g} m from zero, where positions lose accuracy; move it.")
    except ValueError as error:
        raise ValueError(f"mesh '{path}' {error}") from error
    normals, _ = mesh_up.normals_and_areas(vertices, triangles)
    semantic = _classes(vertices, triangles, normals)
    ground = vertices[triangles[semantic == FLOOR]].reshape(-1, 3)
    (x_min, y_min), (x_max, y_max) = ground[:, :2].min(axis=0).tolist(), ground[:, :2].max(axis=0).tolist()
    mesh = Mesh(
        vertices_w_m=vertices.astype(np.float32),
        triangles=triangles.astype(np.uint32),
        semantic=semantic,
        known=np.ones(len(triangles), dtype=bool),
    )
    extent = (x_min, y_min, x_max, y_max)
    remarks = (f"mesh '{path}': {remark}",)
    return Scene(name=str(path), kind="mesh", solids=(), extent_w_m=extent, mesh=mesh, remarks=remarks)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (V, 3) vertices and (F, 3) triangles of everything in a file, as it stands there."""
    if not path.is_file():
        raise FileNotFoundError(f"no mesh at '{path}'; give the path of one of {', '.join(SUFFIXES)}.")
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"mesh '{path}' has more than {_LARGEST_BYTES // 1_000_000} MB; simplify it.")
    import trimesh

    try:
        parts = trimesh.load_scene(path, process=False)
        _check_count(parts)
        read = parts.to_mesh()
        vertices, triangles = np.array(read.vertices, dtype=float), np.array(read.faces, dtype=np.int64)
    except Exception as error:  # every format has errors of its own
        raise ValueError(f"mesh '{path}' cannot be read: {' '.join(str(error).split())}") from error
    if not len(triangles):
        raise ValueError(f"mesh '{path}' holds no triangles; a cloud of points cannot be a scene.")
    if not np.isfinite(vertices).all():
        raise ValueError(f"mesh '{path}' holds vertices that are no numbers.")
    return vertices, triangles


def _check_count(parts: Any) -> None:
    """Refuse a scene of trimesh whose parts, placed many times, would fill the memory."""
    count = 0
    for node in parts.graph.nodes_geometry:
        count += len(getattr(parts.geometry[parts.graph[node][1]], "faces", ()))
    if count > _MOST_TRIANGLES:
        raise ValueError(f"{count} triangles; at most {_MOST_TRIANGLES} are supported; simplify it.")


def _check_unit(size: np.ndarray, *, up: Literal["auto", "y", "z"], scale: float) -> None:
    """Refuse what no building measures with any axis up, and say which scale would make it one.

    Args:
        size: (3,) along the file's axes.
    """
    ways = [mesh_up.turned(size[None], axis)[0] for axis in mesh_up.AXES if up in ("auto", axis)]
    sizes = [(np.abs(way[:2]).max(), way[2]) for way in ways]  # longer side on the ground, height
    if any(PLAUSIBLE_M[0] <= side <= PLAUSIBLE_M[1] and height <= _HEIGHT_M[1] for side, height in sizes):
        return
    fitting = [
        f"--mesh-scale {scale * factor:g} ({name})"
        for factor, name in _UNITS.items()
        if any(_is_building(side * factor, height * factor) for side, height in sizes)
    ]
    advice = f"try {' or '.join(fitting)}" if fitting else "give --mesh-scale or --mesh-up"
    measures = " x ".join(f"{edge:.4g}" for edge in size)
    raise ValueError(f"measures {measures} m, which is no building in metres; {advice}.")


def _is_building(side_m: float, height_m: float) -> bool:
    return PLAUSIBLE_M[0] <= side_m <= PLAUSIBLE_M[1] and _HEIGHT_M[0] <= height_m <= _HEIGHT_M[1]


def _classes(vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the semantic class (F,) of triangles whose floor lies at z = 0, by normal and height."""
    height = vertices[triangles][..., 2]  # (F, 3)
    semantic = np.full(len(triangles), OTHER, dtype=np.uint8)
    semantic[(normals[:, 2] > FLOOR_SLOPE) & (np.abs(height) <= FLOOR_STEP_M).all(axis=1)] = FLOOR
    upright = np.flatnonzero(np.abs(normals[:, 2]) < WALL_SLOPE)
    if not len(upright):
        return semantic
    points, owner = samples(vertices, triangles[upright], step_m=_WALL_CELL_M / 2.0)
    cell = np.floor(points[:, :2] / _WALL_CELL_M).astype(np.int64)
    _, column = np.unique(cell, axis=0, return_inverse=True)
    lowest, highest = np.full(column.max() + 1, np.inf), np.full(column.max() + 1, -np.inf)
    np.minimum.at(lowest, column, points[:, 2])
    np.maximum.at(highest, column, points[:, 2])
    tall = ((lowest < WALL_FOOT_M) & (highest > WALL_TOP_M))[column]
    share = np.bincount(owner, weights=tall, minlength=len(upright)) / np.bincount(owner, minlength=len(upright))
    semantic[upright[share >= 0.5]] = WALL
    return semantic
