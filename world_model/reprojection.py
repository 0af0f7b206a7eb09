"""The last depth image as it would look from where the body will be: geometry, nothing learned.

Every pixel is a point; the body moves, the points stay. What was hidden, out of sight or too near is left open.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from embodiments.spaces import CAMERA_SLICE, DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from world_model.image import without_holes
from world_model.local_planner.depth_to_obstacles import ray_slopes

_PIXELS = DEPTH_HEIGHT_PX * DEPTH_WIDTH_PX
_NEAREST_M = 0.02
_PARTS_PX = (-0.25, 0.25)
"""A pixel is moved in four parts, so that what comes nearer does not fall apart"""
_STEPS_PER_M = 1000
_NOTHING = torch.iinfo(torch.int64).max


class Reprojection(NamedTuple):
    """What of an image is seen from elsewhere."""

    depth_m: Tensor
    """(N, 40, 64) planar depth [m], 0 where the image does not tell"""
    source: Tensor
    """(N, 40, 64) int64: the image's pixel that is seen there, row by row; -1 where none is"""

    def moved(self, image: Tensor, otherwise: Tensor) -> Tensor:
        """Return what else is known of every pixel, (N, 40, 64), moved along; ``otherwise`` where nothing is seen."""
        there = image.flatten(1).gather(1, self.source.flatten(1).clip(min=0)).unflatten(1, image.shape[1:])
        return torch.where(self.source >= 0, there, otherwise)


def seen_from(depth_m: Tensor, motion: Tensor, descriptor: Tensor) -> Reprojection:
    """Return images as they would look after a motion of the body through a world at rest.

    Args:
        depth_m: (N, 40, 64) planar [m], 0 = invalid, ``DEPTH_RANGE_M`` = nothing within range, which stays so.
        motion: (N, 3) x, y [m] and yaw [rad] of the body afterwards, in its frame before.
        descriptor: (N, E), SI units: how far ahead the camera sits, and its pitch; it does not sway.
    """
    targets, depths = zip(
        *(_moved(depth_m, motion, descriptor, down, right) for down in _PARTS_PX for right in _PARTS_PX), strict=True
    )
    target, depth = torch.cat(targets, dim=1), torch.cat(depths, dim=1)  # (N, 4 * H * W); target H * W = nowhere
    pixel = torch.arange(_PIXELS, device=depth.device).repeat(len(targets))
    # One number that orders by depth first and tells the pixel: the nearest point hides the others.
    key = (depth * _STEPS_PER_M).long() * _PIXELS + pixel
    nearest = key.new_full((len(key), _PIXELS + 1), _NOTHING).scatter_reduce(1, target, key, reduce="amin")[:, :-1]
    seen = nearest < _NOTHING
    seen_depth = torch.where(seen, nearest // _PIXELS, 0).to(depth_m.dtype) / _STEPS_PER_M
    source = torch.where(seen, nearest % _PIXELS, -1)
    shape = (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
    return Reprojection(without_holes(seen_depth.unflatten(1, shape)[:, None])[:, 0], source.unflatten(1, shape))


def _moved(
    depth_m: Tensor, motion: Tensor, descriptor: Tensor, down_px: float, right_px: float
) -> tuple[Tensor, Tensor]:
    """Return to which pixel (N, H * W) a part of every pixel goes, and its planar depth [m] there."""
    mount_x, _, pitch = (descriptor[:, CAMERA_SLICE][:, i, None, None] for i in range(3))
    x_b, y_b, yaw = (motion[:, i, None, None] for i in range(3))
    left, up = ray_slopes(depth_m)
    left, up = left - right_px / DEPTH_FOCAL_PX, up - down_px / DEPTH_FOCAL_PX
    cos, sin = pitch.cos(), pitch.sin()
    x, y = mount_x + depth_m * (cos + sin * up) - x_b, depth_m * left - y_b
    height = depth_m * (cos * up - sin)  # above the camera
    x, y = yaw.cos() * x + yaw.sin() * y - mount_x, yaw.cos() * y - yaw.sin() * x
    ahead, upward = cos * x - sin * height, sin * x + cos * height
    valid = (depth_m > 0.0) & (ahead > _NEAREST_M)
    ahead = ahead.clip(min=_NEAREST_M)
    column = (DEPTH_WIDTH_PX / 2.0 - DEPTH_FOCAL_PX * y / ahead).floor()
    row = (DEPTH_HEIGHT_PX / 2.0 - DEPTH_FOCAL_PX * upward / ahead).floor()
    valid &= (column >= 0) & (column < DEPTH_WIDTH_PX) & (row >= 0) & (row < DEPTH_HEIGHT_PX)
    target = row.clip(0, DEPTH_HEIGHT_PX - 1) * DEPTH_WIDTH_PX + column.clip(0, DEPTH_WIDTH_PX - 1)
    far = depth_m >= DEPTH_RANGE_M
    ahead = torch.where(far, DEPTH_RANGE_M, ahead.clip(max=DEPTH_RANGE_M))
    return torch.where(valid, target, _PIXELS).long().flatten(1), ahead.flatten(1)
