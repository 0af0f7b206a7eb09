"""Agent that drives at random: the floor that any learned policy must clear."""

from typing import Literal

import torch

from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE, CONTROL_HZ
from pipeline.agents.agent import AgentInfo, Privileged

HOLD_STEPS = int(CONTROL_HZ)
"""A draw is held for 1 s: one that changes at 10 Hz averages out and leaves the robot where it stands."""


class RandomAgent:
    """Uniform actions, redrawn every second of an episode."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        # Drawn on the CPU so that a seed means the same commands on every device.
        self._generator = torch.Generator().manual_seed(seed)
        self._action = torch.zeros(num_envs, COMMAND_SIZE, device=device)
        self._age = torch.zeros(num_envs, dtype=torch.long, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Redraw at the next step for the environments in ``mask`` (B,)."""
        self._age.masked_fill_(mask, 0)

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3), uniform in [-1, 1]."""
        draw = torch.rand(self._action.shape, generator=self._generator) * 2.0 - 1.0
        redraw = (self._age % HOLD_STEPS == 0)[:, None]
        self._action = torch.where(redraw, draw.to(self._action.device), self._action)
        self._age += 1
        return self._action


AGENT = AgentInfo(
    label="drives at random",
    kind="scripted",
    order=10,
    colour="#9a9a9a",
    by_default=False,  # it reaches no goal and uses all the time there is
    uses_depth=False,
    uses_route=False,
    make=RandomAgent,
)
