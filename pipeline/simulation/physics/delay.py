"""Delay between a command and the drive: a whole number of drive steps per environment."""

import math

import torch

from embodiments.spaces import COMMAND_SIZE, CONTROL_DT_S, DRIVE_HZ

DRIVE_STEPS = round(CONTROL_DT_S * DRIVE_HZ)
"""Drive steps in one control step."""


class DelayLine:
    """Buffer of the last commands, as many as the longest delay needs."""

    def __init__(self, num_envs: int, *, longest_s: float, device: str) -> None:
        """Start without delay and with zero commands in the buffer."""
        length = 1 + math.ceil(longest_s / CONTROL_DT_S - 1e-6)
        self._sent = torch.zeros(length, num_envs, COMMAND_SIZE, device=device)
        self._delay_steps = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._envs = torch.arange(num_envs, device=device)

    def begin(self, mask: torch.Tensor, latency_s: torch.Tensor) -> None:
        """Clear the buffer of the masked environments, and set their delay to ``latency_s`` (B,)."""
        self._delay_steps = torch.where(mask, (latency_s * DRIVE_HZ).round().long(), self._delay_steps)
        self._sent[:, mask] = 0.0

    def send(self, command: torch.Tensor) -> None:
        """Add the command (B, 3) of one control step."""
        self._sent = torch.cat([command[None], self._sent[:-1]])

    def arrived(self, drive_step: int) -> torch.Tensor:
        """Return the command (B, 3) that the drive executes in a drive step of the current control step."""
        back = (self._delay_steps - drive_step + DRIVE_STEPS - 1).div(DRIVE_STEPS, rounding_mode="floor")
        return self._sent[back.clamp(0, len(self._sent) - 1), self._envs]
