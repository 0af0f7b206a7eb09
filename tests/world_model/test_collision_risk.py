"""What the collision risk network sees around the body, and how its answer slows the body down."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from embodiments import registry
from embodiments.observation import Observation, from_inputs
from export.graph import example_inputs
from tests.world_model.local_planner.driven_robots import DrivenRobots
from world_model import anticipation, collision_risk
from world_model.anticipation import Anticipation
from world_model.collision_risk import CHANNELS, SIDE, VECTOR_SIZE, CollisionRisk
from world_model.config import AnticipationConfig, CollisionRiskConfig
from world_model.local_planner import cost_to_go, costmap, costmap_cells, planner
from world_model.local_planner.frames import to_anchor
from world_model.local_planner.planner import LocalPlan
from world_model.local_planner.stand_in import graph_only


@pytest.fixture
def networks() -> tuple[Anticipation, CollisionRisk]:
    torch.manual_seed(0)
    return (
        Anticipation(AnticipationConfig(channels=(4, 6, 8))).eval(),
        CollisionRisk(CollisionRiskConfig(channels=(4, 4, 4))).eval(),
    )


def cell(ahead_m: float, left_m: float) -> tuple[int, int]:
    """Return row and column of the crop's cell at a point."""
    return round((left_m + 2.0) / 0.2 - 0.5), round((ahead_m + 1.0) / 0.2 - 0.5)


@torch.no_grad()
def test_the_crop_shows_the_maps_in_the_bodys_frame(networks: tuple[Anticipation, CollisionRisk]) -> None:
    tiago = torch.as_tensor(registry.get("tiago").descriptor())[None]
    observation = replace(from_inputs(example_inputs(anticipation.STATE_SIZE, batch=1)), descriptor=tiago)
    pose = torch.tensor([[1.0, -0.5, math.pi / 3]])
    place = anticipation.cells_b(pose).view(anticipation.SIDE, anticipation.SIDE, 2)
    beside = ((place - torch.tensor([1.7, -0.9])).norm(dim=-1) < 0.05).float()
    axis = costmap_cells.axis_m(pose)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    there = to_anchor(torch.tensor([[[2.1, 1.1]]]), pose)[0, 0]
    distance_m = ((x - there[0]) ** 2 + (y - there[1]) ** 2).sqrt().clip(max=0.8)[None]
    zeros = torch.zeros_like(distance_m)
    state = torch.zeros(1, anticipation.STATE_SIZE)
    kept = costmap.Costmap(pose=pose, evidence=zeros, seen=zeros, cost_to_go=zeros)
    state[:, : planner.STATE_SIZE] = costmap.pack(kept)
    square = torch.zeros(1, anticipation.INPUTS, anticipation.SIDE, anticipation.SIDE)
    square[:, 2] = beside
    around = anticipation.Surroundings(distance_m=square[:, 0], still=square[:, 0], moving=beside.expand(1, 4, -1, -1))
    maps = anticipation.Anticipated(square, around, costmap.PlannedMap(distance_m, zeros, zeros))
    crop = collision_risk.crop(maps, observation, state)
    assert crop.shape == (1, CHANNELS, SIDE, SIDE)
    for channel in (2, -1):  # the latest points, and somebody at the last horizon
        assert divmod(int(crop[0, channel].argmax()), SIDE) == cell(1.7, -0.9)
    row, column = cell(2.1, 1.1)
    assert divmod(int(crop[0, 5].argmin()), SIDE) == (row, column)  # clearance as planned
    half_width_m = float(cost_to_go.half_width_m(observation.descriptor))
    assert float(crop[0, 5, row, column]) * 1.3 - 0.5 == pytest.approx(-half_width_m, abs=0.1)
    goal_b = observation.goal_b[0, :2]
    nearer = goal_b.norm() - (goal_b - torch.tensor([1.1, 0.1])).norm()
    row, column = cell(1.1, 0.1)
    assert float((0.5 - crop[0, 7, row, column]) * 8.0) == pytest.approx(float(nearer.clip(-4.0, 4.0)), abs=0.05)


