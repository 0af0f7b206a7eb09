"""Compiled sweeps over the costmap: distances to obstacles, and the cost to go.

They stand in for those of ``cost_to_go``: the same arithmetic in the same order, one robot after the other, so that its
grids stay in the processor's cache. Compiled functions call nothing from other files and get constants as arguments,
see ``obstacles``.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from embodiments.observation import Observation
from world_model.local_planner import cost_to_go as graph
from world_model.local_planner.costmap_cells import CELL_M, axis_m
from world_model.local_planner.frames import to_anchor

_ZERO, _HALF, _ONE, _TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
_OUTSIDE_M = np.float32(1e3)
"""Cost to go beyond the border"""


class _Costs(NamedTuple):
    """Constants of ``cost_to_go`` by name, and the size of a cell."""

    cell_m: np.float32
    comfort_m: np.float32
    near_cost: np.float32
    blocked_cost: np.float32
    most_m: np.float32
    outside_cost: np.float32
    unseen_cost: np.float32
    corridor_low_m: np.float32
    corridor_width_m: np.float32
    lane_low_m: np.float32
    lane_width_m: np.float32


def distance_to_evidence_m(evidence: Tensor) -> Tensor:
    """Stand in for ``cost_to_go.distance_to_evidence_m``."""
    found = evidence.contiguous()
    distance = found.new_empty(found.shape)
    far, step = graph.RINGS * CELL_M, CELL_M
    steps = np.float32(far), np.float32(step), np.float32(graph.DIAGONAL * step)
    _distances(found.numpy(), *steps, graph.RINGS, distance.numpy())
    return distance


def corrected(
    cost_to_go: Tensor,
    pose: Tensor,
    observation: Observation[Tensor],
    *,
    distance_m: Tensor,
    seen: Tensor,
    cost: Tensor | None,
) -> Tensor:
    """Stand in for ``cost_to_go.corrected``."""
    goal = to_anchor(observation.goal_b[:, None, :2], pose)[:, 0]
    along, planned = graph.route_line(observation.route_xy_b_m, pose)
    corrected = cost_to_go.clone(memory_format=torch.contiguous_format)
    extra = seen[:0] if cost is None else cost
    _correct(
        distance_m.contiguous().numpy(),
        seen.contiguous().numpy(),
        extra.contiguous().numpy(),
        goal.numpy(),
        graph.half_width_m(observation.descriptor).numpy(),
        along.numpy(),
        planned.numpy(),
        axis_m(pose).numpy(),
        graph.coarse_axis_m(pose).numpy(),
        graph.SWEEPS,
        _costs(),
        corrected.numpy(),
    )
    return corrected


@functools.cache
def _costs() -> _Costs:
    corridor, lane = graph.CORRIDOR_M, graph.LANE_M
    others = {
        "cell_m": CELL_M,
        "corridor_low_m": corridor[0],
        "corridor_width_m": corridor[1] - corridor[0],
        "lane_low_m": lane[0],
        "lane_width_m": lane[1] - lane[0],
    }
    values = {name: others[name] if name in others else vars(graph)[name.upper()] for name in _Costs._fields}
    return _Costs(**{name: np.float32(value) for name, value in values.items()})


@njit(cache=True, error_model="numpy")
def _distances(
    evidence: np.ndarray, far: np.float32, across: np.float32, diagonal: np.float32, rings: int, out: np.ndarray
) -> None:
    """Fill ``out`` (B, side, side) with the distances to obstacles of the evidence, ring by ring."""
    batch, side, _ = evidence.shape
    now, after = np.full((side + 2, side + 2), far, np.float32), np.full((side + 2, side + 2), far, np.float32)
    for b in range(batch):
        held = evidence[b]
        for row in range(side):
            for column in range(side):
                sure = min(max((held[row, column] - np.float32(0.4)) / np.float32(0.2), _ZERO), _ONE)
                now[row + 1, column + 1] = far * (_ONE - sure)
        for _ in range(rings):
            _spread(now, across, diagonal, after)
            now, after = after, now
        out[b] = now[1 : side + 1, 1 : side + 1]


@njit(cache=True, error_model="numpy")
def _spread(now: np.ndarray, across: np.float32, diagonal: np.float32, after: np.ndarray) -> None:
    """Fill ``after`` with the least of a cell's own value and of its neighbours' and the step; both have a border."""
    side = now.shape[0] - 2
    for i in range(side):
        for j in range(side):
            straight = min(min(now[i + 1, j], now[i + 1, j + 2]), min(now[i, j + 1], now[i + 2, j + 1]))
            corner = min(min(now[i, j], now[i + 2, j]), min(now[i, j + 2], now[i + 2, j + 2]))
            after[i + 1, j + 1] = min(now[i + 1, j + 1], min(straight + across, corner + diagonal))


@njit(cache=True, error_model="numpy")
def _correct(
    distance: np.ndarray,
    seen: np.ndarray,
    extra: np.ndarray,
    goal: np.ndarray,
    half_width: np.ndarray,
    along: np.ndarray,
    planned: np.ndarray,
    axis: np.ndarray,
    coarse_axis: np.ndarray,
    sweeps: int,
    c: _Costs,
    cost_to_go: np.ndarray,
) -> None:
    """Correct costs to go (B, side, side) in place; ``extra`` (B, side, side) may be empty."""
    batch, side, _ = distance.shape
    grids = np.empty((5, side, side), np.float32)
    step, straight, source, outside, unknown = grids[0], grids[1], grids[2], grids[3], grids[4]
    ground = np.ones((side + 2, side + 2), np.float32)
    now = np.full((side + 2, side + 2), _OUTSIDE_M, np.float32)
    after = np.full((side + 2, side + 2), _OUTSIDE_M, np.float32)
    for b in range(batch):
        _away_from_route(along[b], planned[b], coarse_axis, c, outside, unknown)
        ground[1 : side + 1, 1 : side + 1] = seen[b]
        _unseen(ground, c, unknown)
        _metre(distance[b], half_width[b], outside, unknown, c, step)
        if extra.size:
            _add(extra[b], step)
        _begin(goal[b], axis, cost_to_go[b], c, straight, source, now)
        for _ in range(sweeps):
            _sweep(now, step, straight, source, c, after)
            now, after = after, now
        _subtract(now, straight, cost_to_go[b])


@njit(cache=True, error_model="numpy")
def _away_from_route(
    along: np.ndarray,
    planned: np.float32,
    axis: np.ndarray,
    c: _Costs,
    outside: np.ndarray,
    unknown: np.ndarray,
) -> None:
    """Fill in how far cells (side, side) lie outside a planned route (P, 2), and how much unseen ground costs there."""
    outside[:], unknown[:] = _ZERO, _ONE
    if planned == _ZERO:
        return
    wide, nearest = outside.shape[0] // axis.size, np.empty(axis.size, np.float32)
    for i in range(axis.size):
        nearest[:] = np.float32(np.inf)
        for p in range(along.shape[0]):
            x, up = along[p, 0], (axis[i] - along[p, 1]) * (axis[i] - along[p, 1])
            for j in range(axis.size):
                nearest[j] = min(nearest[j], (axis[j] - x) * (axis[j] - x) + up)
        for j in range(axis.size):
            distance = np.sqrt(nearest[j])
            away = min(max((distance - c.corridor_low_m) / c.corridor_width_m, _ZERO), _ONE)
            off = min(max((distance - c.lane_low_m) / c.lane_width_m, _ZERO), _ONE)
            for row in range(i * wide, (i + 1) * wide):
                for column in range(j * wide, (j + 1) * wide):
                    outside[row, column] = away * planned
                    unknown[row, column] = _ONE - planned * (_ONE - off)


@njit(cache=True, error_model="numpy")
def _unseen(ground: np.ndarray, c: _Costs, unknown: np.ndarray) -> None:
    """Multiply ``unknown`` by what unseen ground costs: nothing where the cell and its neighbours are seen."""
    side = unknown.shape[0]
    for i in range(side):
        for j in range(side):
            above = min(min(ground[i, j], ground[i, j + 1]), ground[i, j + 2])
            beside = min(min(ground[i + 1, j], ground[i + 1, j + 1]), ground[i + 1, j + 2])
            below = min(min(ground[i + 2, j], ground[i + 2, j + 1]), ground[i + 2, j + 2])
            unknown[i, j] = c.unseen_cost * (_ONE - min(min(above, beside), below)) * unknown[i, j]


@njit(cache=True, error_model="numpy")
def _metre(
    distance: np.ndarray,
    half_width: np.float32,
    outside: np.ndarray,
    unseen: np.ndarray,
    c: _Costs,
    metre: np.ndarray,
) -> None:
    """Fill in the cost of a metre through each cell (side, side)."""
    for i in range(metre.shape[0]):
        for j in range(metre.shape[1]):
            clearance = distance[i, j] - half_width
            near = min(max(_ONE - clearance / c.comfort_m, _ZERO), _ONE)
            blocked = min(max(-clearance / np.float32(0.1), _ZERO), _ONE)
            body = _ONE + c.near_cost * near + c.blocked_cost * blocked
            metre[i, j] = body + (c.outside_cost * outside[i, j] + unseen[i, j])


@njit(cache=True, error_model="numpy")
def _add(other: np.ndarray, grid: np.ndarray) -> None:
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            grid[i, j] = grid[i, j] + other[i, j]


@njit(cache=True, error_model="numpy")
def _begin(
    goal: np.ndarray,
    axis: np.ndarray,
    cost_to_go: np.ndarray,
    c: _Costs,
    straight: np.ndarray,
    source: np.ndarray,
    total: np.ndarray,
) -> None:
    """Fill in the straight distance to the goal, the cost that its own cells spread, and the total cost (bordered)."""
    for i in range(axis.size):
        up = (axis[i] - goal[1]) * (axis[i] - goal[1])
        for j in range(axis.size):
            straight[i, j] = np.sqrt((axis[j] - goal[0]) * (axis[j] - goal[0]) + up)
        for j in range(axis.size):
            rise = np.float32(100.0) * (straight[i, j] - c.cell_m)
            source[i, j] = straight[i, j] + min(max(rise, _ZERO), c.most_m)
        for j in range(axis.size):
            total[i + 1, j + 1] = straight[i, j] + cost_to_go[i, j]


@njit(cache=True, error_model="numpy")
def _sweep(
    now: np.ndarray, metre: np.ndarray, straight: np.ndarray, source: np.ndarray, c: _Costs, after: np.ndarray
) -> None:
    """Fill ``after`` with the total costs after one sweep; it and ``now`` (side + 2, side + 2) have a border."""
    for i in range(metre.shape[0]):
        for j in range(metre.shape[1]):
            across, up = min(now[i + 1, j], now[i + 1, j + 2]), min(now[i, j + 1], now[i + 2, j + 1])
            step = c.cell_m * metre[i, j]
            apart = min(abs(across - up), step)
            total = min(across, up) + (np.sqrt(_TWO * (step * step) - apart * apart) + apart) * _HALF
            after[i + 1, j + 1] = max(straight[i, j], min(source[i, j], total))


@njit(cache=True, error_model="numpy")
def _subtract(total: np.ndarray, straight: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = total[i + 1, j + 1] - straight[i, j]
