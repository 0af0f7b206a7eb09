"""Goals beyond the costmap, against places computed by hand."""

import pytest
import torch

from embodiments import registry
from embodiments.observation import Observation
from tests.world_model.local_planner.test_costmap import bearing_rad, straight, wall, watched
from world_model.local_planner import costmap, planner
from world_model.local_planner.frames import to_anchor
from world_model.local_planner.map_edge import MAP_EDGE_M, hold_goal


def observation(goal_b: torch.Tensor) -> Observation[torch.Tensor]:
    """Return observations of TIAGo at rest, with goals (B, 4)."""
    batch = len(goal_b)
    return Observation(
        depth_m=torch.full((batch, 1, 40, 64), 5.0),
        velocity_b=torch.zeros(batch, 3),
        previous_command=torch.zeros(batch, 3),
        route_xy_b_m=straight(goal_b),
        goal_b=goal_b,
        descriptor=torch.from_numpy(registry.get("tiago").descriptor()).expand(batch, -1),
    )


def test_beyond_the_map_a_goal_becomes_the_point_at_its_edge() -> None:
    goal = torch.tensor([[14.0, 0.0, 1.0, 0.0], [-6.0, 3.0, 0.0, 1.0], [3.0, 9.0, 1.0, 0.0], [12.0, 5.0, 1.0, 0.0]])
    pose = torch.tensor([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5], [-2.0, 3.0, 2.0], [6.5, 0.0, 0.3]])
    state = torch.ones(4, 7)
    held, kept = hold_goal(observation(goal), state, pose)
    assert torch.equal(kept[:3], state[:3]) and not kept[3].any()  # the last one is near the edge: a new map
    torch.testing.assert_close(held.goal_b[0], torch.tensor([MAP_EDGE_M, 0.0, 1.0, 0.0]))
    assert torch.equal(held.goal_b[1], goal[1])  # on the map: unchanged
    now = pose * torch.tensor([[1.0], [1.0], [1.0], [0.0]])
    place = to_anchor(held.goal_b[:, None, :2], now)[:, 0].abs().amax(dim=1)
    torch.testing.assert_close(place[[0, 2, 3]], torch.full((3,), MAP_EDGE_M))
    bearing = held.goal_b[:, 1] * goal[:, 0], held.goal_b[:, 0] * goal[:, 1]
    torch.testing.assert_close(*bearing)  # the same direction


def test_a_body_near_the_edge_goes_on_with_its_map_while_that_holds_the_goal() -> None:
    goal = torch.tensor([[1.0, 0.5, 1.0, 0.0]])
    seen, state = observation(goal), torch.ones(1, 7)
    held, kept = hold_goal(seen, state, torch.tensor([[6.5, 0.0, 0.0]]))
    assert torch.equal(held.goal_b, goal) and torch.equal(kept, state)


@pytest.mark.parametrize("distance_m", [4.0, 7.5, 8.5, 14.0])
def test_however_far_the_goal_is_walls_count(distance_m: float) -> None:
    goal = torch.tensor([[distance_m, 0.0, 1.0, 0.0]])
    held, _ = hold_goal(observation(goal), torch.zeros(1, 1), torch.zeros(1, 3))
    state = watched(wall(1.2, low_m=-1.0, high_m=0.6), looks=60, goal_b=held.goal_b)
    assert bearing_rad(state, held.goal_b) == pytest.approx(1.1, abs=0.15)


def test_the_planner_begins_a_new_map_near_the_edge() -> None:
    """Its costmap afterwards is that of a first step."""
    seen = observation(torch.tensor([[9.0, 0.0, 1.0, 0.0]]))
    old = torch.ones(1, planner.STATE_SIZE)
    old[:, :3] = torch.tensor([6.5, 0.0, 0.0])
    action, state = planner.drive_step(seen, old)
    fresh_action, fresh = planner.drive_step(seen, torch.zeros_like(old))
    assert torch.equal(state, fresh) and torch.equal(action, fresh_action)
    assert costmap.unpack(state).seen.any()
