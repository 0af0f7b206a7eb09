"""The local planner on a map that is true near the robot, people included: how far knowing more could lead.

It perceives like ``planner``, but within ``REACH_M`` its map says what really stands there, also behind furniture, and
where people are now. What it gains over ``planner`` is what anticipation can gain at most; what it lacks is driving.
"""

from typing import Literal

import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.agents.truth import PERSON_RADIUS_M, Truth
from world_model.local_planner import costmap, planner
from world_model.local_planner.frames import to_body

REACH_M = 4.0
"""Further away the measured map counts."""


class OracleMapAgent:
    """Follows the local plan on a costmap whose near part is the truth."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        self._state = torch.zeros(num_envs, planner.STATE_SIZE, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Empty the costmaps of the environments in ``mask`` (B,)."""
        self._state = self._state.masked_fill(mask[:, None], 0.0)

    @torch.no_grad()
    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from the observation and what is true near the robot."""
        truth = privileged()

        def anticipate(
            evidence: torch.Tensor, seen: torch.Tensor, pose: torch.Tensor, points: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            occupied, near = near_truth(truth, pose)
            return torch.where(near, occupied.float(), evidence), torch.where(near, 1.0, seen)

        action, self._state = planner.drive_step(observation, self._state, anticipate=anticipate)
        return action


def near_truth(truth: Truth, pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which cells of the costmap are occupied and which lie near the robot, both (B, CELLS, CELLS) bool.

    Args:
        truth: Where things really are.
        pose: (B, 3) of the body on the costmap.
    """
    axis = costmap.axis_m(pose)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place_b = to_body(torch.stack([x, y], dim=-1).flatten(0, 1).expand(len(pose), -1, -1), pose)  # (B, CELLS^2, 2)
    cos, sin = truth.pose_w[:, None, 2].cos(), truth.pose_w[:, None, 2].sin()
    x_w = truth.pose_w[:, None, 0] + cos * place_b[..., 0] - sin * place_b[..., 1]
    y_w = truth.pose_w[:, None, 1] + sin * place_b[..., 0] + cos * place_b[..., 1]
    place_w = torch.stack([x_w, y_w], dim=-1)
    occupied = truth.distance_at(place_w) < costmap.CELL_M / 2.0
    for person in range(truth.people_present.shape[1]):
        gap_m = (place_w - truth.people_xy_w[:, person, None]).norm(dim=-1) - PERSON_RADIUS_M
        occupied |= (gap_m < costmap.CELL_M / 2.0) & truth.people_present[:, person, None]
    grid = (costmap.CELLS, costmap.CELLS)
    return occupied.unflatten(1, grid), (place_b.norm(dim=-1) < REACH_M).unflatten(1, grid)


AGENT = AgentInfo(
    label="planner on a map that is true within 4 m, people included: a bound for anticipation",
    kind="privileged",
    order=85,
    colour="#6b6b6b",
    line_style=(0, (3, 1, 1, 1)),
    by_default=False,
    make=OracleMapAgent,
)
