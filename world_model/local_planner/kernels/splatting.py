"""Compiled functions that enter points into grids: into the costmap, and into the square that the network sees.

They stand in for those of ``costmap`` and ``anticipation``: the same arithmetic in the same order, one robot after the
other. Compiled functions call nothing from other files and get constants as arguments, see ``obstacles``.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from world_model.local_planner import costmap as graph
from world_model.local_planner.costmap_cells import CELL_M
from world_model.local_planner.depth_to_obstacles import SIGHT_M

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class _Entry(NamedTuple):
    """Constants of ``costmap`` and of the modules that it uses."""

    cell_m: np.float32
    hit: np.float32
    free: np.float32
    sight: np.float32
    sight_m: np.float32


def entered(evidence: Tensor, seen: Tensor, points: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Stand in for ``costmap.entered``."""
    evidence, seen = (grid.clone(memory_format=torch.contiguous_format) for grid in (evidence, seen))
    placed, fraction = placement(pose), graph.ray_fractions(pose)
    _enter(points.contiguous().numpy(), placed.numpy(), fraction.numpy(), _entry(), evidence.numpy(), seen.numpy())
    return evidence, seen


def placement(pose: Tensor) -> Tensor:
    """Return x, y [m], cos and sin of the yaw (B, 4) of poses (B, 3), computed as the graph does."""
    return torch.stack([pose[:, 0], pose[:, 1], pose[:, 2].cos(), pose[:, 2].sin()], dim=1)


@functools.cache
def _entry() -> _Entry:
    return _Entry(*map(np.float32, (CELL_M, graph.HIT, graph.FREE, graph.SIGHT, SIGHT_M)))


def rasters(points: Tensor, pose: Tensor, *, origin_m: tuple[float, float], cell_m: float, side: int) -> Tensor:
    """Return points splatted into squares in the body's frame, (B, N, side, side).

    Args:
        points: (B, N, P, 3) x, y on the costmap [m], and weight; it fades out at the border.
        pose: (B, 3) of the body on the costmap.
        origin_m: How far the square reaches behind the body, and to its right.
        cell_m: Size of a cell of the square.
        side: Cells along an axis of it.
    """
    found = points.new_zeros(*points.shape[:2], side, side)
    behind_m, right_m = (np.float32(value) for value in origin_m)
    arguments = points.contiguous().numpy(), placement(pose).numpy()
    _rasters(*arguments, behind_m, right_m, np.float32(cell_m), found.numpy())
    return found


@njit(cache=True, error_model="numpy")
def _enter(
    points: np.ndarray,
    placed: np.ndarray,
    fractions: np.ndarray,
    c: _Entry,
    evidence: np.ndarray,
    seen: np.ndarray,
) -> None:
    """Enter points (B, P, 6) of bodies at ``placed`` (B, 4) into grids (B, side, side), in place."""
    batch, side, _ = evidence.shape
    grids = np.empty((3, side, side), np.float32)
    passed, hit, sighted = grids[0], grids[1], grids[2]
    for b in range(batch):
        grids[:] = _ZERO
        for p in range(points.shape[1]):
            point = points[b, p]
            _pass(point, placed[b], fractions, c, passed)
            _hit(point, placed[b], c, hit)
            _sight(point, placed[b], fractions, c, sighted)
        for row in range(side):
            held, freed, struck = evidence[b, row], passed[row], hit[row]
            for column in range(side):
                held[column] = min(max(held[column] - freed[column], _ZERO) + struck[column], _ONE)
            known, lit = seen[b, row], sighted[row]
            for column in range(side):
                known[column] = min(known[column] + lit[column], _ONE)


@njit(cache=True, error_model="numpy")
def _pass(point: np.ndarray, placed: np.ndarray, fractions: np.ndarray, c: _Entry, grid: np.ndarray) -> None:
    """Splat what a ray to a point (6,) frees: from where the ground is seen up to a little before the point."""
    x, y, weight, nearest = point[0], point[1], point[2], point[3]
    if not weight > _ZERO:
        return
    distance = np.sqrt(x * x + y * y + np.float32(1e-6))
    for fraction in fractions:
        before = (distance * (_ONE - fraction) - np.float32(0.3)) / np.float32(0.2)
        beyond = (distance * fraction - nearest - np.float32(0.1)) / np.float32(0.2)
        clear = min(max(before, _ZERO), _ONE) * min(max(beyond, _ZERO), _ONE)
        _splat(x * fraction, y * fraction, c.free * (clear * weight), placed, c.cell_m, grid)


