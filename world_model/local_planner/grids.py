"""Square grids: enter points into one, and read one at points, bilinearly. Only tensor operations, as graphs need."""

import torch
from torch import Tensor


def splat(cell: Tensor, values: Tensor, *, side: int) -> Tensor:
    """Return (B, side^2): the largest value of the points near each cell, shared among their four cells.

    Args:
        cell: (B, P, 2) continuous cells as (column, row); cell centres are integers. Points outside do not count.
        values: (B, P)
        side: Cells along an axis.
    """
    low = cell.floor()
    inside = ((low >= 0) & (low <= side - 2)).all(dim=-1)
    fraction = cell - low
    column, row = low.clip(0, side - 2).long().unbind(-1)
    corner, kept = row * side + column, values * inside.to(values.dtype)
    right, upper = fraction.unbind(-1)
    weights = [(1 - right) * (1 - upper), right * (1 - upper), (1 - right) * upper, right * upper]
    index = torch.cat([corner, corner + 1, corner + side, corner + side + 1], dim=1)
    source = torch.cat([kept * weight for weight in weights], dim=1)
    return values.new_zeros(cell.shape[0], side**2).scatter_reduce(1, index, source, reduce="amax")


def read(grid: Tensor, cell: Tensor) -> Tensor:
    """Read a grid (B, side, side) at continuous cells (B, Q, 2): values (B, Q); the border continues outside."""
    side = grid.shape[-1]
    cell = cell.clip(0.0, side - 1.001)
    low = cell.floor()
    fraction = cell - low
    column, row = low.long().unbind(-1)
    flat, corner = grid.flatten(1), row * side + column
    right, upper = fraction.unbind(-1)
    below = flat.gather(1, corner) * (1 - right) + flat.gather(1, corner + 1) * right
    above = flat.gather(1, corner + side) * (1 - right) + flat.gather(1, corner + side + 1) * right
    return below * (1 - upper) + above * upper
