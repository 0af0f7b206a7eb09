"""What every agent offers: one batched policy over environments."""

from collections.abc import Callable
from typing import Literal, Protocol

import torch

from pipeline.simulation.sensors.observation import Observation

Privileged = Callable[[], dict[str, torch.Tensor]]
"""Gives what the simulation knows and no robot sees; for the teacher only."""


class Agent(Protocol):
    """A batched policy; ``act`` is called once per control step."""

    @property
    def output(self) -> Literal["action", "command"]:
        """What ``act`` returns: actions of the robot's limits, or a command in m/s and rad/s (exported policies)."""

    def reset(self, mask: torch.Tensor) -> None:
        """Forget what was remembered for the environments in ``mask`` (B,) bool: a new episode begins there."""

    def act(self, observation: Observation, privileged: Privileged) -> torch.Tensor:
        """Return the (B, 3) action for one control step."""
