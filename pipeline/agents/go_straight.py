"""Agent that drives straight to the goal, stops, and turns to the goal's heading; it sees no obstacle.

It shows how many episodes need no perception at all, and whether a body and its drive can finish an episode.
"""

from typing import Literal

import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.agents.driving import DrivingLaw


class GoStraightAgent:
    """Aims the driving law at the goal itself."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        self._law = DrivingLaw(num_envs=num_envs, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Reset the memory of the environments in ``mask`` (B,)."""
        self._law.reset(mask)

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from the goal in the body frame alone."""
        goal_b = observation.goal_b
        return self._law.actions(
            goal_b, goal_b[:, :2], observation.descriptor, speed_scale=torch.ones_like(goal_b[:, 0])
        )


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
