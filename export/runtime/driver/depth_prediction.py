"""Predicts a depth image from an earlier one and the robot's motion, and measures how well another image agrees."""

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX

_SHAPE = (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
_FAR_M = 0.9 * DEPTH_RANGE_M
"""What lies further away says nothing about motion."""
_NEAR_M, _NEAR_HEIGHTS = DEPTH_RANGE_M / 2.0, 3.9
"""Ground is known nearer than this, and than so many heights of the camera: there 3 degrees of tilt make a quarter."""
_TOLERANCE, _TOLERANCE_M = 0.06, 0.04
"""Relative and absolute difference at which two readings still agree."""


class DepthPrediction:
    """The geometry of one robot's camera on flat ground."""

    def __init__(self, embodiment: Embodiment) -> None:
        camera = embodiment.camera
        left = (DEPTH_WIDTH_PX / 2.0 - np.arange(DEPTH_WIDTH_PX) - 0.5) / DEPTH_FOCAL_PX
        up = (DEPTH_HEIGHT_PX / 2.0 - np.arange(DEPTH_HEIGHT_PX) - 0.5) / DEPTH_FOCAL_PX
        up, left = np.meshgrid(up, left, indexing="ij")
        self._cos, self._sin = np.cos(camera.pitch_rad), np.sin(camera.pitch_rad)
        self._rays_b = np.stack([self._cos + self._sin * up, left, self._cos * up - self._sin], axis=-1)
        self._mount_b = np.asarray([camera.x_m, 0.0, camera.z_m])
        self.visible = (np.abs(left) <= np.tan(camera.hfov_rad / 2.0)) & (np.abs(up) <= np.tan(camera.vfov_rad / 2.0))
        """(40, 64) bool, what the real camera sees"""
        falling = -self._rays_b[..., 2]
        ground_m = np.where(falling > 1e-3, camera.z_m / np.maximum(falling, 1e-3), np.inf)
        near_m = np.where(ground_m < min(_NEAR_M, _NEAR_HEIGHTS * camera.z_m), ground_m, np.inf)
        self.ground_m = near_m.astype(np.float32)
        """(40, 64) planar depth [m] of flat ground, inf where a pixel sees it too far away, the horizon or above"""

    def predict(self, image_m: np.ndarray, motion_b: np.ndarray) -> np.ndarray:
        """Return what a static scene looks like after a motion.

        Args:
            image_m: (40, 64) planar depth [m] before the motion.
            motion_b: (3,) x, y [m], yaw [rad] of the body after the motion, in the body frame before it.

        Returns:
            (40, 64) planar depth [m], inf where nothing is known.
        """
        row, column, depth_m = self._project(image_m, motion_b)
        row, column = np.rint(row).astype(np.int64), np.rint(column).astype(np.int64)
        inside = (row >= 0) & (row < DEPTH_HEIGHT_PX) & (column >= 0) & (column < DEPTH_WIDTH_PX)
        predicted = np.full(DEPTH_HEIGHT_PX * DEPTH_WIDTH_PX, np.inf)
        np.minimum.at(predicted, row[inside] * DEPTH_WIDTH_PX + column[inside], depth_m[inside])
        return predicted.reshape(_SHAPE)

    def error_m(self, before_m: np.ndarray, motion_b: np.ndarray, after_m: np.ndarray) -> np.ndarray:
        """Return how far a static scene after a motion differs from an image, for every known pixel of the one before.

        The image is interpolated in inverse depth, in which planes are linear.

        Returns:
            (N,) [m], nan outside the image and at edges.
        """
        row, column, depth_m = self._project(before_m, motion_b)
        top, left = np.floor(row + 1e-6).astype(np.int64), np.floor(column + 1e-6).astype(np.int64)
        inside = (top >= 0) & (top < DEPTH_HEIGHT_PX - 1) & (left >= 0) & (left < DEPTH_WIDTH_PX - 1)
        top, left = np.where(inside, top, 0), np.where(inside, left, 0)
        corners_m = np.stack([after_m[top + down, left + right] for down in (0, 1) for right in (0, 1)])
        low_m, high_m = corners_m.min(axis=0), corners_m.max(axis=0)
        smooth = inside & (low_m > 0.0) & (high_m < _FAR_M) & (high_m < 1.2 * low_m)
        down, right = row - top, column - left
        weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
        inverse = (weights / np.maximum(corners_m, 1e-3)).sum(axis=0)
        return np.where(smooth, np.abs(depth_m - 1.0 / np.maximum(inverse, 1e-6)), np.nan)

    def _project(self, image_m: np.ndarray, motion_b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return row, column [px] and planar depth [m], each (N,), of an image's known points after a motion."""
        known = (image_m > 0.0) & (image_m < _FAR_M)
        points_b = self._mount_b + image_m[known, None] * self._rays_b[known]
        cos, sin = np.cos(motion_b[2]), np.sin(motion_b[2])
        x, y = points_b[:, 0] - motion_b[0], points_b[:, 1] - motion_b[1]
        ahead, left = cos * x + sin * y - self._mount_b[0], cos * y - sin * x
        above = points_b[:, 2] - self._mount_b[2]
        depth_m = ahead * self._cos - above * self._sin
        up = ahead * self._sin + above * self._cos
        scale = DEPTH_FOCAL_PX / np.maximum(depth_m, 0.05)
        row = np.where(depth_m > 0.05, DEPTH_HEIGHT_PX / 2.0 - 0.5 - scale * up, -1e6)
        return row, DEPTH_WIDTH_PX / 2.0 - 0.5 - scale * left, depth_m

    def agreement(self, predicted_m: np.ndarray, image_m: np.ndarray) -> tuple[float, int]:
        """Return the fraction of compared pixels where an image agrees with a prediction, and their number.

        A pixel agrees if its prediction lies within the readings of its 3 x 3 neighbourhood, give or take a tolerance:
        edges move by a pixel.
        """
        low_m, high_m = _neighbourhood(image_m)
        compared = np.isfinite(predicted_m) & (image_m > 0.0)
        count = int(compared.sum())
        if not count:
            return 1.0, 0
        wanted = predicted_m[compared]
        above = wanted >= low_m[compared] * (1.0 - _TOLERANCE) - _TOLERANCE_M
        below = wanted <= high_m[compared] * (1.0 + _TOLERANCE) + _TOLERANCE_M
        return float((above & below).mean()), count

    def sees_ground(self, image_m: np.ndarray) -> bool:
        """Return whether some of the ground is where flat ground must be; True for a camera that looks elsewhere."""
        looks_down = np.isfinite(self.ground_m) & self.visible
        if looks_down.sum() < 50:
            return True
        found = looks_down & (np.abs(image_m / np.where(looks_down, self.ground_m, 1.0) - 1.0) < 0.15)
        return bool(found.sum() >= 0.05 * looks_down.sum())


def motion_b(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the pose ``end`` (3,) in the body frame of the pose ``start`` (3,)."""
    cos, sin = np.cos(start[2]), np.sin(start[2])
    x, y = end[:2] - start[:2]
    turn = (end[2] - start[2] + np.pi) % (2.0 * np.pi) - np.pi
    return np.asarray([cos * x + sin * y, cos * y - sin * x, turn])


def _neighbourhood(image_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return least and greatest valid reading (40, 64) of every pixel's 3 x 3 neighbourhood."""
    known = image_m > 0.0
    low_m = np.pad(np.where(known, image_m, np.inf), 1, constant_values=np.inf)
    high_m = np.pad(np.where(known, image_m, 0.0), 1)
    shifts = [(row, column) for row in range(3) for column in range(3)]
    height, width = image_m.shape
    lows = [low_m[row : row + height, column : column + width] for row, column in shifts]
    highs = [high_m[row : row + height, column : column + width] for row, column in shifts]
    return np.minimum.reduce(lows), np.maximum.reduce(highs)
