"""Drive of omnidirectional and mecanum wheels: wheel speeds without slip, and the ground's push along the rollers.

The simulator has neither rollers nor friction that differs by direction. So the wheels slide freely on the ground and
carry the load, and the push is computed here from each wheel's measured slip, before every physics step:

    push = clip(stiffness x slip along the roller's axis, +- grip x load, +- what the motor can hold)

It is a model of the contact, not a motion of the base: mass, inertia, tipping and slipping stay physical. What it
leaves out: loads differ between wheels in reality (here each carries its part of the weight), rollers have bearings,
and contacts jump from roller to roller. docs/adr/0018 says what was measured.
"""

import torch

from embodiments.embodiment import Embodiment, OmniDrive
from pipeline.robot_models.model_file import read
from pipeline.simulation.physics.robot_physics import RobotPhysics
from pipeline.simulation.physics.wheels import contacts

GRAVITY_MPS2 = 9.81


class RollerDrive:
    """Three or more wheels with rollers."""

    def __init__(self, embodiment: Embodiment, physics: RobotPhysics, *, substeps: int) -> None:
        """Take the wheels from the robot's model."""
        drive = embodiment.drive
        assert isinstance(drive, OmniDrive)
        self._physics, self._substeps = physics, substeps
        found = contacts(drive, read(embodiment.model))
        speeds = torch.as_tensor(found.wheel_speeds(drive.wheel_radius_m), dtype=torch.float32, device=physics.device)
        self._speeds = speeds  # (W, 3)
        self._rim = torch.as_tensor(
            drive.wheel_radius_m * (found.push * found.rolling).sum(axis=1), dtype=torch.float32, device=physics.device
        )
        """(W,) speed along the roller's axis per joint velocity [m]"""
        self._push = torch.as_tensor(found.push, dtype=torch.float32, device=physics.device)  # (W, 2)
        count = len(drive.joints)
        mass_kg = physics.mass_kg.reshape(-1, 1)  # (1 or B, 1)
        self._stiffness = mass_kg / (count * drive.slip_s)
        """Push per slip of one wheel [N s/m]"""
        self._grip_n = drive.grip * mass_kg * GRAVITY_MPS2 / count
        self._motor_n = drive.wheel_force_nm / self._rim.abs()

    def reset(self, mask: torch.Tensor) -> None:
        """Do nothing: wheels have no state."""

    def step(self, command: torch.Tensor) -> None:
        """Track a command (B, 3) for one drive step."""
        self._physics.set_velocity_targets(command @ self._speeds.T)
        self._physics.step(self._substeps, before=self._grip)

    def _grip(self, index: int) -> None:
        """Let the ground push on the wheels for one physics step."""
        rim_mps = self._physics.joint_velocity * self._rim  # (B, W) along each roller's axis
        over_ground_mps = (self._physics.velocity_b @ self._speeds.T) * self._rim
        limit_n = torch.minimum(self._grip_n * self._physics.friction_factor[:, None], self._motor_n)
        push_n = (self._stiffness * (rim_mps - over_ground_mps)).clip(min=-limit_n, max=limit_n)  # (B, W)
        force_b = push_n @ self._push
        lever_m = self._speeds[:, 2] * self._rim
        self._physics.push_on_ground(force_b, push_n @ lever_m)
