"""A 2-D grid over the ground, in the one convention used everywhere: row 0 is the lowest y, column 0 the lowest x."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values on square cells; ``values[..., row, column]`` covers the cell whose lower left corner is
    ``origin_xy_w_m + resolution_m * (column, row)``."""

    values: np.ndarray
    """(..., H, W)"""
    origin_xy_w_m: tuple[float, float]
    """World position of the outer corner of cell (0, 0)."""
    resolution_m: float

    def cell(self, xy_w_m: np.ndarray) -> np.ndarray:
        """Return the (..., 2) integer (row, column) of world points (..., 2), clipped to the grid."""
        height, width = self.values.shape[-2:]
        index = np.floor((np.asarray(xy_w_m) - self.origin_xy_w_m) / self.resolution_m).astype(int)
        return np.stack([index[..., 1].clip(0, height - 1), index[..., 0].clip(0, width - 1)], axis=-1)

    def centre(self, cell: np.ndarray) -> np.ndarray:
        """Return the (..., 2) world position of the centres of cells (..., 2) given as (row, column)."""
        return (np.asarray(cell)[..., ::-1] + 0.5) * self.resolution_m + np.asarray(self.origin_xy_w_m)

    def at(self, xy_w_m: np.ndarray) -> np.ndarray:
        """Return the values of the cells that hold the world points (..., 2)."""
        cell = self.cell(xy_w_m)
        return self.values[..., cell[..., 0], cell[..., 1]]
