"""Anticipation: what stands and who moves around the body, where the camera has not looked too; learned from the truth.

A small U-shaped network sees the measured costmap around the body and the obstacle points of the last 2 s. It answers,
per cell, how far the nearest still thing is, and how likely somebody is there now and shortly after. The local planner
plans on that instead of on what was measured: still things are obstacles, people cost what is near them when the body
gets there.

Source of the network's form: Ronneberger et al. 2015, "U-Net". Source of the idea: Ramakrishnan et al. 2020, "Occupancy
Anticipation for Efficient Exploration and Navigation".
"""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from embodiments.observation import Observation
from embodiments.spaces import DEPTH_WIDTH_PX, LIMIT_FIELDS
from world_model.config import AnticipationConfig
from world_model.local_planner import cost_to_go, costmap, costmap_cells, planner
from world_model.local_planner.frames import to_anchor, to_body
from world_model.local_planner.grids import read, splat
from world_model.local_planner.stand_in import kernel

SIDE = 40
CELL_M = 0.2
BEHIND_M, BESIDE_M = 3.0, 4.0
"""The square reaches from 3 m behind the body to 5 m ahead, and 4 m to each side"""
POINT_STEPS = (0, 3, 6, 12, 20)
"""Control steps ago from which obstacle points are seen: the last ones tell how things move, and who left the image"""
TRAIL_SIZE = (POINT_STEPS[-1] + 1) * DEPTH_WIDTH_PX * 3
"""Length of the remembered points in the state"""
STATE_SIZE = planner.STATE_SIZE + TRAIL_SIZE
"""Length of the state of ``plan``: the planner's, then the trail"""
HORIZONS_S = (0.0, 0.5, 1.0, 1.5)
"""Times at which moving things are anticipated; the first is now"""
FAR_M = cost_to_go.RINGS * costmap_cells.CELL_M
"""Distances to still things are answered up to this one"""
INPUTS = 2 + len(POINT_STEPS)
"""Evidence, seen, and one raster of points for each of ``POINT_STEPS``"""
OUTPUTS = 2 + len(HORIZONS_S)
"""Distance to still things, still things, then moving ones at each horizon"""

REACH_M = 4.0
"""The network's word counts up to this distance"""
FADE_M = 0.4
"""Over the last of it, it fades out"""
BEYOND_CELLS = 2
"""On unseen ground further than this from seen ground (0.4 m) only what was measured counts as an obstacle: where the
network cannot know, taking a way that it thinks closed pays"""
SURE = 0.2
"""Below this probability of a still thing ground counts as seen, the more the lower it is"""
MOVING_COST = 20.0
"""A metre through a place where somebody surely is when the body gets there costs this much more"""
MOVING_REACH_M = 0.26
"""So far from such a place it still costs some of it; a wider berth gets the body stuck"""
HURRY = 1.0
"""The body gets to places at this fraction of its speed limit; 0.6 gave more collisions"""
MOVING_WEIGHT = 6.0
"""Weight of cells with somebody in the loss: they are rare"""
DISTANCE_WEIGHT = 2.0
"""Weight of the error in distance, in parts of ``FAR_M``, in the loss"""
SATURATED_WEIGHT = 0.1
"""Weight of the distance's cross-entropy beside its absolute error"""
STILL_M = CELL_M / 2.0
"""A cell holds a still thing that is nearer to its centre than this"""


class Surroundings(NamedTuple):
    """What is around B bodies, on the square in the body's frame."""

    distance_m: Tensor
    """(B, SIDE, SIDE) to the nearest still thing, up to ``FAR_M``"""
    still: Tensor
    """(B, SIDE, SIDE) probability that something still is there"""
    moving: Tensor
    """(B, len(HORIZONS_S), SIDE, SIDE) probability that somebody is there, by time"""


