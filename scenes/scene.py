"""A scene: solids, or triangles, on flat ground, with semantic classes and whether the known map shows them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

SEMANTIC_CLASSES = ("floor", "wall", "rack", "furniture", "box", "person", "other")
FLOOR, WALL, RACK, FURNITURE, BOX, PERSON, OTHER = range(len(SEMANTIC_CLASSES))


@dataclass(frozen=True, kw_only=True)
class Solid:
    """An upright prism: a convex polygon, counter-clockwise, extruded from ``z_min_m`` to ``z_max_m``."""

    polygon_xy_w_m: tuple[tuple[float, float], ...]
    z_min_m: float
    z_max_m: float
    semantic: int
    known: bool
    """Whether the known map shows it: walls, racks and fixed furniture, but no boxes, clutter or people."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """Triangles of a scene."""

    vertices_w_m: np.ndarray
    """(V, 3) float32"""
    triangles: np.ndarray
    """(F, 3) uint32"""
    semantic: np.ndarray
    """(F,) uint8, index into ``SEMANTIC_CLASSES``"""
    known: np.ndarray
    """(F,) bool"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What stands on the ground plane z = 0 inside a closed rectangle."""

    name: str
    """``kind/split/index`` or the path of a map or mesh."""
    kind: str
    solids: tuple[Solid, ...]
    extent_w_m: tuple[float, float, float, float]
    """x_min, y_min, x_max, y_max; nothing outside of it can be reached."""
    mesh: Mesh | None = None
    """Triangles in place of solids, for what comes from a mesh file"""
    map_only: tuple[Solid, ...] = ()
    """What the known map shows although it no longer stands there"""
    remarks: tuple[str, ...] = ()
    """Lines for the user on how a file was read"""


def content_key(scene: Scene) -> str:
    """Return 32 hexadecimal digits that two scenes have in common if they hold the same, whatever their names.

    A map's wall height and the remarks do not count.
    """
    digest = hashlib.blake2b(np.asarray(scene.extent_w_m).tobytes(), digest_size=16)
    for solid in scene.solids:
        heights = () if scene.kind == "map" else (solid.z_min_m, solid.z_max_m)
        digest.update(np.asarray([*np.ravel(solid.polygon_xy_w_m), *heights, solid.semantic, solid.known]).tobytes())
    if scene.mesh is not None:
        for values in (scene.mesh.vertices_w_m, scene.mesh.triangles, scene.mesh.semantic, scene.mesh.known):
            digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def box(
    *,
    centre_xy_w_m: Sequence[float],
    size_m: Sequence[float],
    yaw_rad: float,
    z_min_m: float,
    semantic: int,
    known: bool,
) -> Solid:
    """Return an upright box.

    Args:
        centre_xy_w_m: x, y of the centre.
        size_m: length along the box's own x, width along its y, height.
        yaw_rad: rotation about z.
    """
    half = np.asarray(size_m[:2]) / 2.0
    corners = np.asarray([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * half
    rotation = np.asarray([[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]])
    polygon = corners @ rotation.T + np.asarray(centre_xy_w_m)
    return Solid(
        polygon_xy_w_m=tuple((float(x), float(y)) for x, y in polygon),
        z_min_m=z_min_m,
        z_max_m=z_min_m + size_m[2],
        semantic=semantic,
        known=known,
    )


def cylinder(
    *, centre_xy_w_m: Sequence[float], radius_m: float, height_m: float, semantic: int, known: bool, sides: int = 12
) -> Solid:
    """Return an upright prism of ``sides`` sides around a cylinder's axis, standing on the ground."""
    angles = np.linspace(0.0, 2.0 * np.pi, sides, endpoint=False)
    polygon = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius_m + np.asarray(centre_xy_w_m)
    return Solid(
        polygon_xy_w_m=tuple((float(x), float(y)) for x, y in polygon),
        z_min_m=0.0,
        z_max_m=height_m,
        semantic=semantic,
        known=known,
    )


def moved(solid: Solid, xy_m: Sequence[float], yaw_rad: float) -> Solid:
    """Return a solid turned about the origin by ``yaw_rad``, then shifted by ``xy_m``."""
    cos, sin = float(np.cos(yaw_rad)), float(np.sin(yaw_rad))
    x, y = float(xy_m[0]), float(xy_m[1])
    polygon = tuple((cos * px - sin * py + x, sin * px + cos * py + y) for px, py in solid.polygon_xy_w_m)
    return replace(solid, polygon_xy_w_m=polygon)
