"""What wheels are to the simulator: which joints move, with which gains; which parts grip; where each wheel stands."""

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np

from embodiments.embodiment import AckermannDrive, DifferentialDrive, OmniDrive, WheeledDrive
from pipeline.simulation.physics.robot_model import link_poses


@dataclass(frozen=True, kw_only=True)
class JointParameters:
    """Per joint of the drive, in its order."""

    kp: tuple[float, ...]
    kd: tuple[float, ...]
    torque_nm: tuple[float, ...]
    friction: tuple[float, ...]
    """Of the link's shapes; 0 leaves what the robot's parts have (casters)"""


def joint_parameters(drive: WheeledDrive) -> JointParameters:
    """Return gains, torque limits and friction of a wheeled drive's joints."""
    if isinstance(drive, AckermannDrive):
        return JointParameters(  # steering, rolling, driven: two each
            kp=(drive.steering_gain,) * 2 + (0.0,) * 4,
            kd=(drive.steering_damping,) * 2 + (0.0,) * 2 + (drive.wheel_gain,) * 2,
            torque_nm=(drive.steering_force_nm,) * 2 + (0.0,) * 2 + (drive.wheel_force_nm,) * 2,
            friction=(0.0,) * 2 + (drive.wheel_friction,) * 4,
        )
    count = 2 if isinstance(drive, DifferentialDrive) else len(drive.joints)
    grip = drive.wheel_friction if isinstance(drive, DifferentialDrive) else 0.0  # the push is computed, not simulated
    return JointParameters(
        kp=(0.0,) * count,
        kd=(drive.wheel_gain,) * count,
        torque_nm=(drive.wheel_force_nm,) * count,
        friction=(grip,) * count,
    )


@dataclass(frozen=True, kw_only=True)
class Contacts:
    """Where the wheels of an omnidirectional base touch the ground, and how it can push; base frame, from above."""

    xy_m: np.ndarray
    """(W, 2)"""
    rolling: np.ndarray
    """(W, 2) unit vectors: where the wheel rolls when its joint turns positively"""
    push: np.ndarray
    """(W, 2) unit vectors along the axis of the roller on the ground"""

    def wheel_speeds(self, wheel_radius_m: float) -> np.ndarray:
        """Return (W, 3): joint velocities [rad/s] = this @ (vx, vy, yaw rate) without slip."""
        lever_m = self.xy_m[:, 0] * self.push[:, 1] - self.xy_m[:, 1] * self.push[:, 0]
        along = np.concatenate([self.push, lever_m[:, None]], axis=1)  # (W, 3)
        return np.asarray(along / (wheel_radius_m * (self.push * self.rolling).sum(axis=1, keepdims=True)))


def contacts(drive: OmniDrive, urdf: ElementTree.Element) -> Contacts:
    """Return the wheels' contacts as the model has them.

    Raises:
        ValueError: If a wheel's axle is not horizontal, or the wheels cannot push the base every way.
    """
    poses = link_poses(urdf, {})
    joints = {joint.get("name"): joint for joint in urdf.findall("joint")}
    xy, rolling, push = [], [], []
    for name, roller_rad in zip(drive.joints, drive.roller_rad, strict=True):
        joint = joints[name]
        pose = poses[joint.find("child").get("link", "")]  # type: ignore[union-attr]
        axis = joint.find("axis")
        text = (axis.get("xyz") if axis is not None else None) or "1 0 0"
        axle = pose[:3, :3] @ np.asarray([float(value) for value in text.split()])
        if abs(axle[2]) > 0.05:
            raise ValueError(f"wheel joint '{name}' has an axle that is not horizontal; mend its axis")
        forward = np.asarray([axle[1], -axle[0]]) / math.hypot(axle[0], axle[1])  # axle x up
        turn = np.asarray([[math.cos(roller_rad), -math.sin(roller_rad)], [math.sin(roller_rad), math.cos(roller_rad)]])
        xy.append(pose[:2, 3])
        rolling.append(forward)
        push.append(turn @ forward)
    found = Contacts(xy_m=np.asarray(xy), rolling=np.asarray(rolling), push=np.asarray(push))
    if np.linalg.matrix_rank(found.wheel_speeds(drive.wheel_radius_m), tol=1e-2) < 3:
        raise ValueError(
            f"the wheels {', '.join(drive.joints)} cannot push the base forward, aside and round; mend roller_rad"
        )
    return found
