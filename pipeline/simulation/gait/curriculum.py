"""Curriculum of gait training: the range of commands and the pushes grow while the robot succeeds."""

import math

import torch

from embodiments.spaces import DRIVE_HZ

RISE_S = 100.0
"""Simulated time per robot from the easiest to the hardest level. Half of it broke a humanoid's gait."""
EASY_FALLS_PER_S, HARD_FALLS_PER_S = 0.01, 0.03
"""Below the first the level rises, above the second it falls."""
GOOD_FRACTION, BAD_FRACTION = 0.6, 0.4
"""The level rises only while every kind of command (forwards, backwards, sideways, turning) reaches more than the first
fraction of its velocity, and falls while one reaches less than the second. The error alone is not enough: it is small
for a robot that stands still under small commands, and such a robot does not learn to walk under large ones.
"""
EASIEST_RANGE = 0.35
"""Fraction of the command range, forwards, backwards and in turning, at level 0."""
_MEMORY_S = 5.0
_EPSILON = 1e-3


class Curriculum:
    """One level in [0, 1] for the whole batch."""

    def __init__(self, level: float = 0.0) -> None:
        """Start at ``level``."""
        self.level = level
        # Between the thresholds, so that the level does not move before there are measurements, also after a resume.
        self._falls_per_s = 0.5 * (EASY_FALLS_PER_S + HARD_FALLS_PER_S)
        self._commanded = torch.full((4,), _EPSILON)
        self._executed = 0.5 * (GOOD_FRACTION + BAD_FRACTION) * self._commanded

    @property
    def command_fraction(self) -> float:
        """Fraction of the command range in use; it grows over the first half of the levels."""
        return EASIEST_RANGE + (1.0 - EASIEST_RANGE) * min(2.0 * self.level, 1.0)

    @property
    def push_fraction(self) -> float:
        """Fraction of the largest push; it grows over the second half of the levels, see ``train_gait``."""
        return max(2.0 * self.level - 1.0, 0.0)

    @property
    def followed(self) -> torch.Tensor:
        """(4,) recent ratio of executed to commanded velocity: forwards, backwards, sideways, turning."""
        return self._executed / self._commanded

    def update(self, fallen: torch.Tensor, command: torch.Tensor, error: torch.Tensor) -> None:
        """Process one drive step.

        Args:
            fallen: (B,) bool, whether the robot fell in this step.
            command: (B, 3).
            error: (B, 3) velocity errors averaged over about half a gait cycle.
        """
        decay = math.exp(-1.0 / (_MEMORY_S * DRIVE_HZ))
        self._falls_per_s = decay * self._falls_per_s + (1.0 - decay) * float(fallen.float().mean()) * DRIVE_HZ
        x, y, yaw = command.unbind(-1)
        commanded = torch.stack([x.clamp(min=0.0), x.clamp(max=0.0), y, yaw], dim=-1)  # (B, 4)
        executed = (command - error)[:, [0, 0, 1, 2]]
        self._executed = decay * self._executed + (1.0 - decay) * (commanded * executed).mean(0).cpu()
        self._commanded = decay * self._commanded + (1.0 - decay) * commanded.square().mean(0).cpu()
        worst = float(self.followed.min())
        if worst < BAD_FRACTION or self._falls_per_s > HARD_FALLS_PER_S:
            self.level -= 1.0 / (RISE_S * DRIVE_HZ)
        elif worst > GOOD_FRACTION and self._falls_per_s < EASY_FALLS_PER_S:
            self.level += 1.0 / (RISE_S * DRIVE_HZ)
        self.level = min(max(self.level, 0.0), 1.0)
