"""What the simulation knows and no robot sees: for the teacher and for privileged critics."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

PERSON_RADIUS_M = 0.25
"""A person is a disc of this radius"""
Lookup = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true state of B environments with up to K people each; K is 0 where nobody can walk."""

    pose_w: torch.Tensor
    """(B, 3) x, y [m], yaw [rad]"""
    goal_w: torch.Tensor
    """(B, 3)"""
    stop_xy_w: torch.Tensor
    """(B, 2) the point near the goal with most clearance [m]"""
    descent_xy_b_m: torch.Tensor
    """(B, 2) the point some way ahead on the cheapest path, in the body frame"""
    clearance_m: torch.Tensor
    """(B,) of the footprint, people left out"""
    away_xy_b: torch.Tensor
    """(B, 2) unit vector along which the clearance grows, in the body frame; 0 for bodies on wheels"""
    geodesic_m: torch.Tensor
    """(B,) length of the shortest path to the goal"""
    clearance_patch: torch.Tensor
    """(B, 64) distances to the nearest obstacle, on a square around the body [m]"""
    velocity_b: torch.Tensor
    """(B, 3)"""
    command: torch.Tensor
    """(B, 3) executed last"""
    descriptor: torch.Tensor
    """(B, E) of the real body"""
    people_xy_w: torch.Tensor
    """(B, K, 2) [m]"""
    people_velocity_w: torch.Tensor
    """(B, K, 2) [m/s]"""
    people_present: torch.Tensor
    """(B, K) bool"""
    distance_at: Lookup
    """Points (B, Q, 2) -> distance (B, Q) to the nearest obstacle in any of the body's layers, people left out [m]"""
    clearance_at: Lookup
    """Poses (..., B, 3) -> clearance (..., B) of the footprint there, people left out [m]"""
    cost_to_go_at: Lookup
    """Points (..., B, 2) -> cost to go (..., B) from there, a length weighted by clearance [m]"""
    gap_at: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Points (..., B, 2) and poses (..., B, 3) -> gap (..., B) between point and footprint [m]"""
