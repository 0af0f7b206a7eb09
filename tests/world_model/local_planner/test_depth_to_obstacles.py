"""Obstacle points against planes computed by hand."""

import math

import pytest
import torch

from embodiments import registry
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from world_model.local_planner.depth_to_obstacles import obstacle_points


def body(name: str) -> torch.Tensor:
    """Return the descriptor (1, E) of a robot."""
    return torch.from_numpy(registry.get(name).descriptor())[None]


def image(
    name: str,
    *,
    wall_x_m: float = math.inf,
    low_m: float = 0.0,
    high_m: float = math.inf,
    tilt_rad: float = 0.0,
    raise_m: float = 0.0,
) -> torch.Tensor:
    """Return depth (1, 1, 40, 64) of flat ground and a wall across the way between two heights, ray by ray.

    The camera looks down by ``tilt_rad`` more than its robot's file says, from ``raise_m`` higher.
    """
    camera = registry.get(name).camera
    height_m = camera.z_m + raise_m
    cos, sin = math.cos(camera.pitch_rad + tilt_rad), math.sin(camera.pitch_rad + tilt_rad)
    depth = torch.full((1, 1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX), DEPTH_RANGE_M)
    for row in range(DEPTH_HEIGHT_PX):
        up = (DEPTH_HEIGHT_PX / 2 - row - 0.5) / DEPTH_FOCAL_PX
        forward, upward = cos + sin * up, cos * up - sin  # per metre along the optical axis
        hits = [DEPTH_RANGE_M]
        if upward < 0.0:
            hits.append(height_m / -upward)
        to_wall = (wall_x_m - camera.x_m) / forward
        if forward > 0.0 and low_m <= height_m + to_wall * upward <= high_m:
            hits.append(to_wall)
        depth[:, :, row] = min(hits)
    return depth


@pytest.mark.parametrize("name", registry.names())
def test_a_wall_ahead_is_where_it_stands(name: str) -> None:
    points = obstacle_points(image(name, wall_x_m=2.0), body(name))
    assert (points[..., 2] == 1.0).all()
    assert points[..., 0].flatten().tolist() == pytest.approx([2.0] * DEPTH_WIDTH_PX, abs=0.01)
    y = points[0, :, 1]
    assert (y.diff() < 0.02).all() and y[0].item() == pytest.approx(-y[-1].item(), abs=1e-3)  # left first, symmetric


@pytest.mark.parametrize("name", registry.names())
def test_ground_and_thin_air_are_no_obstacles(name: str) -> None:
    assert (obstacle_points(image(name), body(name))[..., 2] == 0.0).all()


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("tilt_rad", [-0.05, 0.05])
def test_a_swaying_camera_takes_no_ground_for_a_wall_and_finds_low_things(name: str, tilt_rad: float) -> None:
    sway = {"tilt_rad": tilt_rad, "raise_m": 0.02}
    assert obstacle_points(image(name, **sway), body(name))[..., 2].max() < 0.2
    box = obstacle_points(image(name, wall_x_m=1.8, high_m=0.25, **sway), body(name))
    assert box[0, 32, 2] == 1.0
    assert box[0, 32, 0].item() == pytest.approx(1.8, abs=0.05)


def test_a_low_body_passes_under_what_stops_a_tall_one() -> None:
    def weight(name: str) -> float:
        board = image(name, wall_x_m=3.0, low_m=0.75, high_m=1.0)
        return obstacle_points(board, body(name))[..., 2].max().item()

    assert weight("go2") == 0.0
    assert weight("tiago") == 1.0


@pytest.mark.parametrize("name", ["tiago", "stretch3", "g1"])
def test_ground_counts_as_seen_only_up_to_what_stands_on_it(name: str) -> None:
    free = obstacle_points(image(name), body(name))[0, 32]
    assert math.hypot(free[4], free[5]) == pytest.approx(4.5, abs=0.9) and free[4] > 3.5  # rows are that far apart
    box = obstacle_points(image(name, wall_x_m=1.8, high_m=0.3), body(name))[0, 32]  # looked over by these three
    assert box[2] == 1.0 and 0.0 < box[4] < 1.85
    wall = obstacle_points(image(name, wall_x_m=0.7), body(name))[0, 32]
    assert wall[4] < 0.75
