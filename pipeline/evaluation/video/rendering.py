"""Pictures by ray casting: they need no display, no OpenGL and no graphics driver."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scenes.mesh import to_mesh
from scenes.raycasting import MeshRaycaster
from scenes.scene import FLOOR, WALL, Scene

SEMANTIC_COLOURS = np.asarray(
    [
        (0.88, 0.87, 0.84),  # floor
        (0.93, 0.92, 0.90),  # wall
        (0.36, 0.49, 0.66),  # rack
        (0.66, 0.49, 0.34),  # furniture
        (0.85, 0.66, 0.36),  # box
        (0.80, 0.40, 0.42),  # person
        (0.58, 0.60, 0.58),  # other
    ],
    dtype=np.float32,
)
"""(classes, 3) RGB of ``scenes.scene.SEMANTIC_CLASSES``."""
SKY = np.asarray((0.97, 0.98, 1.0), dtype=np.float32)
AMBIENT, SKYLIGHT, SUNLIGHT = 0.56, 0.22, 0.36
EDGE_CONTRAST = 0.03
"""Pixels that differ more than this from a neighbour are sampled again"""
_RAYS_AT_ONCE = 2_000_000
"""Bounds the memory"""
_SHADOW_OFFSET_M = 2e-3
"""Shadow rays start this far off the surface, so that it does not shade itself."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Coloured triangles in the world frame."""

    vertices_w_m: np.ndarray
    """(V, 3)"""
    triangles: np.ndarray
    """(F, 3)"""
    colours: np.ndarray
    """(F, 3) RGB in [0, 1]"""
    tiled: np.ndarray | None = None
    """(F,) bool: faces that show a 1 m checker, for scale and motion; None = none"""


@dataclass(frozen=True, kw_only=True)
class View:
    """A pinhole camera that looks at a point, upright."""

    eye_w_m: tuple[float, float, float]
    target_w_m: tuple[float, float, float]
    width_px: int
    height_px: int
    hfov_rad: float = 1.05
    sun_w: tuple[float, float, float] = (0.45, -0.35, 1.0)
    """Towards the sun, any length"""


def scene_surface(scene: Scene, *, wall_height_m: float | None = None) -> Surface:
    """Return a scene's triangles in the colours of their classes.

    Args:
        scene: The scene.
        wall_height_m: Cut walls off at this height, so that a camera sees over them; None keeps them whole. The walls
            of a scene that is a mesh stay whole.
    """
    mesh = to_mesh(scene if wall_height_m is None else _with_low_walls(scene, wall_height_m))
    return Surface(
        vertices_w_m=mesh.vertices_w_m,
        triangles=mesh.triangles,
        colours=SEMANTIC_COLOURS[mesh.semantic],
        tiled=mesh.semantic == FLOOR,
    )


