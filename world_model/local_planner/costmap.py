"""The costmap: obstacles seen so far, and the cost to go to the goal. Unknown ground is free, and costs twice.

Nothing here is learned. Obstacle points from depth are entered into a square grid that stays where the episode began.
The cost to go is stored beside it, and some sweeps per control step correct it, so that it follows new obstacles
(in the manner of Tamar et al. 2016, "Value Iteration Networks", without the learning; the optimism about unknown ground
is that of D* Lite, Koenig and Likhachev 2002). Only tensor operations, so that a policy's graph can contain it. Grids
that are no longer needed are overwritten in place, because a fresh one costs as much as the arithmetic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from embodiments.observation import Observation
from embodiments.spaces import FOOTPRINT_SLICE, HEIGHT_LAYERS_M
from world_model.local_planner.depth_to_obstacles import SIGHT_M
from world_model.local_planner.frames import moved, to_anchor
from world_model.local_planner.grids import read, splat
from world_model.local_planner.stand_in import kernel

CELLS = 80
CELL_M = 0.2
"""16 m: COMPASS's goals lie within 5 m of the start in either axis, and a detour fits in as well."""
SWEEPS = 8
"""Of the cost to go per control step; a dead end of 3 m is filled within a second"""
RINGS = 4
"""Cells around an obstacle that still cost more"""
HIT = 0.6
"""Evidence of one sighting of a point; it takes two to make an obstacle"""
FREE = 0.2
"""Evidence against an obstacle, of one ray through a cell"""
COMFORT_M = 0.35
NEAR_COST, BLOCKED_COST = 3.0, 100.0
MOST_M = 50.0
"""Cost to go above the straight distance at which it stops counting. Without a bound it reaches a thousand metres
behind walls, where the last bit of a number is a tenth of a millimetre: too coarse for two runtimes to agree."""
LOOK_AHEAD_M = 0.6
STOP_OFFSET_M, STOP_CLEARANCE_M, STOP_OFFSET_WEIGHT = 0.2, 0.2, 0.3
"""A body stops up to the first from a goal with less clearance than the second; both protocols allow it"""
STOP_CHOICE_M = 0.01
CORRIDOR_M, OUTSIDE_COST = (0.5, 1.2), 6.0
"""A planned route avoids walls not seen yet: a metre further from it than the second distance costs this much more"""
LANE_M = (0.1, 0.4)
"""Ground on a planned route counts as seen, up to these distances from it"""
BENT_M = (0.1, 0.6)
"""A route that leaves the straight line by this much is a planned one; a straight one does not know any walls"""
UNSEEN_COST = 1.0
"""Additional cost of a metre of unseen ground"""
SIGHT = 0.5
"""Increase of ``seen`` for a cell by one ray through its middle"""
STATE_SIZE = 3 + 3 * CELLS**2
DIAGONAL = math.sqrt(2.0)
CHOICE_M = 0.06
"""Softmax temperature [m]; lower values break parity between PyTorch and ONNX Runtime"""
_COARSE = 2
"""Cells along an axis that have one cost of distance from the route in common"""
DIRECTIONS = 24
CLEARANCE_SIZE = DIRECTIONS  # every other direction, at two distances
_RAY_SAMPLES = 12


@dataclass(frozen=True, kw_only=True)
class Costmap:
    """State; zeros after a reset."""

    pose: Tensor
    """(B, 3) x, y [m], yaw [rad] since the episode began, from the odometry's velocities"""
    evidence: Tensor
    """(B, CELLS, CELLS) in [0, 1]; row is y, column is x; an obstacle above 0.5"""
    seen: Tensor
    """(B, CELLS, CELLS) in [0, 1]: whether the ground has been seen"""
    cost_to_go: Tensor
    """(B, CELLS, CELLS) [m] above the straight distance to the goal, weighted by clearance"""


@dataclass(frozen=True, kw_only=True)
class UpdatedCostmap(Costmap):
    """State after a control step, and the distances computed for it."""

    distance_m: Tensor
    """(B, CELLS, CELLS) to the nearest obstacle, up to ``RINGS`` cells"""


def unpack(state: Tensor) -> Costmap:
    """Return the parts of a flat state (B, STATE_SIZE)."""
    pose, grids = state.split([3, 3 * CELLS**2], dim=-1)
    evidence, seen, cost_to_go = grids.unflatten(-1, (3, CELLS, CELLS)).unbind(1)
    return Costmap(pose=pose, evidence=evidence, seen=seen, cost_to_go=cost_to_go)


def pack(state: Costmap) -> Tensor:
    """Return the state flat, (B, STATE_SIZE)."""
    grids = torch.stack([state.evidence, state.seen, state.cost_to_go], dim=1)
    return torch.cat([state.pose, grids.flatten(1)], dim=-1)


def empty(batch: int, *, like: Tensor) -> Costmap:
    """Return the state after a reset."""
    return unpack(like.new_zeros(batch, STATE_SIZE))


