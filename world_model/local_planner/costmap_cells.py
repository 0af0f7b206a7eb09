"""Where the costmap's cells lie, and its values between them."""

import torch
from torch import Tensor

from world_model.local_planner.frames import to_anchor
from world_model.local_planner.grids import read
from world_model.local_planner.stand_in import kernel

CELLS = 80
CELL_M = 0.2
"""16 m: COMPASS's goals lie within 5 m of the start in either axis, and a detour fits in as well."""


def axis_m(like: Tensor) -> Tensor:
    """Return the position (CELLS,) of the cells' centres along an axis [m]."""
    return (torch.arange(CELLS, device=like.device, dtype=like.dtype) - (CELLS - 1) / 2.0) * CELL_M


def cell(points: Tensor) -> Tensor:
    """Return continuous cell coordinates (..., 2) as (column, row) of anchor points; cell centres are integers."""
    return points / CELL_M + (CELLS - 1) / 2.0


@kernel("world_model.local_planner.kernels.reading")
def look_up_b(grid: Tensor, points_b: Tensor, pose: Tensor) -> Tensor:
    """Read grids (B, CELLS, CELLS) at the same body points (Q, 2) of every body on the costmap (B, 3): (B, Q)."""
    return look_up(grid, to_anchor(points_b.expand(pose.shape[0], -1, -1), pose))


def look_up(grid: Tensor, points: Tensor) -> Tensor:
    """Read a grid (B, CELLS, CELLS) at anchor points (B, P, 2), bilinearly; the border continues outside."""
    return read(grid, cell(points))
