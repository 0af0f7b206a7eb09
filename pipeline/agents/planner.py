"""A classical planner that sees what the policies see: it draws a map from depth and drives along the cheapest way."""

from typing import Literal

import torch

from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.simulation.sensors.observation import Observation
from world_model.fixed_batches import by_rows
from world_model.local_planner import costmap, planner


class PlannerAgent:
    """Aims the driving law along the local map's cost to go."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str) -> None:
        self._state = torch.zeros(num_envs, planner.STATE_SIZE, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget what was remembered for the environments in ``mask`` (B,)."""
        self._state = self._state.masked_fill(mask[:, None], 0.0)

    @torch.no_grad()
    def act(self, observation: Observation, privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from depth, odometry, route and goal."""
        seen = {name: value for name, value in observation.policy_inputs().items() if name != "previous_command"}
        state, goal_b = costmap.goal_on_the_map(self._state, seen["goal_b"])
        action, self._state = by_rows(_step, {**seen, "goal_b": goal_b, "state": state})
        return action


def _step(**seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    found, state = planner.step(**seen)
    return found.action, state


def make(*, num_envs: int, device: str, seed: int) -> PlannerAgent:
    """Return the planner."""
    return PlannerAgent(num_envs=num_envs, device=device)


AGENT = AgentInfo(
    label="draws a map from depth and follows the cheapest way on it, nothing learned",
    kind="classical",
    order=30,
    colour="#8a6fb0",
    make=make,
)