def render(surfaces: Sequence[Surface], view: View) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 with sun, sky light and shadows, and smooth edges.

    Args:
        surfaces: What there is to see.
        view: The camera.
    """
    world = _World(surfaces, view)
    rows, columns = np.mgrid[: view.height_px, : view.width_px].astype(np.float32)
    image = world.look(rows, columns)
    edges = _edges(image)
    image[edges] = _mean_of_samples(world, rows[edges], columns[edges], per_side=2)
    return (image * 255.0 + 0.5).astype(np.uint8)


class _World:
    """Everything that is to be seen, and the camera."""

    def __init__(self, surfaces: Sequence[Surface], view: View) -> None:
        self._view = view
        self._surface = _merge(surfaces)
        self._caster = MeshRaycaster(self._surface.vertices_w_m, self._surface.triangles)
        self._sun_w = _unit(np.asarray(view.sun_w, dtype=np.float32)[None])[0]

    def look(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the colours (..., 3) at positions in the image [px]."""
        directions = _directions(self._view, rows, columns)
        rays = directions.reshape(-1, 3)
        parts = [self._colours(rays[i : i + _RAYS_AT_ONCE]) for i in range(0, len(rays), _RAYS_AT_ONCE)]
        return np.concatenate([np.zeros((0, 3), dtype=np.float32), *parts]).reshape(directions.shape)

    def _colours(self, rays: np.ndarray) -> np.ndarray:
        eye = np.asarray(self._view.eye_w_m, dtype=np.float32)
        distance, triangle = self._caster.cast(eye, rays)
        hit = triangle >= 0
        colours = np.broadcast_to(SKY, rays.shape).copy()
        colours[hit] = self._shade(eye + distance[hit, None] * rays[hit], rays[hit], triangle[hit])
        return colours

    def _shade(self, point_w_m: np.ndarray, rays: np.ndarray, triangle: np.ndarray) -> np.ndarray:
        surface = self._surface
        corners = surface.vertices_w_m[surface.triangles[triangle]]  # (N, 3, 3)
        normal = _unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
        normal *= -np.sign((normal * rays).sum(axis=1, keepdims=True))  # face the eye, whatever the winding
        origin = point_w_m + _SHADOW_OFFSET_M * normal
        _, blocker = self._caster.cast(origin, np.broadcast_to(self._sun_w, rays.shape))
        lit = (normal @ self._sun_w).clip(min=0.0) * (blocker < 0)
        light = (AMBIENT + SKYLIGHT * (0.5 + 0.5 * normal[:, 2])) + SUNLIGHT * lit
        colour = surface.colours[triangle]
        if surface.tiled is not None:
            odd = (np.floor(point_w_m[:, 0]) + np.floor(point_w_m[:, 1])) % 2 == 1
            colour = colour * np.where(surface.tiled[triangle] & odd, 0.94, 1.0)[:, None]
        return (colour * light[:, None]).clip(0.0, 1.0)


def _mean_of_samples(world: _World, rows: np.ndarray, columns: np.ndarray, *, per_side: int) -> np.ndarray:
    """Return the mean colours (..., 3) of a grid of samples inside each pixel."""
    offsets = (np.arange(per_side, dtype=np.float32) + 0.5) / per_side - 0.5
    samples = [world.look(rows + down, columns + right) for down in offsets for right in offsets]
    mean: np.ndarray = np.mean(samples, axis=0)
    return mean


def _edges(image: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: pixels whose colour differs from the one below or to the right, and those."""
    edges = np.zeros(image.shape[:2], dtype=bool)
    down = np.abs(np.diff(image, axis=0)).max(axis=2) > EDGE_CONTRAST
    right = np.abs(np.diff(image, axis=1)).max(axis=2) > EDGE_CONTRAST
    edges[:-1] |= down
    edges[1:] |= down
    edges[:, :-1] |= right
    edges[:, 1:] |= right
    return edges


def _with_low_walls(scene: Scene, height_m: float) -> Scene:
    solids = [
        solid if solid.semantic != WALL else replace(solid, z_max_m=min(solid.z_max_m, height_m))
        for solid in scene.solids
        if solid.semantic != WALL or solid.z_min_m < height_m
    ]
    return replace(scene, solids=tuple(solids))


def _merge(surfaces: Sequence[Surface]) -> Surface:
    first = np.cumsum([0] + [len(s.vertices_w_m) for s in surfaces])
    tiled = [np.zeros(len(s.triangles), dtype=bool) if s.tiled is None else s.tiled for s in surfaces]
    triangles = [s.triangles + n for s, n in zip(surfaces, first[:-1], strict=True)]
    return Surface(
        vertices_w_m=np.concatenate([s.vertices_w_m for s in surfaces]).astype(np.float32),
        triangles=np.concatenate(triangles).astype(np.uint32),
        colours=np.concatenate([s.colours for s in surfaces]).astype(np.float32),
        tiled=np.concatenate(tiled),
    )


def _directions(view: View, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return (..., 3) ray directions in the world frame through positions in the image [px]."""
    forward = np.subtract(view.target_w_m, view.eye_w_m)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    focal_px = view.width_px / 2.0 / np.tan(view.hfov_rad / 2.0)
    across = (columns + 0.5 - view.width_px / 2.0) / focal_px
    along = (rows + 0.5 - view.height_px / 2.0) / focal_px
    rays = forward + across[..., None] * right + along[..., None] * down
    return rays.astype(np.float32)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    return vectors / lengths
