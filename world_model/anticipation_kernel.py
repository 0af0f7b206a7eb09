"""Compiled functions of ``anticipation``: the same arithmetic in the same order, one robot after the other.

They call no compiled function of another file and get constants as arguments, see ``local_planner.kernels.obstacles``.
"""

import numpy as np
import torch
from numba import njit
from torch import Tensor

from embodiments.spaces import LIMIT_FIELDS
from world_model import anticipation as graph
from world_model.local_planner import cost_to_go, costmap
from world_model.local_planner.kernels import reading, splatting

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


def square(evidence: Tensor, seen: Tensor, pose: Tensor, trail: Tensor) -> Tensor:
    """Stand in for ``anticipation.square``."""
    side = graph.SIDE
    found = evidence.new_empty(len(evidence), graph.INPUTS, side, side)
    cells = graph.cells_b(evidence)
    for channel, grid in enumerate((evidence, seen)):
        found[:, channel] = reading.look_up_b(grid, cells, pose).unflatten(1, (side, side))
    found[:, 2:] = splatting.rasters(
        graph.past_points(trail), pose, origin_m=(graph.BEHIND_M, graph.BESIDE_M), cell_m=graph.CELL_M, side=side
    )
    return found


def onto_costmap(
    around: graph.Surroundings,
    evidence: Tensor,
    seen: Tensor,
    pose: Tensor,
    *,
    descriptor: Tensor,
    is_true: bool = False,
) -> costmap.PlannedMap:
    """Stand in for ``anticipation.onto_costmap``."""
    measured = costmap.PlannedMap(cost_to_go.distance_to_evidence_m(evidence), seen, seen)
    counts = torch.ones_like(evidence) if is_true else _widened(seen)
    known = torch.stack([around.distance_m, around.still, _moving_cost(around.moving, descriptor)], dim=1)
    return reading.blend(known, measured, counts, pose, _trust())


def _trust() -> reading.Trust:
    values = (graph.CELL_M, graph.BEHIND_M, graph.BESIDE_M, graph.REACH_M, graph.FADE_M, graph.SURE)
    return reading.Trust(*(np.float32(value) for value in values))


def _widened(grid: Tensor) -> Tensor:
    """Return the largest value (B, side, side) within ``BEYOND_CELLS`` along both axes."""
    found = torch.empty(grid.shape)
    _largest(grid.contiguous().numpy(), graph.BEYOND_CELLS, found.numpy())
    return found


def _moving_cost(moving: Tensor, descriptor: Tensor) -> Tensor:
    """Return the additional cost of a metre (B, SIDE, SIDE): somebody may be near when the body gets there."""
    speed = graph.HURRY * descriptor[:, LIMIT_FIELDS.index("forward_mps")]
    away = graph.cells_b(moving).norm(dim=-1).view(graph.SIDE, graph.SIDE)
    fractions = np.array([graph.moving_fraction(ring) for ring in (1, 2)], np.float32)
    found = moving.new_empty(len(moving), graph.SIDE, graph.SIDE)
    horizon_s = np.float32(graph.HORIZONS_S[1] - graph.HORIZONS_S[0])
    arguments = moving.contiguous().numpy(), away.numpy(), speed.clip(min=0.05).numpy()
    _moving(*arguments, horizon_s, fractions, np.float32(graph.MOVING_COST), found.numpy())
    return found


@njit(cache=True, error_model="numpy")
def _largest(grids: np.ndarray, cells: int, out: np.ndarray) -> None:
    """Fill ``out`` (B, side, side) with the largest values, 0 or more, within some cells along both axes."""
    batch, side, _ = grids.shape
    wide = np.zeros((side + 2 * cells, side + 2 * cells), np.float32)
    for b in range(batch):
        wide[cells : cells + side, cells : cells + side] = grids[b]
        _pool(wide, cells, out[b])


@njit(cache=True, error_model="numpy")
def _pool(wide: np.ndarray, cells: int, out: np.ndarray) -> None:
    """Fill ``out`` (side, side) with the largest values near each cell of a grid with a border of ``cells``."""
    side = out.shape[0]
    tall = wide[:side].copy()
    for shift in range(1, 2 * cells + 1):
        for i in range(side):
            for j in range(tall.shape[1]):
                tall[i, j] = max(tall[i, j], wide[i + shift, j])
    out[:] = tall[:, :side]
    for shift in range(1, 2 * cells + 1):
        for i in range(side):
            for j in range(side):
                out[i, j] = max(out[i, j], tall[i, j + shift])


@njit(cache=True, error_model="numpy")
def _moving(
    moving: np.ndarray,
    away: np.ndarray,
    speed: np.ndarray,
    horizon_s: np.float32,
    fractions: np.ndarray,
    cost: np.float32,
    out: np.ndarray,
) -> None:
    """Fill ``out`` (B, side, side) with the cost of meeting somebody who moves (B, horizons, side, side)."""
    batch, horizons, side, _ = moving.shape
    rings = fractions.size
    there, near = np.zeros((side + 2 * rings, side + 2 * rings), np.float32), np.empty((side, side), np.float32)
    for b in range(batch):
        met = out[b]
        met[:] = _ZERO
        for k in range(horizons):
            for i in range(side):
                for j in range(side):
                    late = away[i, j] / speed[b] / horizon_s
                    met[i, j] += max(_ONE - abs(late - np.float32(k)), _ZERO) * moving[b, k, i, j]
        there[rings : rings + side, rings : rings + side] = met
        for ring in range(1, rings + 1):
            border = rings - ring
            _pool(there[border : there.shape[0] - border, border : there.shape[0] - border], ring, near)
            for i in range(side):
                for j in range(side):
                    met[i, j] = max(met[i, j], near[i, j] * fractions[ring - 1])
        for i in range(side):
            for j in range(side):
                met[i, j] = cost * met[i, j]
