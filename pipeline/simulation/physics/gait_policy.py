"""The gait policy: proprioception and a velocity command in, joint targets out. Its observation is laid out here, once.

Training and the drive both go through ``GaitController``, so what was trained is what walks.
"""

import math

import numpy as np
import torch

from embodiments.embodiment import GaitDrive
from embodiments.spaces import DRIVE_HZ, STAND_SPEED_MPS, STAND_YAW_RATE_RADPS
from pipeline.simulation.physics.gait_reference import SteppingReference
from pipeline.simulation.physics.robot_physics import RobotPhysics

HISTORY = 5
"""Observations in the actor's input, newest first. 0.1 s average out sensor noise and show a push."""
GRAVITY_MPS2 = 9.81
ACTION_LIMIT = 6.0
"""Actions are clipped here; times ``action_scale_rad`` this is the largest offset from the standing pose."""

# Name, size (0 = one per joint) and scale of every part of the observation, in order.
_PARTS: tuple[tuple[str, int, tuple[float, ...]], ...] = (
    ("angular_velocity_b", 3, (0.25,) * 3),
    ("projected_gravity_b", 3, (1.0,) * 3),
    ("command", 3, (2.0, 2.0, 1.0)),
    ("clock", 2, (1.0,) * 2),
    ("joint_position", 0, (1.0,)),
    ("joint_velocity", 0, (0.05,)),
    ("previous_action", 0, (1.0,)),
)
# Left-right mirroring about the x-z plane: polar vectors flip y, the angular velocity (axial) flips x and z, and the
# gait cycle shifts by one half.
_MIRROR_SIGNS = {
    "angular_velocity_b": (-1.0, 1.0, -1.0),
    "projected_gravity_b": (1.0, -1.0, 1.0),
    "command": (1.0, -1.0, -1.0),
    "clock": (-1.0, -1.0),
}


def layout(joints: int) -> dict[str, slice]:
    """Return name -> slice of every part of the (B, O) observation of a robot with ``joints`` driven joints."""
    slices, start = {}, 0
    for name, size, _ in _PARTS:
        end = start + (size or joints)
        slices[name] = slice(start, end)
        start = end
    return slices


def observation_size(joints: int) -> int:
    """Return O, of one instant; the actor sees ``HISTORY`` of them."""
    return layout(joints)["previous_action"].stop


def is_moving(command: torch.Tensor) -> torch.Tensor:
    """Return (B,) bool: whether a command (B, 3) asks for more than standing."""
    return (command[:, :2].norm(dim=-1) >= STAND_SPEED_MPS) | (command[:, 2].abs() >= STAND_YAW_RATE_RADPS)


class Mirror:
    """Left-right mirroring of observations and actions; applying it twice is the identity."""

    def __init__(self, drive: GaitDrive, device: torch.device | str = "cpu") -> None:
        joints = len(drive.joints)
        self.joint_index = torch.tensor(drive.mirror_joints, device=device)
        self.joint_sign = torch.tensor(drive.mirror_signs, device=device)
        index = torch.arange(observation_size(joints), device=device)
        sign = torch.ones(observation_size(joints), device=device)
        for name, part in layout(joints).items():
            if name in _MIRROR_SIGNS:
                sign[part] = torch.tensor(_MIRROR_SIGNS[name], device=device)
            else:
                index[part] = part.start + self.joint_index
                sign[part] = self.joint_sign
        self._index, self._sign = index, sign

    def observation(self, observation: torch.Tensor) -> torch.Tensor:
        """Mirror (..., H * O), of any number H of instants."""
        instants = observation.unflatten(-1, (-1, len(self._index)))
        return (instants[..., self._index] * self._sign).flatten(-2)

    def action(self, action: torch.Tensor) -> torch.Tensor:
        """Mirror (..., J): an action, or joint angles relative to the standing pose."""
        return action[..., self.joint_index] * self.joint_sign