class Anticipation(nn.Module):
    """Square of measurements around the body -> what is there."""

    Config = AnticipationConfig

    def __init__(self, config: AnticipationConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        if not 2 <= len(channels) <= 3:
            raise ValueError(f"the anticipation network has {len(channels)} resolutions; 2 or 3 are possible")
        self.cells = 2 ** (3 - len(channels))
        """So many cells along each axis are one of the finest resolution"""
        self.enter = _block(INPUTS * self.cells**2, channels[0])
        steps = list(itertools.pairwise(channels))
        self.down = nn.ModuleList([_block(fine, coarse, stride=2) for fine, coarse in steps])
        self.middle = _block(channels[-1], channels[-1])
        self.up = nn.ModuleList([_block(coarse + fine, fine) for fine, coarse in reversed(steps)])
        self.answer = nn.Conv2d(channels[0], OUTPUTS * self.cells**2, 1)

    def forward(self, square: Tensor) -> Tensor:
        """Return logits (B, OUTPUTS, SIDE, SIDE) for measurements (B, INPUTS, SIDE, SIDE).

        They are computed in the weights' precision.
        """
        grid = functional.pixel_unshuffle(square.to(self.answer.weight.dtype), self.cells)
        # This order in memory is twice as fast on a CPU.
        grid = self.enter(grid.contiguous(memory_format=torch.channels_last))
        finer = []
        for down in self.down:
            finer.append(grid)
            grid = down(grid)
        grid = self.middle(grid)
        for up in self.up:
            grid = up(torch.cat([_doubled(grid), finer.pop()], dim=1))
        return functional.pixel_shuffle(self.answer(grid), self.cells).to(square.dtype)


def surroundings(logits: Tensor) -> Surroundings:
    """Return what the logits (B, OUTPUTS, SIDE, SIDE) say; the weight of rare things in the loss is taken out again."""
    moving = (logits[:, 2:] - math.log(MOVING_WEIGHT)).sigmoid()
    return Surroundings(distance_m=FAR_M * logits[:, 0].sigmoid(), still=logits[:, 1].sigmoid(), moving=moving)


def loss(logits: Tensor, truth: Surroundings) -> Tensor:
    """Return the error of logits (B, OUTPUTS, SIDE, SIDE).

    The distance's mean absolute error, so that the answer is its median, with a little cross-entropy: where a sigmoid
    is saturated and wrong the absolute error has no gradient. Then the weighted cross-entropy of what is there, 0 or 1.
    Only cells within ``REACH_M`` count, as in planning.
    """
    there = torch.cat([truth.still[:, None], truth.moving], dim=1)
    weight = torch.ones_like(there)
    weight[:, 1:] += (MOVING_WEIGHT - 1.0) * truth.moving
    within = _within_reach(logits)
    fraction = truth.distance_m / FAR_M
    error = (logits[:, 0].sigmoid() - fraction).abs()
    saturated = functional.binary_cross_entropy_with_logits(logits[:, 0], fraction, reduction="none")
    distance = (within * (error + SATURATED_WEIGHT * saturated)).mean()
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 1:], there, weight=weight * within)
    return DISTANCE_WEIGHT * distance + entropy


def imitation_loss(logits: Tensor, teacher: Tensor) -> Tensor:
    """Return how far logits (B, OUTPUTS, SIDE, SIDE) are from those of another network: ``loss`` with its answers.

    Its probabilities say more than what is there: how sure one can be. Source: Hinton et al. 2015, "Distilling the
    Knowledge in a Neural Network".
    """
    within = _within_reach(logits)
    answer = teacher.sigmoid()
    distance = (within * (logits[:, 0].sigmoid() - answer[:, 0]).abs()).mean()
    entropy = functional.binary_cross_entropy_with_logits(logits[:, 1:], answer[:, 1:], weight=within)
    return DISTANCE_WEIGHT * distance + entropy


def _within_reach(like: Tensor) -> Tensor:
    """Return (SIDE, SIDE) the weight of each cell in a loss, 1 on average: those within ``REACH_M`` count."""
    within = (cells_b(like).norm(dim=-1) < REACH_M).to(like.dtype).view(SIDE, SIDE)
    return within / within.mean()


class Anticipated(NamedTuple):
    """What a plan was made on."""

    square: Tensor
    """(B, INPUTS, SIDE, SIDE) what the network saw"""
    around: Surroundings
    planned: costmap.PlannedMap


