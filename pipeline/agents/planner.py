"""A classical planner with the policies' observation: the local planner of the policy, with nothing learned."""

from typing import Literal

import numpy as np
import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from world_model.fixed_batches import by_rows
from world_model.local_planner import planner


class PlannerAgent:
    """Follows the local plan on a costmap that it keeps for every environment."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        self._state = torch.zeros(num_envs, planner.STATE_SIZE, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Empty the costmaps of the environments in ``mask`` (B,)."""
        self._state = self._state.masked_fill(mask[:, None], 0.0)

    def costmap_state(self, row: int) -> np.ndarray:
        """Return the local planner's state (S,) of one environment."""
        return self._state[row].cpu().numpy().copy()

    def anticipation(self) -> None:
        """Return nothing: no network."""

    @torch.no_grad()
    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from depth, odometry, route and goal."""
        action, self._state = by_rows(planner.drive_step, observation, self._state)
        return action


AGENT = AgentInfo(
    label="draws a map from depth and follows the cheapest way on it, nothing learned",
    kind="classical",
    order=30,
    colour="#8a6fb0",
    make=PlannerAgent,
)
