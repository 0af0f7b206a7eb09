"""The cost to go to the goal, on a map of obstacles and of ground that has been seen. Unknown ground costs twice.

It is stored beside the costmap, and some sweeps per control step correct it, so that it follows new obstacles (in the
manner of Tamar et al. 2016, "Value Iteration Networks", without the learning; the optimism about unknown ground is that
of D* Lite, Koenig and Likhachev 2002). Grids that are no longer needed are overwritten in place, because a fresh one
costs as much as the arithmetic.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from embodiments.observation import Observation
from embodiments.spaces import FOOTPRINT_SLICE, HEIGHT_LAYERS_M
from world_model.local_planner.costmap_cells import CELL_M, CELLS, axis_m
from world_model.local_planner.frames import to_anchor
from world_model.local_planner.stand_in import kernel

SWEEPS = 8
"""Of the cost to go per control step; a dead end of 3 m is filled within a second"""
RINGS = 4
"""Cells around an obstacle that still cost more"""
COMFORT_M = 0.35
NEAR_COST, BLOCKED_COST = 3.0, 100.0
MOST_M = 50.0
"""Cost to go above the straight distance at which it stops counting. Without a bound it reaches a thousand metres
behind walls, where the last bit of a number is a tenth of a millimetre: too coarse for two runtimes to agree."""
CORRIDOR_M, OUTSIDE_COST = (0.5, 1.2), 6.0
"""A planned route avoids walls not seen yet: a metre further from it than the second distance costs this much more"""
LANE_M = (0.1, 0.4)
"""Ground on a planned route counts as seen, up to these distances from it"""
BENT_M = (0.1, 0.6)
"""A route that leaves the straight line by this much is a planned one; a straight one does not know any walls"""
UNSEEN_COST = 1.0
"""Additional cost of a metre of unseen ground"""
DIAGONAL = math.sqrt(2.0)
_COARSE = 2
"""Cells along an axis that have one cost of distance from the route in common"""


@kernel("world_model.local_planner.kernels.sweeps")
def corrected(
    cost_to_go: Tensor,
    pose: Tensor,
    observation: Observation[Tensor],
    *,
    distance_m: Tensor,
    seen: Tensor,
    cost: Tensor | None,
) -> Tensor:
    """Return the cost to go (B, CELLS, CELLS) [m] after some sweeps, on the map of a ``PlannedMap``.

    Args:
        cost_to_go: (B, CELLS, CELLS) before.
        pose: (B, 3) of the body on the costmap.
        distance_m: (B, CELLS, CELLS)
        seen: (B, CELLS, CELLS)
        cost: (B, CELLS, CELLS); None for none.
    """
    straight = straight_m(to_anchor(observation.goal_b[:, None, :2], pose)[:, 0])
    metre = _cell_cost(distance_m, half_width_m(observation.descriptor))
    metre = metre + _route_cost(observation.route_xy_b_m, pose, seen)
    if cost is not None:
        metre = metre + cost
    total = straight + cost_to_go
    # The goal's own cells are the source of the cost to go.
    source = straight + (100.0 * (straight - CELL_M)).clip(0.0, MOST_M)
    step = CELL_M * metre
    twice = 2.0 * step.square()
    for _ in range(SWEEPS):
        total = _swept(total, step, twice)
        torch.maximum(straight, torch.minimum(source, total, out=total), out=total)
    return total - straight


def straight_m(goal: Tensor) -> Tensor:
    """Return the straight distance (B, CELLS, CELLS) of every cell to the goal (B, 2)."""
    axis = axis_m(goal)
    x, y = axis[None, None, :] - goal[:, 0, None, None], axis[None, :, None] - goal[:, 1, None, None]
    return (x.square() + y.square()).sqrt()


def half_width_m(descriptor: Tensor) -> Tensor:
    """Return the largest half width (B,) of a body over its layers."""
    return descriptor[:, FOOTPRINT_SLICE].unflatten(-1, (len(HEIGHT_LAYERS_M), 3))[..., 2].amax(dim=-1)


def _neighbours_min(values: Tensor, *, edge: float) -> tuple[Tensor, Tensor]:
    """Return the least value over the 4 and over the 4 diagonal neighbours."""
    padded = functional.pad(values, (1, 1, 1, 1), value=edge)
    middle, low, high = slice(1, -1), slice(0, -2), slice(2, None)
    across = torch.minimum(padded[:, middle, low], padded[:, middle, high])
    up = torch.minimum(padded[:, low, middle], padded[:, high, middle])
    rows = torch.minimum(padded[:, low, :], padded[:, high, :])
    return torch.minimum(across, up, out=across), torch.minimum(rows[:, :, low], rows[:, :, high], out=up)


@kernel("world_model.local_planner.kernels.sweeps")
def distance_to_evidence_m(evidence: Tensor) -> Tensor:
    """Return the distance (B, CELLS, CELLS) to the nearest obstacle of the evidence, up to ``RINGS`` cells."""
    far = RINGS * CELL_M
    distance = far * (1.0 - ((evidence - 0.4) / 0.2).clip(0.0, 1.0))
    for _ in range(RINGS):
        straight, diagonal = _neighbours_min(distance, edge=far)
        step = torch.minimum(straight.add_(CELL_M), diagonal.add_(DIAGONAL * CELL_M), out=straight)
        distance = torch.minimum(distance, step, out=step)
    return distance


def _cell_cost(distance: Tensor, half_width: Tensor) -> Tensor:
    """Return the cost of a metre through each cell, 1 where nothing is near."""
    clearance = distance - half_width[:, None, None]
    near = (1.0 - clearance / COMFORT_M).clip(0.0, 1.0)
    blocked = (-clearance / 0.1).clip(0.0, 1.0)
    return 1.0 + NEAR_COST * near + BLOCKED_COST * blocked


def _route_cost(route_xy_b_m: Tensor, pose: Tensor, seen: Tensor) -> Tensor:
    """Return the additional cost of a metre (B, CELLS, CELLS) away from a planned route and on unseen ground."""
    along, planned = route_line(route_xy_b_m, pose)
    axis = coarse_axis_m(pose)
    across = (axis[None, None, :] - along[..., :1]).square()[:, :, None, :]  # (B, 21, 1, CELLS / 2)
    up = (axis[None, None, :] - along[..., 1:]).square()[:, :, :, None]  # (B, 21, CELLS / 2, 1)
    distance = (across + up).amin(dim=1).sqrt()
    planned, grid = planned[:, None, None], [CELLS, CELLS]
    outside = _ramp(distance, CORRIDOR_M) * planned
    unknown = 1.0 - planned * (1.0 - _ramp(distance, LANE_M))
    outside, unknown = functional.interpolate(torch.stack([outside, unknown], dim=1), grid).unbind(1)
    # Part of what the body sweeps is enough.
    straight, diagonal = _neighbours_min(seen, edge=1.0)
    unseen = 1.0 - torch.minimum(seen, torch.minimum(straight, diagonal))
    return OUTSIDE_COST * outside + UNSEEN_COST * unseen * unknown


def route_line(route_xy_b_m: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Return points (B, 21, 2) on a route, 0.5 m apart, in the anchor's frame, and whether it is a planned one (B,)."""
    end = route_xy_b_m[:, -1]
    unit = end / (end.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()
    aside = (route_xy_b_m[..., 0] * unit[:, 1:] - route_xy_b_m[..., 1] * unit[:, :1]).abs().amax(dim=1)
    planned = ((aside - BENT_M[0]) / (BENT_M[1] - BENT_M[0])).clip(0.0, 1.0)
    here = torch.zeros_like(route_xy_b_m[:, :1])
    start = torch.cat([here, route_xy_b_m[:, :-1]], dim=1)
    along = torch.cat([start, (start + route_xy_b_m) / 2.0, route_xy_b_m[:, -1:]], dim=1)
    return to_anchor(along, pose), planned


def _ramp(value: Tensor, between: tuple[float, float]) -> Tensor:
    return ((value - between[0]) / (between[1] - between[0])).clip(0.0, 1.0)


def coarse_axis_m(like: Tensor) -> Tensor:
    """Return the centres (CELLS / 2,) of the cells that have one cost of distance from the route in common [m]."""
    return axis_m(like).unflatten(0, (-1, _COARSE)).mean(dim=1)


def _swept(total: Tensor, step: Tensor, twice: Tensor) -> Tensor:
    """Return one Jacobi sweep of the eikonal equation |grad total| = step per cell, Godunov's upwind scheme.

    Args:
        total: (B, CELLS, CELLS), as the others.
        step: Cost of crossing a cell.
        twice: Twice its square.
    """
    padded = functional.pad(total, (1, 1, 1, 1), value=1e3)
    across = torch.minimum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    up = torch.minimum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    # Where the two differ by more than a step, only the lower one counts; this covers that case, too.
    apart = (across - up).abs_()
    torch.minimum(apart, step, out=apart)
    lower = torch.minimum(across, up, out=across)
    beyond = torch.mul(apart, apart, out=up)
    torch.sub(twice, beyond, out=beyond).sqrt_().add_(apart)
    return lower.add_(beyond.mul_(0.5))
