"""What a latent knows: a linear probe from it to the free space around the body."""

import torch
from torch import Tensor

from distill.sequences import Windows
from world_model.local_planner.depth_to_obstacles import SIGHT_M, obstacle_points

SECTORS = 8
"""Groups of image columns"""
_RIDGE = 1e-3
"""Of the ridge, in units of the standardised features' variance"""


def free_space_m(windows: Windows) -> Tensor:
    """Return (T, B, SECTORS) how far the ground is free in each part of the image, up to ``SIGHT_M``; by geometry."""
    steps = zip(windows.depth_m, windows.descriptor, strict=True)
    x, y, weight = torch.stack([obstacle_points(depth_m, body)[..., :3] for depth_m, body in steps]).unbind(-1)
    distance = torch.where(weight > 0.5, torch.hypot(x, y), SIGHT_M).clip(max=SIGHT_M)
    return distance.unflatten(-1, (SECTORS, -1)).amin(dim=-1)


def ridge_r2(features: Tensor, targets: Tensor) -> float:
    """Return R² of a ridge regression from features (T, B, D) to targets (T, B, K).

    The first half of the sequences (along B) is fitted, the second is judged; the mean over the targets that vary,
    0 if none does. Where several sequences are views of one drive, both halves may hold some of it.
    """
    half = features.shape[1] // 2
    fit, judged = (
        (features[:, part].flatten(0, 1).double(), targets[:, part].flatten(0, 1).double())
        for part in (slice(0, half), slice(half, None))
    )
    mean, spread = fit[0].mean(dim=0), fit[0].std(dim=0).clip(min=1e-6)
    known, asked = ((part[0] - mean) / spread for part in (fit, judged))
    offset = fit[1].mean(dim=0)
    gram = known.T @ known + _RIDGE * len(known) * torch.eye(known.shape[1], dtype=known.dtype, device=known.device)
    weights = torch.linalg.solve(gram, known.T @ (fit[1] - offset))
    residual = (judged[1] - offset - asked @ weights).square().sum(dim=0)
    spread = (judged[1] - judged[1].mean(dim=0)).square().sum(dim=0)
    varies = spread > 1e-6
    return float((1.0 - residual[varies] / spread[varies]).mean()) if bool(varies.any()) else 0.0
