"""The canonical depth image of every body: one upright pinhole; pixels that the real sensor does not see are 0."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from embodiments.embodiment import Embodiment
from embodiments.spaces import (
    CAMERA_FIELDS,
    DEPTH_HEIGHT_PX,
    DEPTH_RANGE_M,
    DEPTH_WIDTH_PX,
)
from pipeline.simulation.physics.robot_model import neutral_mesh, standing_height_m
from pipeline.simulation.sensors.depth_noise import DepthNoise, add_flying_pixels, add_noise
from pipeline.simulation.sensors.ray_caster import RayCaster
from scenes.raycasting import cast_mesh
from scenes.scene import OTHER, PERSON
from world_model.local_planner.depth_to_obstacles import ray_slopes

CARRIER_DISTANCE_M = 0.05
"""A link that appears nearer than this is the one that the camera is built into."""


Cast = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Origins (B, 3) and directions (B, ..., 3) of rays to distances (B, ...) in units of the directions' own lengths"""


class BodyState(Protocol):
    """What the camera needs of the physics."""

    embodiment: Embodiment
    num_envs: int
    device: torch.device

    @property
    def position_w(self) -> torch.Tensor:
        """(B, 3) position of the base link [m]."""

    @property
    def quat_wxyz_w(self) -> torch.Tensor:
        """(B, 4) orientation of the base link, w first."""


