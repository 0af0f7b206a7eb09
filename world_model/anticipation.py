"""Anticipation: what stands and who moves around the body, where the camera has not looked too; learned from the truth.

A small U-shaped network sees the measured costmap around the body and the obstacle points of the last 0.6 s. It
answers, per cell, how likely something still is there, and how likely somebody is there now and shortly after. The
local planner can plan on that instead of on what was measured.

Source of the network's form: Ronneberger et al. 2015, "U-Net". Source of the idea: Ramakrishnan et al. 2020, "Occupancy
Anticipation for Efficient Exploration and Navigation".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from embodiments.spaces import DEPTH_WIDTH_PX
from world_model.config import AnticipationConfig
from world_model.local_planner import costmap
from world_model.local_planner.frames import to_anchor, to_body

SIDE = 40
CELL_M = 0.2
BEHIND_M, BESIDE_M = 3.0, 4.0
"""The square reaches from 3 m behind the body to 5 m ahead, and 4 m to each side"""
POINT_STEPS = (0, 3, 6)
"""Control steps ago from which obstacle points are seen"""
HORIZONS_S = (0.0, 0.5, 1.0, 1.5)
"""Times at which moving things are anticipated; the first is now"""
INPUTS = 2 + len(POINT_STEPS)
"""Evidence, seen, and one raster of points for each of ``POINT_STEPS``"""
OUTPUTS = 1 + len(HORIZONS_S)
"""Still things, then moving ones at each horizon"""
REACH_M = 4.0
"""The network's word counts up to this distance"""
SURE = 0.2
"""Below this probability ground counts as seen, the more the lower it is"""
MOVING_WEIGHT = 6.0
"""Weight of cells with somebody in the loss: they are rare"""


