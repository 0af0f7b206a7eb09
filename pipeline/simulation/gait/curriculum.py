"""How hard gait training is at present: the range of commands and the pushes grow while the robot copes."""

import math

import torch

from embodiments.spaces import DRIVE_HZ

RISE_S = 100.0
"""Simulated time per robot from the easiest to the hardest. Pushes that grew in half of it broke a humanoid's gait."""
EASY_FALLS_PER_S, HARD_FALLS_PER_S = 0.01, 0.03
"""Below the first it gets harder, above the second easier."""
GOOD_SHARE, BAD_SHARE = 0.6, 0.4
"""It gets harder only while every kind of command (forwards, backwards, sideways, turning) yields more than the first
share of its velocity, easier while one yields less than the second. Errors alone would not do: with small commands
standing still looks good, and a robot that never learned to walk forwards under small ones does not under large ones.
"""
EASIEST_RANGE = 0.35
"""Share of the command range, forwards, backwards and in turning, at level 0."""
_MEMORY_S = 5.0
_LITTLE = 1e-3


class Curriculum:
    """One level in [0, 1] for the whole batch."""

    def __init__(self, level: float = 0.0) -> None:
        """Start at ``level``."""
        self.level = level
        # Between the thresholds: what is not known yet moves nothing, in a resumed run either.
        self._falls_per_s = 0.5 * (EASY_FALLS_PER_S + HARD_FALLS_PER_S)
        self._asked = torch.full((4,), _LITTLE)
        self._yield = 0.5 * (GOOD_SHARE + BAD_SHARE) * self._asked

    @property
    def command_fraction(self) -> float:
        """Share of the command range that is drawn from; it grows over the first half of the levels."""
        return EASIEST_RANGE + (1.0 - EASIEST_RANGE) * min(2.0 * self.level, 1.0)

    @property
    def push_fraction(self) -> float:
        """Share of the largest push; it grows over the second half: a beginner under pushes learns to stand."""
        return max(2.0 * self.level - 1.0, 0.0)

    @property
    def shares(self) -> torch.Tensor:
        """How much of what is commanded forwards, backwards, sideways and in turning is done lately, (4,)."""
        return self._yield / self._asked

    def update(self, fallen: torch.Tensor, command: torch.Tensor, error: torch.Tensor) -> None:
        """Take in one drive step.

        Args:
            fallen: (B,) bool, who fell in this step.
            command: (B, 3).
            error: (B, 3) velocity errors averaged over about half a gait cycle.
        """
        keep = math.exp(-1.0 / (_MEMORY_S * DRIVE_HZ))
        self._falls_per_s = keep * self._falls_per_s + (1.0 - keep) * float(fallen.float().mean()) * DRIVE_HZ
        x, y, yaw = command.unbind(-1)
        asked = torch.stack([x.clamp(min=0.0), x.clamp(max=0.0), y, yaw], dim=-1)  # (B, 4)
        done = (command - error)[:, [0, 0, 1, 2]]
        self._yield = keep * self._yield + (1.0 - keep) * (asked * done).mean(0).cpu()
        self._asked = keep * self._asked + (1.0 - keep) * asked.square().mean(0).cpu()
        share = float(self.shares.min())
        if share < BAD_SHARE or self._falls_per_s > HARD_FALLS_PER_S:
            self.level -= 1.0 / (RISE_S * DRIVE_HZ)
        elif share > GOOD_SHARE and self._falls_per_s < EASY_FALLS_PER_S:
            self.level += 1.0 / (RISE_S * DRIVE_HZ)
        self.level = min(max(self.level, 0.0), 1.0)
