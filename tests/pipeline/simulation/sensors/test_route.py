"""Route and goal in the body frame, against values computed by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embodiments.spaces import ROUTE_POINTS
from pipeline.simulation.sensors.route import planned_route, project_on_route, straight_route
from world_model.local_planner.frames import goal_in_body, to_body, wrap_angle


def test_a_goal_north_of_a_robot_that_faces_north_lies_ahead() -> None:
    pose = torch.tensor([[1.0, 2.0, math.pi / 2]])
    goal = torch.tensor([[1.0, 5.0, math.pi]])
    assert torch.allclose(goal_in_body(goal, pose), torch.tensor([[3.0, 0.0, 0.0, 1.0]]), atol=1e-6)


def test_a_goal_west_of_a_robot_that_faces_north_lies_to_the_left() -> None:
    pose = torch.tensor([[0.0, 0.0, math.pi / 2]])
    goal = torch.tensor([[-2.0, 0.0, math.pi / 2]])
    assert torch.allclose(goal_in_body(goal, pose), torch.tensor([[0.0, 2.0, 1.0, 0.0]]), atol=1e-6)


@given(x=st.floats(-50, 50), y=st.floats(-50, 50), yaw=st.floats(-10, 10), turn=st.floats(-3, 3), far=st.floats(0.1, 9))
def test_rotating_the_world_does_not_change_what_the_body_sees(
    x: float, y: float, yaw: float, turn: float, far: float
) -> None:
    pose = torch.tensor([[x, y, yaw]])
    goal = pose + torch.tensor([[far, 0.5, 0.3]])
    spin = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])

    def rotated(value: torch.Tensor) -> torch.Tensor:
        return torch.cat([value[:, :2] @ spin.T, value[:, 2:] + turn], dim=1)

    assert torch.allclose(goal_in_body(goal, pose), goal_in_body(rotated(goal), rotated(pose)), atol=2e-4)


def test_straight_route_is_one_metre_apart_and_padded_with_the_goal() -> None:
    pose = torch.zeros(1, 3)
    route = straight_route(torch.tensor([[3.5, 0.0, 0.0]]), pose)
    assert route.shape == (1, ROUTE_POINTS, 2)
    assert route[0, :, 0].tolist() == pytest.approx([1.0, 2.0, 3.0] + [3.5] * 7)


def test_planned_route_goes_around_the_corner_from_the_projection_on() -> None:
    corner = torch.cat([torch.stack([torch.arange(0, 4.0, 0.5), torch.zeros(8)], 1), torch.tensor([[4.0, 0.0]])])
    up = torch.stack([torch.full((8,), 4.0), torch.arange(0.5, 4.5, 0.5)], 1)
    route = torch.cat([corner, up])[None]  # 17 points, 0.5 m apart
    spacing = torch.tensor([0.5])
    along = project_on_route(route, spacing, torch.tensor([[2.0, 0.3]]), torch.tensor([1.5]))
    assert along.item() == pytest.approx(2.0)
    ahead = planned_route(route, spacing, along)[0]
    assert ahead[:5].tolist() == [[3.0, 0.0], [4.0, 0.0], [4.0, 1.0], [4.0, 2.0], [4.0, 3.0]]
    assert torch.equal(ahead[6:], torch.tensor([[4.0, 4.0]]).expand(4, 2))


def test_the_projection_does_not_jump_to_a_later_passage_of_the_same_place() -> None:
    out = torch.stack([torch.arange(0.0, 8.0), torch.zeros(8)], 1)
    back = torch.stack([torch.arange(7.0, -1.0, -1.0), torch.full((8,), 0.1)], 1)
    route, spacing = torch.cat([out, back])[None], torch.tensor([1.0])
    along = project_on_route(route, spacing, torch.tensor([[1.0, 0.1]]), torch.tensor([1.0]))
    assert along.item() == pytest.approx(1.0)


def test_to_body_keeps_extra_axes_apart() -> None:
    pose = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, math.pi]])
    points = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    seen = to_body(points, pose)
    assert torch.allclose(seen[0], points[0], atol=1e-6)
    assert torch.allclose(seen[1], -points[1], atol=1e-6)


def test_wrap_angle() -> None:
    assert torch.allclose(
        wrap_angle(torch.tensor([3 * math.pi / 2, -3 * math.pi / 2])), torch.tensor([-1.0, 1.0]) * math.pi / 2
    )
