"""Agent that drives straight to the goal, stops, and turns to the goal's heading; it sees no obstacle.

It shows how many episodes need no perception at all, and whether a body and its drive can finish an episode.
"""

from typing import Literal

import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from world_model.local_planner import controller


class GoStraightAgent:
    """Aims the local planner's controller at the goal itself."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        pass

    def reset(self, mask: torch.Tensor) -> None:
        """Do nothing: it remembers nothing."""

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from the goal in the body frame alone."""
        goal_b = observation.goal_b
        full_speed = torch.ones_like(goal_b[:, 0])
        return controller.drive(goal_b, goal_b[:, :2], observation.descriptor, speed_scale=full_speed)


AGENT = AgentInfo(
    label="drives straight to the goal, sees nothing",
    kind="scripted",
    order=20,
    colour="#6e7f8d",
    line_style=":",
    on_maps=True,
    uses_depth=False,
    uses_route=False,
    make=GoStraightAgent,
)
