"""How hard gait training is at present: the range of commands and the pushes grow while the robot copes."""

import math

import torch

from embodiments.spaces import DRIVE_HZ

RISE_S = 50.0
"""Simulated time per robot from the easiest to the hardest."""
EASY_FALLS_PER_S, HARD_FALLS_PER_S = 0.02, 0.08
"""Below the first it gets harder, above the second easier."""
GOOD_SHARE, BAD_SHARE = 0.75, 0.55
"""It gets harder only while every kind of command (forwards, backwards, sideways, turning) yields more than the first
share of its velocity, easier while one yields less than the second. Errors alone would not do: with small commands
standing still looks good, and a robot that never learned to walk forwards under small ones does not under large ones.
"""
EASIEST_RANGE = 0.35
"""Share of the command range at level 0."""
_MEMORY_S = 5.0


class Curriculum:
    """One level in [0, 1] for the whole batch."""

    def __init__(self, level: float = 0.0) -> None:
        """Start at ``level``."""
        self.level = level
        # Between the thresholds: what is not known yet moves nothing, in a resumed run either.
        self._falls_per_s = 0.5 * (EASY_FALLS_PER_S + HARD_FALLS_PER_S)
        self._yield = torch.full((4,), 0.5 * (GOOD_SHARE + BAD_SHARE))
        self._asked = torch.ones(4)

    @property
    def command_share(self) -> float:
        """Share of the command range that is drawn from."""
        return EASIEST_RANGE + (1.0 - EASIEST_RANGE) * self.level

    @property
    def push_share(self) -> float:
        """Share of the largest push."""
        return self.level

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
        share = float((self._yield / self._asked).min())
        if share < BAD_SHARE or self._falls_per_s > HARD_FALLS_PER_S:
            self.level -= 1.0 / (RISE_S * DRIVE_HZ)
        elif share > GOOD_SHARE and self._falls_per_s < EASY_FALLS_PER_S:
            self.level += 1.0 / (RISE_S * DRIVE_HZ)
        self.level = min(max(self.level, 0.0), 1.0)
