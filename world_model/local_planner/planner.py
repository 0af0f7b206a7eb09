"""The local planner: a costmap from depth and odometry, the cheapest path on it, and a controller that follows it.

Nothing here is learned. An untrained policy drives by it, and the heads correct it. As in Chaplot et al. 2020,
"Learning to Explore using Active Neural SLAM", the map is an explicit memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE
from world_model.local_planner import controller, cost_to_go, costmap, costmap_cells
from world_model.local_planner.depth_to_obstacles import obstacle_points
from world_model.local_planner.map_edge import hold_goal

SLOW_CLEARANCE_M, LEAST_SPEED_SCALE = 0.15, 0.5
"""Below this clearance the body slows down in proportion, down to this fraction of its speed."""
NARROW_M = (0.1, 0.3)
"""A place is narrow where the clearance at the body or ahead falls from the second to the first"""
STATE_SIZE = costmap.STATE_SIZE
FEATURE_SIZE = 2 + costmap.CLEARANCE_SIZE + 2 + COMMAND_SIZE
_CLEARANCE_SCALE_M = cost_to_go.RINGS * costmap_cells.CELL_M
_DETOUR_SCALE_M = 3.0


class LocalPlan(NamedTuple):
    """What the planner found in one control step."""

    aim_b: Tensor
    """(B, 2) the point near the body from which the goal is cheapest to reach [m]"""
    stop_b: Tensor
    """(B, 2) where to stop: at the goal or beside it [m]"""
    clearances_m: Tensor
    """(B, CLEARANCE_SIZE) clearance around the body, by direction"""
    clearance_m: Tensor
    """(B,) clearance at the body"""
    detour_m: Tensor
    """(B,) cost to go above the straight distance"""
    action: Tensor
    """(B, 3) normalised action of the controller"""

    def features(self) -> Tensor:
        """Return everything scaled for a network, (B, FEATURE_SIZE); the action last."""
        scaled = [
            self.clearance_m[:, None] / _CLEARANCE_SCALE_M,
            (self.detour_m / _DETOUR_SCALE_M).clip(-1.0, 2.0)[:, None],
        ]
        aim = self.aim_b / costmap.LOOK_AHEAD_M
        return torch.cat([aim, self.clearances_m / _CLEARANCE_SCALE_M, *scaled, self.action], dim=-1)


def step(
    observation: Observation[Tensor], state: Tensor, *, anticipate: costmap.Anticipate | None = None
) -> tuple[LocalPlan, Tensor]:
    """Take in one observation.

    Args:
        observation: Its goal lies on the costmap, see ``map_edge.hold_goal``.
        state: (B, STATE_SIZE); zeros after a reset.
        anticipate: Gives the map to plan on, see ``costmap.update``.

    Returns:
        The local plan, and the next state (B, STATE_SIZE).
    """
    goal_b, descriptor = observation.goal_b, observation.descriptor
    points = obstacle_points(observation.depth_m, descriptor)
    updated = costmap.update(costmap.unpack(state.detach()), points, observation, anticipate=anticipate)
    query = costmap.query(updated, goal_b, descriptor)
    speed_scale = (query.clearance_m / SLOW_CLEARANCE_M).clip(LEAST_SPEED_SCALE, 1.0)
    stop_pose_b = torch.cat([query.stop_b, goal_b[:, 2:]], dim=-1)
    action = controller.drive(stop_pose_b, query.aim_b, descriptor, speed_scale=speed_scale, narrow=_narrow(query))
    return LocalPlan(*query, action), costmap.pack(updated)


def _narrow(query: costmap.PlannerQuery) -> Tensor:
    """Return how narrow (B,) in [0, 1] it is at the body and ``LOOK_AHEAD_M`` ahead of it."""
    _, around = query.clearances_m.unflatten(-1, (2, costmap.DIRECTIONS // 2)).unbind(1)
    ahead = torch.minimum(torch.minimum(around[:, 0], around[:, 1]), around[:, -1])
    least, most = NARROW_M
    return ((most - torch.minimum(ahead, query.clearance_m)) / (most - least)).clip(0.0, 1.0)


def drive_step(
    observation: Observation[Tensor], state: Tensor, *, anticipate: costmap.Anticipate | None = None
) -> tuple[Tensor, Tensor]:
    """Return the planner's action (B, 3) and the next state, for a goal at any distance: a policy without networks."""
    observation, state = hold_goal(observation, state, state[:, :3])
    plan, state = step(observation, state, anticipate=anticipate)
    return plan.action, state
