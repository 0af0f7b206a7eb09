"""The controller: from a point to aim at to a normalised action. Drive, slow down, stop, turn to the goal's heading.

It is part of a policy's graph: without memory, and continuous, so that runtimes which round differently agree. Nothing
here is learned.
"""

import torch
from torch import Tensor

from embodiments.limits import command_to_action
from embodiments.spaces import CAMERA_FIELDS, CAMERA_SLICE, LIMIT_FIELDS, STAND_SPEED_MPS
from world_model.local_planner.cost_to_go import half_width_m

ARRIVE_M, LEAVE_M = 0.14, 0.24
"""Between these distances from the goal driving fades into turning to its heading; protocols ask for 0.25 or 0.5 m."""
WALKER_ARRIVE_M, WALKER_LEAVE_M = 0.2, 0.36
"""The same for a body on legs: it coasts through its last step, and drifts while it turns on the spot."""
DIRECT_M = (0.6, 0.8)
"""Between these distances the aim fades from the goal itself to the local plan's aim."""
AIM_RAD = (0.9, 1.0)
"""The body turns on the spot while the aim is further aside than this; the lower bound is for a narrow camera. With
0.5 rad it stood for half of its time; with 1.3 it ran into what it had not seen yet."""
NARROW_AIM_RAD = 0.35
"""The same for a walker in a narrow place: in a curve it drifts outward, into the door post."""
SWATH_M = 1.5
"""How far ahead the whole width that the body sweeps must be in view."""
HEADING_RAD, HEADING_FADE_RAD = 0.03, 0.02
"""Turning on the spot ends within this of the goal's heading; the protocol asks for 0.1 rad."""
HOLD_GAIN_HZ, HOLD_MPS = 1.0, 0.15
"""A walker that turns at the goal also steps back to it, no faster than this."""
BRAKING = 0.5
"""Fraction of the acceleration limit that braking uses; the rest covers the drive's delay."""
SPEED_GAIN_HZ, YAW_GAIN_HZ = 1.5, 3.0
CREEP_MPS, CREEP_RADPS = 2.0 * STAND_SPEED_MPS, 0.15
"""Slowest commands, above the stand thresholds and above what a gait does not follow."""
_EPSILON = 1e-6


def drive(
    goal_b: Tensor, aim_b: Tensor, descriptor: Tensor, *, speed_scale: Tensor, narrow: Tensor | None = None
) -> Tensor:
    """Return normalised actions (B, 3).

    Args:
        goal_b: (B, 4) goal in the body frame.
        aim_b: (B, 2) where to drive now [m], body frame.
        descriptor: (B, E).
        speed_scale: (B,) factor in (0, 1] on the driving speed.
        narrow: (B,) in [0, 1] how narrow the place is; None is 0.
    """
    distance = _norm(goal_b[:, :2])
    walks = is_walker(descriptor)
    arrive, leave = torch.where(walks, WALKER_ARRIVE_M, ARRIVE_M), torch.where(walks, WALKER_LEAVE_M, LEAVE_M)
    there = ((leave - distance) / (leave - arrive)).clip(0.0, 1.0)
    near = ((DIRECT_M[1] - distance) / (DIRECT_M[1] - DIRECT_M[0])).clip(0.0, 1.0)[:, None]
    bearing = angle(near * goal_b[:, :2] + (1.0 - near) * aim_b)
    heading = angle(goal_b[:, 2:])
    turning = ((heading.abs() - HEADING_RAD) / HEADING_FADE_RAD).clip(0.0, 1.0)
    aim = _aim_rad(descriptor)
    if narrow is not None:
        aim = aim + narrow * walks.to(aim.dtype) * (NARROW_AIM_RAD - aim).clip(max=0.0)
    aside = ((bearing.abs() - aim) / 0.1).clip(0.0, 1.0)
    forward = (1.0 - there) * speed_scale * _speed_mps(distance, bearing.abs() / aim, descriptor)
    # Where the two turns could cancel each other the body still drives forward, and leaves again.
    yaw_rate = (1.0 - 2.0 * there).clip(min=0.0) * _yaw_rate_radps(bearing, descriptor, creep=aside)
    at_goal = (2.0 * there).clip(max=1.0) * turning
    yaw_rate = yaw_rate + at_goal * _yaw_rate_radps(heading, descriptor, creep=torch.ones_like(heading))
    holds = (there * turning * walks.to(there.dtype))[:, None]
    hold = (HOLD_GAIN_HZ * goal_b[:, :2]).clip(-HOLD_MPS, HOLD_MPS) * holds
    return command_to_action(torch.stack([forward + hold[:, 0], hold[:, 1], yaw_rate], dim=1), descriptor)


def angle(xy: Tensor) -> Tensor:
    """Return the angle (B,) of vectors (B, 2) in (-pi, pi]; exactly behind is left, 0 for a vector without length."""
    x, y = xy.unbind(-1)
    length = _norm(xy)
    y = y + 1e-3 * (-x).clip(min=0.0)
    return 2.0 * torch.atan(y / (length + x).clip(min=_EPSILON))


def is_walker(descriptor: Tensor) -> Tensor:
    """Return (B,) bool: the bodies (B, E) that have no wheels."""
    return _limit(descriptor, "half_track_m") == 0.0


def _aim_rad(descriptor: Tensor) -> Tensor:
    hfov = descriptor[:, CAMERA_SLICE.start + CAMERA_FIELDS.index("camera_hfov_rad")]
    return (hfov / 2.0 - torch.atan(half_width_m(descriptor) / SWATH_M)).clip(*AIM_RAD)


def _speed_mps(distance: Tensor, aside: Tensor, descriptor: Tensor) -> Tensor:
    """Return the speed (B,) for an aim that is aside by a fraction (B,) of the angle that stops the body."""
    limit, acceleration = _limit(descriptor, "forward_mps"), _limit(descriptor, "acceleration_mps2")
    braking = (2.0 * BRAKING * acceleration * distance).sqrt()
    speed = torch.minimum(torch.minimum(braking, SPEED_GAIN_HZ * distance), limit).clip(min=CREEP_MPS)
    return speed * (1.0 - aside.clip(max=1.0).square())


def _yaw_rate_radps(turn: Tensor, descriptor: Tensor, *, creep: Tensor) -> Tensor:
    """Return the rate (B,) that turns by an angle (B,); ``creep`` in [0, 1] where the body turns on the spot."""
    limit, acceleration = _limit(descriptor, "yaw_rate_radps"), _limit(descriptor, "yaw_acceleration_radps2")
    size = turn.abs()
    braking = (2.0 * BRAKING * acceleration * size).sqrt()
    rate = torch.minimum(torch.minimum(braking, YAW_GAIN_HZ * size), limit)
    rate = torch.maximum(rate, CREEP_RADPS * creep)
    return rate * (turn / 0.01).clip(-1.0, 1.0)


def _norm(xy: Tensor) -> Tensor:
    return (xy.square().sum(dim=-1) + _EPSILON**2).sqrt()


def _limit(descriptor: Tensor, name: str) -> Tensor:
    return descriptor[:, LIMIT_FIELDS.index(name)]
