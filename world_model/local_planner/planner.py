"""The way that a policy finds by itself: it draws a map from depth and odometry, and a driving law follows it.

Nothing here is learned. It is what a policy that has never been trained does (as in Chaplot et al. 2020, "Learning to
Explore using Active Neural SLAM", the map is an explicit memory), and what the heads correct.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from embodiments.spaces import COMMAND_SIZE
from world_model.local_planner import controller, costmap
from world_model.local_planner.depth_to_obstacles import obstacle_points

SLOW_CLEARANCE_M, LEAST_SPEED_SCALE = 0.15, 0.5
STATE_SIZE = costmap.STATE_SIZE
FEATURE_SIZE = 2 + costmap.CLEARANCE_SIZE + 2 + COMMAND_SIZE
_CLEARANCE_SCALE_M = costmap.RINGS * costmap.CELL_M
_DETOUR_SCALE_M = 3.0


class LocalPlan(NamedTuple):
    """What the map says about the way."""

    aim_b: Tensor
    """(B, 2) the point near the body from which the goal is cheapest to reach [m]"""
    stop_b: Tensor
    """(B, 2) where to come to rest: at the goal or beside it [m]"""
    clearances_m: Tensor
    """(B, CLEARANCE_SIZE) room around the body, by direction"""
    clearance_m: Tensor
    """(B,) room at the body"""
    detour_m: Tensor
    """(B,) cost to go above the straight distance"""
    action: Tensor
    """(B, 3) what the driving law makes of it"""

    def features(self) -> Tensor:
        """Return everything scaled for a network, (B, FEATURE_SIZE); the action last."""
        scaled = [
            self.clearance_m[:, None] / _CLEARANCE_SCALE_M,
            (self.detour_m / _DETOUR_SCALE_M).clip(-1.0, 2.0)[:, None],
        ]
        aim = self.aim_b / costmap.LOOK_AHEAD_M
        return torch.cat([aim, self.clearances_m / _CLEARANCE_SCALE_M, *scaled, self.action], dim=-1)


def step(
    *,
    depth_m: Tensor,
    velocity_b: Tensor,
    route_xy_b_m: Tensor,
    goal_b: Tensor,
    embodiment: Tensor,
    state: Tensor,
) -> tuple[LocalPlan, Tensor]:
    """Take in one observation.

    Args:
        depth_m: (B, 1, 40, 64), the others as ``spaces.OBSERVATION_SHAPES``.
        state: (B, STATE_SIZE); zeros after a reset.

    Returns:
        The way, and the next state (B, STATE_SIZE).
    """
    points = obstacle_points(depth_m, embodiment)
    drawn = costmap.update(costmap.unpack(state.detach()), points, velocity_b, route_xy_b_m, goal_b, embodiment)
    query = costmap.query(drawn, goal_b, embodiment)
    speed_scale = (query.clearance_m / SLOW_CLEARANCE_M).clip(LEAST_SPEED_SCALE, 1.0)
    stop_pose_b = torch.cat([query.stop_b, goal_b[:, 2:]], dim=-1)
    action = controller.drive(stop_pose_b, query.aim_b, embodiment, speed_scale=speed_scale)
    return LocalPlan(*query, action), costmap.pack(drawn)
