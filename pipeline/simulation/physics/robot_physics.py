"""The only door to Genesis: many copies of one robot on flat ground, as batched tensors.

One scene per process. An environment whose solver fails or that holds a NaN is reset at once, alone, and stays
flagged in ``broken()`` until its next reset. It never stops or disturbs the other environments.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from embodiments.embodiment import Embodiment, GaitDrive
from pipeline.simulation.physics import genesis_scene
from pipeline.simulation.physics.robot_model import driven_joints, standing_height_m
from pipeline.simulation.physics.variation import Variation, scale_masses, set_gains
from pipeline.simulation.physics.wheels import joint_parameters

FALL_TILT_LEGGED_RAD = math.radians(60.0)
FALL_TILT_WHEELED_RAD = math.radians(30.0)
FALL_HEIGHT_FRACTION = 0.55
"""A legged base below this fraction of its standing height has fallen."""
RESET_GAP_M = 0.002
"""Height of the lowest shape above the ground after a reset, so that no contact starts in penetration [m]."""


class RobotPhysics:
    """A batch of one robot; every state is a float32 tensor whose first axis is the environments, B."""

    def __init__(
        self,
        embodiment: Embodiment,
        *,
        num_envs: int,
        device: str = "cpu",
        physics_hz: float = 200.0,
        seed: int = 0,
        randomisable: bool = False,
        mass_factor: float = 1.0,
        extra_meshes: Sequence[tuple[np.ndarray, np.ndarray]] | None = None,
    ) -> None:
        """Build the scene; the first build on a machine compiles for about a minute.

        Args:
            randomisable: Store masses and gains per environment, as ``variation`` needs; somewhat slower.
            mass_factor: Factor on the mass of every link, for tests of a gait.
            extra_meshes: Fixed meshes, each (vertices_w (V, 3) [m], triangles (F, 3)), in contact with the whole body.

        Raises:
            FileNotFoundError: If the package with the robot's model is not installed.
            ValueError: If ``num_envs`` is not positive, or the process already holds a scene.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, found {num_envs}")
        self.embodiment = embodiment
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.dt_s = 1.0 / physics_hz
        self.joint_names = driven_joints(embodiment)
        self._stand_height_m = standing_height_m(embodiment)
        self._scene, self._robot = genesis_scene.build(
            embodiment,
            num_envs=num_envs,
            device=self.device,
            dt_s=self.dt_s,
            seed=seed,
            randomisable=randomisable,
            extra_meshes=extra_meshes or (),
        )
        kp, kd, torque_nm = self._set_up_joints()
        if mass_factor != 1.0:
            scale_masses(self._robot, mass_factor)
        self._variation = None
        if randomisable:
            self._variation = Variation(self._robot, dofs=self._dofs, kp=kp, kd=kd, torque_nm=torque_nm)
        self._allocate()
        everyone = torch.ones(num_envs, dtype=torch.bool, device=self.device)
        self.reset(everyone, torch.zeros(num_envs, 2, device=self.device), torch.zeros(num_envs, device=self.device))

    # Commands and time

    def set_velocity_targets(self, velocity_radps: torch.Tensor, *, joints: slice = slice(None)) -> None:
        """Set the velocity targets (B, J) [rad/s] of the driven joints, or of some of them."""
        self._robot.control_dofs_velocity(velocity_radps, self._dofs[joints])

    def set_position_targets(self, position_rad: torch.Tensor, *, joints: slice = slice(None)) -> None:
        """Set the PD position targets (B, J) [rad] of the driven joints, or of some of them."""
        self._robot.control_dofs_position(position_rad, self._dofs[joints])

    def push_on_ground(self, force_b: torch.Tensor, torque_nm: torch.Tensor) -> None:
        """Push the base link for one physics step at the height of the ground below its origin.

        Args:
            force_b: (B, 2) [N], body frame without roll and pitch.
            torque_nm: (B,) about the vertical through the base link's origin.
        """
        cos, sin = torch.cos(self.yaw_w), torch.sin(self.yaw_w)
        zero = torch.zeros_like(torque_nm)
        x, y = force_b.unbind(-1)
        force_w = torch.stack([cos * x - sin * y, sin * x + cos * y, zero], dim=-1)
        below_w = torch.cat([self.position_w[:, :2], zero[:, None]], dim=-1)
        torque_w = torch.stack([zero, zero, torque_nm], dim=-1)
        base = self._robot.base_link.idx_local
        self._robot.apply_links_external_wrench(force_w[:, None], torque_w[:, None], [base], pos=below_w[:, None])

    def step(self, count: int, *, before: Callable[[int], None] | None = None) -> None:
        """Advance by ``count`` physics steps; a failing environment is reset, the others continue.

        Args:
            before: Called before every physics step with its index, to set targets in between.
        """
        failed = torch.zeros_like(self._broken)
        for index in range(count):
            if before is not None:
                self._state.clear()  # what it reads is of now
                before(index)
            self._scene.step(update_visualizer=False)
            failed |= self._take_errors()
        self._state.clear()
        self._quarantine(failed)

    # State

    @property
    def position_w(self) -> torch.Tensor:
        """Position of the base link (B, 3) [m]."""
        return self._qpos()[:, :3]

    @property
    def quat_wxyz_w(self) -> torch.Tensor:
        """Orientation of the base link (B, 4), w first."""
        return self._qpos()[:, 3:7]

    @property
    def yaw_w(self) -> torch.Tensor:
        """Heading of the base link (B,) [rad]."""
        return self._cached("yaw", lambda: _yaw(self.quat_wxyz_w))

    @property
    def linear_velocity_b(self) -> torch.Tensor:
        """Linear velocity of the base link in its full 3-D frame (B, 3) [m/s]."""
        return _rotate_inverse(self.quat_wxyz_w, self._linear_w())

    @property
    def angular_velocity_b(self) -> torch.Tensor:
        """Angular velocity of the base link in its full 3-D frame (B, 3) [rad/s]."""
        return _rotate_inverse(self.quat_wxyz_w, self._angular_w())

    @property
    def velocity_b(self) -> torch.Tensor:
        """Velocity (vx [m/s], vy [m/s], yaw rate [rad/s]) in the yaw-only body frame (B, 3)."""
        velocity, yaw = self._linear_w(), self.yaw_w
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        vx = cos * velocity[:, 0] + sin * velocity[:, 1]
        vy = cos * velocity[:, 1] - sin * velocity[:, 0]
        return torch.stack([vx, vy, self._angular_w()[:, 2]], dim=-1)

    @property
    def projected_gravity_b(self) -> torch.Tensor:
        """Unit vector of gravity in the full 3-D frame of the base link (B, 3); (0, 0, -1) when upright."""
        return _rotate_inverse(self.quat_wxyz_w, self._gravity.expand(self.num_envs, 3))

    @property
    def joint_position(self) -> torch.Tensor:
        """Angles of the driven joints (B, J) [rad]."""
        return self._qpos()[:, self._qs]

    @property
    def joint_velocity(self) -> torch.Tensor:
        """Velocities of the driven joints (B, J) [rad/s]."""
        return self._cached("dofs", self._robot.get_dofs_velocity)[:, self._dofs]

    @property
    def joint_torque(self) -> torch.Tensor:
        """Torques of the motors in the last physics step (B, J) [N m]."""
        return self._robot.get_dofs_control_force(self._dofs)

    @property
    def mechanical_power_w(self) -> torch.Tensor:
        """Sum of |torque times joint velocity| over the motors (B,) [W]."""
        return (self.joint_torque * self.joint_velocity).abs().sum(dim=1)

    @property
    def joint_limits_rad(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Lower and upper joint limits, each (J,) or (B, J) [rad]."""
        lower, upper = self._robot.get_dofs_limit(self._dofs)
        return lower, upper

    @property
    def mass_kg(self) -> torch.Tensor:
        """Mass of the whole robot: a number, or (B,) where masses vary [kg]."""
        return torch.as_tensor(self._robot.get_mass(), device=self.device)

    @property
    def friction_factor(self) -> torch.Tensor:
        """Factor (B,) on the nominal friction."""
        if self._variation is None:
            return torch.ones(self.num_envs, device=self.device)
        return self._variation.friction

    @property
    def feet_contact_force(self) -> torch.Tensor:
        """Magnitude of the contact force on each foot (B, F) [N]; F = 0 for a robot without legs."""
        return self._robot.get_links_net_contact_force()[:, self._feet].norm(dim=-1)

    @property
    def feet_position_w(self) -> torch.Tensor:
        """Origins of the foot links (B, F, 3) [m]."""
        return self._robot.get_links_pos(self._feet)

    @property
    def feet_velocity_w(self) -> torch.Tensor:
        """Velocities of the foot links' origins (B, F, 3) [m/s]."""
        return self._robot.get_links_vel(self._feet)

    # Episodes

    def reset(self, mask: torch.Tensor, xy_w: torch.Tensor, yaw_w: torch.Tensor) -> None:
        """Put the masked robots at rest into the standing or stowed posture; the others stay untouched.

        Args:
            mask: (B,) bool.
            xy_w: (B, 2) [m]; rows outside the mask are ignored.
            yaw_w: (B,) [rad]; rows outside the mask are ignored.
        """
        self._place(mask, xy_w, yaw_w)
        self._broken &= ~mask

    def broken(self) -> torch.Tensor:
        """Return (B,) bool: environments whose solver failed or that held a NaN since their last reset."""
        return self._broken.clone()

    def fallen(self) -> torch.Tensor:
        """Return (B,) bool: tilted beyond recovery or, for legs, too low."""
        upright = -self.projected_gravity_b[:, 2]
        if not isinstance(self.embodiment.drive, GaitDrive):
            return upright < math.cos(FALL_TILT_WHEELED_RAD)
        low = self.position_w[:, 2] < FALL_HEIGHT_FRACTION * self.embodiment.drive.base_height_m
        return (upright < math.cos(FALL_TILT_LEGGED_RAD)) | low

    @property
    def variation(self) -> Variation:
        """The varied dynamics of the robots.

        Raises:
            ValueError: If the physics was not built with ``randomisable=True``.
        """
        if self._variation is None:
            raise ValueError("dynamics can be varied only in RobotPhysics(..., randomisable=True)")
        return self._variation

    def push(self, mask: torch.Tensor, velocity_w: torch.Tensor) -> None:
        """Add a horizontal velocity (B, 2) [m/s] to the bases of the masked robots."""
        current = self._robot.get_dofs_velocity()[:, :2]
        self._robot.set_dofs_velocity(torch.where(mask[:, None], current + velocity_w, current), [0, 1])
        self._state.clear()

    # Internals

    def _set_up_joints(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Set the joint parameters that the URDF lacks; return gains and torque limits (J,)."""
        robot, drive = self._robot, self.embodiment.drive
        joints = [robot.get_joint(name) for name in self.joint_names]
        self._dofs = [joint.dofs_idx_local[0] for joint in joints]
        self._qs = [joint.qs_idx_local[0] for joint in joints]
        self._feet: list[int] = []
        count = len(self._dofs)
        if isinstance(drive, GaitDrive):
            self._feet = [robot.get_link(name).idx_local for name in drive.feet]
            kp, kd, torque_nm = (self._row(v) for v in (drive.kp, drive.kd, drive.torque_nm))
            armature, default = drive.armature_kgm2, drive.default_rad
        else:
            wheels = joint_parameters(drive)
            for joint, friction in zip(joints, wheels.friction, strict=True):
                for geom in joint.link.geoms if friction else ():
                    geom.set_friction(friction)
            kp, kd, torque_nm = (self._row(v) for v in (wheels.kp, wheels.kd, wheels.torque_nm))
            armature, default = (drive.armature_kgm2,) * count, (0.0,) * count
        robot.set_dofs_armature(self._row(armature), self._dofs)
        robot.set_dofs_damping(self._row([0.0] * count), self._dofs)
        robot.set_dofs_frictionloss(self._row([0.0] * count), self._dofs)
        self._default = self._row(default)
        set_gains(robot, self._dofs, kp=kp, kd=kd, torque_nm=torque_nm)
        return kp, kd, torque_nm

    def _allocate(self) -> None:
        self._state: dict[str, torch.Tensor] = {}
        self._broken = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._gravity = torch.tensor([0.0, 0.0, -1.0], device=self.device)

    def _row(self, values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.float32, device=self.device)

    def _place(self, mask: torch.Tensor, xy_w: torch.Tensor, yaw_w: torch.Tensor) -> None:
        qpos = torch.zeros(self.num_envs, self._robot.n_qs, device=self.device)
        qpos[:, :2] = xy_w
        qpos[:, 2] = self._stand_height_m + RESET_GAP_M
        qpos[:, 3], qpos[:, 6] = torch.cos(yaw_w / 2.0), torch.sin(yaw_w / 2.0)
        qpos[:, self._qs] = self._default
        # Zeros outside the mask: a NaN in an ignored row must not spread.
        self._robot.set_qpos(torch.where(mask[:, None], qpos, 0.0), envs_idx=mask, zero_velocity=True)
        self._state.clear()

    def _take_errors(self) -> torch.Tensor:
        """Read and clear the solver's error flags (B,): Genesis would stop the whole batch for one of them."""
        failed = self._scene.rigid_solver.get_error_envs_mask()
        if bool(failed.any()):
            self._scene.rigid_solver._errno.fill(0)
        return failed.to(self.device)

    def _quarantine(self, failed: torch.Tensor) -> None:
        """Reset failed environments in place and flag them."""
        finite = torch.isfinite(self._qpos()).all(-1) & torch.isfinite(self._robot.get_dofs_velocity()).all(-1)
        bad = failed | ~finite
        if bool(bad.any()):
            self._broken |= bad
            xy_w = torch.nan_to_num(self._qpos()[:, :2], posinf=0.0, neginf=0.0).clamp(-1e3, 1e3)
            self._place(bad, xy_w, torch.zeros(self.num_envs, device=self.device))

    def _cached(self, name: str, read: Any) -> torch.Tensor:
        if name not in self._state:
            self._state[name] = read()
        return self._state[name]

    def _qpos(self) -> torch.Tensor:
        return self._cached("qpos", self._robot.get_qpos)

    def _linear_w(self) -> torch.Tensor:
        return self._cached("linear", self._robot.get_vel)

    def _angular_w(self) -> torch.Tensor:
        return self._cached("angular", self._robot.get_ang)


def _yaw(quat_wxyz: torch.Tensor) -> torch.Tensor:
    """Return the heading (B,) of orientations (B, 4)."""
    w, x, y, z = quat_wxyz.unbind(-1)
    return torch.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def _rotate_inverse(quat_wxyz: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Rotate world vectors (B, 3) into the frame whose orientation is ``quat_wxyz`` (B, 4)."""
    w, xyz = quat_wxyz[:, :1], quat_wxyz[:, 1:]
    twice = 2.0 * torch.cross(xyz, vector, dim=-1)
    return vector - w * twice + torch.cross(xyz, twice, dim=-1)
