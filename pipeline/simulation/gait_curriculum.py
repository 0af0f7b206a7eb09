"""How hard gait training is at present: the range of commands and the pushes grow while the robot copes."""

import math

import torch

from embodiments.spaces import DRIVE_HZ

RISE_S = 50.0
"""Simulated time per robot from the easiest to the hardest."""
EASY_FALLS_PER_S, HARD_FALLS_PER_S = 0.02, 0.08
"""Below the first it gets harder, above the second easier."""
GOOD_ERROR, BAD_ERROR = (0.15, 0.25), (0.18, 0.3)
"""Mean errors [m/s, rad/s]: it gets harder only while both are below the first, easier if one is above the second."""
EASIEST_RANGE = 0.5
"""Share of the command range at level 0."""
_MEMORY_S = 5.0


class Curriculum:
    """One level in [0, 1] for the whole batch."""

    def __init__(self, level: float = 0.0) -> None:
        """Start at ``level``."""
        self.level = level
        self._falls_per_s = 2.0 * EASY_FALLS_PER_S
        self._error = [1.0, 1.0]

    @property
    def command_share(self) -> float:
        """Share of the command range that is drawn from."""
        return EASIEST_RANGE + (1.0 - EASIEST_RANGE) * self.level

    @property
    def push_share(self) -> float:
        """Share of the largest push."""
        return self.level

    def update(self, fallen: torch.Tensor, error: torch.Tensor) -> None:
        """Take in one drive step.

        Args:
            fallen: (B,) bool, who fell in this step.
            error: (B, 3) velocity errors averaged over about half a gait cycle.
        """
        keep = math.exp(-1.0 / (_MEMORY_S * DRIVE_HZ))
        falls = float(fallen.float().mean()) * DRIVE_HZ
        now = (float(error[:, :2].norm(dim=-1).mean()), float(error[:, 2].abs().mean()))
        self._falls_per_s = keep * self._falls_per_s + (1.0 - keep) * falls
        self._error = [keep * old + (1.0 - keep) * new for old, new in zip(self._error, now, strict=True)]
        good = all(error < limit for error, limit in zip(self._error, GOOD_ERROR, strict=True))
        bad = any(error > limit for error, limit in zip(self._error, BAD_ERROR, strict=True))
        if bad or self._falls_per_s > HARD_FALLS_PER_S:
            self.level -= 1.0 / (RISE_S * DRIVE_HZ)
        elif good and self._falls_per_s < EASY_FALLS_PER_S:
            self.level += 1.0 / (RISE_S * DRIVE_HZ)
        self.level = min(max(self.level, 0.0), 1.0)
