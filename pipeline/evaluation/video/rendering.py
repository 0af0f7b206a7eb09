"""Pictures by casting rays: works on any machine, without a display, OpenGL or a graphics driver."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes.mesh import to_mesh
from scenes.raycasting import cast_mesh
from scenes.scene import FLOOR, Scene

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
AMBIENT, SKYLIGHT, SUNLIGHT = 0.50, 0.22, 0.45
SUN_SPREAD = 0.04
"""Radius of the sun's disc for soft shadows, as a tangent"""
CROWDED_M = 0.7
"""Surfaces nearer than this keep the sky's light from each other."""
SKY_RAYS = 4
"""Rays per sample that look for such surfaces"""
_CHUNK = 2_000_000
"""Rays at once, which bounds the memory"""
_LIFT_M = 2e-3
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


def scene_surface(scene: Scene) -> Surface:
    """Return a scene's triangles in the colours of their classes."""
    mesh = to_mesh(scene)
    return Surface(
        vertices_w_m=mesh.vertices_w_m,
        triangles=mesh.triangles,
        colours=SEMANTIC_COLOURS[mesh.semantic],
        tiled=mesh.semantic == FLOOR,
    )


def render(surfaces: Sequence[Surface], view: View, *, supersample: int = 2, soft: bool = False) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 with sun, sky light and shadows.

    Args:
        surfaces: What there is to see.
        supersample: Rays per pixel along each side; more is smoother.
        soft: Soft shadows and darker corners, from random rays; grainy below 3 rays per side.
    """
    world = _merge(surfaces)
    directions = _directions(view, supersample=supersample)  # (h, w, 3)
    rng = np.random.default_rng(0) if soft else None
    rays = directions.reshape(-1, 3)
    image = np.concatenate([_look(world, view, rays[i : i + _CHUNK], rng) for i in range(0, len(rays), _CHUNK)])
    return _downsample(image.reshape(directions.shape), supersample)


def _look(world: Surface, view: View, rays: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """Return the colours (N, 3) that rays (N, 3) from the eye meet."""
    eye = np.asarray(view.eye_w_m, dtype=np.float32)
    distance, triangle = cast_mesh(world.vertices_w_m, world.triangles, eye, rays)
    hit = triangle >= 0
    colours = np.broadcast_to(SKY, rays.shape).copy()
    point_w_m = eye + distance[hit, None] * rays[hit]
    colours[hit] = _shade(world, point_w_m, rays[hit], triangle[hit], _unit(np.asarray(view.sun_w)[None])[0], rng)
    return colours


def _shade(
    world: Surface,
    point_w_m: np.ndarray,
    rays: np.ndarray,
    triangle: np.ndarray,
    sun_w: np.ndarray,
    rng: np.random.Generator | None,
) -> np.ndarray:
    corners = world.vertices_w_m[world.triangles[triangle]]  # (N, 3, 3)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(min=1e-12)
    normal *= -np.sign((normal * rays).sum(axis=1, keepdims=True))  # face the eye, whatever the winding
    origin = point_w_m + _LIFT_M * normal
    towards_sun, sky = np.broadcast_to(sun_w, rays.shape), np.ones(len(rays))
    if rng is not None:
        towards_sun = towards_sun + SUN_SPREAD * rng.normal(size=rays.shape)
        sky = np.mean([_openness(world, origin, normal, rng) for _ in range(SKY_RAYS)], axis=0)
    _, blocker = cast_mesh(world.vertices_w_m, world.triangles, origin, towards_sun)
    lit = (normal @ sun_w).clip(min=0.0) * (blocker < 0)
    light = (AMBIENT + SKYLIGHT * (0.5 + 0.5 * normal[:, 2])) * (0.45 + 0.55 * sky) + SUNLIGHT * lit
    colour = world.colours[triangle].astype(np.float32)
    if world.tiled is not None:
        odd = (np.floor(point_w_m[:, 0]) + np.floor(point_w_m[:, 1])) % 2 == 1
        colour = colour * np.where(world.tiled[triangle] & odd, 0.94, 1.0)[:, None]
    return (colour * light[:, None]).clip(0.0, 1.0)


def _openness(world: Surface, origin: np.ndarray, normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (N,) how far a random ray gets, 1 from ``CROWDED_M`` on; cosine-distributed about the normal."""
    scattered = normal + _unit(rng.normal(size=normal.shape))
    nearest, _ = cast_mesh(world.vertices_w_m, world.triangles, origin, _unit(scattered))
    return np.clip(nearest / CROWDED_M, 0.0, 1.0)


def _merge(surfaces: Sequence[Surface]) -> Surface:
    first = np.cumsum([0] + [len(s.vertices_w_m) for s in surfaces])
    tiled = [np.zeros(len(s.triangles), dtype=bool) if s.tiled is None else s.tiled for s in surfaces]
    return Surface(
        vertices_w_m=np.concatenate([s.vertices_w_m for s in surfaces]).astype(np.float32),
        triangles=np.concatenate([s.triangles + n for s, n in zip(surfaces, first[:-1], strict=True)]).astype(
            np.uint32
        ),
        colours=np.concatenate([s.colours for s in surfaces]).astype(np.float32),
        tiled=np.concatenate(tiled),
    )


def _directions(view: View, *, supersample: int) -> np.ndarray:
    """Return (h, w, 3) ray directions in the world frame, one per sample."""
    forward = np.subtract(view.target_w_m, view.eye_w_m)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    width, height = view.width_px * supersample, view.height_px * supersample
    focal = width / 2.0 / np.tan(view.hfov_rad / 2.0)
    across = (np.arange(width) + 0.5 - width / 2.0) / focal
    along = (np.arange(height) + 0.5 - height / 2.0) / focal
    rays = forward + across[None, :, None] * right + along[:, None, None] * down
    return rays.astype(np.float32)


def _downsample(image: np.ndarray, factor: int) -> np.ndarray:
    height, width, _ = image.shape
    blocks = image.reshape(height // factor, factor, width // factor, factor, 3)
    return (blocks.mean(axis=(1, 3)) * 255.0 + 0.5).astype(np.uint8)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-9)
    return vectors / lengths
