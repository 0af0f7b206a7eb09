"""Poses, transforms and lidar scans of ROS messages in the body frame. Messages are read by their fields only."""

import math
from typing import Any, NamedTuple

import numpy as np

from embodiments.embodiment import Disc, Embodiment
from export.runtime.robots.lidar import LIDAR_RANGE_M, without_body

_REAR_RAD = math.radians(150.0)
"""From this bearing on a ray goes backwards."""


class Mount(NamedTuple):
    """Where a sensor's frame is in the body frame."""

    rotation: np.ndarray
    """(3, 3)"""
    xyz_m: np.ndarray
    """(3,)"""


class SeenScan(NamedTuple):
    """What a scan says of the robot's surroundings."""

    points_b_m: np.ndarray
    """(N, 2) x, y [m], body frame"""
    blind: Disc
    sees_behind: bool


def mount_of(x_m: float, y_m: float, yaw_rad: float) -> Mount:
    """Return the mount of a level sensor."""
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    rotation = np.asarray([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return Mount(rotation, np.asarray([x_m, y_m, 0.0]))


def mount_from(transform: Any) -> Mount:
    """Return what a ``geometry_msgs/Transform`` from the body frame to a sensor's says."""
    place = transform.translation
    return Mount(_rotation(transform.rotation), np.asarray([place.x, place.y, place.z], dtype=np.float64))


def pose_from(position: Any, orientation: Any) -> np.ndarray:
    """Return (3,) x, y [m], yaw [rad] of a ``Point`` or ``Vector3`` and a ``Quaternion``.

    Raises:
        ValueError: If the quaternion has no direction.
    """
    turn = _rotation(orientation)
    return np.asarray([position.x, position.y, math.atan2(turn[1, 0], turn[0, 0])], dtype=np.float64)


def velocity_from(twist: Any) -> np.ndarray:
    """Return (3,) vx, vy [m/s], yaw rate [rad/s] of a ``geometry_msgs/Twist``."""
    return np.asarray([twist.linear.x, twist.linear.y, twist.angular.z], dtype=np.float64)


def seen_in(scan: Any, mount: Mount, embodiment: Embodiment) -> SeenScan:
    """Return what a ``sensor_msgs/LaserScan`` hit, without the robot's own body.

    A reading out of the sensor's range, an infinite one (REP-117) and NaN are no points. What lies further away than
    any stop zone reaches is left out, too.

    Args:
        mount: Of the frame of the scan.
    """
    range_m = np.asarray(scan.ranges, dtype=np.float64)
    angle_rad = scan.angle_min + scan.angle_increment * np.arange(len(range_m))
    rays_b = np.stack([np.cos(angle_rad), np.sin(angle_rad), np.zeros_like(angle_rad)], axis=-1) @ mount.rotation.T
    hit = (range_m >= scan.range_min) & (range_m <= min(scan.range_max, LIDAR_RANGE_M[1]))
    ends_b_m = mount.xyz_m[:2] + range_m[hit, None] * rays_b[hit, :2]
    footprint = [disc for layer in embodiment.footprint for disc in layer]
    points_b_m = without_body(ends_b_m, footprint)
    reached_m = np.where(range_m > LIDAR_RANGE_M[1], LIDAR_RANGE_M[1], range_m)  # +inf: nothing there
    looks_past_body = reached_m > max(_reach_m(footprint), scan.range_min)
    bearing_rad = np.arctan2(rays_b[:, 1], rays_b[:, 0])
    rear = [bearing_rad > _REAR_RAD, bearing_rad < -_REAR_RAD]
    sees_behind = all(bool(part.any()) and float(looks_past_body[part].mean()) > 0.5 for part in rear)
    blind = Disc(x_m=float(mount.xyz_m[0]), y_m=float(mount.xyz_m[1]), radius_m=float(scan.range_min))
    return SeenScan(points_b_m, blind, sees_behind)


def _reach_m(footprint: list[Disc]) -> float:
    return max(math.hypot(disc.x_m, disc.y_m) + disc.radius_m for disc in footprint)


def _rotation(quaternion: Any) -> np.ndarray:
    """Return the matrix (3, 3) of a quaternion of any length but zero."""
    xyzw = np.asarray([quaternion.x, quaternion.y, quaternion.z, quaternion.w], dtype=np.float64)
    length = float(np.linalg.norm(xyzw))
    if not 1e-6 < length < np.inf:
        raise ValueError(f"a quaternion is {xyzw.tolist()}, which is no direction; fill in the orientation")
    x, y, z, w = xyzw / length
    return np.asarray(
        [
            [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - z * w), 2.0 * (x * z + y * w)],
            [2.0 * (x * y + z * w), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - x * w)],
            [2.0 * (x * z - y * w), 2.0 * (y * z + x * w), 1.0 - 2.0 * (x * x + y * y)],
        ]
    )
