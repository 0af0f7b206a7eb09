"""Reward terms of gait training, each (B,), weighted per second in ``WEIGHTS``."""

import math
from dataclasses import dataclass

import torch

from embodiments.embodiment import GaitDrive
from pipeline.simulation.physics.gait_policy import is_moving
from pipeline.simulation.physics.gait_reference import STANCE_FRACTION, swing_progress
from pipeline.simulation.physics.robot_physics import RobotPhysics

CONTACT_N = 5.0
"""A foot carrying more than this touches the ground."""

WEIGHTS = {
    "track_linear": 1.5,
    "track_linear_mean": 1.5,
    "track_yaw": 0.5,
    "track_yaw_mean": 1.0,
    "alive": 0.2,
    "schedule": 1.2,
    "clearance": -80.0,
    "slip": -0.15,
    "vertical": -1.0,
    "tilt_rate": -0.05,
    "tilt": -2.0,
    "height": -20.0,
    "torque": -0.04,
    "action_rate": -0.01,
    "joint_acceleration": -2.5e-7,
    "joint_limits": -5.0,
    "lateral_pose": -0.8,
    "stand_pose": -2.0,
    "stand_motion": -0.01,
    "stand_sway": -15.0,
    "crossing": -8.0,
}


@dataclass(kw_only=True)
class GaitStep:
    """What the reward of one drive step depends on beyond the physics state."""

    command: torch.Tensor
    """(B, 3)."""
    moving: torch.Tensor
    """(B,) bool: whether the feet step."""
    mean_error: torch.Tensor
    """(B, 3) velocity error averaged over about half a gait cycle."""
    foot_phase: torch.Tensor
    """(B, F) in [0, 1): stance first, then swing."""
    action: torch.Tensor
    previous_action: torch.Tensor
    previous_joint_velocity: torch.Tensor
    dt_s: float


class GaitRewards:
    """Reward terms with the constants of one robot."""

    def __init__(self, drive: GaitDrive, physics: RobotPhysics) -> None:
        device = physics.device
        self._drive, self._physics = drive, physics
        self._default = torch.tensor(drive.default_rad, device=device)
        self._lateral = torch.tensor([sign < 0.0 for sign in drive.mirror_signs], device=device)
        self._torque = torch.tensor(drive.torque_nm, device=device)
        lower, upper = (limit.reshape(-1, len(drive.joints))[0] for limit in physics.joint_limits_rad)
        middle, half = (lower + upper) / 2.0, (upper - lower) / 2.0
        self._lower, self._upper = middle - 0.9 * half, middle + 0.9 * half
        feet = physics.feet_position_w
        self._foot_rest_m = feet[..., 2].mean(dim=0)
        self._separation_m = 0.75 * (feet[:, 0::2, 1] - feet[:, 1::2, 1]).mean(dim=0)

    def terms(self, step: GaitStep) -> dict[str, torch.Tensor]:
        """Return every term, unweighted."""
        return self._tracking(step) | self._feet(step) | self._body(step) | self._joints(step)

    def _tracking(self, step: GaitStep) -> dict[str, torch.Tensor]:
        error = step.command - self._physics.velocity_b
        linear, yaw = (error[:, :2] ** 2).sum(-1), error[:, 2] ** 2
        mean_linear, mean_yaw = (step.mean_error[:, :2] ** 2).sum(-1), step.mean_error[:, 2] ** 2
        return {
            "track_linear": torch.exp(-linear / 0.25),
            "track_linear_mean": torch.exp(-mean_linear / 0.02),
            "track_yaw": torch.exp(-yaw / 0.25),
            "track_yaw_mean": torch.exp(-mean_yaw / 0.03),
            "alive": torch.ones_like(yaw),
        }

    def _feet(self, step: GaitStep) -> dict[str, torch.Tensor]:
        physics = self._physics
        contact = physics.feet_contact_force > CONTACT_N
        position, velocity = physics.feet_position_w, physics.feet_velocity_w
        stance = (step.foot_phase < STANCE_FRACTION) | ~step.moving[:, None]
        lift = torch.sin(math.pi * swing_progress(step.foot_phase))
        wanted = self._foot_rest_m + self._drive.foot_clearance_m * lift
        height_error = (position[..., 2] - wanted) ** 2 * ~stance
        slip = (velocity[..., :2] ** 2).sum(-1) * contact
        cos, sin = torch.cos(physics.yaw_w), torch.sin(physics.yaw_w)
        apart = position[:, 0::2, :2] - position[:, 1::2, :2]  # (B, F/2, 2)
        apart_b = cos[:, None] * apart[..., 1] - sin[:, None] * apart[..., 0]
        return {
            "schedule": 2.0 * (contact == stance).float().mean(-1) - 1.0,
            "clearance": height_error.sum(-1),
            "slip": slip.sum(-1),
            "crossing": (self._separation_m - apart_b).clamp(min=0.0).sum(-1),
        }

    def _body(self, step: GaitStep) -> dict[str, torch.Tensor]:
        physics = self._physics
        return {
            "vertical": physics.linear_velocity_b[:, 2] ** 2,
            "tilt_rate": (physics.angular_velocity_b[:, :2] ** 2).sum(-1),
            "tilt": (physics.projected_gravity_b[:, :2] ** 2).sum(-1),
            # Also while it still steps: the command says stand.
            "stand_sway": (physics.velocity_b**2).sum(-1) * ~is_moving(step.command),
            "height": (physics.position_w[:, 2] - self._drive.base_height_m) ** 2,
        }

    def _joints(self, step: GaitStep) -> dict[str, torch.Tensor]:
        physics = self._physics
        position, velocity = physics.joint_position, physics.joint_velocity
        offset = position - self._default
        beyond = (self._lower - position).clamp(min=0.0) + (position - self._upper).clamp(min=0.0)
        acceleration = (velocity - step.previous_joint_velocity) / step.dt_s
        return {
            "torque": ((physics.joint_torque / self._torque) ** 2).sum(-1),
            "action_rate": ((step.action - step.previous_action) ** 2).sum(-1),
            "joint_acceleration": (acceleration**2).sum(-1),
            "joint_limits": beyond.sum(-1),
            "lateral_pose": (offset**2 * self._lateral).sum(-1),
            "stand_pose": (offset**2).sum(-1) * ~step.moving,
            "stand_motion": (velocity**2).sum(-1) * ~step.moving,
        }
