"""The controller: who drives curves and who turns first."""

import math

import pytest
import torch

from embodiments import limits, registry
from world_model.local_planner import controller

_GOAL_B = torch.tensor([[4.0, 0.0, 1.0, 0.0]])


def _action(robot: str, *, aside_rad: float, narrow: float | None) -> torch.Tensor:
    """Return the action (3,) towards an aim that is aside by an angle."""
    aim_b = 0.6 * torch.tensor([[math.cos(aside_rad), math.sin(aside_rad)]])
    descriptor = torch.from_numpy(registry.get(robot).descriptor())[None]
    place = None if narrow is None else torch.tensor([narrow])
    return controller.drive(_GOAL_B, aim_b, descriptor, speed_scale=torch.ones(1), narrow=place)[0]


@pytest.mark.parametrize("robot", ["g1", "go2", "anymal_c"])
def test_a_walker_turns_on_the_spot_in_a_narrow_place_and_drives_a_curve_in_an_open_one(robot: str) -> None:
    assert _action(robot, aside_rad=0.5, narrow=1.0)[0] == 0.0
    assert _action(robot, aside_rad=0.5, narrow=0.0)[0] > 0.1
    assert _action(robot, aside_rad=0.5, narrow=1.0)[2] > 0.1  # to the left, where the aim is


def test_a_walker_drives_straight_ahead_in_a_narrow_place() -> None:
    assert torch.equal(_action("g1", aside_rad=0.0, narrow=1.0), _action("g1", aside_rad=0.0, narrow=0.0))


@pytest.mark.parametrize("aside_rad", [0.0, 0.3, 0.6, 1.2])
def test_wheels_drive_the_same_curve_everywhere(aside_rad: float) -> None:
    assert torch.equal(
        _action("tiago", aside_rad=aside_rad, narrow=1.0), _action("tiago", aside_rad=aside_rad, narrow=None)
    )


def _near_goal(robot: str, *, bearing_rad: float, distance_m: float) -> torch.Tensor:
    """Return the command (3,) where the goal lies at a bearing, and its heading is a right angle to the left."""
    body = registry.get(robot)
    aim_b = torch.tensor([[math.cos(bearing_rad), math.sin(bearing_rad)]])
    goal_b = torch.cat([distance_m * aim_b, torch.tensor([[0.0, 1.0]])], dim=1)
    descriptor = torch.from_numpy(body.descriptor())[None]
    action = controller.drive(goal_b, 0.6 * aim_b, descriptor, speed_scale=torch.ones(1))
    return limits.action_to_command(action, descriptor)[0]


@pytest.mark.parametrize("bearing_rad", [0.0, 0.8, -1.6, 2.4, 3.1])
@pytest.mark.parametrize("robot", ["g1", "go2", "anymal_c"])
def test_a_walker_near_its_goal_walks_straight_to_it_while_it_turns(robot: str, bearing_rad: float) -> None:
    command = _near_goal(robot, bearing_rad=bearing_rad, distance_m=0.55)
    body = registry.get(robot).limits
    speed = float(command[:2].norm())
    assert speed > 0.15 and command[2] > 0.5
    assert command[:2].tolist() == pytest.approx(
        [speed * math.cos(bearing_rad), speed * math.sin(bearing_rad)], abs=1e-4
    )
    assert abs(command[1]) <= body.lateral_mps + 1e-6 and command[0] >= -body.reverse_mps - 1e-6


def test_far_from_the_goal_and_on_wheels_nobody_walks_sideways() -> None:
    assert _near_goal("go2", bearing_rad=0.8, distance_m=1.1)[1] == 0.0
    assert _near_goal("tiago", bearing_rad=0.0, distance_m=0.55)[2].abs() < 1e-6