class Anticipation(nn.Module):
    """Square of measurements around the body -> logits of what is there."""

    Config = AnticipationConfig

    def __init__(self, config: AnticipationConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.channels
        self.enter = _block(INPUTS, first)
        self.down = nn.ModuleList([_block(first, second, stride=2), _block(second, third, stride=2)])
        self.middle = _block(third, third)
        self.up = nn.ModuleList([_block(third + second, second), _block(second + first, first)])
        self.answer = nn.Conv2d(first, OUTPUTS, 1)

    def forward(self, square: Tensor) -> Tensor:
        """Return logits (B, OUTPUTS, SIDE, SIDE) for measurements (B, INPUTS, SIDE, SIDE)."""
        fine = self.enter(square)
        middle = self.down[0](fine)
        coarse = self.middle(self.down[1](middle))
        middle = self.up[0](torch.cat([_doubled(coarse), middle], dim=1))
        answer: Tensor = self.answer(self.up[1](torch.cat([_doubled(middle), fine], dim=1)))
        return answer


class Trail:
    """The obstacle points of the last control steps, on the costmap."""

    def __init__(self, batch: int, *, like: Tensor) -> None:
        self._points = like.new_zeros(batch, POINT_STEPS[-1] + 1, DEPTH_WIDTH_PX, 3)

    def forget(self, mask: Tensor) -> None:
        """Forget everything where a new episode begins, (B,) bool."""
        self._points = self._points.masked_fill(mask[:, None, None, None], 0.0)

    def add(self, points: Tensor, pose: Tensor) -> None:
        """Take in the ``obstacle_points`` (B, P, 6) of this control step, seen from poses (B, 3) on the costmap."""
        placed = torch.cat([to_anchor(points[..., :2], pose), points[..., 2:3]], dim=-1)
        self._points = torch.cat([placed[:, None], self._points[:, :-1]], dim=1)

    def chosen(self) -> Tensor:
        """Return the points of ``POINT_STEPS``, (B, len(POINT_STEPS), P, 3)."""
        return self._points[:, list(POINT_STEPS)]


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the weighted cross-entropy of logits (B, OUTPUTS, SIDE, SIDE) against what was there, 0 or 1."""
    weight = torch.ones_like(truth)
    weight[:, 1:] += (MOVING_WEIGHT - 1.0) * truth[:, 1:]
    return functional.binary_cross_entropy_with_logits(logits, truth, weight=weight)


def cells_b(like: Tensor) -> Tensor:
    """Return the centres (SIDE^2, 2) of the square's cells in the body frame [m]; rows run along y, columns along x."""
    steps = (torch.arange(SIDE, device=like.device, dtype=like.dtype) + 0.5) * CELL_M
    y, x = torch.meshgrid(steps - BESIDE_M, steps - BEHIND_M, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def cells_w(pose_w: Tensor) -> Tensor:
    """Return the centres (B, SIDE^2, 2) of the square's cells around bodies at world poses (B, 3) [m]."""
    return to_anchor(cells_b(pose_w).expand(len(pose_w), -1, -1), pose_w)


def square(evidence: Tensor, seen: Tensor, pose: Tensor, past_points: Tensor) -> Tensor:
    """Return what the network sees, (B, INPUTS, SIDE, SIDE).

    Args:
        evidence: (B, CELLS, CELLS) of the costmap.
        seen: (B, CELLS, CELLS)
        pose: (B, 3) of the body on the costmap.
        past_points: (B, len(POINT_STEPS), P, 3) x, y on the costmap [m] and weight.
    """
    place = cells_w(pose)
    grids = [costmap.look_up(grid, place).unflatten(1, (SIDE, SIDE)) for grid in (evidence, seen)]
    rasters = [_raster(past_points[:, index], pose) for index in range(len(POINT_STEPS))]
    return torch.stack([*grids, *rasters], dim=1)


def onto_costmap(
    probability: Tensor, evidence: Tensor, seen: Tensor, pose: Tensor, *, still_at: float, moving_at: float
) -> tuple[Tensor, Tensor]:
    """Return evidence and seen ground (B, CELLS, CELLS) to plan on.

    Near the body the network's word counts, further away what was measured.

    Args:
        probability: (B, OUTPUTS, SIDE, SIDE)
        evidence: (B, CELLS, CELLS) measured.
        seen: (B, CELLS, CELLS) measured.
        pose: (B, 3) of the body on the costmap.
        still_at: Probability from which on a cell is an obstacle because something stands there.
        moving_at: The same for somebody who moves.
    """
    axis = costmap.axis_m(pose)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    here = to_body(torch.stack([x, y], dim=-1).flatten(0, 1).expand(len(pose), -1, -1), pose)  # (B, CELLS^2, 2)
    place = torch.stack([here[..., 0] + BEHIND_M, here[..., 1] + BESIDE_M], dim=-1) / CELL_M - 0.5
    border = torch.minimum(place, SIDE - 1.0 - place).amin(dim=-1)
    distance = (here.square().sum(dim=-1) + 1e-6).sqrt()
    trust = border.clip(0.0, 1.0) * ((REACH_M - distance) / 0.4).clip(0.0, 1.0)
    values = [_look_up(probability[:, channel], place) for channel in (0, 1)]
    there = torch.maximum(_ramp(values[0], still_at), _ramp(values[1], moving_at))
    sure = ((SURE - torch.maximum(*values)) / SURE).clip(0.0, 1.0)
    grid = (costmap.CELLS, costmap.CELLS)
    planned = (evidence.flatten(1) + trust * (there - evidence.flatten(1))).unflatten(1, grid)
    return planned, torch.maximum(seen, (trust * (3.0 * sure).clip(max=1.0)).unflatten(1, grid))


def _block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.SiLU(),
    )


def _doubled(grid: Tensor) -> Tensor:
    return functional.interpolate(grid, scale_factor=2.0, mode="nearest")


def _ramp(probability: Tensor, threshold: float) -> Tensor:
    """Return 0 below and 1 above a threshold, continuously, so that runtimes which round differently agree."""
    return ((probability - threshold) / 0.1 + 0.5).clip(0.0, 1.0)


def _raster(points: Tensor, pose: Tensor) -> Tensor:
    """Return the largest weight of the points (B, P, 3) near each cell, (B, SIDE, SIDE)."""
    place = to_body(points[..., :2], pose)
    column, row = (place[..., 0] + BEHIND_M) / CELL_M - 0.5, (place[..., 1] + BESIDE_M) / CELL_M - 0.5
    low_column, low_row = column.floor(), row.floor()
    inside = (low_column >= 0) & (low_column <= SIDE - 2) & (low_row >= 0) & (low_row <= SIDE - 2)
    right, upper = column - low_column, row - low_row
    corner = low_row.clip(0, SIDE - 2).long() * SIDE + low_column.clip(0, SIDE - 2).long()
    kept = points[..., 2] * inside.to(points.dtype)
    weights = [(1 - right) * (1 - upper), right * (1 - upper), (1 - right) * upper, right * upper]
    index = torch.cat([corner, corner + 1, corner + SIDE, corner + SIDE + 1], dim=1)
    source = torch.cat([kept * weight for weight in weights], dim=1)
    flat = points.new_zeros(len(points), SIDE**2).scatter_reduce(1, index, source, reduce="amax")
    return flat.unflatten(1, (SIDE, SIDE))


def _look_up(grid: Tensor, place: Tensor) -> Tensor:
    """Read a square (B, SIDE, SIDE) at continuous cells (B, Q, 2) as (column, row), bilinearly."""
    place = place.clip(0.0, SIDE - 1.001)
    low = place.floor()
    right, upper = (place - low).unbind(-1)
    column, row = low.long().unbind(-1)
    flat, corner = grid.flatten(1), row * SIDE + column
    below = flat.gather(1, corner) * (1 - right) + flat.gather(1, corner + 1) * right
    above = flat.gather(1, corner + SIDE) * (1 - right) + flat.gather(1, corner + SIDE + 1) * right
    return below * (1 - upper) + above * upper
