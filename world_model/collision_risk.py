"""Collision risk: how likely a collision is soon, learned from how episodes ended; the body slows down before it.

A small network sees a crop of the maps that the local plan was made on, and what the body does. It answers, for some
times ahead, how likely the episode ends in a collision within that time. The forward speed falls while that rises.
Nobody labels anything: whether a collision followed is known once an episode has ended.

Source of the idea: Kahn et al. 2018, "Self-supervised Deep Reinforcement Learning with Generalized Computation Graphs
for Robot Navigation", section IV; here the plan stays, and only its speed depends on the answer.
"""

import torch
from torch import Tensor, nn

from embodiments.limits import command_to_action
from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE, GOAL_SIZE, LIMIT_FIELDS, LIMIT_SLICE
from world_model import anticipation
from world_model.anticipation import Anticipated, Anticipation
from world_model.config import CollisionRiskConfig
from world_model.descriptor import normalise_descriptor
from world_model.local_planner import cost_to_go, costmap, costmap_cells, planner
from world_model.local_planner.controller import is_walker
from world_model.local_planner.planner import LocalPlan

SIDE = 20
"""Cells of the crop along an axis, those of ``anticipation`` around the body"""
BEHIND_M, BESIDE_M = 1.0, 2.0
"""The crop reaches from 1 m behind the body to 3 m ahead, and 2 m to each side"""
HORIZONS_S = (0.5, 1.2, 2.5)
"""Times within which a collision is expected"""
HIDDEN = 128
"""Width of the first linear layer; the second has half of it"""
DECIDES = 1
"""Which of ``HORIZONS_S`` the speed depends on"""
POINTS = 3
"""The latest rasters of obstacle points that it sees, of ``anticipation.POINT_STEPS``"""
CHANNELS = 2 + POINTS + 3 + len(anticipation.HORIZONS_S) + 1
"""Evidence and seen as measured, points, clearance and seen as planned, something still, somebody, cost to go"""
VECTOR_SIZE = planner.FEATURE_SIZE + 2 * COMMAND_SIZE + len(LIMIT_FIELDS) + 1 + GOAL_SIZE
"""The plan, velocity and last command as normalised actions, limits, width, goal"""
NO_CHANGE = (1.0, 0.0)
CHANGE_SIZE = len(NO_CHANGE)
"""Factor on the forward action, and what is added to the yaw action"""
SLOWS_IN = (0.06, 0.015)
"""The forward speed begins to fall where a collision is likelier than in all but this fraction of the recorded steps,
and falls no further where it is likelier than in all but the second"""
SLOWEST = 0.3
"""Fraction of the planned forward speed that is left then"""
_CLEARANCE_M = (-0.5, 0.8)
_TOTAL_M = 8.0
_GOAL_M = 5.0
_ROW, _COLUMN = (
    round((whole - part) / anticipation.CELL_M)
    for whole, part in ((anticipation.BESIDE_M, BESIDE_M), (anticipation.BEHIND_M, BEHIND_M))
)


