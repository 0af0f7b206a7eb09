"""Whether a drive from elsewhere can be what it says: units and limits."""

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.limits import active_dimensions

PLAUSIBLE_M = (0.02, 100.0)
"""The median of an indoor depth image lies between these."""
_DEGREES = 20.0
"""A yaw rate that is so many times what it can be is in degrees: they are 57 times as many."""
_BEYOND = 4.0
"""A velocity that is so many times the robot's limit is in another unit, or another robot's."""


def depth_in_metres(values: np.ndarray, *, unit: str, where: str) -> np.ndarray:
    """Return depth images (T, H, W) in metres, 0 = invalid.

    Args:
        unit: ``mm``, ``m``, or ``auto``: whole numbers are millimetres, others metres.
        where: What is read, for the error.

    Raises:
        ValueError: If the median is no distance in a room.
    """
    whole = np.issubdtype(values.dtype, np.integer)
    is_mm = whole if unit == "auto" else unit == "mm"
    depth_m = values.astype(np.float32) * np.float32(1e-3 if is_mm else 1.0)
    depth_m[~np.isfinite(depth_m) | (depth_m < 0.0)] = 0.0
    few = depth_m[:: max(1, len(depth_m) // 50)]
    measured = few[few > 0.0]
    middle_m = float(np.median(measured)) if measured.size else 0.0
    if not PLAUSIBLE_M[0] <= middle_m <= PLAUSIBLE_M[1]:
        if middle_m == 0.0:
            raise ValueError(f"{where}: every depth is 0, so nothing was seen; name another column: --depth-key")
        other = "m" if is_mm else "mm"
        raise ValueError(
            f"{where}: the median depth is {middle_m:g} m if it is in {'mm' if is_mm else 'm'}, which is no room; "
            f"give --depth-unit {other} if it is in {other}"
        )
    return depth_m


def in_radians(velocity: np.ndarray, *, unit: str) -> np.ndarray:
    """Return velocities (T, 3) with a yaw rate in rad/s."""
    if unit == "rad":
        return velocity
    return velocity * np.asarray([1.0, 1.0, np.pi / 180.0])


def check_velocity(velocity: np.ndarray, robot: Embodiment, *, what: str, where: str) -> None:
    """Refuse velocities (T, 3) that no unit slip would explain otherwise.

    Args:
        what: ``measured`` or ``commanded``, for the error.
        where: What is read.

    Raises:
        ValueError: With the mend.
    """
    if not np.isfinite(velocity).all():
        row = int(np.flatnonzero(~np.isfinite(velocity).all(axis=1))[0])
        raise ValueError(f"{where}: the {what} velocity in row {row} is not finite; leave that part out")
    limits = robot.limits
    fastest = np.abs(velocity).max(axis=0) if len(velocity) else np.zeros(3)
    if fastest[2] > _BEYOND * limits.yaw_rate_radps:
        raise ValueError(
            f"{where}: a {what} yaw rate of {fastest[2]:.3g} rad/s, and {robot.name} turns by "
            f"{limits.yaw_rate_radps:.3g} at most; give --yaw-unit deg if it is in degrees"
        )
    if fastest[0] > _BEYOND * limits.forward_mps:
        raise ValueError(
            f"{where}: a {what} speed of {fastest[0]:.3g} m/s, and {robot.name} drives at {limits.forward_mps:.3g} at "
            "most; it must be in m/s, and --embodiments the robot that drove"
        )
    sideways = active_dimensions(robot.descriptor())[1]
    if what == "commanded" and not sideways and fastest[1] > 0.05:
        raise ValueError(f"{where}: a command goes sideways, which {robot.name} cannot; name the robot: --embodiments")


def check_odometry(pose: np.ndarray, velocity_b: np.ndarray, time_s: np.ndarray, *, where: str) -> None:
    """Refuse odometry whose velocities contradict its poses by the factor of a unit.

    Args:
        pose: (T, 3) x, y [m], yaw [rad].
        velocity_b: (T, 3) m/s and rad/s.
        time_s: (T,)

    Raises:
        ValueError: With the mend.
    """
    if len(time_s) < 2:
        return
    step_s = np.diff(time_s)
    moved_m = float(np.hypot(*np.diff(pose[:, :2], axis=0).T).sum())
    turned_rad = float(np.abs(np.arctan2(np.sin(np.diff(pose[:, 2])), np.cos(np.diff(pose[:, 2])))).sum())
    summed_m = float((np.hypot(velocity_b[1:, 0], velocity_b[1:, 1]) * step_s).sum())
    summed_rad = float((np.abs(velocity_b[1:, 2]) * step_s).sum())
    if summed_rad > _DEGREES * max(turned_rad, 0.05):
        raise ValueError(
            f"{where}: the odometry's yaw rates add up to {summed_rad:.3g} rad and its poses turn by {turned_rad:.3g}; "
            "give --yaw-unit deg if they are in degrees"
        )
    if moved_m > 1.0 and not 0.2 < summed_m / moved_m < 5.0:
        raise ValueError(
            f"{where}: the odometry's velocities add up to {summed_m:.3g} m and its poses move by {moved_m:.3g} m; "
            "its twist must be in m/s in the body frame"
        )
