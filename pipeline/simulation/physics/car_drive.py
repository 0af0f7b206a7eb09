"""Drive of a car: steered front wheels that roll freely, driven rear wheels. All four grip the simulated ground.

The curvature of the command gives the angles of the front wheels (Ackermann: all axles point at the centre of the
curve) and the speeds of the rear ones. Steering takes time; meanwhile the rear wheels follow the angle that is there,
so that they do not drag sideways.
"""

import torch

from embodiments.embodiment import AckermannDrive
from pipeline.simulation.physics.robot_physics import RobotPhysics

_STEERING, _DRIVEN = slice(0, 2), slice(4, 6)
_SLOWEST_MPS = 0.02
"""Below this speed the wheels stay turned as they are: a curvature needs a speed."""
_STEP_S = 0.02


class CarDrive:
    """Rear wheels and steering of a car."""

    def __init__(self, drive: AckermannDrive, physics: RobotPhysics, *, substeps: int) -> None:
        """Start straight ahead."""
        self._drive, self._physics, self._substeps = drive, physics, substeps
        self._curvature_pm = torch.zeros(physics.num_envs, device=physics.device)
        """(B,) of the base link's path as the front wheels are turned [1/m]"""
        self._half_tracks_m = drive.track_m / 2.0 * torch.tensor([1.0, -1.0], device=physics.device)  # left, right

    def reset(self, mask: torch.Tensor) -> None:
        """Turn the wheels of the masked environments straight ahead."""
        self._curvature_pm = self._curvature_pm.masked_fill(mask, 0.0)

    def step(self, command: torch.Tensor) -> None:
        """Track a command (B, 3) for one drive step; what is tighter than the tightest curve becomes that curve."""
        drive, speed_mps = self._drive, command[:, 0]
        moves = speed_mps.abs() >= _SLOWEST_MPS
        wanted_pm = command[:, 2] / torch.where(moves, speed_mps, 1.0)
        wanted_pm = torch.where(moves, wanted_pm, self._curvature_pm)
        wanted_pm = wanted_pm.clip(-1.0 / drive.turning_radius_m, 1.0 / drive.turning_radius_m)
        # The angle of a wheel in the middle moves at the steering's rate.
        now_rad, then_rad = ((drive.wheel_base_m * c).atan() for c in (self._curvature_pm, wanted_pm))
        step_rad = drive.steering_rate_radps * _STEP_S
        angle_rad = now_rad + (then_rad - now_rad).clip(-step_rad, step_rad)
        self._curvature_pm = angle_rad.tan() / drive.wheel_base_m
        nearer = (
            1.0 - self._curvature_pm[:, None] * self._half_tracks_m
        )  # (B, 2) radius of each side over that of the middle
        steering_rad = (drive.wheel_base_m * self._curvature_pm[:, None] / nearer).atan()
        self._physics.set_position_targets(steering_rad, joints=_STEERING)
        self._physics.set_velocity_targets(speed_mps[:, None] * nearer / drive.wheel_radius_m, joints=_DRIVEN)
        self._physics.step(self._substeps)
