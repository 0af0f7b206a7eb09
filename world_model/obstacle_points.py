"""Obstacles in a depth image, by geometry: what stands on the ground and is not higher than the body.

Nothing here is learned: the camera's pose and the body's height come from the descriptor, so that every robot's
camera tells the same about the same place. Weights are continuous: runtimes that round differently answer the same.
"""

import torch
from torch import Tensor

from embodiments.spaces import (
    CAMERA_SLICE,
    DEPTH_FOCAL_PX,
    DEPTH_HEIGHT_PX,
    DEPTH_RANGE_M,
    DEPTH_WIDTH_PX,
    OUTLINE_SLICE,
    SLABS_M,
)

_LOW_M, _LOW_PER_M = 0.04, 0.02
"""Least height of an obstacle, and how it grows with the distance: a walker's camera sways, and with it the ground."""
_RAMP_M = 0.05
_REACH_M = 1.0
"""A point counts by exp(-distance / reach)."""
_EPSILON = 1e-3


def obstacle_points(depth_m: Tensor, embodiment: Tensor) -> Tensor:
    """Return the most pressing obstacle of every image column, (B, 64, 4): x, y [m] in the body frame, and two more.

    The third is its weight in [0, 1]; 0 is no obstacle. The fourth is the horizontal distance [m] from which on the
    column sees the ground: what stands nearer may have sunk below the image.

    Args:
        depth_m: (B, 1, 40, 64) planar [m], 0 = invalid.
        embodiment: (B, E) descriptor, SI units.
    """
    camera = embodiment[:, CAMERA_SLICE]
    mount_x, mount_z, pitch = (camera[:, i, None, None] for i in range(3))
    left, up = _rays(depth_m)
    cos, sin = torch.cos(pitch), torch.sin(pitch)
    depth = depth_m[:, 0]  # (B, H, W)
    x, y = mount_x + depth * (cos + sin * up), depth * left
    z = mount_z + depth * (cos * up - sin)
    distance = (x.square() + y.square() + _EPSILON).sqrt()
    above = (z - _LOW_M - _LOW_PER_M * distance) / _RAMP_M
    below = (_top_m(embodiment)[:, None, None] - z) / _RAMP_M
    valid = depth > 0.0
    weight = torch.minimum(above, below).clip(0.0, 1.0) * (valid & (depth < DEPTH_RANGE_M)).to(depth.dtype)
    row = _pressing(x, y, weight).argmax(dim=1, keepdim=True)  # (B, 1, W)
    nearest = torch.where(valid, distance, DEPTH_RANGE_M).amin(dim=1)  # (B, W)
    chosen = [value.gather(1, row)[:, 0] for value in (x, y, weight)]
    return torch.stack([*chosen, nearest], dim=-1)


def _pressing(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return weight * torch.exp(-(x.square() + y.square() + _EPSILON).sqrt() / _REACH_M)


def _rays(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return left (1, 64) and up (40, 1) components of the pixels' rays, whose forward component is 1."""
    column = torch.arange(DEPTH_WIDTH_PX, dtype=like.dtype, device=like.device) + 0.5
    row = torch.arange(DEPTH_HEIGHT_PX, dtype=like.dtype, device=like.device) + 0.5
    left = (DEPTH_WIDTH_PX / 2.0 - column) / DEPTH_FOCAL_PX
    up = (DEPTH_HEIGHT_PX / 2.0 - row) / DEPTH_FOCAL_PX
    return left[None, :], up[:, None]


def _top_m(embodiment: Tensor) -> Tensor:
    """Return the height (B,) up to which things are in the body's way: the top of the highest slab it reaches into."""
    extents = embodiment[:, OUTLINE_SLICE].unflatten(-1, (len(SLABS_M), 3))  # front, rear, half width
    tops = extents.new_tensor([top for _, top in SLABS_M])
    return ((extents.amax(dim=-1) > _EPSILON).to(tops.dtype) * tops).amax(dim=-1)
