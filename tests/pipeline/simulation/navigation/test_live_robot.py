"""The simulated robot behind requests: it follows commands, its sensors agree, and without commands it coasts."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from embodiments.spaces import DEPTH_RANGE_M
from export.runtime.robots.robot import Depth, Odometry, Scan
from scenes.scene import WALL, Scene, box
from tests.separate_process import call

pytestmark = pytest.mark.slow
WALL_X_M = 3.0
START_W = (-1.0, 0.5, 0.3)


@dataclass(frozen=True)
class Drive:
    """Result of a drive."""

    before: tuple[Depth, Odometry, Scan]
    after: Odometry
    coasting_mps: tuple[float, float, float]
    """Speed with the last command, 0.9 s later, and 2 s later"""
    pose_w: tuple[float, float, float]
    least_clearance_m: float
    refused: str


def room() -> Scene:
    """Return flat ground with one wall ahead of the origin."""
    centre, size = (WALL_X_M + 0.1, 0.0), (0.2, 8.0, 2.5)
    solid = box(centre_xy_w_m=centre, size_m=size, yaw_rad=0.0, z_min_m=0.0, semantic=WALL, known=True)
    return Scene(name="room", kind="test", solids=(solid,), extent_w_m=(-4.0, -4.0, 4.0, 4.0))


def drive() -> Drive:
    """Drive ahead for 2 s through the adapter. Runs in a process of its own."""
    from embodiments import registry
    from export.runtime.robots.sim import SimulatedRobot
    from pipeline.simulation.navigation.episodes import scene_fields
    from pipeline.simulation.navigation.live_robot import LiveRobot

    live = LiveRobot(registry.get("stretch3"), scenes=[room()], fields=[scene_fields(room())])
    live.place(0, np.asarray(START_W))
    robot = SimulatedRobot(live.embodiment, live.answer, clock=lambda: live.time_s)
    robot.start()
    live.advance(5)
    depth, odometry, scan = robot.depth(), robot.odometry(), robot.scan()
    assert depth is not None and odometry is not None and scan is not None
    for _ in range(20):
        robot.drive(np.asarray([0.2, 0.0, 0.0]), acceleration=np.asarray([0.3, 1.9]))
        live.advance(5)
    after, speeds = robot.odometry(), []
    assert after is not None
    for ticks in (0, 45, 55):
        live.advance(ticks)
        reading = robot.odometry()
        assert reading is not None
        speeds.append(float(reading.velocity_b[0]))
    truth, _ = robot.request({"op": "truth"})
    try:
        robot.drive(np.asarray([0.1, 0.1, 0.0]), acceleration=np.ones(2))
        refused = ""
    except ValueError as error:
        refused = str(error)
    return Drive(
        before=(depth, odometry, scan),
        after=after,
        coasting_mps=(speeds[0], speeds[1], speeds[2]),
        pose_w=tuple(truth["pose_w"]),
        least_clearance_m=truth["least_clearance_m"],
        refused=refused,
    )


@cache
def driven() -> Drive:
    return call(drive)


def test_the_odometry_begins_where_it_was_placed_and_follows_the_command() -> None:
    _, before, _ = driven().before
    assert np.abs(before.pose).max() < 0.01
    expected = 0.2 * 2.0 - 0.2**2 / (2 * 0.3)  # ramp included
    assert driven().after.pose[0] == pytest.approx(expected, abs=0.03)
    assert abs(driven().after.pose[1]) < 0.03
    assert driven().after.velocity_b[0] == pytest.approx(0.2, abs=0.02)


def test_camera_and_lidar_see_the_same_wall() -> None:
    depth, _, scan = driven().before
    assert depth.image_m.shape == (40, 64)
    assert depth.image_m.any()
    assert depth.image_m.max() <= DEPTH_RANGE_M
    x, _, yaw = START_W
    ahead_m = (WALL_X_M - x) / np.cos(yaw)
    straight = scan.points_b_m[np.abs(np.arctan2(scan.points_b_m[:, 1], scan.points_b_m[:, 0])) < 0.01]
    assert straight[0, 0] == pytest.approx(ahead_m, abs=0.06)
    column = depth.image_m[:, 31:33]
    middle_row = 20 - round(36.0 * np.tan(np.deg2rad(30.0)))  # the horizon of a camera that looks 30 degrees down
    planar = column[max(0, middle_row) : max(0, middle_row) + 3].mean()
    assert planar == pytest.approx((ahead_m - 0.04) * np.cos(np.deg2rad(30.0)), rel=0.2)


def test_without_a_command_it_drives_on_for_a_second_and_then_coasts() -> None:
    commanded, soon, late = driven().coasting_mps
    assert soon == pytest.approx(commanded, abs=0.01)
    assert 0.3 * commanded < late < 0.8 * commanded


def test_truth_knows_the_world_and_lateral_commands_are_refused() -> None:
    assert driven().pose_w[0] > START_W[0]
    assert 0.5 < driven().least_clearance_m < 5.0
    assert "wheels that only roll" in driven().refused
