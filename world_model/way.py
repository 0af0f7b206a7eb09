"""The way that a policy finds by itself: it draws a map from depth and odometry, and a driving law follows it.

Nothing here is learned. It is what a policy that has never been trained does (as in Chaplot et al. 2020, "Learning to
Explore using Active Neural SLAM", the map is an explicit memory), and what the heads correct.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from embodiments.spaces import COMMAND_SIZE
from world_model import driving_law, local_map
from world_model.obstacle_points import obstacle_points

CAREFUL_M, LEAST_CARE = 0.15, 0.5
STATE_SIZE = local_map.STATE_SIZE
FEATURE_SIZE = 2 + local_map.ROOM_SIZE + 2 + COMMAND_SIZE
_ROOM_SCALE_M = local_map.RINGS * local_map.CELL_M
_DETOUR_SCALE_M = 3.0


class Way(NamedTuple):
    """What the map says about the way."""

    aim_b: Tensor
    """(B, 2) the point near the body from which the goal is cheapest to reach [m]"""
    rest_b: Tensor
    """(B, 2) where to come to rest: at the goal or beside it [m]"""
    room_m: Tensor
    """(B, ROOM_SIZE) room around the body, by direction"""
    clearance_m: Tensor
    """(B,) room at the body"""
    detour_m: Tensor
    """(B,) cost to go above the straight distance"""
    share: Tensor
    """(B, 3) what the driving law makes of it"""

    def features(self) -> Tensor:
        """Return everything scaled for a network, (B, FEATURE_SIZE); the share last."""
        scaled = [self.clearance_m[:, None] / _ROOM_SCALE_M, (self.detour_m / _DETOUR_SCALE_M).clip(-1.0, 2.0)[:, None]]
        aim = self.aim_b / local_map.LOOK_AHEAD_M
        return torch.cat([aim, self.room_m / _ROOM_SCALE_M, *scaled, self.share], dim=-1)


def step(
    *,
    depth_m: Tensor,
    velocity_b: Tensor,
    route_xy_b_m: Tensor,
    goal_b: Tensor,
    embodiment: Tensor,
    state: Tensor,
) -> tuple[Way, Tensor]:
    """Take in one observation.

    Args:
        depth_m: (B, 1, 40, 64), the others as ``spaces.OBSERVATION_SHAPES``.
        state: (B, STATE_SIZE); zeros after a reset.

    Returns:
        The way, and the next state (B, STATE_SIZE).
    """
    points = obstacle_points(depth_m, embodiment)
    drawn = local_map.update(local_map.unpack(state.detach()), points, velocity_b, route_xy_b_m, goal_b, embodiment)
    look = local_map.look(drawn, goal_b, embodiment)
    care = (look.clearance_m / CAREFUL_M).clip(LEAST_CARE, 1.0)
    rest_goal_b = torch.cat([look.rest_b, goal_b[:, 2:]], dim=-1)
    share = driving_law.drive(rest_goal_b, look.aim_b, embodiment, care=care)
    return Way(*look, share), local_map.pack(drawn)