class DepthCamera:
    """Renders all environments at once; the mount is a tensor, so that each may have another camera."""

    def __init__(
        self,
        raycaster: RayCaster,
        physics: BodyState,
        *,
        noise: DepthNoise | None = None,
        noise_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        """Compute the mask of the robot's own body once, from its nominal mount.

        Args:
            noise: Sensor noise; nominal if not given.
            noise_scale: Factor on it; 0 renders without noise.
        """
        self._raycaster = raycaster
        self._physics = physics
        self._noise = noise if noise is not None else DepthNoise()
        self._noise_scale = noise_scale
        self._generator = torch.Generator(device=physics.device).manual_seed(seed)
        self._loss_generator = torch.Generator(device=physics.device).manual_seed(seed)
        self.noise_factor: torch.Tensor | None = None
        """(B,) extra factor on the noise, per environment"""
        self.dropout: torch.Tensor | None = None
        """(B,) extra fraction of lost pixels, per environment"""
        self.flying: torch.Tensor | None = None
        """(B,) fraction of the pixels at edges that fly, per environment"""
        self._base_height_m = standing_height_m(physics.embodiment)
        self._rays_c = pixel_rays().to(physics.device)  # (H, W, 3)
        self.self_mask = torch.as_tensor(own_body_mask(physics.embodiment), device=physics.device)
        """(H, W) bool: pixels in which the robot sees itself."""
        shape = (physics.num_envs, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
        self._blank = torch.zeros(shape, device=physics.device)
        self._unknown = torch.full(shape, OTHER, dtype=torch.uint8, device=physics.device)

    def set_raycaster(self, raycaster: RayCaster) -> None:
        """Render the scenes of another ray caster from now on."""
        self._raycaster = raycaster

    def reseed(self, seed: int) -> None:
        """Restart the noise as in a camera just built with this seed."""
        self._generator.manual_seed(seed)
        self._loss_generator.manual_seed(seed)

    def blank_images(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images as ``render`` does, all invalid."""
        return self._blank[:, None].clone(), self._unknown

    def render(
        self, camera: torch.Tensor, scene_index: torch.Tensor, *, own_body: bool = True, person: Cast | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Render the cameras at the bodies' current poses.

        Args:
            camera: (B, 7) mount and sensor, laid out as ``spaces.CAMERA_FIELDS``.
            scene_index: (B,) int64.
            own_body: Whether the robot's own body occludes; False for a camera that the robot does not have.
            person: Casts rays, in the scenes' world frames, against a person who is not part of the scenes.

        Returns:
            depth (B, 1, H, W) planar [m], see ``sense``; semantic class (B, H, W) uint8, ``OTHER`` where nothing was
            hit and outside of every sensor's view.
        """
        base_to_world = rotation_matrices(self._physics.quat_wxyz_w)  # (B, 3, 3)
        x_m, z_m, pitch_rad = camera[:, 0], camera[:, 1], camera[:, 2]
        mount_b = torch.stack([x_m, torch.zeros_like(x_m), z_m - self._base_height_m], dim=-1)  # (B, 3)
        origin_w = self._physics.position_w + (base_to_world @ mount_b[:, :, None])[..., 0]
        camera_to_world = base_to_world @ pitch_matrices(pitch_rad)
        # Cast only where a sensor sees: TIAGo's view covers two fifths of the canonical image.
        rows, columns = _window(camera, self._rays_c)
        rays_c = self._rays_c[rows, columns]
        directions_w = torch.einsum("bij,hwj->bhwi", camera_to_world, rays_c)  # (B, h, w, 3)
        planar_m, hit_class = self._raycaster.cast(scene_index, origin_w, directions_w)
        if person is not None:
            person_m = person(origin_w, directions_w)
            hit_class = torch.where(person_m < planar_m, PERSON, hit_class)
            planar_m = torch.minimum(person_m, planar_m)
        seen_m = sense(planar_m, camera, rays_c)
        if own_body:
            seen_m = seen_m.masked_fill(self.self_mask[rows, columns], 0.0)
        seen_m = self._degraded(seen_m)
        depth_m, semantic = self._blank.clone(), self._unknown.clone()
        depth_m[:, rows, columns] = seen_m
        semantic[:, rows, columns] = hit_class
        return depth_m[:, None], semantic

    def _degraded(self, depth_m: torch.Tensor) -> torch.Tensor:
        """Return depth (B, h, w) with the sensor's noise and losses."""
        if self.flying is not None and bool(self.flying.any()):
            depth_m = add_flying_pixels(depth_m, rate=self.flying[:, None, None], generator=self._loss_generator)
        if self._noise_scale > 0.0:
            factor = 1.0 if self.noise_factor is None else self.noise_factor[:, None, None]
            scale = self._noise_scale * factor
            depth_m = add_noise(depth_m, noise=self._noise, generator=self._generator, scale=scale)
        if self.dropout is not None:
            lost = torch.rand(depth_m.shape, generator=self._loss_generator, device=depth_m.device)
            depth_m = torch.where(lost < self.dropout[:, None, None], 0.0, depth_m)
        return depth_m


def pixel_rays() -> torch.Tensor:
    """Return (H, W, 3) rays through the pixel centres: x along the optical axis and 1, y left, z up."""
    left, up = torch.broadcast_tensors(*ray_slopes(torch.zeros(0)))
    return torch.stack([torch.ones_like(left), left, up], dim=-1)


def sense(planar_m: torch.Tensor, camera: torch.Tensor, rays_c: torch.Tensor) -> torch.Tensor:
    """Apply the limited range and field of view of a sensor to exact planar depth, without noise.

    Args:
        planar_m: (B, H, W) along the optical axis [m], inf on a miss.
        camera: (B, 7) laid out as ``spaces.CAMERA_FIELDS``.
        rays_c: (H, W, 3) from ``pixel_rays``, or a part of it.

    Returns:
        (B, H, W) [m]: ``DEPTH_RANGE_M`` beyond the sensor's range; 0 below its least distance and outside its view.
    """
    nearest, farthest = (_field(camera, f"camera_{name}_range_m")[:, None, None] for name in ("min", "max"))
    beyond = planar_m > farthest.clamp(max=DEPTH_RANGE_M)
    depth_m = torch.where(beyond, DEPTH_RANGE_M, planar_m)
    return torch.where(_in_view(camera, rays_c) & (planar_m >= nearest), depth_m, 0.0)


def _field(camera: torch.Tensor, name: str) -> torch.Tensor:
    return camera[:, CAMERA_FIELDS.index(name)]


def _in_view(camera: torch.Tensor, rays_c: torch.Tensor) -> torch.Tensor:
    """Return (B, H, W) bool: pixels inside the sensors' real fields of view."""
    half_width, half_height = (
        torch.tan(_field(camera, f"camera_{name}_rad") / 2.0)[:, None, None] for name in ("hfov", "vfov")
    )
    return (rays_c[..., 1].abs() <= half_width) & (rays_c[..., 2].abs() <= half_height)


def _window(camera: torch.Tensor, rays_c: torch.Tensor) -> tuple[slice, slice]:
    """Return the smallest window of rows and columns that contains every sensor's view."""
    widest = camera.amax(dim=0, keepdim=True)
    view = _in_view(widest, rays_c)[0].cpu()
    rows, columns = view.any(dim=1).nonzero(), view.any(dim=0).nonzero()
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def own_body_mask(embodiment: Embodiment) -> np.ndarray:
    """Return (H, W) bool: pixels in which the nominal camera sees the robot in its standing or stowed posture.

    The link that carries the camera does not count.
    """
    mesh, camera = neutral_mesh(embodiment), embodiment.camera
    origin_b = np.asarray([camera.x_m, 0.0, camera.z_m])
    directions = (pixel_rays() @ pitch_matrices(torch.tensor([camera.pitch_rad]))[0].T).numpy()
    triangles, owner = mesh.triangles, mesh.triangle_link
    while True:  # a camera may sit in several nested shells
        distance, triangle = cast_mesh(mesh.vertices_b, triangles, origin_b, directions)
        carriers = np.unique(owner[triangle[distance < CARRIER_DISTANCE_M]])
        if not carriers.size:
            return np.isfinite(distance)
        others = ~np.isin(owner, carriers)
        triangles, owner = triangles[others], owner[others]


def pitch_matrices(pitch_rad: torch.Tensor) -> torch.Tensor:
    """Return (B, 3, 3) rotations from a camera's frame to its base: positive (B,) pitch looks down."""
    cos, sin = torch.cos(pitch_rad), torch.sin(pitch_rad)
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    rows = [torch.stack(row, dim=-1) for row in ((cos, zero, sin), (zero, one, zero), (-sin, zero, cos))]
    return torch.stack(rows, dim=-2)


def rotation_matrices(quat_wxyz: torch.Tensor) -> torch.Tensor:
    """Return (B, 3, 3) rotations from the frame of unit quaternions (B, 4) to the world."""
    w, x, y, z = quat_wxyz.unbind(dim=-1)
    rows = (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
