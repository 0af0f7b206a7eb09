"""Wheels with rollers: what the base does in physics is what it was commanded, in every direction."""

import math

import numpy as np
import pytest

from embodiments.embodiment import OmniDrive, RobotModel
from embodiments.registry import get, names
from embodiments.spaces import CONTROL_DT_S
from pipeline.robot_models.model_file import read
from pipeline.simulation.physics.wheels import contacts
from tests.pipeline.simulation.physics.driven import DRIVING_STEPS, Log, drive
from tests.separate_process import call

ROBOTS = [name for name in names() if isinstance(get(name).drive, OmniDrive)]
COMMANDS = {
    "forward": (0.3, 0.0, 0.0),
    "backward": (-0.2, 0.0, 0.0),
    "left": (0.0, 0.25, 0.0),
    "right": (0.0, -0.25, 0.0),
    "turn_left": (0.0, 0.0, 0.6),
    "turn_right": (0.0, 0.0, -0.6),
    "diagonal": (0.2, 0.2, 0.0),
    "curve_and_aside": (0.2, 0.1, 0.4),
    "stand": (0.0, 0.0, 0.0),
}
FASTEST = "fastest"
ERROR_MPS, ERROR_RADPS = 0.012, 0.015
"""Largest difference between command and mean velocity over a second; measured: 0.007 m/s and 0.006 rad/s."""


@pytest.fixture(scope="module", params=ROBOTS)
def commands(request: pytest.FixtureRequest) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """A robot and what it is commanded: the same for all, and its own full speed."""
    return request.param, COMMANDS | {FASTEST: (get(request.param).limits.forward_mps, 0.0, 0.0)}


@pytest.fixture(scope="module")
def log(commands: tuple[str, dict[str, tuple[float, float, float]]]) -> Log:
    robot, by_name = commands
    result: Log = call(drive, robot, list(by_name.values()))
    return result


def test_mecanum_wheels_turn_as_in_the_textbook() -> None:
    """Source: forward, lateral and lever terms of four 45 degree wheels in X configuration, by hand."""
    robot = get("tiago_pro")
    assert isinstance(robot.drive, OmniDrive)
    speeds = contacts(robot.drive, read(robot.model)).wheel_speeds(1.0)
    lever = 0.244 + 0.223175
    by_hand = [[1.0, -1.0, -lever], [1.0, 1.0, lever], [1.0, 1.0, -lever], [1.0, -1.0, lever]]
    assert speeds == pytest.approx(np.asarray(by_hand), abs=1e-6)


def test_three_omnidirectional_wheels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Wheels at 60, 180 and 300 degrees that roll along the circle: each turns with the speed of its own point."""
    file = tmp_path / "round.urdf"
    links, joints, angles = '<link name="base"/>', "", (60.0, 180.0, 300.0)
    for number, degrees in enumerate(angles):
        x, y = 0.2 * math.cos(math.radians(degrees)), 0.2 * math.sin(math.radians(degrees))
        links += f'<link name="w{number}"/>'
        joints += (
            f'<joint name="j{number}" type="continuous"><origin xyz="{x} {y} 0.05" rpy="0 0 {math.radians(degrees)}"/>'
            f'<axis xyz="-1 0 0"/><parent link="base"/><child link="w{number}"/></joint>'
        )
    file.write_text(f"<robot>{links}{joints}</robot>")
    wheels = OmniDrive(joints=("j0", "j1", "j2"), roller_rad=(0.0,) * 3, wheel_radius_m=0.05, wheel_force_nm=5.0)
    speeds = contacts(wheels, read(RobotModel(file=file))).wheel_speeds(1.0)
    for row, degrees in zip(speeds, angles, strict=True):
        along = (-math.sin(math.radians(degrees)), math.cos(math.radians(degrees)), 0.2)
        assert row == pytest.approx(np.asarray(along), abs=1e-6)


def test_wheels_that_cannot_move_aside_are_refused() -> None:
    robot = get("tiago_pro")
    assert isinstance(robot.drive, OmniDrive)
    plain = OmniDrive(joints=robot.drive.joints, roller_rad=(0.0,) * 4, wheel_radius_m=0.0762, wheel_force_nm=6.0)
    with pytest.raises(ValueError, match="cannot push the base forward, aside and round; mend roller_rad"):
        contacts(plain, read(robot.model))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*COMMANDS, FASTEST])
def test_it_moves_as_commanded(
    log: Log, commands: tuple[str, dict[str, tuple[float, float, float]]], name: str
) -> None:
    _, by_name = commands
    index = list(by_name).index(name)
    executed, measured = log.command[DRIVING_STEPS - 1, index], log.steady(index)
    assert executed == pytest.approx(np.asarray(by_name[name]), abs=1e-6)
    assert np.abs(measured - executed)[:2].max() < ERROR_MPS
    assert abs(measured[2] - executed[2]) < ERROR_RADPS
    assert not log.fell[index]


@pytest.mark.slow
def test_the_way_is_the_sum_of_the_commands(log: Log) -> None:
    for name, axis in (("forward", 0), ("left", 1)):
        index = list(COMMANDS).index(name)
        commanded_m = log.command[:DRIVING_STEPS, index, axis].sum() * CONTROL_DT_S
        assert log.pose_w[DRIVING_STEPS, index, axis] == pytest.approx(commanded_m, abs=0.03)
        assert abs(log.pose_w[DRIVING_STEPS, index, 1 - axis]) < 0.01


@pytest.mark.slow
def test_it_stops_and_stands(log: Log) -> None:
    assert np.abs(log.velocity_b[-1]).max() < 0.01
    assert np.abs(log.pose_w[-1, list(COMMANDS).index("stand")]).max() < 0.002
