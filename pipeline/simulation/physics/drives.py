"""Drives turn a velocity command into joint targets: wheels, steering, or a learned gait. Called at 50 Hz."""

from typing import Protocol

import torch

from embodiments.embodiment import AckermannDrive, DifferentialDrive, Embodiment, GaitDrive, OmniDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.simulation.physics.car_drive import CarDrive
from pipeline.simulation.physics.gait_policy import GaitController
from pipeline.simulation.physics.gait_weights import load_gait
from pipeline.simulation.physics.robot_physics import RobotPhysics
from pipeline.simulation.physics.roller_drive import RollerDrive


class Drive(Protocol):
    """One robot batch's drive."""

    def reset(self, mask: torch.Tensor) -> None:
        """Reset the state of the masked environments (B,) bool."""

    def step(self, command: torch.Tensor) -> None:
        """Track an admissible command (B, 3) vx, vy [m/s], yaw rate [rad/s] for one drive step (20 ms) of physics."""


def make_drive(embodiment: Embodiment, physics: RobotPhysics) -> Drive:
    """Return the robot's drive.

    Raises:
        FileNotFoundError: If a legged robot has no gait weights.
        ValueError: If the physics rate is not a multiple of the drive rate.
    """
    substeps = round(1.0 / (DRIVE_HZ * physics.dt_s))
    if abs(substeps * physics.dt_s * DRIVE_HZ - 1.0) > 1e-6:
        raise ValueError(f"physics at {1.0 / physics.dt_s:g} Hz is not a multiple of the drive's {DRIVE_HZ:g} Hz")
    if isinstance(embodiment.drive, DifferentialDrive):
        return WheelDrive(embodiment.drive, physics, substeps=substeps)
    if isinstance(embodiment.drive, OmniDrive):
        return RollerDrive(embodiment, physics, substeps=substeps)
    if isinstance(embodiment.drive, AckermannDrive):
        return CarDrive(embodiment.drive, physics, substeps=substeps)
    return LegDrive(embodiment.drive, physics, substeps=substeps)


class WheelDrive:
    """Two wheels: velocity targets from track and wheel radius; commands already respect the acceleration limits."""

    def __init__(self, drive: DifferentialDrive, physics: RobotPhysics, *, substeps: int) -> None:
        self._physics, self._substeps = physics, substeps
        self._radius_m, self._half_track_m = drive.wheel_radius_m, drive.track_m / 2.0

    def reset(self, mask: torch.Tensor) -> None:
        """Do nothing: wheels have no state."""

    def step(self, command: torch.Tensor) -> None:
        """Track a command (B, 3) for one drive step."""
        turn = self._half_track_m * command[:, 2]
        rim = torch.stack([command[:, 0] - turn, command[:, 0] + turn], dim=-1)  # (B, 2) left, right [m/s]
        self._physics.set_velocity_targets(rim / self._radius_m)
        self._physics.step(self._substeps)


class LegDrive:
    """A learned gait on proprioception."""

    def __init__(self, drive: GaitDrive, physics: RobotPhysics, *, substeps: int) -> None:
        self._physics, self._substeps = physics, substeps
        self._network = load_gait(drive).to(physics.device)
        self._controller = GaitController(drive, num_envs=physics.num_envs, device=physics.device)

    def reset(self, mask: torch.Tensor) -> None:
        """Reset phase and previous action of the masked environments."""
        self._controller.reset(mask)

    @torch.no_grad()
    def step(self, command: torch.Tensor) -> None:
        """Track a command (B, 3) for one drive step."""
        action = self._network(self._controller.observe(self._physics, command))
        self._physics.set_position_targets(self._controller.act(action, command))
        self._physics.step(self._substeps)
