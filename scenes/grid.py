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


def rectangles(occupied: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Cover the occupied cells by rectangles (row_0, row_1, column_0, column_1), ends exclusive, without overlap.

    Runs of a row that continue a run of the same columns in the row below make it higher.
    """
    done: list[tuple[int, int, int, int]] = []
    open_runs: dict[tuple[int, int], int] = {}  # (first column, end column) -> first row
    for row in range(len(occupied) + 1):
        line = occupied[row] if row < len(occupied) else np.zeros(occupied.shape[1], dtype=bool)
        steps = np.diff(line.astype(np.int8), prepend=0, append=0)
        runs = set(zip(np.nonzero(steps == 1)[0].tolist(), np.nonzero(steps == -1)[0].tolist(), strict=True))
        for run in [run for run in open_runs if run not in runs]:
            done.append((open_runs.pop(run), row, *run))
        for run in runs:
            open_runs.setdefault(run, row)
    return done
