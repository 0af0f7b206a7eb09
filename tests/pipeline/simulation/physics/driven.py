"""What a wheeled robot does when it is commanded, in physics: every manoeuvre in an environment of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from embodiments.limits import project, steer
from embodiments.registry import get

DRIVING_STEPS, STOPPING_STEPS = 45, 20


@dataclass(frozen=True, kw_only=True)
class Log:
    """What every environment did at each control step."""

    command: np.ndarray
    """(T, B, 3) as executed."""
    velocity_b: np.ndarray
    """(T, B, 3) mean over the control step."""
    pose_w: np.ndarray
    """(T + 1, B, 3) x, y, heading; the first is the start."""
    joints: np.ndarray
    """(T, B, J) velocities of the drive's joints [rad/s]"""
    fell: np.ndarray
    """(B,) bool"""

    def steady(self, index: int) -> np.ndarray:
        """Return the mean velocity (3,) of the last second of driving."""
        return np.asarray(self.velocity_b[DRIVING_STEPS - 10 : DRIVING_STEPS, index].mean(axis=0))


def drive(robot: str, wanted: Sequence[tuple[float, float, float]]) -> Log:
    """Drive all commands side by side for 4.5 s, then stop for 2 s. Runs in a process of its own."""
    from pipeline.simulation.physics.drives import make_drive
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    embodiment, target = get(robot), torch.tensor(wanted)
    count = len(target)
    physics = RobotPhysics(embodiment, num_envs=count)
    wheels = make_drive(embodiment, physics)
    descriptor = torch.as_tensor(embodiment.descriptor()).expand(count, -1)
    command = torch.zeros(count, 3)
    pose = [torch.cat([physics.position_w[:, :2], physics.yaw_w[:, None]], dim=1)]
    commands, velocities, joints = [], [], []
    for step in range(DRIVING_STEPS + STOPPING_STEPS):
        command = project(target if step < DRIVING_STEPS else torch.zeros_like(target), command, descriptor)
        command = steer(command, embodiment.turning_radius_m, descriptor)
        passed = []
        for _ in range(5):
            wheels.step(command)
            passed.append(physics.velocity_b)
        commands.append(command)
        velocities.append(torch.stack(passed).mean(dim=0))
        pose.append(torch.cat([physics.position_w[:, :2], physics.yaw_w[:, None]], dim=1))
        joints.append(physics.joint_velocity)
    return Log(
        command=torch.stack(commands).numpy(),
        velocity_b=torch.stack(velocities).numpy(),
        pose_w=torch.stack(pose).numpy(),
        joints=torch.stack(joints).numpy(),
        fell=physics.fallen().numpy(),
    )
