"""The map that a robot draws while it drives, against walls and motion computed by hand."""

import math

import pytest
import torch

from embodiments import registry
from embodiments.observation import Observation
from world_model.local_planner import cost_to_go, costmap
from world_model.local_planner.costmap import Costmap
from world_model.local_planner.costmap_cells import CELL_M, CELLS

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


def updated(
    state: Costmap,
    sight: torch.Tensor,
    *,
    velocity_b: torch.Tensor | None = None,
    route_xy_b_m: torch.Tensor | None = None,
    goal_b: torch.Tensor = AHEAD,
    body: torch.Tensor = BODY,
) -> Costmap:
    """Return the map after one control step, of a body that stands still on a straight route unless told otherwise."""
    observation = Observation(
        depth_m=torch.zeros(1, 1, 40, 64),
        velocity_b=torch.zeros(1, 3) if velocity_b is None else velocity_b,
        previous_command=torch.zeros(1, 3),
        route_xy_b_m=straight(goal_b) if route_xy_b_m is None else route_xy_b_m,
        goal_b=goal_b,
        descriptor=body,
    )
    return costmap.update(state, sight, observation)


def watched(sight: torch.Tensor, *, looks: int = 5, goal_b: torch.Tensor = AHEAD) -> Costmap:
    """Return the map after standing still and looking."""
    state = costmap.empty(1, like=BODY)
    for _ in range(looks):
        state = updated(state, sight, goal_b=goal_b)
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
        state = updated(state, points(), velocity_b=torch.tensor([[0.5, 0.0, 0.0]]))
    for _ in range(10):
        state = updated(state, points(), velocity_b=torch.tensor([[0.0, 0.0, math.pi / 2]]))
    assert state.pose[0].tolist() == pytest.approx([0.5, 0.0, math.pi / 2], abs=1e-4)
    for _ in range(3):  # a new thing, 1 m ahead of a robot that looks along y now
        state = updated(state, points((1.0, 0.0)))
    assert evidence_at(state, 0.5, 1.0) > 0.5
    assert evidence_at(state, 2.0, 0.0) > 0.5


def test_what_was_looked_through_is_free_again() -> None:
    state = watched(points((1.5, 0.0)))
    assert evidence_at(state, 1.5, 0.0) > 0.5
    for _ in range(10):
        state = updated(state, wall(3.5, low_m=-0.1, high_m=0.1))
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
        state = updated(state, points(*gap), body=slender)
        other = updated(other, points(*gap), body=wide)
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
        state = updated(state, over)
    assert evidence_at(state, 1.0, 0.0) > 0.5


def test_a_planned_route_is_kept_to_where_nothing_has_been_seen() -> None:
    corner = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 2.0], [2.0, 2.0], [3.0, 2.0], [4.0, 1.0], [4.0, 0.0]])
    route = torch.cat([corner, AHEAD[:, :2].expand(3, 2)])[None]
    state = costmap.empty(1, like=BODY)
    for _ in range(20):
        state = updated(state, points(), route_xy_b_m=route)
    assert bearing_rad(state) > 1.0


def test_the_cost_to_go_stays_small_enough_to_be_exact() -> None:
    ring = [(math.cos(angle), math.sin(angle)) for angle in torch.linspace(-math.pi, math.pi, 64).tolist()]
    state = watched(points(*ring), looks=40)  # walled in: no way to the goal
    assert 3.0 < state.cost_to_go.max() <= cost_to_go.MOST_M + 1e-4
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
