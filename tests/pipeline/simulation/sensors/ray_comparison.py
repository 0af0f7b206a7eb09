"""The rays of depth cameras in scenes of every kind, by two casters."""

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.simulation.sensors.depth_camera import pitch_matrices, pixel_rays, rotation_matrices
from pipeline.simulation.sensors.ray_caster import RayCaster
from scenes import registry
from scenes.scene import Scene

TOLERANCE_M = 1e-3
"""Largest difference of two distances: a tenth of the sensor noise at 2 m"""


@dataclass(frozen=True, kw_only=True)
class Rays:
    """Cameras of 40 x 64 rays, several per scene, at random places, headings and pitches."""

    scene_index: torch.Tensor
    origin_w_m: torch.Tensor
    directions_w: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two casters differ; fractions of all rays."""

    rays: int
    hits: float
    """Fraction of rays that hit something"""
    missed: float
    """One hits and the other does not."""
    apart: float
    """Both hit, at distances that differ by more than ``TOLERANCE_M``."""
    other_class: float
    """The distance is the same, the semantic class is not."""
    largest_m: float
    """Largest difference of two distances where both hit"""


def scenes(*, per_kind: int, split: str = "train") -> list[Scene]:
    """Return generated scenes of every kind."""
    return [registry.generate(kind, split=split, index=n) for kind in registry.names() for n in range(per_kind)]


def rays(of: list[Scene], *, cameras: int, seed: int) -> Rays:
    """Return rays of cameras as robots carry them; some look exactly along an axis."""
    rng = np.random.default_rng(seed)
    index = np.arange(cameras) % len(of)
    extent = np.asarray([scene.extent_w_m for scene in of])[index]
    xy = rng.uniform(extent[:, :2], extent[:, 2:])
    origin = torch.from_numpy(np.column_stack([xy, rng.uniform(0.2, 1.4, cameras)]).astype(np.float32))
    yaw = torch.from_numpy(rng.uniform(-np.pi, np.pi, cameras).astype(np.float32))
    pitch = torch.from_numpy(rng.uniform(-0.2, 0.8, cameras).astype(np.float32))
    yaw[::8], pitch[::8] = 0.0, 0.0
    zero = torch.zeros_like(yaw)
    to_world = rotation_matrices(torch.stack([(yaw / 2).cos(), zero, zero, (yaw / 2).sin()], dim=-1))
    directions = torch.einsum("bij,hwj->bhwi", to_world @ pitch_matrices(pitch), pixel_rays())
    directions[::16, :, :32, 1] = 0.0
    return Rays(scene_index=torch.from_numpy(index), origin_w_m=origin, directions_w=directions)


def difference(one: RayCaster, other: RayCaster, asked: Rays, *, device: str = "cpu") -> Difference:
    """Cast the same rays by both; the other's on a device."""
    distance, semantic = one.cast(asked.scene_index, asked.origin_w_m, asked.directions_w)
    moved = (values.to(device) for values in (asked.scene_index, asked.origin_w_m, asked.directions_w))
    found_distance, found_semantic = (values.cpu() for values in other.cast(*moved))
    hit, found = distance.isfinite(), found_distance.isfinite()
    both = hit & found
    off = torch.where(both, (distance - found_distance).abs(), 0.0)
    count = distance.numel()
    return Difference(
        rays=count,
        hits=float(hit.float().mean()),
        missed=int((hit != found).sum()) / count,
        apart=int((off > TOLERANCE_M).sum()) / count,
        other_class=int(((semantic != found_semantic) & (off <= TOLERANCE_M) & (hit == found)).sum()) / count,
        largest_m=float(off.max()),
    )