class CollisionRisk(nn.Module):
    """Crop, vector and a change of the planned action -> logits of a collision within each of ``HORIZONS_S``.

    The buffer ``slows_between`` (2,) holds the logits between which the speed falls, see ``SLOWS_IN``.
    """

    Config = CollisionRiskConfig

    def __init__(self, config: CollisionRiskConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.channels
        self.slows_between: Tensor
        self.register_buffer("slows_between", torch.tensor([-3.5, -2.2]))
        self.image = nn.Sequential(
            nn.Conv2d(CHANNELS, first, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(second, third, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
        )
        size = third * (SIDE // 4) ** 2 + VECTOR_SIZE
        self.state = nn.Sequential(nn.Linear(size, HIDDEN), nn.SiLU())
        self.answer = nn.Sequential(
            nn.Linear(HIDDEN + CHANGE_SIZE, HIDDEN // 2),
            nn.SiLU(),
            nn.Linear(HIDDEN // 2, len(HORIZONS_S)),
        )

    def forward(self, crop: Tensor, vector: Tensor, change: Tensor) -> Tensor:
        """Return logits (B, len(HORIZONS_S)) for ``crop`` (B, CHANNELS, SIDE, SIDE), ``vector`` (B, VECTOR_SIZE) and
        the change of the planned action (B, CHANGE_SIZE)."""
        state = self.state(torch.cat([self.image(crop), vector], dim=-1))
        logits: Tensor = self.answer(torch.cat([state, change], dim=-1))
        return logits


def plan(
    network: Anticipation, risk: CollisionRisk | None, observation: Observation[Tensor], state: Tensor
) -> tuple[LocalPlan, Tensor]:
    """Plan as ``anticipation.plan``, with the speed that the risk of a collision allows, if there is a network."""
    if risk is None:
        return anticipation.plan(network, observation, state)
    found, state, maps = anticipation.plan_on(network, observation, state)
    seen = crop(maps, observation, state), vector(found, observation)
    return slowed(risk, found, *seen, descriptor=observation.descriptor), state


def slowed(risk: CollisionRisk, found: LocalPlan, crop: Tensor, vector: Tensor, *, descriptor: Tensor) -> LocalPlan:
    """Return the plan with a lower forward speed where a collision is likely, for bodies (B, E) with wheels.

    Walkers keep their speed: Go2 collides as often or more when it walks slowly (docs/adr/0022-collision-risk.md).
    """
    likely = risk(crop, vector, no_change(vector))[:, DECIDES]
    above = likely[:, None] - risk.slows_between
    fade = (above[:, 0] / (above[:, 0] - above[:, 1])).clip(0.0, 1.0)
    fade = fade * (~is_walker(descriptor)).to(fade.dtype)
    return found._replace(action=changed(found.action, change(1.0 - fade * (1.0 - SLOWEST))))


def no_change(like: Tensor) -> Tensor:
    """Return the change (B, CHANGE_SIZE) that leaves the plan as it is."""
    return like.new_tensor(NO_CHANGE).expand(like.shape[0], -1)


def change(factor: Tensor) -> Tensor:
    """Return the change (B, CHANGE_SIZE) by a factor (B,) on the forward action."""
    return torch.stack([factor, torch.zeros_like(factor)], dim=-1)


def changed(action: Tensor, change: Tensor) -> Tensor:
    """Return the action (B, 3) with a change (B, CHANGE_SIZE); the factor does not hold for driving backwards."""
    forward, lateral, yaw = action.unbind(-1)
    factor, turn = change.unbind(-1)
    forward = forward.clip(max=0.0) + factor * forward.clip(min=0.0)
    return torch.stack([forward, lateral, (yaw + turn).clip(-1.0, 1.0)], dim=-1)


def crop(maps: Anticipated, observation: Observation[Tensor], state: Tensor) -> Tensor:
    """Return the maps around the body, (B, CHANNELS, SIDE, SIDE) in about [0, 1]; rows run along y, columns along x.

    Args:
        maps: What the plan was made on.
        observation: Of the same step, its goal on the costmap.
        state: (B, STATE_SIZE) of ``anticipation``, after the step.
    """
    now = costmap.unpack(state[:, : planner.STATE_SIZE])
    cells = _cropped(anticipation.cells_b(state).unflatten(0, (anticipation.SIDE, anticipation.SIDE)).movedim(-1, 0))
    places = cells.flatten(1).T  # (SIDE^2, 2)
    here = torch.cat([places, torch.zeros_like(places[:1])])
    grids = (maps.planned.distance_m, maps.planned.seen, now.cost_to_go)
    distance_m, seen, to_go_m = (costmap_cells.look_up_b(grid, here, now.pose) for grid in grids)
    clearance_m = distance_m - cost_to_go.half_width_m(observation.descriptor)[:, None]
    total_m = to_go_m + costmap.norm(observation.goal_b[:, None, :2] - here)
    least, most = _CLEARANCE_M
    read = [
        (clearance_m - least) / (most - least),
        seen,
        (total_m - total_m[:, -1:]) / _TOTAL_M + 0.5,
    ]
    planned = torch.stack(read, dim=1)[..., :-1].unflatten(-1, (SIDE, SIDE)).clip(0.0, 1.0)
    measured = _cropped(maps.square[:, : 2 + POINTS])
    around = _cropped(torch.cat([maps.around.still[:, None], maps.around.moving], dim=1))
    return torch.cat([measured, planned, around], dim=1)


def vector(found: LocalPlan, observation: Observation[Tensor]) -> Tensor:
    """Return what the body does and wants, (B, VECTOR_SIZE) of about one.

    Args:
        found: The local plan.
        observation: Of the same step, its goal on the costmap.
    """
    descriptor = observation.descriptor
    velocity, last = (
        command_to_action(command, descriptor) for command in (observation.velocity_b, observation.previous_command)
    )
    limits = normalise_descriptor(descriptor)[:, LIMIT_SLICE]
    width = cost_to_go.half_width_m(descriptor)[:, None] / _CLEARANCE_M[1]
    goal = torch.cat([(observation.goal_b[:, :2] / _GOAL_M).clip(-2.0, 2.0), observation.goal_b[:, 2:]], dim=-1)
    return torch.cat([found.features(), velocity, last, limits, width, goal], dim=-1)


def mirrored(crop: Tensor, vector: Tensor, change: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return crops (B, ...), vectors (B, VECTOR_SIZE) and changes (B, CHANGE_SIZE) with left and right exchanged."""
    directions = costmap.DIRECTIONS // 2
    order, sign = torch.arange(VECTOR_SIZE), torch.ones(VECTOR_SIZE)
    for ring in range(2):
        low = 2 + ring * directions
        order[low : low + directions] = low + (-torch.arange(directions)) % directions
    action = planner.FEATURE_SIZE - COMMAND_SIZE
    starts = [action, planner.FEATURE_SIZE, planner.FEATURE_SIZE + COMMAND_SIZE]
    sideways = [1, *(start + k for start in starts for k in (1, 2)), VECTOR_SIZE - 3, VECTOR_SIZE - 1]
    sign[sideways] = -1.0
    turned = change * change.new_tensor([1.0, -1.0])
    return crop.flip(-2), vector[:, order.to(vector.device)] * sign.to(vector), turned


def _cropped(grids: Tensor) -> Tensor:
    """Return the crop's cells (..., SIDE, SIDE) of grids (..., anticipation.SIDE, anticipation.SIDE)."""
    return grids[..., _ROW : _ROW + SIDE, _COLUMN : _COLUMN + SIDE]
