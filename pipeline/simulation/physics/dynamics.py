"""Randomised dynamics of a gait: friction, masses, motors, late targets, noisy sensors, pushes."""

import math
from dataclasses import dataclass

import torch

from embodiments.spaces import DRIVE_HZ
from pipeline.simulation.physics.gait_policy import noise_scale
from pipeline.simulation.physics.robot_physics import RobotPhysics
from pipeline.simulation.physics.variation import Interval

FACTORS = 8
"""Inputs of a privileged critic: the factors of ``Variation.randomise``, and the latency."""
SHIFT_Y_FACTOR = 5
"""Index of the factor that changes its sign under mirroring."""
_LATENCY_SCALE = 50.0


@dataclass(frozen=True, kw_only=True)
class GaitRandomisation:
    """The default randomisation of gaits, in training and in ``evaluate_gait``."""

    friction: Interval = (0.5, 1.5)
    """Factor on the friction of the feet."""
    mass_scale: Interval = (0.85, 1.2)
    """Factor on mass and inertia of the base link."""
    body_mass_scale: Interval = (1.0, 1.0)
    """Further factor on mass and inertia of every link."""
    com_shift_m: float = 0.02
    motor_strength: Interval = (0.9, 1.1)
    """Factor on torque limits and gains."""
    kp_scale: Interval = (0.9, 1.1)
    """Further factor on both PD gains."""
    latency_s: Interval = (0.0, 0.02)
    """From sensing to torque, applied to the joint targets: a delay has the same effect anywhere in the loop."""
    noise: float = 1.0
    """Factor on the sensor noise of ``gait_policy.noise_scale``."""


class GaitDynamics:
    """One batch of robots, each with its own dynamics."""

    def __init__(self, physics: RobotPhysics, block: GaitRandomisation, *, seed: int) -> None:
        """Start with the model's own dynamics; ``physics`` must be randomisable."""
        self._physics, self._block = physics, block
        self._generator = torch.Generator(device=physics.device).manual_seed(seed)
        self._substeps = round(1.0 / (DRIVE_HZ * physics.dt_s))
        self._delay_steps = torch.zeros(physics.num_envs, dtype=torch.long, device=physics.device)
        self._last_target_rad: torch.Tensor | None = None
        joints = len(physics.joint_names)
        self._noise = torch.as_tensor(noise_scale(joints), device=physics.device) * block.noise
        self.factors = torch.zeros(physics.num_envs, FACTORS, device=physics.device)
        """(B, 8), see ``FACTORS``"""

    def resample(self, mask: torch.Tensor) -> None:
        """Sample new dynamics for the masked robots (B,)."""
        block = self._block
        factors = self._physics.variation.randomise(
            mask,
            friction=block.friction,
            mass_scale=block.mass_scale,
            body_mass_scale=block.body_mass_scale,
            com_shift_m=block.com_shift_m,
            motor_strength=block.motor_strength,
            kp_scale=block.kp_scale,
            generator=self._generator,
        )
        low, high = (round(limit / self._physics.dt_s) for limit in block.latency_s)
        sampled = torch.randint(low, high + 1, (len(mask),), generator=self._generator, device=mask.device)
        self._delay_steps = torch.where(mask, sampled, self._delay_steps)
        latency = self._delay_steps[:, None] * (self._physics.dt_s * _LATENCY_SCALE)
        self.factors = torch.cat([factors, latency], dim=-1)

    def noise(self) -> torch.Tensor:
        """Return (B, O) sensor noise, to be added to an observation."""
        unit = torch.rand(
            len(self._delay_steps), len(self._noise), generator=self._generator, device=self._noise.device
        )
        return self._noise * (2.0 * unit - 1.0)

    def step(self, target_rad: torch.Tensor) -> None:
        """Advance by one drive step (20 ms); the new joint targets (B, J) reach every robot after its own latency."""
        last = target_rad if self._last_target_rad is None else self._last_target_rad

        def command(substep: int) -> None:
            self._physics.set_position_targets(torch.where((self._delay_steps > substep)[:, None], last, target_rad))

        self._physics.step(self._substeps, before=command)
        self._last_target_rad = target_rad

    def hold(self, mask: torch.Tensor, target_rad: torch.Tensor) -> None:
        """After a reset of the masked robots (B,), hold ``target_rad`` (B, J) until their first targets arrive."""
        if self._last_target_rad is not None:
            self._last_target_rad = torch.where(mask[:, None], target_rad, self._last_target_rad)

    def push(self, mask: torch.Tensor, speed_mps: torch.Tensor) -> None:
        """Push the masked robots (B,) in a random direction; their bases change speed by ``speed_mps`` (B,)."""
        unit = torch.rand(len(mask), generator=self._generator, device=mask.device)
        angle = 2.0 * math.pi * unit
        self._physics.push(mask, speed_mps[:, None] * torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1))
