"""What a policy sees, as tensors: route and goal in the body frame, and the observation itself."""

from dataclasses import dataclass

import torch

from embodiments.spaces import ROUTE_POINTS, ROUTE_SPACING_M

ROUTE_WINDOW_M = (1.0, 3.0)
"""How far behind and ahead of its last projection the robot is looked for on a planned route, so that a route which
passes the same place twice is not cut short."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One observation of every environment; fields and shapes as in ``embodiments.spaces.OBSERVATION_SHAPES``."""

    depth_m: torch.Tensor
    velocity_b: torch.Tensor
    previous_command: torch.Tensor
    route_xy_b_m: torch.Tensor
    goal_b: torch.Tensor
    embodiment: torch.Tensor

    def policy_inputs(self) -> dict[str, torch.Tensor]:
        """Return the tensors by name, without copying."""
        return dict(vars(self))


def wrap_angle(angle_rad: torch.Tensor) -> torch.Tensor:
    """Return the angle in [-pi, pi)."""
    return torch.remainder(angle_rad + torch.pi, 2.0 * torch.pi) - torch.pi


def to_body(xy_w_m: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
    """Express world points in the body frame.

    Args:
        xy_w_m: (B, ..., 2) world points [m].
        pose_w: (B, 3) x [m], y [m], yaw [rad] of the body in the world.
    """
    shape = (-1,) + (1,) * (xy_w_m.dim() - 2)
    offset = xy_w_m - pose_w[:, :2].view(*shape, 2)
    cos, sin = torch.cos(pose_w[:, 2]).view(shape), torch.sin(pose_w[:, 2]).view(shape)
    x, y = offset[..., 0], offset[..., 1]
    return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)


def goal_in_body(goal_w: torch.Tensor, pose_w: torch.Tensor) -> torch.Tensor:
    """Return (B, 4): goal x, y [m] in the body frame, cos and sin of the relative heading.

    Args:
        goal_w: (B, 3) x [m], y [m], yaw [rad].
        pose_w: (B, 3) x [m], y [m], yaw [rad].
    """
    relative = goal_w[:, 2] - pose_w[:, 2]
    return torch.cat([to_body(goal_w[:, :2], pose_w), relative.cos()[:, None], relative.sin()[:, None]], dim=1)


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
    share = (position - low)[..., None]
    rows = torch.arange(route_w_m.shape[0], device=route_w_m.device)[:, None]
    return route_w_m[rows, low] * (1.0 - share) + route_w_m[rows, low + 1] * share
