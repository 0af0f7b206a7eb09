"""From a depth image of any size to the canonical one that a policy sees. No vendor package is needed."""

import math
from typing import NamedTuple

import numpy as np

from embodiments.embodiment import DepthCamera
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX

VIEW_TOLERANCE = 0.06
"""Fraction by which the field of view may differ: D435i of one type differ by 3 degrees."""
WINDOW = 0.4
"""Of the source pixels that a canonical pixel spans the middle ones are used, by this ratio: 5 x 5 of 12 x 12."""


class Pinhole(NamedTuple):
    """Intrinsics of a depth image [px]; pixel centres lie at integers, as RealSense and ROS count them."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float


def canonical_depth(image_m: np.ndarray, pinhole: Pinhole, *, camera: DepthCamera) -> np.ndarray:
    """Return the canonical image of ``embodiments.spaces`` that an upright depth image holds.

    Each canonical pixel is the lower median of the valid readings around its ray: one that was really measured, never a
    mean over a depth edge. It is 0 where less than half of them are valid, outside the image, outside the embodiment's
    field of view and below its least distance.

    Args:
        image_m: (H, W) planar depth [m], upright, 0 = invalid.
        pinhole: Its intrinsics.
        camera: The camera that the policy was trained for.

    Returns:
        (40, 64) float32 [m], at most ``DEPTH_RANGE_M``.

    Raises:
        ValueError: If the field of view is not that of ``camera``.
    """
    check_view(image_m.shape, pinhole, camera=camera)
    right = (np.arange(DEPTH_WIDTH_PX) + 0.5 - DEPTH_WIDTH_PX / 2.0) / DEPTH_FOCAL_PX  # slopes over the optical axis
    down = (np.arange(DEPTH_HEIGHT_PX) + 0.5 - DEPTH_HEIGHT_PX / 2.0) / DEPTH_FOCAL_PX
    row, row_seen = _source_pixels(down, pinhole.fy_px, pinhole.cy_px, size=image_m.shape[0], fov_rad=camera.vfov_rad)
    column, column_seen = _source_pixels(
        right, pinhole.fx_px, pinhole.cx_px, size=image_m.shape[1], fov_rad=camera.hfov_rad
    )
    around = image_m[row[:, None, :, None], column[None, :, None, :]]  # (40, 64, K, K)
    depth_m = _lower_median(around.reshape(DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX, -1))
    depth_m[depth_m > min(camera.max_range_m, DEPTH_RANGE_M)] = DEPTH_RANGE_M
    seen = row_seen[:, None] & column_seen & (depth_m >= camera.min_range_m)
    return np.where(seen, depth_m, 0.0).astype(np.float32)


def check_view(shape: tuple[int, ...], pinhole: Pinhole, *, camera: DepthCamera) -> None:
    """Refuse a camera that sees wider or narrower than the policy's.

    Args:
        shape: (H, W) of the upright image.

    Raises:
        ValueError: With what was found and what was expected.
    """
    high = math.atan2(pinhole.cy_px + 0.5, pinhole.fy_px) + math.atan2(shape[0] - 0.5 - pinhole.cy_px, pinhole.fy_px)
    wide = math.atan2(pinhole.cx_px + 0.5, pinhole.fx_px) + math.atan2(shape[1] - 0.5 - pinhole.cx_px, pinhole.fx_px)
    for name, found, expected in (("wide", wide, camera.hfov_rad), ("high", high, camera.vfov_rad)):
        if not abs(found / expected - 1.0) <= VIEW_TOLERANCE:
            degrees = math.degrees(found), math.degrees(expected)
            raise ValueError(f"the upright depth image is {degrees[0]:.0f} degrees {name}, expected {degrees[1]:.0f}")


def _source_pixels(
    slope: np.ndarray, focal_px: float, centre_px: float, *, size: int, fov_rad: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the source pixels (N, K) around rays along one axis, and (N,) whether the camera sees the ray."""
    middle = np.rint(focal_px * slope + centre_px).astype(np.int64)
    seen = (middle >= 0) & (middle < size) & (np.abs(slope) <= math.tan(fov_rad / 2.0))
    reach_px = int(WINDOW / 2.0 * focal_px / DEPTH_FOCAL_PX)
    around = middle[:, None] + np.arange(-reach_px, reach_px + 1)
    return np.clip(around, 0, size - 1), seen


def _lower_median(around_m: np.ndarray) -> np.ndarray:
    """Return over the last axis the nearer of the two middle valid readings; 0 where less than half are valid."""
    valid = np.isfinite(around_m) & (around_m > 0.0)
    count = valid.sum(axis=-1)
    nearest_first = np.sort(np.where(valid, around_m, np.inf), axis=-1)
    index = np.maximum(count - 1, 0)[..., None] // 2
    middle = np.take_along_axis(nearest_first, index, axis=-1)[..., 0]
    return np.where(2 * count >= around_m.shape[-1], middle, 0.0)
