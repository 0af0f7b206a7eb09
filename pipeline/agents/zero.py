"""Agent that never moves: what an episode looks like when nothing is done."""

from typing import Literal

import torch

from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE
from pipeline.agents.agent import AgentInfo, Privileged


class ZeroAgent:
    """Command zero, always."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        """Take what every agent is made with."""

    def reset(self, mask: torch.Tensor) -> None:
        """Do nothing: there is nothing to forget."""

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return zero actions (B, 3)."""
        return torch.zeros_like(observation.previous_command[:, :COMMAND_SIZE])


AGENT = AgentInfo(
    label="never moves",
    kind="scripted",
    order=0,
    colour="#b8b8b8",
    by_default=False,  # it reaches no goal and uses all the time there is
    uses_depth=False,
    uses_route=False,
    make=ZeroAgent,
)
