"""Goals beyond the costmap: the planner gets the point at the map's edge, and begins a new map before this one ends.

The costmap is 16 m wide around the place where it was begun, and its cost to go spreads from the goal. A goal outside
would have no cell, and within a second obstacles would stop counting.
"""

import dataclasses

import torch
from torch import Tensor

from embodiments.observation import Observation
from world_model.local_planner.frames import to_anchor

MAP_EDGE_M = 7.6
"""A goal further out than this along an axis of the map is replaced by the point at this edge, on the straight line."""
MAP_RESTART_M = 6.0
"""A body further out than this along an axis, whose goal is beyond the edge, begins a new map."""


def hold_goal(observation: Observation[Tensor], state: Tensor, pose: Tensor) -> tuple[Observation[Tensor], Tensor]:
    """Return the observation with its goal on the map, and the state, zero where a new map begins.

    Both are unchanged, to the last bit, where the map holds the goal.

    Args:
        observation: Its goal may be at any distance.
        state: (B, S) all that is remembered; the recurrent state ends with the map.
        pose: (B, 3) of the body on the map before this control step.
    """
    goal_b = observation.goal_b
    beyond = (to_anchor(goal_b[:, None, :2], pose)[:, 0].abs() > MAP_EDGE_M).any(dim=1)
    restarts = (beyond & (pose[:, :2].abs() > MAP_RESTART_M).any(dim=1))[:, None]
    pose = pose.masked_fill(restarts, 0.0)
    offset = to_anchor(goal_b[:, None, :2], pose)[:, 0] - pose[:, :2]
    to_edge = (MAP_EDGE_M - offset.sign() * pose[:, :2]) / offset.abs().clip(min=1e-6)
    fraction = torch.where(beyond[:, None], to_edge.amin(dim=1, keepdim=True).clip(0.0, 1.0), 1.0)
    held_b = torch.cat([goal_b[:, :2] * fraction, goal_b[:, 2:]], dim=1)
    return dataclasses.replace(observation, goal_b=held_b), state.masked_fill(restarts, 0.0)