class PlannedMap(NamedTuple):
    """What the plan is made on, each (B, CELLS, CELLS)."""

    distance_m: Tensor
    """To the nearest obstacle, up to ``RINGS`` cells [m]"""
    seen: Tensor
    """In [0, 1]"""
    cost: Tensor
    """Additional cost of a metre"""


Anticipate = Callable[[Tensor, Tensor, Tensor, Tensor], PlannedMap]
"""Measured evidence (B, CELLS, CELLS), seen (B, CELLS, CELLS), pose (B, 3) and obstacle points (B, 64, 6) -> what to
plan on"""


def update(
    state: Costmap, points: Tensor, observation: Observation[Tensor], *, anticipate: Anticipate | None = None
) -> UpdatedCostmap:
    """Return the costmap after one control step.

    The pose moves by the measured velocity, obstacles and seen ground are entered, and some sweeps correct the cost to
    go.

    Args:
        points: (B, 64, 6) from ``obstacle_points``, of the image after the step.
        observation: After the step.
        anticipate: Gives the map to plan on; the measured map stays what is remembered. None plans on the measured one.
    """
    pose = moved(state.pose, observation.velocity_b)
    evidence, seen = entered(state.evidence, state.seen, points, pose)
    planned = anticipate(evidence, seen, pose, points) if anticipate else None
    distance = distance_to_evidence_m(evidence) if planned is None else planned.distance_m
    ground, extra = (seen, None) if planned is None else (planned.seen, planned.cost)
    cost_to_go = corrected(state.cost_to_go, pose, observation, distance_m=distance, seen=ground, cost=extra)
    return UpdatedCostmap(pose=pose, evidence=evidence, seen=seen, cost_to_go=cost_to_go, distance_m=distance)


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
    straight = _straight_m(to_anchor(observation.goal_b[:, None, :2], pose)[:, 0])
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


class PlannerQuery(NamedTuple):
    """What the planner reads off the costmap around the body."""

    aim_b: Tensor
    """(B, 2) the point [m], ``LOOK_AHEAD_M`` away or nearer, from which the goal is cheapest to reach"""
    stop_b: Tensor
    """(B, 2) where to stop [m]: the goal, or a place near it with more clearance"""
    clearances_m: Tensor
    """(B, CLEARANCE_SIZE) clearance of the body at two distances in every direction, from ahead to the left [m]"""
    clearance_m: Tensor
    """(B,) the same at the body"""
    detour_m: Tensor
    """(B,) cost to go above the straight distance"""


@kernel("world_model.local_planner.kernels.reading")
def query(state: Costmap, goal_b: Tensor, descriptor: Tensor) -> PlannerQuery:
    """Read off the costmap where to drive and to stop, for a body (B, E) and its goal (B, 4)."""
    unit = directions(goal_b).expand(goal_b.shape[0], -1, -1)  # (B, DIRECTIONS, 2)
    halfway, there = (to_anchor(unit * reach, state.pose) for reach in (LOOK_AHEAD_M / 2.0, LOOK_AHEAD_M))
    total = total_m(state, goal_b)
    # Halfway counts too: the point must not be behind a wall.
    cost = 0.4 * look_up(total, halfway) + 0.6 * look_up(total, there)
    weight = torch.softmax(-(cost - cost.amin(dim=1, keepdim=True)) / CHOICE_M, dim=1)
    here = to_anchor(goal_b.new_zeros(goal_b.shape[0], 1, 2), state.pose)
    aside = stop_offsets(goal_b).expand(goal_b.shape[0], -1, -1)  # (B, places, 2)
    places = to_anchor(goal_b[:, None, :2] + aside, state.pose)
    points = [here, halfway[:, ::2], there[:, ::2], places]
    clearance = look_up(distance_m(state), torch.cat(points, dim=1)) - half_width_m(descriptor)[:, None]
    clearance, stop_clearance = clearance.split([1 + CLEARANCE_SIZE, places.shape[1]], dim=1)
    missing = (STOP_CLEARANCE_M - stop_clearance).clip(min=0.0) + STOP_OFFSET_WEIGHT * norm(aside)
    chosen = torch.softmax(-(missing - missing.amin(dim=1, keepdim=True)) / STOP_CHOICE_M, dim=1)
    return PlannerQuery(
        aim_b=(weight[..., None] * unit).sum(dim=1) * LOOK_AHEAD_M,
        stop_b=goal_b[:, :2] + (chosen[..., None] * aside).sum(dim=1),
        clearances_m=clearance[:, 1:],
        clearance_m=clearance[:, 0],
        detour_m=look_up(state.cost_to_go, here)[:, 0],
    )


def directions(like: Tensor) -> Tensor:
    """Return unit vectors (DIRECTIONS, 2) in the body frame, from ahead to the left."""
    angle = torch.arange(DIRECTIONS, device=like.device) * (2.0 * math.pi / DIRECTIONS)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def stop_offsets(like: Tensor) -> Tensor:
    """Return offsets (places, 2) from the goal [m] at which a body may stop; the first is none."""
    unit = directions(like)
    return torch.cat([torch.zeros_like(unit[:1]), unit * (STOP_OFFSET_M / 2.0), unit * STOP_OFFSET_M])