def plan(network: Anticipation, observation: Observation[Tensor], state: Tensor) -> tuple[planner.LocalPlan, Tensor]:
    """Plan on the anticipated map; as ``planner.step``, with a state (B, STATE_SIZE)."""
    found, state, _ = plan_on(network, observation, state)
    return found, state


def plan_on(
    network: Anticipation, observation: Observation[Tensor], state: Tensor
) -> tuple[planner.LocalPlan, Tensor, Anticipated]:
    """As ``plan``; return beside it what the plan was made on."""
    state, trail = state.split([planner.STATE_SIZE, TRAIL_SIZE], dim=-1)
    trails, maps = [], []

    def anticipate(evidence: Tensor, seen: Tensor, pose: Tensor, points: Tensor) -> costmap.PlannedMap:
        trails.append(remembered(trail, points, pose))
        measured = square(evidence, seen, pose, trails[0])
        around = surroundings(network(measured))
        planned = onto_costmap(around, evidence, seen, pose, descriptor=observation.descriptor)
        maps.append(Anticipated(measured, around, planned))
        return planned

    found, state = planner.step(observation, state, anticipate=anticipate)
    return found, torch.cat([state, trails[0]], dim=-1), maps[0]


def remembered(trail: Tensor, points: Tensor, pose: Tensor) -> Tensor:
    """Return the trail (B, TRAIL_SIZE) of the obstacle points of the last control steps; zeros after a reset.

    Args:
        trail: (B, TRAIL_SIZE) of the control step before.
        points: (B, P, 6) ``obstacle_points`` of this one.
        pose: (B, 3) of the body on the costmap.
    """
    placed = torch.cat([to_anchor(points[..., :2], pose), points[..., 2:3]], dim=-1).flatten(1)
    return torch.cat([placed, trail[:, : -placed.shape[1]]], dim=1)


def past_points(trail: Tensor) -> Tensor:
    """Return the points of ``POINT_STEPS``, (B, len(POINT_STEPS), P, 3): x, y on the costmap [m] and weight."""
    return trail.unflatten(1, (POINT_STEPS[-1] + 1, DEPTH_WIDTH_PX, 3))[:, list(POINT_STEPS)]


