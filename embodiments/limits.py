"""Admissible commands: from a normalised action to a command that the robot may execute.

Written once for numpy arrays and torch tensors (only operators and methods that both have), so that the exported graph,
the simulation, the recorder and the robot's runtime apply the same projection.
"""

from typing import Any, TypeVar

import numpy as np

from embodiments.spaces import CONTROL_DT_S, LIMIT_FIELDS, STAND_SPEED_MPS, STAND_YAW_RATE_RADPS

Array = TypeVar("Array")  # numpy.ndarray or torch.Tensor

_POSITIVE = [LIMIT_FIELDS.index(name) for name in ("forward_mps", "lateral_mps", "yaw_rate_radps")]
_NEGATIVE = [LIMIT_FIELDS.index(name) for name in ("reverse_mps", "lateral_mps", "yaw_rate_radps")]


def _limit(descriptor, name: str):  # type: ignore[no-untyped-def]
    index = LIMIT_FIELDS.index(name)
    return descriptor[..., index : index + 1]


def action_to_command(action: Array, descriptor: Array) -> Array:
    """Scale a normalised action by the robot's limits to a command, not yet admissible.

    Args:
        action: (..., 3) in [-1, 1] (clipped here): fractions of the forward or reverse, lateral and yaw rate limits.
        descriptor: (..., E), SI units.

    Returns:
        (..., 3) vx [m/s], vy [m/s], yaw rate [rad/s], body frame.
    """
    clipped = action.clip(-1.0, 1.0)  # type: ignore[attr-defined]
    return clipped.clip(min=0.0) * descriptor[..., _POSITIVE] + clipped.clip(max=0.0) * descriptor[..., _NEGATIVE]  # type: ignore[index]


def command_to_action(command: Array, descriptor: Array) -> Array:
    """Invert ``action_to_command``; a dimension in which the robot cannot move gives 0.

    Args:
        command: (..., 3) vx [m/s], vy [m/s], yaw rate [rad/s], body frame.
        descriptor: (..., E), SI units.
    """
    positive = descriptor[..., _POSITIVE].clip(min=1e-6)  # type: ignore[index]
    negative = descriptor[..., _NEGATIVE].clip(min=1e-6)  # type: ignore[index]
    action = command.clip(min=0.0) / positive + command.clip(max=0.0) / negative  # type: ignore[attr-defined]
    return action.clip(-1.0, 1.0) * active_dimensions(descriptor)


def active_dimensions(descriptor: Array) -> Array:
    """Return (..., 3) booleans: which of vx, vy and yaw rate the robot can command."""
    return descriptor[..., _POSITIVE] > 0.0  # type: ignore[index]


def scale(command: Array, descriptor: Array) -> Array:
    """Clip a command (..., 3) to the box limits, then scale it down to the wheels' speed, keeping its curvature."""
    upper, lower = descriptor[..., _POSITIVE], -descriptor[..., _NEGATIVE]  # type: ignore[index]
    boxed = command.clip(min=lower, max=upper)  # type: ignore[attr-defined]
    wheel_speed = _limit(descriptor, "wheel_speed_mps")
    demand = abs(boxed[..., 0:1]) + _limit(descriptor, "half_track_m") * abs(boxed[..., 2:3])
    return boxed * (wheel_speed / demand.clip(min=wheel_speed))


