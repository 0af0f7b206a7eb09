"""The map that a robot draws while it drives, against walls and motion computed by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from embodiments import registry
from embodiments.spaces import MAP_EDGE_M
from export.runtime import policy
from world_model.local_planner import costmap
from world_model.local_planner.costmap import CELL_M, CELLS, Costmap

BODY = torch.from_numpy(registry.get("tiago").descriptor())[None]
AHEAD = torch.tensor([[4.0, 0.0, 1.0, 0.0]])


def points(*found: tuple[float, float]) -> torch.Tensor:
    """Return a sight (1, 64, 6) of points (x, y) in the body frame, over ground that is seen from 0.4 m on."""
    sight = torch.zeros(1, 64, 6)
    for column, (x, y) in enumerate(found):
        sight[0, column] = torch.tensor([x, y, 1.0, 0.4, 0.9 * x, 0.9 * y])
    return sight


def straight(goal_b: torch.Tensor = AHEAD) -> torch.Tensor:
    """Return the route (1, 10, 2) that says nothing about walls."""
    return torch.linspace(0.1, 1.0, 10)[None, :, None] * goal_b[:, None, :2]


def wall(x_m: float, *, low_m: float = -1.0, high_m: float = 1.0) -> torch.Tensor:
    """Return a sight of a wall across the way."""
    return points(*((x_m, float(y)) for y in torch.linspace(low_m, high_m, 60)))


def watched(sight: torch.Tensor, *, looks: int = 5, goal_b: torch.Tensor = AHEAD) -> Costmap:
    """Return the map after standing still and looking."""
    state = costmap.empty(1, like=BODY)
    for _ in range(looks):
        state = costmap.update(state, sight, torch.zeros(1, 3), straight(goal_b), goal_b, BODY)
    return state


def evidence_at(state: Costmap, x: float, y: float) -> float:
    """Return the evidence at a place of the frame in which the episode began."""
    column, row = (round(value / CELL_M + (CELLS - 1) / 2) for value in (x, y))
    return float(state.evidence[0, row, column])


def bearing_rad(state: Costmap, goal_b: torch.Tensor = AHEAD) -> float:
    x, y = costmap.query(state, goal_b, BODY).aim_b[0].tolist()
    return math.atan2(y, x)


@pytest.mark.parametrize("bearing", [0.0, 0.6, -1.5, 3.0])
def test_without_obstacles_the_way_is_straight(bearing: float) -> None:
    goal = torch.tensor([[4.0 * math.cos(bearing), 4.0 * math.sin(bearing), 1.0, 0.0]])
    state = watched(points(), goal_b=goal)
    assert bearing_rad(state, goal) == pytest.approx(bearing, abs=0.1)
    assert costmap.query(state, goal, BODY).clearance_m[0] > 0.3


def test_obstacles_are_entered_after_two_looks_where_they_stand() -> None:
    assert evidence_at(watched(wall(2.0), looks=1), 2.0, 0.0) < 0.5
    state = watched(wall(2.0), looks=2)
    assert evidence_at(state, 2.0, 0.0) > 0.5
    assert evidence_at(state, 2.0, 0.9) > 0.5
    assert evidence_at(state, 1.0, 0.0) == 0.0


def test_the_map_stays_while_the_robot_moves_and_turns() -> None:
    state = watched(wall(2.0))
    for _ in range(10):  # half a metre ahead, then a quarter turn to the left
        state = costmap.update(state, points(), torch.tensor([[0.5, 0.0, 0.0]]), straight(), AHEAD, BODY)
    for _ in range(10):
        state = costmap.update(state, points(), torch.tensor([[0.0, 0.0, math.pi / 2]]), straight(), AHEAD, BODY)
    assert state.pose[0].tolist() == pytest.approx([0.5, 0.0, math.pi / 2], abs=1e-4)
    for _ in range(3):  # a new thing, 1 m ahead of a robot that looks along y now
        state = costmap.update(state, points((1.0, 0.0)), torch.zeros(1, 3), straight(), AHEAD, BODY)
    assert evidence_at(state, 0.5, 1.0) > 0.5
    assert evidence_at(state, 2.0, 0.0) > 0.5


def test_what_was_looked_through_is_free_again() -> None:
    state = watched(points((1.5, 0.0)))
    assert evidence_at(state, 1.5, 0.0) > 0.5
    for _ in range(10):
        state = costmap.update(state, wall(3.5, low_m=-0.1, high_m=0.1), torch.zeros(1, 3), straight(), AHEAD, BODY)
    assert evidence_at(state, 1.5, 0.0) < 0.5


def test_the_way_leads_around_what_stands_in_it_on_the_shorter_side() -> None:
    assert bearing_rad(watched(wall(1.0, low_m=-2.0, high_m=0.3))) > 0.5
    assert bearing_rad(watched(wall(1.0, low_m=-0.3, high_m=2.0))) < -0.5


def test_a_dead_end_is_left_though_the_goal_lies_behind_its_end() -> None:
    ends = [(1.2, float(y)) for y in torch.linspace(-0.8, 0.8, 20)]
    sides = [(float(x), side) for x in torch.linspace(-0.6, 1.2, 20) for side in (-0.8, 0.8)]
    state = watched(points(*ends, *sides), looks=60)
    assert abs(bearing_rad(state)) > 2.0


def test_a_wide_body_keeps_off_a_gap_that_a_slender_one_takes() -> None:
    gap = [(1.0, float(y)) for low, high in ((-2.0, -0.3), (0.3, 2.0)) for y in torch.linspace(low, high, 30)]
    wide = BODY.clone()
    wide[:, [10, 13, 16, 19]] = 0.5
    state, other = costmap.empty(1, like=BODY), costmap.empty(1, like=BODY)
    slender = BODY.clone()
    slender[:, [10, 13, 16, 19]] = 0.1
    for _ in range(40):
        state = costmap.update(state, points(*gap), torch.zeros(1, 3), straight(), AHEAD, slender)
        other = costmap.update(other, points(*gap), torch.zeros(1, 3), straight(), AHEAD, wide)
    centre = CELLS // 2
    assert other.cost_to_go[0, centre, centre] > state.cost_to_go[0, centre, centre] + 0.5


def test_a_flat_state_is_the_same_state() -> None:
    state = watched(wall(2.0))
    again = costmap.unpack(costmap.pack(state))
    assert all(torch.equal(vars(state)[name], value) for name, value in vars(again).items())
    assert not any(value.any() for value in vars(costmap.empty(2, like=BODY)).values())


def test_what_has_sunk_below_the_image_is_not_looked_through() -> None:
    state = watched(points((1.0, 0.0)))
    over = wall(3.5, low_m=-0.1, high_m=0.1)
    over[..., 3] = 1.5  # the column sees the ground from 1.5 m on
    for _ in range(10):
        state = costmap.update(state, over, torch.zeros(1, 3), straight(), AHEAD, BODY)
    assert evidence_at(state, 1.0, 0.0) > 0.5


def test_a_planned_route_is_kept_to_where_nothing_has_been_seen() -> None:
    corner = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [4.0, 1.0], [4.0, 0.0]])
    route = torch.cat([corner, AHEAD[:, :2].expand(3, 2)])[None]
    state = costmap.empty(1, like=BODY)
    for _ in range(20):
        state = costmap.update(state, points(), torch.zeros(1, 3), route, AHEAD, BODY)
    assert bearing_rad(state) > 1.0


def test_the_cost_to_go_stays_small_enough_to_be_exact() -> None:
    ring = [(math.cos(angle), math.sin(angle)) for angle in torch.linspace(-math.pi, math.pi, 64).tolist()]
    state = watched(points(*ring), looks=40)  # walled in: no way to the goal
    assert 3.0 < state.cost_to_go.max() <= costmap.MOST_M + 1e-4
    assert state.cost_to_go.min() >= 0.0


def seen_at(state: Costmap, x: float, y: float) -> float:
    """Return how well the ground at a place of the frame in which the episode began has been seen."""
    column, row = (round(value / CELL_M + (CELLS - 1) / 2) for value in (x, y))
    return float(state.seen[0, row, column])


def test_ground_is_seen_from_where_the_image_begins_to_where_it_ends() -> None:
    sight = torch.zeros(1, 64, 6)
    for column in range(64):
        angle = 0.5 - column / 63.0  # a view of one radian, ground from 1 to 4 m
        sight[0, column, 3:] = torch.tensor([1.0, 4.0 * math.cos(angle), 4.0 * math.sin(angle)])
    state = watched(sight, looks=10)
    assert min(seen_at(state, x, y) for x, y in [(1.3, 0.0), (2.0, 0.5), (3.0, -1.0)]) > 0.9
    assert max(seen_at(state, x, y) for x, y in [(0.5, 0.0), (4.5, 0.0), (-2.0, 0.0), (1.0, 2.0)]) == 0.0
    assert state.evidence.max() == 0.0


def test_of_two_ways_as_long_the_one_that_has_been_seen_is_taken() -> None:
    sight = wall(1.5, low_m=-0.8, high_m=0.8)
    for column, y in enumerate(torch.linspace(0.9, 1.6, 4).tolist(), start=60):
        sight[0, column] = torch.tensor(
            [0.0, 0.0, 0.0, 0.4, 4.0, 2.5 * y]
        )  # past the wall's left end, not its right one
    assert bearing_rad(watched(sight, looks=40)) > 0.2
    sight[..., [1, 5]] *= -1.0
    assert bearing_rad(watched(sight, looks=40)) < -0.2


def test_no_way_leads_through_a_wall_however_long_it_is() -> None:
    state = watched(wall(1.0, low_m=-6.0, high_m=5.0), looks=80)  # 60 points: 0.2 m apart
    assert abs(bearing_rad(state)) > 0.8


def test_a_body_rests_beside_a_goal_that_has_no_room() -> None:
    near = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    for x in (1.3, 0.7):  # a wall behind the goal, or before it
        rest = costmap.query(watched(wall(x), goal_b=near), near, BODY).stop_b[0]
        away = math.copysign(1.0, 1.0 - x)
        assert 0.1 < away * (rest[0].item() - 1.0) <= costmap.STOP_OFFSET_M + 1e-3
        assert rest[1].item() == pytest.approx(0.0, abs=0.08)
    free = costmap.query(watched(points(), goal_b=near), near, BODY).stop_b[0]
    assert free.tolist() == pytest.approx([1.0, 0.0], abs=0.01)


def test_beyond_the_map_a_goal_is_told_at_its_edge_by_either_side() -> None:
    goal = torch.tensor([[14.0, 0.0, 1.0, 0.0], [-6.0, 3.0, 0.0, 1.0], [3.0, 9.0, 1.0, 0.0], [12.0, 5.0, 1.0, 0.0]])
    state = torch.ones(4, costmap.STATE_SIZE)
    state[:, :3] = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5], [-2.0, 3.0, 2.0], [6.5, 0.0, 0.3]])
    kept, told = costmap.goal_on_the_map(state, goal)
    assert torch.equal(kept[:3], state[:3]) and not kept[3].any()  # the last one has no room left, and begins anew
    torch.testing.assert_close(told[0], torch.tensor([MAP_EDGE_M, 0.0, 1.0, 0.0]))
    assert torch.equal(told[1], goal[1])  # on the map: as it is
    place = costmap.to_anchor(told[:, None, :2], kept[:, :3])[:, 0].abs().amax(dim=1)
    torch.testing.assert_close(place[[0, 2, 3]], torch.full((3,), MAP_EDGE_M))
    torch.testing.assert_close(told[:, 1] * goal[:, 0], told[:, 0] * goal[:, 1])  # the same bearing
    runtime: Any = policy.Policy.__new__(policy.Policy)
    runtime._state, runtime._pose = state.numpy().copy(), state[:, :3].numpy().astype(float)
    np.testing.assert_allclose(runtime._goal_on_the_map(goal.numpy()), told.numpy(), atol=1e-5)
    np.testing.assert_array_equal(runtime._state, kept.numpy())


@pytest.mark.parametrize("distance_m", [4.0, 7.5, 8.5, 14.0])
def test_however_far_the_goal_is_walls_count(distance_m: float) -> None:
    goal = torch.tensor([[distance_m, 0.0, 1.0, 0.0]])
    _, told = costmap.goal_on_the_map(torch.zeros(1, costmap.STATE_SIZE), goal)
    state = watched(wall(1.2, low_m=-1.0, high_m=0.6), looks=60, goal_b=told)
    assert bearing_rad(state, told) == pytest.approx(1.1, abs=0.15)
