"""Compiled functions that read grids at points: the planner's query, and what comes from or onto the costmap.

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
from world_model.local_planner.cost_to_go import half_width_m
from world_model.local_planner.costmap_cells import CELL_M, axis_m
from world_model.local_planner.frames import to_anchor
from world_model.local_planner.kernels.splatting import placement

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


class _Choice(NamedTuple):
    """Constants of ``costmap`` by name, and the size of a cell."""

    cell_m: np.float32
    look_ahead_m: np.float32
    choice_m: np.float32
    stop_clearance_m: np.float32
    stop_offset_weight: np.float32
    stop_choice_m: np.float32


class Trust(NamedTuple):
    """Where what is known around a body counts: the square it is known on, and how far."""

    cell_m: np.float32
    behind_m: np.float32
    right_m: np.float32
    reach_m: np.float32
    fade_m: np.float32
    sure: np.float32


def query(state: graph.Costmap, goal_b: Tensor, descriptor: Tensor) -> graph.PlannerQuery:
    """Stand in for ``costmap.query``."""
    units, aside = graph.directions(goal_b), graph.stop_offsets(goal_b)
    goal = to_anchor(goal_b[:, None, :2], state.pose)[:, 0]
    found = goal_b.new_empty(len(goal_b), 5 + 1 + len(units))
    _query(
        state.cost_to_go.contiguous().numpy(),
        graph.distance_m(state).contiguous().numpy(),
        placement(state.pose).numpy(),
        goal.numpy(),
        goal_b[:, :2].contiguous().numpy(),
        half_width_m(descriptor).numpy(),
        axis_m(goal_b).numpy(),
        torch.cat([units * (graph.LOOK_AHEAD_M / 2.0), units * graph.LOOK_AHEAD_M]).numpy(),
        units.numpy(),
        torch.cat([aside, graph.norm(aside)[:, None]], dim=1).numpy(),
        _choice(),
        found.numpy(),
    )
    aim_b, stop_b, detour, here, around = found.split([2, 2, 1, 1, len(units)], dim=1)
    return graph.PlannerQuery(aim_b, stop_b, around, here[:, 0], detour[:, 0])


@functools.cache
def _choice() -> _Choice:
    values = {"cell_m": CELL_M} | {name: vars(graph)[name.upper()] for name in _Choice._fields if name != "cell_m"}
    return _Choice(**{name: np.float32(value) for name, value in values.items()})


def look_up_b(grid: Tensor, points_b: Tensor, pose: Tensor) -> Tensor:
    """Stand in for ``costmap_cells.look_up_b``."""
    found = grid.new_empty(len(grid), len(points_b))
    arguments = grid.contiguous().numpy(), points_b.contiguous().numpy(), placement(pose).numpy()
    _look_up(*arguments, np.float32(CELL_M), found.numpy())
    return found


def blend(known: Tensor, measured: graph.PlannedMap, counts: Tensor, pose: Tensor, trust: Trust) -> graph.PlannedMap:
    """Return the measured map with what is known around the bodies.

    Args:
        known: (B, 3, side, side) on the square around the body: distance to the nearest still thing [m], probability of
            one, cost of a metre.
        measured: The costmap as measured; its cost is not read.
        counts: (B, CELLS, CELLS) in [0, 1]: where what is known about distances counts.
        pose: (B, 3) of the body on the costmap.
        trust: Where all of it counts.
    """
    distance_m, seen = (grid.clone(memory_format=torch.contiguous_format) for grid in measured[:2])
    cost = torch.zeros_like(distance_m)
    fixed = known.numpy(), counts.contiguous().numpy(), placement(pose).numpy(), axis_m(pose).numpy()
    _blend(*fixed, trust, distance_m.numpy(), seen.numpy(), cost.numpy())
    return graph.PlannedMap(distance_m=distance_m, seen=seen, cost=cost)


@njit(cache=True, error_model="numpy")
def _read(grid: np.ndarray, column: np.float32, row: np.float32) -> np.float32:
    """Return a grid's value (side, side) at continuous cells, bilinearly; the border continues outside."""
    last = np.float32(grid.shape[0] - 1.001)
    column, row = min(max(column, _ZERO), last), min(max(row, _ZERO), last)
    j, i = int(column), int(row)
    right, upper = column - np.float32(j), row - np.float32(i)
    below = grid[i, j] * (_ONE - right) + grid[i, j + 1] * right
    above = grid[i + 1, j] * (_ONE - right) + grid[i + 1, j + 1] * right
    return below * (_ONE - upper) + above * upper


@njit(cache=True, error_model="numpy")
def _read_body(grid: np.ndarray, x: np.float32, y: np.float32, placed: np.ndarray, cell_m: np.float32) -> np.float32:
    """Return a costmap's value at a point in the frame of a body at x, y, cos and sin of its yaw (4,)."""
    middle = np.float32((grid.shape[0] - 1) / 2.0)
    column = (placed[2] * x - placed[3] * y + placed[0]) / cell_m + middle
    row = (placed[3] * x + placed[2] * y + placed[1]) / cell_m + middle
    return _read(grid, column, row)


@njit(cache=True, error_model="numpy")
def _look_up(grid: np.ndarray, points: np.ndarray, placed: np.ndarray, cell_m: np.float32, out: np.ndarray) -> None:
    for b in range(grid.shape[0]):
        for q in range(points.shape[0]):
            out[b, q] = _read_body(grid[b], points[q, 0], points[q, 1], placed[b], cell_m)