class GaitController:
    """State of the gait in every environment: phase, past observations, previous action.

    Call ``observe``, then ``act``, once per drive step.
    """

    def __init__(self, drive: GaitDrive, *, num_envs: int, device: torch.device | str) -> None:
        self.drive = drive
        joints = len(drive.joints)
        self.phase = torch.zeros(num_envs, device=device)
        self.previous_action = torch.zeros(num_envs, joints, device=device)
        self._coasting = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._idle_cycles = torch.zeros(num_envs, device=device)
        self.default_rad = torch.tensor(drive.default_rad, device=device)
        self.foot_phases = torch.tensor(drive.foot_phases, device=device)
        self._scale = torch.tensor(_scales(joints), device=device)
        self._reference = SteppingReference(drive, device)
        self._instants = torch.zeros(num_envs, HISTORY, observation_size(joints), device=device)
        self._past = self._instants[:, :-1]
        self._just_reset = torch.ones(num_envs, dtype=torch.bool, device=device)
        self._parts = layout(joints)

    def reset(self, mask: torch.Tensor, phase: torch.Tensor | float = 0.0) -> None:
        """Reset the masked environments (B,)."""
        self.phase = torch.where(mask, phase, self.phase)
        self.previous_action = torch.where(mask[:, None], 0.0, self.previous_action)
        self._coasting = self._coasting & ~mask
        self._idle_cycles = torch.where(mask, 0.0, self._idle_cycles)
        self._just_reset = self._just_reset | mask

    def is_stepping(self, command: torch.Tensor) -> torch.Tensor:
        """Return (B,) bool: whether the feet step, for a command (B, 3) or while the robot comes to rest."""
        return is_moving(command) | self._coasting

    def observe(
        self, physics: RobotPhysics, command: torch.Tensor, *, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the actor's input (B, HISTORY * O), newest first; arguments as for ``measure``.

        A second call before ``act`` replaces the first. After a reset the past equals the present.
        """
        present = self.measure(physics, command, noise=noise)[:, None]
        past = torch.where(self._just_reset[:, None, None], present, self._past)
        self._instants = torch.cat([present, past], dim=1)
        return self._instants.flatten(1)

    def measure(
        self, physics: RobotPhysics, command: torch.Tensor, *, noise: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the current observation (B, O) for a command (B, 3); ``noise`` (B, O) is added before scaling."""
        cycle = 2.0 * math.pi * self.phase
        clock = torch.stack([torch.sin(cycle), torch.cos(cycle)], dim=-1) * self.is_stepping(command)[:, None]
        parts = {
            "angular_velocity_b": physics.angular_velocity_b,
            "projected_gravity_b": physics.projected_gravity_b,
            "command": command,
            "clock": clock,
            "joint_position": physics.joint_position - self.default_rad,
            "joint_velocity": physics.joint_velocity,
            "previous_action": self.previous_action,
        }
        raw = torch.cat([parts[name] for name, _, _ in _PARTS], dim=-1)
        return (raw if noise is None else raw + noise) * self._scale

    def act(self, action: torch.Tensor, command: torch.Tensor) -> torch.Tensor:
        """Apply an action (B, J), advance the gait cycle by one drive step, return joint targets (B, J) [rad]."""
        action = action.clamp(-ACTION_LIMIT, ACTION_LIMIT)
        self.previous_action = action
        self._past = self._instants[:, :-1]
        self._just_reset = torch.zeros_like(self._just_reset)
        moving, stepping = is_moving(command), self.is_stepping(command)
        lean_rad = self._lean_rad()
        unsteady = lean_rad.abs() > self.drive.steady_rad
        # A stepping robot sways from side to side, and so for half a cycle after: that is no loss of balance.
        sways = self._idle_cycles < self.drive.stop_cycles + 1.0
        unsteady = unsteady[:, 0] | (unsteady[:, 1] & ~sways)
        offset = self._reference.offset_rad(self.phase, command) * stepping[:, None]
        phase_step = 1.0 / (DRIVE_HZ * self.drive.cycle_s)
        advanced = (self.phase + phase_step) % 1.0
        self._idle_cycles = torch.where(moving | unsteady, 0.0, self._idle_cycles + phase_step)
        # Stop only with both feet on the ground: at the start of either foot's stance.
        at_rest = (advanced % 0.5 < phase_step) & (self._idle_cycles >= self.drive.stop_cycles)
        coasting = stepping & ~moving & ~at_rest
        self._coasting = (moving | coasting | unsteady) & (self.drive.stop_cycles > 0.0)
        # A standing robot that loses balance steps first with the foot of that side: the left one swings after 0.5.
        first = torch.where(unsteady & (lean_rad[:, 1] > 0.0), 0.5, 0.0)
        self.phase = torch.where(stepping, advanced, first)
        return self.default_rad + offset + self.drive.action_scale_rad * action

    def _lean_rad(self) -> torch.Tensor:
        """Return how far each body will lean forwards and to the left without a step, (B, 2) [rad].

        The capture point of an inverted pendulum: its lean, plus its lean rate over its natural frequency. Both are
        means over the actor's noisy inputs.
        """
        seen = (self._instants / self._scale).mean(dim=1)
        down, turning = seen[:, self._parts["projected_gravity_b"]], seen[:, self._parts["angular_velocity_b"]]
        rates = torch.stack([turning[:, 1], -turning[:, 0]], dim=-1)
        return down[:, :2] + rates / math.sqrt(GRAVITY_MPS2 / self.drive.base_height_m)


def _scales(joints: int) -> list[float]:
    """Return the scale of every number of the observation."""
    scales: list[float] = []
    for _, size, scale in _PARTS:
        scales += scale if size else scale * joints
    return scales


def noise_scale(joints: int) -> np.ndarray:
    """Return (O,) half-widths of uniform sensor noise, in the units of the observation's parts."""
    scale = np.zeros(observation_size(joints), dtype=np.float32)
    parts = layout(joints)
    scale[parts["angular_velocity_b"]] = 0.15  # gyroscope after the vendor's filter [rad/s]
    scale[parts["projected_gravity_b"]] = 0.03  # about 2 degrees of attitude error
    scale[parts["joint_position"]] = 0.01  # encoder and backlash [rad]
    scale[parts["joint_velocity"]] = 0.8  # differentiated encoders [rad/s]
    return scale
