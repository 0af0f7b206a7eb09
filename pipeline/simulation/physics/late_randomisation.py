"""Dynamics of the robots that were reset, drawn for several of them at a time."""

import torch

from pipeline.simulation.physics.randomisation import Randomisation
from pipeline.simulation.physics.robot_physics import RobotPhysics

STALE_FRACTION = 0.125
"""Fraction of the robots that wait for new dynamics before all of them are written: writing costs a fifth of a step"""


class LateRandomisation:
    """Remembers who waits for new dynamics, and draws them when enough do."""

    def __init__(self, physics: RobotPhysics, block: Randomisation, *, generator: torch.Generator) -> None:
        """Begin with nobody waiting."""
        self._physics, self._block, self._generator = physics, block, generator
        self._stale = torch.zeros(physics.num_envs, dtype=torch.bool, device=physics.device)

    def begin(self, mask: torch.Tensor) -> None:
        """Let the masked robots (B,) wait, too; draw for all who wait if that are enough."""
        self._stale |= mask
        if not self._block.physical or int(self._stale.sum()) < len(mask) * STALE_FRACTION:
            return
        self._physics.variation.randomise(
            self._stale,
            friction=self._block.friction,
            mass_scale=self._block.mass,
            motor_strength=self._block.motor_strength,
            generator=self._generator,
        )
        self._stale = torch.zeros_like(self._stale)