def total_m(state: Costmap, goal_b: Tensor) -> Tensor:
    """Return the whole cost to go (B, CELLS, CELLS) [m], weighted by clearance."""
    return state.cost_to_go + _straight_m(to_anchor(goal_b[:, None, :2], state.pose)[:, 0])


def distance_m(state: Costmap) -> Tensor:
    """Return the distance (B, CELLS, CELLS) of every cell to the nearest obstacle, up to ``RINGS`` cells."""
    return state.distance_m if isinstance(state, UpdatedCostmap) else distance_to_evidence_m(state.evidence)


def half_width_m(descriptor: Tensor) -> Tensor:
    """Return the largest half width (B,) of a body over its layers."""
    return descriptor[:, FOOTPRINT_SLICE].unflatten(-1, (len(HEIGHT_LAYERS_M), 3))[..., 2].amax(dim=-1)


def _cell(points: Tensor) -> Tensor:
    """Return continuous cell coordinates (..., 2) as (column, row) of anchor points; cell centres are integers."""
    return points / CELL_M + (CELLS - 1) / 2.0


def _splat(points: Tensor, values: Tensor) -> Tensor:
    """Return (B, CELLS^2): the largest value of the anchor points (B, P, 2) near each cell."""
    return splat(_cell(points), values, side=CELLS)


@kernel("world_model.local_planner.kernels.splatting")
def entered(evidence: Tensor, seen: Tensor, points: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """Enter obstacle points, remove evidence along rays that pass, and mark seen ground."""
    weight, nearest = points[..., 2], points[..., 3]
    obstacle, ground = points[..., :2], points[..., 4:]
    distance = norm(obstacle)
    hit = HIT * weight * ((SIGHT_M - distance) / 0.5).clip(0.0, 1.0)
    # Along the ray to each point: free from where the ground is seen up to a little before the point. Nearer things
    # may lie below the image. Columns without a point do not count.
    fraction = ray_fractions(pose)
    before = ((distance[..., None] * (1.0 - fraction) - 0.3) / 0.2).clip(0.0, 1.0)
    beyond = ((distance[..., None] * fraction - nearest[..., None] - 0.1) / 0.2).clip(0.0, 1.0)
    loss = FREE * (before * beyond * weight[..., None]).flatten(1)
    evidence = (evidence.flatten(1) - _splat(_along(obstacle, fraction, pose), loss)).clip(min=0.0)
    evidence = evidence + _splat(to_anchor(obstacle, pose), hit)
    sight = ((norm(ground)[..., None] * fraction - nearest[..., None]) / 0.2 + 1.0).clip(0.0, 1.0)
    seen = seen.flatten(1) + _splat(_along(ground, fraction, pose), SIGHT * sight.flatten(1))
    grid = (CELLS, CELLS)
    return evidence.clip(max=1.0).unflatten(1, grid), seen.clip(max=1.0).unflatten(1, grid)


def ray_fractions(like: Tensor) -> Tensor:
    """Return where on a ray (S,) evidence is removed and ground is seen, in parts of its length."""
    return torch.linspace(0.1, 0.9, _RAY_SAMPLES, device=like.device, dtype=like.dtype)


def _along(ends: Tensor, fraction: Tensor, pose: Tensor) -> Tensor:
    """Return anchor points (B, P * S, 2) at fractions (S,) of the rays to body points (B, P, 2)."""
    return to_anchor((ends[:, :, None] * fraction[:, None]).flatten(1, 2), pose)


def norm(xy: Tensor) -> Tensor:
    return (xy.square().sum(dim=-1) + 1e-6).sqrt()


def _straight_m(goal: Tensor) -> Tensor:
    """Return the straight distance (B, CELLS, CELLS) of every cell to the goal (B, 2)."""
    axis = axis_m(goal)
    x, y = axis[None, None, :] - goal[:, 0, None, None], axis[None, :, None] - goal[:, 1, None, None]
    return (x.square() + y.square()).sqrt()


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


def axis_m(like: Tensor) -> Tensor:
    """Return the position (CELLS,) of the cells' centres along an axis [m]."""
    return (torch.arange(CELLS, device=like.device, dtype=like.dtype) - (CELLS - 1) / 2.0) * CELL_M


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


@kernel("world_model.local_planner.kernels.reading")
def look_up_b(grid: Tensor, points_b: Tensor, pose: Tensor) -> Tensor:
    """Read grids (B, CELLS, CELLS) at the same body points (Q, 2) of every body on the costmap (B, 3): (B, Q)."""
    return look_up(grid, to_anchor(points_b.expand(pose.shape[0], -1, -1), pose))


def look_up(grid: Tensor, points: Tensor) -> Tensor:
    """Read a grid (B, CELLS, CELLS) at anchor points (B, P, 2), bilinearly; the border continues outside."""
    return read(grid, _cell(points))
