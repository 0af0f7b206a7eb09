"""The controller: who drives curves and who turns first."""

import math

import pytest
import torch

from embodiments import registry
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