def steer(command: Array, turning_radius_m: float, descriptor: Array) -> Array:
    """Return what a body that cannot turn on the spot executes of an admissible command, a car for instance.

    A turn tighter than it can drive keeps its yaw rate, and the speed rises to what the tightest curve needs: forwards,
    unless the command is backwards. Where that is too fast for the limits, both are lowered together. Standing stays
    standing. The descriptor does not hold the radius, so a policy's own projection does not do this: the simulation's
    environment and the driver on the robot do, and ``previous_command`` is what comes out (docs/adr/0018).

    Args:
        command: (..., 3) vx, vy [m/s], yaw rate [rad/s], body frame.
        turning_radius_m: of the tightest curve; 0 returns the command as it is.
        descriptor: (..., E), SI units.
    """
    if turning_radius_m == 0.0:
        return command
    vx, vy, yaw_rate = command[..., 0:1], command[..., 1:2], command[..., 2:3]  # type: ignore[index]
    backwards = vx < 0.0
    limit = backwards * _limit(descriptor, "reverse_mps") + ~backwards * _limit(descriptor, "forward_mps")
    needed = (abs(yaw_rate) * turning_radius_m).clip(max=limit)
    speed = abs(vx).clip(min=needed)
    slower = yaw_rate.clip(min=-speed / turning_radius_m, max=speed / turning_radius_m)
    signed = speed * (1.0 - 2.0 * backwards)
    result: Any = command * 0.0  # type: ignore[operator]
    result[..., 0:1], result[..., 1:2], result[..., 2:3] = signed, vy, slower
    return result  # type: ignore[no-any-return]


def project(command: Array, previous_command: Array, descriptor: Array) -> Array:
    """Project a policy's command into the robot's admissible set, keeping the curvature of the path.

    Box limits first; then linear and angular speed are scaled *together* until |vx| + half_track |yaw rate| fits the
    wheels; then a target below the stand thresholds becomes zero; then the step from the command executed last is
    shortened, along a straight line, to what the accelerations allow. The admissible set is convex, so every point of
    that line is in it.

    Args:
        command: (..., 3) vx [m/s], vy [m/s], yaw rate [rad/s], body frame.
        previous_command: (..., 3) the command executed last, admissible.
        descriptor: (..., E), SI units.

    Returns:
        (..., 3) the command to execute.
    """
    target: Any = scale(command, descriptor)
    speed = (target[..., 0:1] ** 2 + target[..., 1:2] ** 2) ** 0.5
    moves = (speed >= STAND_SPEED_MPS) | (abs(target[..., 2:3]) >= STAND_YAW_RATE_RADPS)
    return _toward(target * moves, previous_command, descriptor)


def bound(command: Array, previous_command: Array, descriptor: Array) -> Array:
    """Bound a command by the limits and accelerations alone, as the driver on the robot does.

    ``project`` is for a policy's output and must not be applied twice: where a body accelerates slowly, its first
    command from rest lies below the stand thresholds. ``bound`` leaves a command that ``project`` returned unchanged.

    Args and returns: As ``project``.
    """
    return _toward(scale(command, descriptor), previous_command, descriptor)


def _toward(target: Any, previous_command: Array, descriptor: Array) -> Array:
    """Step from one admissible command towards another, no further than the accelerations allow."""
    delta = target - previous_command
    change = (delta[..., 0:1] ** 2 + delta[..., 1:2] ** 2) ** 0.5
    steps = (change / (_limit(descriptor, "acceleration_mps2") * CONTROL_DT_S)).clip(min=1.0)
    steps = steps.clip(min=abs(delta[..., 2:3]) / (_limit(descriptor, "yaw_acceleration_radps2") * CONTROL_DT_S))
    return previous_command + delta / steps  # type: ignore[no-any-return]


def fastest_time_s(
    geodesic_m: np.ndarray, *, tolerance_m: float, speed_mps: float, acceleration_mps2: float
) -> np.ndarray:
    """Return the time of a trapezoidal speed profile, from rest to rest, over the geodesic less the goal's tolerance.

    Args:
        geodesic_m: (...) length of the shortest path.
        tolerance_m: radius within which the goal counts as reached.
        speed_mps: the body's top speed.
        acceleration_mps2: the body's acceleration, also used for braking.

    Returns:
        (...) seconds; 0 for a geodesic within the tolerance.
    """
    distance = (np.asarray(geodesic_m, dtype=float) - tolerance_m).clip(min=0.0)
    # Speeding up and braking take speed² / acceleration together; a shorter path never reaches the top speed.
    triangle = 2.0 * np.sqrt(distance / acceleration_mps2)
    trapezoid = distance / speed_mps + speed_mps / acceleration_mps2
    return np.where(distance < speed_mps**2 / acceleration_mps2, triangle, trapezoid)
