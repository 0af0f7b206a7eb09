"""A classical planner that sees what the policies see: it draws a map from depth and drives along the cheapest way."""

from typing import Literal

import torch

from pipeline.agents.agent import Privileged
from pipeline.agents.driving import DrivingLaw
from pipeline.simulation.observation import Observation
from world_model import local_map
from world_model.obstacle_points import obstacle_points

DIRECT_M = 0.7
CAREFUL_M = 0.25
LEAST_CARE = 0.4


class PlannerAgent:
    """Aims the driving law along the local map's cost to go."""

    output: Literal["share"] = "share"

    def __init__(self, *, num_envs: int, device: str) -> None:
        self._law = DrivingLaw(num_envs=num_envs, device=device)
        self._state = torch.zeros(num_envs, local_map.STATE_SIZE, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Forget what was remembered for the environments in ``mask`` (B,)."""
        self._law.reset(mask)
        self._state = self._state.masked_fill(mask[:, None], 0.0)

    @torch.no_grad()
    def act(self, observation: Observation, privileged: Privileged) -> torch.Tensor:
        """Return shares (B, 3) from depth, odometry and goal."""
        seen, goal_b = observation, observation.goal_b
        points = obstacle_points(seen.depth_m, seen.embodiment)
        drawn = local_map.update(local_map.unpack(self._state), points, seen.velocity_b, goal_b, seen.embodiment)
        self._state = local_map.pack(drawn)
        near = torch.linalg.vector_norm(goal_b[:, :2], dim=1, keepdim=True) < DIRECT_M
        target_b = torch.where(near, goal_b[:, :2], local_map.target_b(drawn, goal_b))
        care = (local_map.clearance_m(drawn, seen.embodiment) / CAREFUL_M).clamp(LEAST_CARE, 1.0)
        return self._law.shares(goal_b, target_b, seen.embodiment, care=care)


def make(*, num_envs: int, device: str, seed: int) -> PlannerAgent:
    """Return the planner."""
    return PlannerAgent(num_envs=num_envs, device=device)