def cells_b(like: Tensor) -> Tensor:
    """Return the centres (SIDE^2, 2) of the square's cells in the body frame [m]; rows run along y, columns along x."""
    steps = (torch.arange(SIDE, device=like.device, dtype=like.dtype) + 0.5) * CELL_M
    y, x = torch.meshgrid(steps - BESIDE_M, steps - BEHIND_M, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def cells_w(pose_w: Tensor) -> Tensor:
    """Return the centres (B, SIDE^2, 2) of the square's cells around bodies at world poses (B, 3) [m]."""
    return to_anchor(cells_b(pose_w).expand(pose_w.shape[0], -1, -1), pose_w)


@kernel("world_model.anticipation_kernel")
def square(evidence: Tensor, seen: Tensor, pose: Tensor, trail: Tensor) -> Tensor:
    """Return what the network sees, (B, INPUTS, SIDE, SIDE).

    Args:
        evidence: (B, CELLS, CELLS) of the costmap.
        seen: (B, CELLS, CELLS)
        pose: (B, 3) of the body on the costmap.
        trail: (B, TRAIL_SIZE), see ``remembered``.
    """
    place = cells_w(pose)
    grids = [costmap_cells.look_up(grid, place).unflatten(1, (SIDE, SIDE)) for grid in (evidence, seen)]
    points = past_points(trail)  # (B, len(POINT_STEPS), P, 3)
    here = _cell(to_body(points[..., :2].flatten(1, 2), pose)).unflatten(1, points.shape[1:3])
    # Points fade out at the border: runtimes that round differently must not disagree about one of them.
    weight = points[..., 2] * torch.minimum(here, SIDE - 1.0 - here).amin(dim=-1).clip(0.0, 1.0)
    rasters = [
        splat(here[:, index], weight[:, index], side=SIDE).unflatten(1, (SIDE, SIDE))
        for index in range(len(POINT_STEPS))
    ]
    return torch.stack([*grids, *rasters], dim=1)


@kernel("world_model.anticipation_kernel")
def onto_costmap(
    around: Surroundings, evidence: Tensor, seen: Tensor, pose: Tensor, *, descriptor: Tensor, is_true: bool = False
) -> costmap.PlannedMap:
    """Return what to plan on: near the body what is known to be around it, further away what was measured.

    Args:
        around: What is there, as the network or the truth says.
        evidence: (B, CELLS, CELLS) measured.
        seen: (B, CELLS, CELLS) measured.
        pose: (B, 3) of the body on the costmap.
        descriptor: (B, E) of the body.
        is_true: Whether it is the truth, which counts on unseen ground, too.
    """
    axis = costmap_cells.axis_m(pose)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    here = to_body(torch.stack([x, y], dim=-1).flatten(0, 1).expand(pose.shape[0], -1, -1), pose)  # (B, CELLS^2, 2)
    place = _cell(here)
    border = torch.minimum(place, SIDE - 1.0 - place).amin(dim=-1)
    distance = (here.square().sum(dim=-1) + 1e-6).sqrt()
    trust = border.clip(0.0, 1.0) * ((REACH_M - distance) / FADE_M).clip(0.0, 1.0)
    measured_m = cost_to_go.distance_to_evidence_m(evidence).flatten(1)
    near_seen = trust if is_true else trust * _widened(seen, BEYOND_CELLS).flatten(1)
    planned_m = measured_m + near_seen * (read(around.distance_m, place) - measured_m)
    sure = (3.0 * (SURE - read(around.still, place)) / SURE).clip(0.0, 1.0)
    cost = trust * read(_moving_cost(around.moving, descriptor), place)
    grid = (costmap_cells.CELLS, costmap_cells.CELLS)
    return costmap.PlannedMap(
        distance_m=planned_m.unflatten(1, grid),
        seen=torch.maximum(seen, (trust * sure).unflatten(1, grid)),
        cost=cost.unflatten(1, grid),
    )


def _moving_cost(moving: Tensor, descriptor: Tensor) -> Tensor:
    """Return the additional cost of a metre (B, SIDE, SIDE): somebody may be near when the body gets there."""
    distance = cells_b(moving).norm(dim=-1).view(1, SIDE, SIDE)
    speed = HURRY * descriptor[:, LIMIT_FIELDS.index("forward_mps"), None, None]
    late = distance / speed.clip(min=0.05) / (HORIZONS_S[1] - HORIZONS_S[0])  # (B, SIDE, SIDE) in horizons
    weights = torch.stack([(1.0 - (late - k).abs()).clip(min=0.0) for k in range(len(HORIZONS_S))], dim=1)
    there = (weights * moving).sum(dim=1)
    near = there
    for ring in (1, 2):
        wide = _widened(there, ring)
        near = torch.maximum(near, wide * moving_fraction(ring))
    return MOVING_COST * near


def moving_fraction(ring: int) -> float:
    """Return how much of the cost of somebody counts so many cells away."""
    return min(max((MOVING_REACH_M / CELL_M + 1.0 - ring) / 2.0, 0.0), 1.0)


def _widened(grid: Tensor, cells: int) -> Tensor:
    """Return the largest value (B, side, side) within some cells along both axes."""
    return functional.max_pool2d(grid[:, None], 2 * cells + 1, stride=1, padding=cells)[:, 0]


def _block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1),
        nn.SiLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.SiLU(),
    )


def _doubled(grid: Tensor) -> Tensor:
    return functional.interpolate(grid, scale_factor=2.0, mode="nearest")


def _cell(points_b: Tensor) -> Tensor:
    """Return continuous cells (B, P, 2) of the square, as (column, row), for points in the body frame [m]."""
    return torch.stack([points_b[..., 0] + BEHIND_M, points_b[..., 1] + BESIDE_M], dim=-1) / CELL_M - 0.5