@njit(cache=True, error_model="numpy")
def _query(
    cost_to_go: np.ndarray,
    distance: np.ndarray,
    placed: np.ndarray,
    goal: np.ndarray,
    goal_b: np.ndarray,
    half_width: np.ndarray,
    axis: np.ndarray,
    around: np.ndarray,
    units: np.ndarray,
    aside: np.ndarray,
    c: _Choice,
    out: np.ndarray,
) -> None:
    """Fill ``out`` (B, 6 + D): aim x, y, stop x, y, detour, clearance at the body, and around it.

    Args:
        around: (2 * D, 2) body points, halfway and at the full distance.
        units: (D, 2) the directions.
        aside: (S, 3) offsets from the goal, and their length.
    """
    directions, total = units.shape[0], np.empty((axis.size, axis.size), np.float32)
    cost, missing = np.empty(directions, np.float32), np.empty(aside.shape[0], np.float32)
    for b in range(out.shape[0]):
        found, place, half = out[b], placed[b], half_width[b]
        for i in range(axis.size):
            up = (axis[i] - goal[b, 1]) * (axis[i] - goal[b, 1])
            for j in range(axis.size):
                straight = np.sqrt((axis[j] - goal[b, 0]) * (axis[j] - goal[b, 0]) + up)
                total[i, j] = cost_to_go[b, i, j] + straight
        for k in range(directions):
            halfway = _read_body(total, around[k, 0], around[k, 1], place, c.cell_m)
            there = _read_body(total, around[directions + k, 0], around[directions + k, 1], place, c.cell_m)
            cost[k] = np.float32(0.4) * halfway + np.float32(0.6) * there
            found[6 + k] = _read_body(distance[b], around[2 * k, 0], around[2 * k, 1], place, c.cell_m) - half
        found[4] = _read_body(cost_to_go[b], _ZERO, _ZERO, place, c.cell_m)
        found[5] = _read_body(distance[b], _ZERO, _ZERO, place, c.cell_m) - half
        for s in range(missing.size):
            x, y = goal_b[b, 0] + aside[s, 0], goal_b[b, 1] + aside[s, 1]
            clearance = _read_body(distance[b], x, y, place, c.cell_m) - half
            missing[s] = max(c.stop_clearance_m - clearance, _ZERO) + c.stop_offset_weight * aside[s, 2]
        _soft_least(cost, units, c.choice_m, found[0:2])
        found[0], found[1] = found[0] * c.look_ahead_m, found[1] * c.look_ahead_m
        _soft_least(missing, aside, c.stop_choice_m, found[2:4])
        found[2], found[3] = goal_b[b, 0] + found[2], goal_b[b, 1] + found[3]


@njit(cache=True, error_model="numpy")
def _soft_least(cost: np.ndarray, places: np.ndarray, temperature: np.float32, out: np.ndarray) -> None:
    """Fill ``out`` (2,) with the mean of places (N, 2 or more), those of the least cost (N,) first."""
    least, total = cost[0], _ZERO
    for n in range(cost.size):
        least = min(least, cost[n])
    for n in range(cost.size):
        cost[n] = np.exp(-(cost[n] - least) / temperature)
        total += cost[n]
    out[0], out[1] = _ZERO, _ZERO
    for n in range(cost.size):
        weight = cost[n] / total
        out[0] += weight * places[n, 0]
        out[1] += weight * places[n, 1]


@njit(cache=True, error_model="numpy")
def _blend(
    known: np.ndarray,
    counts: np.ndarray,
    placed: np.ndarray,
    axis: np.ndarray,
    c: Trust,
    distance: np.ndarray,
    seen: np.ndarray,
    cost: np.ndarray,
) -> None:
    """Change distances, seen ground and cost (B, side, side) in place, where what is known (B, 3, ...) counts."""
    last = np.float32(known.shape[2] - 1)
    for b in range(known.shape[0]):
        x0, y0, cos, sin = placed[b, 0], placed[b, 1], placed[b, 2], placed[b, 3]
        for i in range(axis.size):
            y = axis[i] - y0
            if abs(y) >= c.reach_m:
                continue
            for j in range(axis.size):
                x = axis[j] - x0
                if abs(x) >= c.reach_m:
                    continue
                ahead, left = cos * x + sin * y, cos * y - sin * x
                away = np.sqrt(ahead * ahead + left * left + np.float32(1e-6))
                if away >= c.reach_m:
                    continue
                column, row = (ahead + c.behind_m) / c.cell_m - _HALF, (left + c.right_m) / c.cell_m - _HALF
                border = min(min(column, last - column), min(row, last - row))
                trust = min(max(border, _ZERO), _ONE) * min(max((c.reach_m - away) / c.fade_m, _ZERO), _ONE)
                if not trust > _ZERO:
                    continue
                near = _read(known[b, 0], column, row) - distance[b, i, j]
                distance[b, i, j] = distance[b, i, j] + trust * counts[b, i, j] * near
                sure = np.float32(3.0) * (c.sure - _read(known[b, 1], column, row)) / c.sure
                seen[b, i, j] = max(seen[b, i, j], trust * min(max(sure, _ZERO), _ONE))
                cost[b, i, j] = trust * _read(known[b, 2], column, row)
