"""The privileged teacher: follows the clearance-weighted shortest path on the true map, stops, turns to the heading.

It knows where people are and how fast they walk, and gives way to them. It descends the goal's cost field from its
present position, so it also returns after a disturbance.
"""

from typing import Literal

import torch

from embodiments.limits import command_to_action
from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.agents.truth import Truth
from pipeline.agents.yielding import give_way
from world_model.local_planner import controller
from world_model.local_planner.frames import goal_in_body

DIRECT_M = 0.7
"""Nearer than this it aims at the goal itself: the descent would overshoot the minimum of the field."""
SLOW_CLEARANCE_M = 0.2
"""Below this clearance it slows down in proportion."""
LEAST_SPEED_SCALE = 0.5
SHY_M, SHY_GAIN_HZ, SHY_MPS = 0.12, 2.0, 0.2
"""A walker steps aside while an obstacle is nearer than this: it sways, and drifts while it turns on the spot."""


class TeacherAgent:
    """Drives along the descent of the privileged cost field."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        pass

    def reset(self, mask: torch.Tensor) -> None:
        """Do nothing: it remembers nothing."""

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3); uses the true pose and map, not the observation."""
        truth = privileged()
        walks = controller.is_walker(truth.descriptor)[:, None]
        rest_w = torch.cat([truth.stop_xy_w, truth.goal_w[:, 2:]], dim=1)
        # A walker sways and drifts while it turns, further than the clearance of every goal.
        goal_b = goal_in_body(torch.where(walks, rest_w, truth.goal_w), truth.pose_w)
        near = torch.linalg.vector_norm(goal_b[:, :2], dim=1, keepdim=True) < DIRECT_M
        target_b = torch.where(near, goal_b[:, :2], truth.descent_xy_b_m)
        speed_scale = (truth.clearance_m / SLOW_CLEARANCE_M).clamp(LEAST_SPEED_SCALE, 1.0)
        action = controller.drive(goal_b, target_b, truth.descriptor, speed_scale=speed_scale)
        moves = (action != 0.0).any(dim=1, keepdim=True)
        return give_way((action + _aside_action(truth) * (walks & moves)).clamp(-1.0, 1.0), truth)


def _aside_action(truth: Truth) -> torch.Tensor:
    """Return the actions (B, 3) of a step aside from an obstacle that is too near."""
    speed_mps = (SHY_GAIN_HZ * (SHY_M - truth.clearance_m)).clamp(0.0, SHY_MPS)[:, None]
    step_b = truth.away_xy_b * speed_mps
    return command_to_action(torch.cat([step_b, torch.zeros_like(speed_mps)], dim=1), truth.descriptor)


AGENT = AgentInfo(
    label="knows the whole map: a bound, not a competitor",
    kind="privileged",
    order=90,
    colour="#3b3b3b",
    line_style=(0, (5, 1, 1, 1)),
    uses_depth=False,
    uses_route=False,
    make=TeacherAgent,
)