@njit(cache=True, error_model="numpy")
def _hit(point: np.ndarray, placed: np.ndarray, c: _Entry, grid: np.ndarray) -> None:
    """Splat the obstacle of a point (6,)."""
    x, y = point[0], point[1]
    distance = np.sqrt(x * x + y * y + np.float32(1e-6))
    near = min(max((c.sight_m - distance) / np.float32(0.5), _ZERO), _ONE)
    _splat(x, y, c.hit * point[2] * near, placed, c.cell_m, grid)


@njit(cache=True, error_model="numpy")
def _sight(point: np.ndarray, placed: np.ndarray, fractions: np.ndarray, c: _Entry, grid: np.ndarray) -> None:
    """Splat the ground that is seen on the way to the farthest ground of a point (6,)."""
    nearest, x, y = point[3], point[4], point[5]
    distance = np.sqrt(x * x + y * y + np.float32(1e-6))
    for fraction in fractions:
        sight = min(max((distance * fraction - nearest) / np.float32(0.2) + _ONE, _ZERO), _ONE)
        _splat(x * fraction, y * fraction, c.sight * sight, placed, c.cell_m, grid)


@njit(cache=True, error_model="numpy")
def _splat(
    x: np.float32, y: np.float32, value: np.float32, placed: np.ndarray, cell_m: np.float32, grid: np.ndarray
) -> None:
    """Splat a value at a point in the body's frame into the grid of the anchor's frame."""
    if not value > _ZERO:
        return
    middle = np.float32((grid.shape[0] - 1) / 2.0)
    column = (placed[2] * x - placed[3] * y + placed[0]) / cell_m + middle
    row = (placed[3] * x + placed[2] * y + placed[1]) / cell_m + middle
    _at(column, row, value, grid)


@njit(cache=True, error_model="numpy")
def _rasters(
    points: np.ndarray,
    placed: np.ndarray,
    behind_m: np.float32,
    right_m: np.float32,
    cell_m: np.float32,
    grids: np.ndarray,
) -> None:
    """Splat points (B, N, P, 3) in the anchor's frame into squares (B, N, side, side) in the bodies' frames."""
    last = np.float32(grids.shape[3] - 1)
    for b in range(points.shape[0]):
        x0, y0, cos, sin = placed[b, 0], placed[b, 1], placed[b, 2], placed[b, 3]
        for n in range(points.shape[1]):
            for point in points[b, n]:
                x, y = point[0] - x0, point[1] - y0
                column = (cos * x + sin * y + behind_m) / cell_m - np.float32(0.5)
                row = (cos * y - sin * x + right_m) / cell_m - np.float32(0.5)
                border = min(min(column, last - column), min(row, last - row))
                _at(column, row, point[2] * min(max(border, _ZERO), _ONE), grids[b, n])


@njit(cache=True, error_model="numpy")
def _at(column: np.float32, row: np.float32, value: np.float32, grid: np.ndarray) -> None:
    """Raise the four cells around a place to its value, by their part of it. Places outside do not count."""
    left, low = np.floor(column), np.floor(row)
    last = np.float32(grid.shape[0] - 2)
    if not (value > _ZERO and left >= _ZERO and low >= _ZERO and left <= last and low <= last):
        return
    right, upper = column - left, row - low
    i, j = int(low), int(left)
    grid[i, j] = max(grid[i, j], value * ((_ONE - right) * (_ONE - upper)))
    grid[i, j + 1] = max(grid[i, j + 1], value * (right * (_ONE - upper)))
    grid[i + 1, j] = max(grid[i + 1, j], value * ((_ONE - right) * upper))
    grid[i + 1, j + 1] = max(grid[i + 1, j + 1], value * (right * upper))
