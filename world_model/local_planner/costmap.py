"""The costmap: obstacles and ground seen so far, the cost to go to the goal, and what a planner reads off them.

Nothing here is learned. Obstacle points from depth are entered into a square grid that stays where the episode began,
and the cost to go is stored beside it (``cost_to_go``). Only tensor operations, so that a policy's graph can hold it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from embodiments.observation import Observation
from world_model.local_planner.cost_to_go import corrected, distance_to_evidence_m, half_width_m, straight_m
from world_model.local_planner.costmap_cells import CELLS, cell, look_up
from world_model.local_planner.depth_to_obstacles import SIGHT_M
from world_model.local_planner.frames import moved, to_anchor
from world_model.local_planner.grids import splat
from world_model.local_planner.stand_in import kernel

HIT = 0.6
"""Evidence of one sighting of a point; it takes two to make an obstacle"""
FREE = 0.2
"""Evidence against an obstacle, of one ray through a cell"""
LOOK_AHEAD_M = 0.6
STOP_OFFSET_M, STOP_CLEARANCE_M, STOP_OFFSET_WEIGHT = 0.2, 0.2, 0.3
"""A body stops up to the first from a goal with less clearance than the second; both protocols allow it"""
STOP_CHOICE_M = 0.01
SIGHT = 0.5
"""Increase of ``seen`` for a cell by one ray through its middle"""
STATE_SIZE = 3 + 3 * CELLS**2
CHOICE_M = 0.06
"""Softmax temperature [m]; lower values break parity between PyTorch and ONNX Runtime"""
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
    return state.cost_to_go + straight_m(to_anchor(goal_b[:, None, :2], state.pose)[:, 0])


def distance_m(state: Costmap) -> Tensor:
    """Return the distance (B, CELLS, CELLS) of every cell to the nearest obstacle, up to ``RINGS`` cells."""
    return state.distance_m if isinstance(state, UpdatedCostmap) else distance_to_evidence_m(state.evidence)


def _splat(points: Tensor, values: Tensor) -> Tensor:
    """Return (B, CELLS^2): the largest value of the anchor points (B, P, 2) near each cell."""
    return splat(cell(points), values, side=CELLS)


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
