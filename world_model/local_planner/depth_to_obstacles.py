"""Obstacles in a depth image, by geometry: points above the ground and not above the body.

Nothing here is learned: the camera's pose and the body's height come from the descriptor, so that every robot's camera
finds the same obstacles in the same place. Weights are continuous, so that runtimes which round differently agree.
"""

import torch
from torch import Tensor

from embodiments.spaces import (
    CAMERA_SLICE,
    DEPTH_FOCAL_PX,
    DEPTH_HEIGHT_PX,
    DEPTH_RANGE_M,
    DEPTH_WIDTH_PX,
    FOOTPRINT_SLICE,
    HEIGHT_LAYERS_M,
)
from world_model.local_planner.stand_in import kernel

LOW_M, LOW_PER_M = 0.04, 0.02
"""Least height of an obstacle, and its growth with distance: a walker's camera sways, and with it the ground."""
RAMP_M = 0.05
REACH_M = 1.0
"""A point counts by exp(-distance / reach)."""
EPSILON = 1e-3
BAND_M, BAND_PER_M = 0.1, 0.12
"""Half width of the band around the nominal ground in which the fit searches: a walker's camera sways."""
SIGHT_M = 4.5
"""Ground and obstacles further away are not entered into the costmap."""
FADE_M = 0.1
GROUND_REACH_M = 5.0
GROUND_NOISE_M, GROUND_NOISE_PER_M = 0.01, 0.01
PIXELS = 30.0
"""This many pixels count as one measurement: their errors are correlated."""
TILT = (0.03, 0.06, 0.06)
"""Usual deviation of a camera's height [m] and tilts [rad] from nominal."""
ROUNDS = 4


@kernel("world_model.local_planner.kernels.obstacles")
def obstacle_points(depth_m: Tensor, descriptor: Tensor) -> Tensor:
    """Return obstacle and ground of every image column, (B, 64, 6), in the body frame [m].

    x, y and the weight in [0, 1] of its most urgent obstacle, 0 where there is none; the distance from which on it sees
    the ground: nearer things may lie below the image; x, y of the farthest ground, up to ``SIGHT_M``.

    Args:
        depth_m: (B, 1, 40, 64) planar [m], 0 = invalid.
        descriptor: (B, E), SI units.
    """
    camera = descriptor[:, CAMERA_SLICE]
    mount_x, mount_z, pitch = (camera[:, i, None, None] for i in range(3))
    left, up = ray_slopes(depth_m)
    cos, sin = torch.cos(pitch), torch.sin(pitch)
    depth = depth_m[:, 0]  # (B, H, W)
    x, y = mount_x + depth * (cos + sin * up), depth * left
    z = mount_z + depth * (cos * up - sin)
    offset, ahead, aside = _ground(x, y, z, depth > 0.0)
    # The ground is level: an apparent slope is the camera's tilt, and everything is turned back by it.
    x, y, z = x + ahead * (z - mount_z), y + aside * (z - mount_z), z - offset - ahead * x - aside * y
    distance = (x.square() + y.square() + EPSILON).sqrt()
    above = (z - LOW_M - LOW_PER_M * distance) / RAMP_M
    below = (top_m(descriptor)[:, None, None] - z) / RAMP_M
    valid = depth > 0.0
    weight = torch.minimum(above, below).clip(0.0, 1.0) * (valid & (depth < DEPTH_RANGE_M)).to(depth.dtype)
    row = _urgency(x, y, weight).argmax(dim=1, keepdim=True)  # (B, 1, W)
    nearest = torch.where(valid, distance, DEPTH_RANGE_M).amin(dim=1)  # (B, W)
    chosen = [value.gather(1, row)[:, 0] for value in (x, y, weight)]
    # Ground seen over an obstacle does not show what is directly behind it.
    until = SIGHT_M + chosen[2] * (distance.gather(1, row)[:, 0].clip(max=SIGHT_M) - SIGHT_M)
    level = (1.0 - above).clip(0.0, 1.0) * ((until[:, None] - distance) / FADE_M).clip(0.0, 1.0) * valid.to(depth.dtype)
    last = (distance * level).argmax(dim=1, keepdim=True)
    ground = [(value * level).gather(1, last)[:, 0] for value in (x, y)]
    return torch.stack([*chosen, nearest, *ground], dim=-1)


def _ground(x: Tensor, y: Tensor, z: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit the ground z = offset + ahead * x + aside * y to the lowest points near it; return three (B, 1, 1).

    Robust least squares around the camera's nominal pose: nothing is below the ground, so points above the fit count
    less with every round.
    """
    distance = (x.square() + y.square() + EPSILON).sqrt()
    band = BAND_M + BAND_PER_M * distance
    near = ((GROUND_REACH_M - distance) / 1.0).clip(0.0, 1.0) * (2.0 - z.abs() / (0.5 * band)).clip(0.0, 1.0)
    trust = near * valid.to(z.dtype) / (GROUND_NOISE_M + GROUND_NOISE_PER_M * distance).square()
    flat = torch.stack([torch.ones_like(x), x, y], dim=1).flatten(2)  # (B, 3, H * W)
    height, noise = z.flatten(1), (GROUND_NOISE_M + GROUND_NOISE_PER_M * distance).flatten(1)
    prior = torch.diag(z.new_tensor(TILT).square().reciprocal())
    plane = z.new_zeros(z.shape[0], 3)
    for _ in range(ROUNDS):
        above = (height - (plane[:, :, None] * flat).sum(dim=1)).clip(min=0.0) / (2.0 * noise)
        weight = trust.flatten(1) / (1.0 + above.square()).square() / PIXELS
        weighted = flat * weight[:, None]
        plane = _solved(weighted @ flat.transpose(1, 2) + prior, (weighted * height[:, None]).sum(dim=2))
    offset, ahead, aside = plane[:, :, None, None].unbind(1)
    return offset, ahead, aside


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Solve symmetric (B, 3, 3) systems for (B, 3) by Cramer's rule; ONNX has no solver."""
    first, second, third = matrix.unbind(-1)
    cross = torch.linalg.cross(second, third)
    determinant = (first * cross).sum(dim=-1)
    parts = [cross, torch.linalg.cross(third, first), torch.linalg.cross(first, second)]
    return torch.stack([(right * part).sum(dim=-1) for part in parts], dim=-1) / determinant[:, None]


def _urgency(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return weight * torch.exp(-(x.square() + y.square() + EPSILON).sqrt() / REACH_M)


def ray_slopes(like: Tensor) -> tuple[Tensor, Tensor]:
    """Return left (1, 64) and up (40, 1) components of the pixels' rays, whose forward component is 1."""
    column = torch.arange(DEPTH_WIDTH_PX, dtype=like.dtype, device=like.device) + 0.5
    row = torch.arange(DEPTH_HEIGHT_PX, dtype=like.dtype, device=like.device) + 0.5
    left = (DEPTH_WIDTH_PX / 2.0 - column) / DEPTH_FOCAL_PX
    up = (DEPTH_HEIGHT_PX / 2.0 - row) / DEPTH_FOCAL_PX
    return left[None, :], up[:, None]


def top_m(descriptor: Tensor) -> Tensor:
    """Return the height (B,) up to which things are obstacles: the top of the highest layer of the footprint."""
    extents = descriptor[:, FOOTPRINT_SLICE].unflatten(-1, (len(HEIGHT_LAYERS_M), 3))  # front, rear, half width
    tops = extents.new_tensor([top for _, top in HEIGHT_LAYERS_M])
    return ((extents.amax(dim=-1) > EPSILON).to(tops.dtype) * tops).amax(dim=-1)
