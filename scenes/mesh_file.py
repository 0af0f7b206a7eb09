"""Scenes from mesh files with a floor, such as scanned or modelled buildings: GLB, OBJ, PLY. trimesh reads them.

Z up and metres afterwards, the floor moved to z = 0. A GLB is y-up, as its standard says; OBJ and PLY say nothing and
are taken as z-up unless told otherwise.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from scenes.mesh_occupancy import samples
from scenes.scene import FLOOR, OTHER, WALL, Mesh, Scene

SUFFIXES = (".glb", ".gltf", ".obj", ".ply")
_Y_UP = (".glb", ".gltf")
FLOOR_SLOPE = 0.9
"""Least vertical part of a floor's normal: 26 degrees."""
FLOOR_STEP_M = 0.05
"""What lies within this height of the floor is the floor: the lowest layer of a body begins there."""
FLOOR_SHARE = 0.3
"""The floor is the lowest level with at least this share of the largest level's area: a roof may be larger."""
LEAST_FLOOR_M2 = 4.0
WALL_SLOPE = 0.3
"""Greatest vertical part of a wall's normal."""
WALL_FOOT_M, WALL_TOP_M = 0.5, 1.8
"""A wall reaches from below the first to above the second height; what is upright but shorter is furniture."""
_WALL_CELL_M = 0.1
PLAUSIBLE_M = (2.0, 200.0)
"""Longer side of a scene on the ground, in metres."""
_HEIGHT_M = (1.5, 30.0)
_UNITS = {0.001: "millimetres", 0.01: "centimetres", 0.0254: "inches", 0.3048: "feet", 1000.0: "kilometres"}


def load_scene(path: Path, *, up: Literal["auto", "y", "z"] = "auto", scale: float = 1.0) -> Scene:
    """Return the scene of a mesh file: all of it is on the known map.

    Args:
        up: Which axis points up; auto: y for GLB and glTF, z for OBJ and PLY.
        scale: Metres per unit of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, holds no triangles, is not in metres or has no floor.
    """
    vertices, triangles = _read(Path(path))
    if not 0.0 < scale < np.inf:
        raise ValueError(f"a mesh's scale is {scale:g}; metres per unit, above 0, are expected.")
    vertices = vertices * scale
    if up == "y" or (up == "auto" and Path(path).suffix.lower() in _Y_UP):
        vertices = vertices[:, [0, 2, 1]] * (1.0, -1.0, 1.0)  # y to z, -z to y: still right-handed
    normals, areas = _normals(vertices, triangles)
    triangles, normals, areas = (values[areas > 0.0] for values in (triangles, normals, areas))
    _check_unit(path, vertices[triangles].reshape(-1, 3), scale=scale)
    vertices[:, 2] -= _floor_height_m(path, vertices[triangles][..., 2].mean(axis=1), normals, areas, up=up)
    semantic = _classes(vertices, triangles, normals)
    ground = vertices[triangles[semantic == FLOOR]].reshape(-1, 3)
    (x_min, y_min), (x_max, y_max) = ground[:, :2].min(axis=0).tolist(), ground[:, :2].max(axis=0).tolist()
    mesh = Mesh(
        vertices_w_m=vertices.astype(np.float32),
        triangles=triangles.astype(np.uint32),
        semantic=semantic,
        known=np.ones(len(triangles), dtype=bool),
    )
    return Scene(name=str(path), kind="mesh", solids=(), extent_w_m=(x_min, y_min, x_max, y_max), mesh=mesh)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (V, 3) vertices and (F, 3) triangles of everything in a file, as it stands there."""
    if not path.is_file():
        raise FileNotFoundError(f"no mesh at '{path}'; give the path of one of {', '.join(SUFFIXES)}.")
    import trimesh

    try:
        read = trimesh.load_scene(path, process=False).to_mesh()
        vertices, triangles = np.array(read.vertices, dtype=float), np.array(read.faces, dtype=np.int64)
    except Exception as error:  # every format has errors of its own
        raise ValueError(f"mesh '{path}' cannot be read: {' '.join(str(error).split())}") from error
    if not len(triangles):
        raise ValueError(f"mesh '{path}' holds no triangles; a cloud of points cannot be a scene.")
    if not np.isfinite(vertices).all():
        raise ValueError(f"mesh '{path}' holds vertices that are no numbers.")
    return vertices, triangles


def _normals(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return unit normals (F, 3) and areas (F,)."""
    first, second, third = (vertices[triangles[:, corner]] for corner in range(3))
    crossed = np.cross(second - first, third - first)
    length = np.linalg.norm(crossed, axis=1)
    return crossed / np.maximum(length, 1e-12)[:, None], length / 2.0


def _check_unit(path: Path, points: np.ndarray, *, scale: float) -> None:
    """Refuse what no building measures, and say which scale would make it one."""
    size = np.ptp(points, axis=0)
    if PLAUSIBLE_M[0] <= size[:2].max() <= PLAUSIBLE_M[1] and size[2] <= _HEIGHT_M[1]:
        return
    fitting = [
        f"--mesh_scale {scale * factor:g} ({name})"
        for factor, name in _UNITS.items()
        if PLAUSIBLE_M[0] <= size[:2].max() * factor <= PLAUSIBLE_M[1]
        and _HEIGHT_M[0] <= size[2] * factor <= _HEIGHT_M[1]
    ]
    advice = f"try {' or '.join(fitting)}" if fitting else "give --mesh_scale or --mesh_up"
    raise ValueError(
        f"mesh '{path}' is {size[0]:.4g} x {size[1]:.4g} m large and {size[2]:.4g} m high, which is no building in "
        f"metres; {advice}."
    )


def _floor_height_m(path: Path, z_m: np.ndarray, normals: np.ndarray, areas: np.ndarray, *, up: str) -> float:
    """Return the height of the lowest large surface that faces up."""
    flat = normals[:, 2] > FLOOR_SLOPE
    level = np.round(z_m[flat] / FLOOR_STEP_M).astype(int)
    names, member = np.unique(level, return_inverse=True)
    area = np.bincount(member, weights=areas[flat], minlength=len(names))
    large = area >= max(FLOOR_SHARE * area.max(initial=0.0), LEAST_FLOOR_M2)
    if not large.any():
        raise ValueError(
            f"mesh '{path}' has no floor: no level with {LEAST_FLOOR_M2:g} m² that face up (largest: "
            f"{area.max(initial=0.0):.2g} m²); check --mesh_up (now {up}), or that its faces point outwards."
        )
    chosen = np.abs(level - names[large].min()) <= 1  # a level may lie across two bins
    return float(np.average(z_m[flat][chosen], weights=areas[flat][chosen]))


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