@torch.no_grad()
def test_the_compiled_crop_is_that_of_the_graph(networks: tuple[Anticipation, CollisionRisk]) -> None:
    robots = DrivenRobots(batch=4, seed=3)
    state = torch.zeros(4, anticipation.STATE_SIZE)
    for _ in range(20):
        observation = robots.observe()
        with graph_only():
            expected, after = collision_risk.plan(*networks, observation, state)
        found, _ = collision_risk.plan(*networks, observation, state)
        torch.testing.assert_close(found.action, expected.action, atol=1e-4, rtol=0.0)
        robots.drive(expected.action)
        state = after


def risk_of(logit: float) -> CollisionRisk:
    """Return a network that answers the same logit everywhere."""
    network = CollisionRisk(CollisionRiskConfig(channels=(4, 4, 4))).eval()
    last = network.answer[-1]
    assert isinstance(last, torch.nn.Linear)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, logit)
    network.slows_between.copy_(torch.tensor([-3.0, -2.0]))
    return network


@pytest.mark.parametrize(
    ("robot", "logit", "factor"),
    [("tiago", -4.0, 1.0), ("tiago", -2.5, 0.65), ("tiago", 0.0, collision_risk.SLOWEST), ("go2", 0.0, 1.0)],
)
@torch.no_grad()
def test_a_body_on_wheels_slows_down_where_a_collision_is_likely(robot: str, logit: float, factor: float) -> None:
    action = torch.tensor([[0.8, 0.1, -0.5], [-0.3, 0.0, 0.2]])
    crop, vector = torch.zeros(2, CHANNELS, SIDE, SIDE), torch.zeros(2, VECTOR_SIZE)
    body = torch.as_tensor(registry.get(robot).descriptor()).expand(2, -1)
    found = collision_risk.slowed(risk_of(logit), plan_of(action), crop, vector, descriptor=body).action
    # Turning, and backing out of a narrow place, stay as they are.
    torch.testing.assert_close(found, torch.tensor([[0.8 * factor, 0.1, -0.5], [-0.3, 0.0, 0.2]]))


def plan_of(action: torch.Tensor, clearance: Callable[[torch.Tensor], torch.Tensor] = torch.cos) -> LocalPlan:
    """Return a plan whose clearances depend on the angle to the left of ahead."""
    count = len(action)
    angles = torch.arange(12) * (2.0 * math.pi / 12)
    around = torch.cat([clearance(angles), 2.0 * clearance(angles)]).expand(count, -1)
    aim = torch.tensor([0.3, 0.4]).expand(count, -1)
    return LocalPlan(aim, aim, around, around[:, 0], around[:, 1], action)


@torch.no_grad()
def test_left_and_right_are_exchanged_everywhere() -> None:
    """The vector of the mirrored world is the mirrored vector."""
    turn = torch.tensor([1.0, -1.0, -1.0])
    descriptor = torch.as_tensor(registry.get("go2").descriptor())[None]

    def seen(sign: torch.Tensor) -> Observation[torch.Tensor]:
        return Observation(
            depth_m=torch.zeros(1, 1, 40, 64),
            velocity_b=torch.tensor([[0.3, 0.1, -0.2]]) * sign,
            previous_command=torch.tensor([[0.4, -0.1, 0.3]]) * sign,
            route_xy_b_m=torch.zeros(1, 10, 2),
            goal_b=torch.tensor([[2.0, 1.0, 0.6, 0.8]]) * torch.tensor([1.0, sign[1], 1.0, sign[1]]),
            descriptor=descriptor,
        )

    action = torch.tensor([[0.5, 0.2, 0.7]])
    first = plan_of(action, lambda angle: (angle - 0.5).cos())
    other = plan_of(action * turn, lambda angle: (-angle - 0.5).cos())
    other = other._replace(aim_b=other.aim_b * turn[:2], clearance_m=first.clearance_m, detour_m=first.detour_m)
    crop = torch.rand(1, CHANNELS, SIDE, SIDE)
    change = torch.tensor([[0.6, 0.3]])
    vectors = [collision_risk.vector(*pair) for pair in ((first, seen(torch.ones(3))), (other, seen(turn)))]
    flipped, mirrored, changed = collision_risk.mirrored(crop, vectors[0], change)
    torch.testing.assert_close(mirrored, vectors[1])
    torch.testing.assert_close(changed, torch.tensor([[0.6, -0.3]]))
    row, column = cell(0.5, 0.7)
    assert flipped[0, 0, cell(0.5, -0.7)[0], column] == crop[0, 0, row, column]
