"""The controller of the scripted agents: aim, drive, slow down, stop at the goal, turn to its heading, stand."""

import math

import torch

from embodiments.limits import command_to_action
from embodiments.spaces import LIMIT_FIELDS, STAND_SPEED_MPS

ARRIVE_M = 0.15
"""Stop driving within this distance: inside both protocols' tolerance (0.25 and 0.5 m) less the coasting."""
LEAVE_M = 0.24
"""Drive again beyond this distance."""
HOLD_GAIN_HZ, HOLD_MPS = 1.0, 0.15
"""A walker that turns at the goal also steps back to it, no faster than this: turning on the spot drifts."""
WALKER_ARRIVE_M, WALKER_LEAVE_M = 0.22, 0.42
"""The same for a body on legs: it coasts through its last step, and drifts while it turns on the spot."""
AIM_RAD = 0.5
"""Turn on the spot while the goal is further aside than this: a curve around it would be a detour."""
HEADING_RAD, HEADING_LEAVE_RAD = 0.04, 0.085
"""Stop turning within the first angle of the goal's heading, turn again beyond the second; 0.1 rad are the limit."""
BRAKING = 0.5
"""Fraction of the acceleration limit that braking uses; the rest covers the drive's delay."""
SPEED_GAIN_HZ = 1.5
YAW_GAIN_HZ = 1.5
CREEP_MPS = 2.0 * STAND_SPEED_MPS
CREEP_RADPS = 0.15
"""Slowest commands, above the stand thresholds and above what a gait does not follow."""


class DrivingLaw:
    """Drives each environment toward a target point, and at the goal turns it to the goal's heading."""

    def __init__(self, *, num_envs: int, device: str) -> None:
        self._arrived = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._turned = torch.zeros_like(self._arrived)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget for the environments in ``mask`` (B,) that the goal was reached."""
        self._arrived = self._arrived & ~mask
        self._turned = self._turned & ~mask

    def actions(
        self, goal_b: torch.Tensor, target_xy_b_m: torch.Tensor, descriptor: torch.Tensor, *, speed_scale: torch.Tensor
    ) -> torch.Tensor:
        """Return normalised actions (B, 3).

        Args:
            goal_b: (B, 4) goal in the body frame.
            target_xy_b_m: (B, 2) where to drive now, body frame.
            descriptor: (B, E)
            speed_scale: (B,) factor in (0, 1] on the driving speed.
        """
        distance_m = torch.linalg.vector_norm(goal_b[:, :2], dim=1)
        walks = is_walker(descriptor)
        arrive_m, leave_m = torch.where(walks, WALKER_ARRIVE_M, ARRIVE_M), torch.where(walks, WALKER_LEAVE_M, LEAVE_M)
        self._arrived = distance_m < torch.where(self._arrived, leave_m, arrive_m)
        bearing_rad = torch.atan2(target_xy_b_m[:, 1], target_xy_b_m[:, 0])
        heading_rad = torch.atan2(goal_b[:, 3], goal_b[:, 2])
        speed_mps = _drive_speed_mps(distance_m, bearing_rad, descriptor) * speed_scale
        self._turned = self._arrived & (heading_rad.abs() < torch.where(self._turned, HEADING_LEAVE_RAD, HEADING_RAD))
        turn_rad = torch.where(self._arrived, heading_rad, bearing_rad)
        yaw_rate_radps = _yaw_rate_radps(turn_rad, descriptor, creep=self._arrived | (bearing_rad.abs() > AIM_RAD))
        holds = (self._arrived & walks & ~self._turned)[:, None]
        hold_mps = (HOLD_GAIN_HZ * goal_b[:, :2]).clamp(-HOLD_MPS, HOLD_MPS) * holds  # (B, 2)
        command = torch.stack(
            [
                speed_mps.masked_fill(self._arrived, 0.0) + hold_mps[:, 0],
                hold_mps[:, 1],
                yaw_rate_radps.masked_fill(self._turned, 0.0),
            ],
            dim=1,
        )
        return command_to_action(command, descriptor)


def _drive_speed_mps(distance_m: torch.Tensor, bearing_rad: torch.Tensor, descriptor: torch.Tensor) -> torch.Tensor:
    limit, acceleration = _limit(descriptor, "forward_mps"), _limit(descriptor, "acceleration_mps2")
    braking = (2.0 * BRAKING * acceleration * distance_m).sqrt()
    speed = torch.minimum(torch.minimum(braking, SPEED_GAIN_HZ * distance_m), limit).clip(min=CREEP_MPS)
    aimed = (1.0 - bearing_rad.abs() / AIM_RAD).clip(min=0.0)
    return speed * aimed.sqrt()


def _yaw_rate_radps(angle_rad: torch.Tensor, descriptor: torch.Tensor, *, creep: torch.Tensor) -> torch.Tensor:
    """Return the rate that turns by ``angle_rad``; ``creep`` (B,) where the body turns on the spot."""
    limit, acceleration = _limit(descriptor, "yaw_rate_radps"), _limit(descriptor, "yaw_acceleration_radps2")
    size = angle_rad.abs()
    braking = (2.0 * BRAKING * acceleration * size).sqrt()
    rate = torch.minimum(torch.minimum(braking, YAW_GAIN_HZ * size), limit)
    rate = torch.where(creep, rate.clip(min=CREEP_RADPS), rate)
    # Exactly behind, atan2 flips its sign with the noise: always turn left there.
    left = (angle_rad >= 0.0) | (size > math.pi - 0.1)
    return torch.where(left, rate, -rate)


def is_walker(descriptor: torch.Tensor) -> torch.Tensor:
    """Return (B,) bool: the bodies (B, E) that have no wheels."""
    return _limit(descriptor, "half_track_m") == 0.0


def _limit(descriptor: torch.Tensor, name: str) -> torch.Tensor:
    return descriptor[:, LIMIT_FIELDS.index(name)]
