"""An open-loop stepping motion that a gait policy corrects; without it a humanoid learns to step late."""

import math

import torch

from embodiments.embodiment import GaitDrive

STANCE_FRACTION = 0.55
"""Fraction of the gait cycle that a foot spends on the ground."""


def swing_progress(foot_phase: torch.Tensor) -> torch.Tensor:
    """Return how far through its swing a foot is, in [0, 1], 0 in stance, from its phase: stance first, then swing."""
    return ((foot_phase - STANCE_FRACTION) / (1.0 - STANCE_FRACTION)).clamp(0.0, 1.0)


class SteppingReference:
    """Offsets of the joint targets over the gait cycle, from the constants in the robot's file."""

    def __init__(self, drive: GaitDrive, device: torch.device | str) -> None:
        joints = len(drive.joints)
        none = (0.0,) * joints
        self._swing = torch.tensor(drive.swing_rad or none, device=device)
        self._support = torch.tensor(drive.support_rad or none, device=device)
        self._stride = torch.tensor(drive.stride_rad_per_mps or none, device=device)
        self._sidestep = torch.tensor(drive.sidestep_rad_per_mps or none, device=device)
        self._mirror_joints = torch.tensor(drive.mirror_joints, device=device)
        self._joint_phases = torch.tensor(drive.foot_phases, device=device).repeat_interleave(joints // len(drive.feet))

    def offset_rad(self, phase: torch.Tensor, command: torch.Tensor) -> torch.Tensor:
        """Return the offsets (B, J) [rad] at a phase (B,) of the cycle for a moving robot's command (B, 3).

        A swinging leg folds and the other one bears the load. On the ground a leg moves from front to back (or side to
        side), as far as the body travels at the commanded speed.
        """
        leg_phase = (phase[:, None] + self._joint_phases) % 1.0  # (B, J)
        swing = swing_progress(leg_phase)
        lift = torch.sin(math.pi * swing)
        stance = (leg_phase / STANCE_FRACTION).clamp(max=1.0)
        reach = torch.cos(math.pi * (stance + swing))  # 1 at touch-down, -1 at lift-off
        step = self._stride * command[:, 0:1] + self._sidestep * command[:, 1:2]
        return self._swing * lift + self._support * lift[:, self._mirror_joints] + step * reach
