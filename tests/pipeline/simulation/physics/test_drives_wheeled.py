"""Wheels really turn: what a wheeled robot does, measured in the simulation, is what it was commanded."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from embodiments.embodiment import DifferentialDrive
from embodiments.limits import project
from embodiments.registry import get, names
from embodiments.spaces import CONTROL_DT_S
from tests.separate_process import call

pytestmark = pytest.mark.slow

ROBOTS = [name for name in names() if isinstance(get(name).drive, DifferentialDrive)]
DRIVING_STEPS, STOPPING_STEPS = 45, 20
QUARTER = math.pi / 2.0


@dataclass(frozen=True, kw_only=True)
class Log:
    """What every environment did at each control step."""

    command: np.ndarray
    """(T, B, 3) as executed."""
    velocity_b: np.ndarray
    """(T, B, 3)"""
    pose_w: np.ndarray
    """(T + 1, B, 3) x, y, heading; the first is the start."""
    wheels_radps: np.ndarray
    """(T, B, 2)"""


def manoeuvres(robot: str) -> dict[str, tuple[tuple[float, float, float], float]]:
    """Return name -> (command, heading at the start)."""
    limits = get(robot).limits
    return {
        "forward": ((0.20, 0.0, 0.0), 0.0),
        "forward_facing_y": ((0.20, 0.0, 0.0), QUARTER),
        "backward": ((-0.15, 0.0, 0.0), 0.0),
        "fastest": ((limits.forward_mps, 0.0, 0.0), 0.0),
        "turn_left": ((0.0, 0.0, 0.6), 0.0),
        "turn_right": ((0.0, 0.0, -0.6), 0.0),
        "arc_left": ((0.15, 0.0, 0.5), 0.0),
        "arc_right": ((0.15, 0.0, -0.5), 0.0),
        "stand": ((0.0, 0.0, 0.0), 0.0),
    }


def drive(robot: str) -> Log:
    """Drive all manoeuvres side by side, then stop. Runs in a process of its own."""
    from pipeline.simulation.physics.drives import make_drive
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    embodiment = get(robot)
    wanted = torch.tensor([command for command, _ in manoeuvres(robot).values()])
    count = len(wanted)
    physics = RobotPhysics(embodiment, num_envs=count)
    heading = torch.tensor([yaw for _, yaw in manoeuvres(robot).values()])
    physics.reset(torch.ones(count, dtype=torch.bool), torch.zeros(count, 2), heading)
    wheels = make_drive(embodiment, physics)
    descriptor = torch.as_tensor(embodiment.descriptor()).expand(count, -1)
    command = torch.zeros(count, 3)
    pose = [torch.cat([physics.position_w[:, :2], physics.yaw_w[:, None]], dim=1)]
    commands, velocities, speeds = [], [], []
    for step in range(DRIVING_STEPS + STOPPING_STEPS):
        command = project(wanted if step < DRIVING_STEPS else torch.zeros_like(wanted), command, descriptor)
        for _ in range(5):
            wheels.step(command)
        commands.append(command)
        velocities.append(physics.velocity_b)
        pose.append(torch.cat([physics.position_w[:, :2], physics.yaw_w[:, None]], dim=1))
        speeds.append(physics.joint_velocity)
    return Log(
        command=torch.stack(commands).numpy(),
        velocity_b=torch.stack(velocities).numpy(),
        pose_w=torch.stack(pose).numpy(),
        wheels_radps=torch.stack(speeds).numpy(),
    )


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def log(robot) -> Log:
    return call(drive, robot)


def index(robot: str, name: str) -> int:
    return list(manoeuvres(robot)).index(name)


def steady(log: Log, robot: str, name: str) -> np.ndarray:
    """Return the mean (vx, vy, yaw rate) of the last second before the stop."""
    return log.velocity_b[DRIVING_STEPS - 10 : DRIVING_STEPS, index(robot, name)].mean(axis=0)


@pytest.mark.parametrize(("name", "speed_mps"), [("forward", 0.20), ("forward_facing_y", 0.20), ("backward", -0.15)])
def test_straight(log, robot, name, speed_mps):
    # Rolling without slip: 3 % is what a prototype measured for TIAGo (0.195 m/s at 0.20).
    assert steady(log, robot, name) == pytest.approx([speed_mps, 0.0, 0.0], abs=0.03 * 0.2)


def test_top_speed(log, robot):
    top = get(robot).limits.forward_mps
    assert steady(log, robot, "fastest")[0] == pytest.approx(top, rel=0.03)


@pytest.mark.parametrize(("name", "rate_radps"), [("turn_left", 0.6), ("turn_right", -0.6)])
def test_turning_in_place(log, robot, name, rate_radps):
    # The tyres scrub: up to 5 % less than commanded. The 8 % of a wrong track would show.
    vx, vy, yaw_rate = steady(log, robot, name)
    assert 0.95 <= yaw_rate / rate_radps <= 1.01
    assert abs(vx) < 0.01
    assert abs(vy) < 0.01
    track = log.pose_w[: DRIVING_STEPS + 1, index(robot, name), :2]
    assert np.linalg.norm(track, axis=1).max() < 0.02


@pytest.mark.parametrize(("name", "rate_radps"), [("arc_left", 0.5), ("arc_right", -0.5)])
def test_arc(log, robot, name, rate_radps):
    vx, _, yaw_rate = steady(log, robot, name)
    assert vx == pytest.approx(0.15, rel=0.03)
    assert yaw_rate == pytest.approx(rate_radps, rel=0.05)
    # On a circle of radius v / w the chord is 2 r sin(turn / 2).
    start, end = log.pose_w[20, index(robot, name)], log.pose_w[DRIVING_STEPS, index(robot, name)]
    turn = end[2] - start[2]
    turn = math.atan2(math.sin(turn), math.cos(turn))
    chord = 2.0 * (0.15 / abs(rate_radps)) * math.sin(abs(turn) / 2.0)
    assert np.sign(turn) == np.sign(rate_radps)
    assert np.linalg.norm(end[:2] - start[:2]) == pytest.approx(chord, rel=0.05)


@pytest.mark.parametrize("name", ["forward", "backward", "fastest"])
def test_straight_does_not_veer(log, robot, name):
    end = log.pose_w[DRIVING_STEPS, index(robot, name)]
    assert abs(end[2]) < 0.01
    assert abs(end[1]) < 0.01 + 0.01 * abs(end[0])


def test_the_body_frame_turns_with_the_robot(log, robot):
    end = log.pose_w[DRIVING_STEPS, index(robot, "forward_facing_y")]
    along_x = log.pose_w[DRIVING_STEPS, index(robot, "forward")]
    assert end[:2] == pytest.approx([0.0, along_x[0]], abs=0.01)
    # The distance is the integral of the executed command.
    executed = log.command[:DRIVING_STEPS, index(robot, "forward"), 0].sum() * CONTROL_DT_S
    assert along_x[0] == pytest.approx(executed, rel=0.03)


@pytest.mark.parametrize("name", ["forward", "fastest", "turn_left", "arc_right"])
def test_wheel_speeds(log, robot, name):
    drive = get(robot).drive
    vx, _, yaw_rate = manoeuvres(robot)[name][0]
    rim = np.asarray([vx - drive.track_m / 2.0 * yaw_rate, vx + drive.track_m / 2.0 * yaw_rate])
    measured = log.wheels_radps[DRIVING_STEPS - 10 : DRIVING_STEPS, index(robot, name)].mean(axis=0)
    assert measured == pytest.approx(rim / drive.wheel_radius_m, rel=0.03)


def test_speed_follows_the_acceleration_limits(log, robot):
    gained = np.diff(log.velocity_b[:DRIVING_STEPS, index(robot, "fastest"), 0])
    allowed = get(robot).limits.acceleration_mps2 * CONTROL_DT_S
    assert gained.max() < 1.2 * allowed + 0.005


def test_stopping_stops(log, robot):
    executed = np.abs(log.command[DRIVING_STEPS:]).max(axis=2)  # (T, B)
    for environment in range(executed.shape[1]):
        stopped = DRIVING_STEPS + int(np.argmax(executed[:, environment] == 0.0)) + 2  # 0.2 s later
        assert np.abs(log.velocity_b[stopped:, environment]).max() < 0.01
        crept = np.linalg.norm(np.diff(log.pose_w[stopped + 1 :, environment, :2], axis=0), axis=1)
        assert crept.sum() < 0.002


def test_standing_stands(log, robot):
    assert np.abs(log.pose_w[-1, index(robot, "stand")]).max() < 0.002
