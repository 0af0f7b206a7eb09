"""The route that a policy sees: the next points on the straight line to the goal, or on a planned path."""

import torch

from embodiments.spaces import ROUTE_POINTS, ROUTE_SPACING_M

ROUTE_WINDOW_M = (1.0, 3.0)
"""How far behind and ahead of its last projection the robot is projected on a planned route: a route may pass the same
place twice, and must not be cut short there."""


def straight_route(goal_w: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
    """Return (B, R, 2): points 1 m apart on the straight line to the goal, world frame, padded with the goal."""
    offset = goal_w[:, None, :2] - pose_w[:, None, :2]  # (B, 1, 2)
    distance = offset.norm(dim=-1, keepdim=True)
    along = ROUTE_SPACING_M * torch.arange(1, ROUTE_POINTS + 1, device=pose_w.device).view(1, -1, 1)
    return pose_w[:, None, :2] + offset * (torch.minimum(along, distance) / distance.clamp(min=1e-6))


def project_on_route(
    route_w_m: torch.Tensor, spacing_m: torch.Tensor, position_w_m: torch.Tensor, last_m: torch.Tensor
) -> torch.Tensor:
    """Return (B,) arc length [m] of the route point nearest to the robot, near its last projection.

    Args:
        route_w_m: (B, P, 2) points at equal distances along the route, world frame.
        spacing_m: (B,) that distance.
        position_w_m: (B, 2)
        last_m: (B,) arc length of the last projection.
    """
    along = spacing_m[:, None] * torch.arange(route_w_m.shape[1], device=route_w_m.device)  # (B, P)
    distance = (route_w_m - position_w_m[:, None]).norm(dim=-1)
    outside = (along < last_m[:, None] - ROUTE_WINDOW_M[0]) | (along > last_m[:, None] + ROUTE_WINDOW_M[1])
    nearest = distance.masked_fill(outside, torch.inf).argmin(dim=1)
    return nearest * spacing_m


def planned_route(route_w_m: torch.Tensor, spacing_m: torch.Tensor, from_m: torch.Tensor) -> torch.Tensor:
    """Return (B, R, 2): points 1 m apart along the route from arc length ``from_m`` (B,) on, padded with the goal."""
    count = route_w_m.shape[1]
    ahead = ROUTE_SPACING_M * torch.arange(1, ROUTE_POINTS + 1, device=route_w_m.device)
    position = (from_m[:, None] + ahead) / spacing_m.clamp(min=1e-6)[:, None]  # (B, R) in points
    position = position.clamp(0.0, count - 1.0)
    low = position.floor().long().clamp(max=count - 2)
    fraction = (position - low)[..., None]
    rows = torch.arange(route_w_m.shape[0], device=route_w_m.device)[:, None]
    return route_w_m[rows, low] * (1.0 - fraction) + route_w_m[rows, low + 1] * fraction
