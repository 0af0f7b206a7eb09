"""Points and poses between the world, the body and the frame in which a costmap was begun (its anchor)."""

import torch
from torch import Tensor

from embodiments.spaces import CONTROL_DT_S


def wrap_angle(angle_rad: Tensor) -> Tensor:
    """Return the angle in [-pi, pi)."""
    return torch.remainder(angle_rad + torch.pi, 2.0 * torch.pi) - torch.pi


def to_body(xy_w_m: Tensor, pose_w: Tensor) -> Tensor:
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


def goal_in_body(goal_w: Tensor, pose_w: Tensor) -> Tensor:
    """Return (B, 4): goal x, y [m] in the body frame, cos and sin of the relative heading.

    Args:
        goal_w: (B, 3) x [m], y [m], yaw [rad].
        pose_w: (B, 3) x [m], y [m], yaw [rad].
    """
    relative = goal_w[:, 2] - pose_w[:, 2]
    return torch.cat([to_body(goal_w[:, :2], pose_w), relative.cos()[:, None], relative.sin()[:, None]], dim=1)


def moved(pose: Tensor, velocity_b: Tensor) -> Tensor:
    """Return the pose (..., 3) after one control step at a mean velocity (..., 3)."""
    step = velocity_b * CONTROL_DT_S
    middle = pose[..., 2] + step[..., 2] / 2.0
    cos, sin = middle.cos(), middle.sin()
    x = pose[..., 0] + cos * step[..., 0] - sin * step[..., 1]
    y = pose[..., 1] + sin * step[..., 0] + cos * step[..., 1]
    return torch.stack([x, y, pose[..., 2] + step[..., 2]], dim=-1)


def to_anchor(points_b: Tensor, pose: Tensor) -> Tensor:
    """Express body points (B, P, 2) in the frame in which the episode began."""
    cos, sin = pose[:, 2:].cos(), pose[:, 2:].sin()
    x, y = points_b.unbind(-1)
    return torch.stack([cos * x - sin * y + pose[:, :1], sin * x + cos * y + pose[:, 1:2]], dim=-1)
