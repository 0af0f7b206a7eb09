"""A car in physics: speed and curvature are those of the command; what is tighter than it can drive becomes a curve."""

import math

import numpy as np
import pytest
import torch

from embodiments.embodiment import AckermannDrive
from embodiments.limits import project, steer
from embodiments.registry import get, names
from tests.pipeline.simulation.physics.driven import DRIVING_STEPS, Log, drive
from tests.separate_process import call

ROBOTS = [name for name in names() if isinstance(get(name).drive, AckermannDrive)]
COMMANDS = {
    "forward": (0.3, 0.0, 0.0),
    "fastest": (1.0, 0.0, 0.0),
    "backward": (-0.2, 0.0, 0.0),
    "left": (0.3, 0.0, 0.4),
    "right": (0.3, 0.0, -0.4),
    "fast_curve": (0.8, 0.0, 1.0),
    "on_the_spot": (0.0, 0.0, 0.6),
    "back_and_left": (-0.15, 0.0, 0.2),
    "stand": (0.0, 0.0, 0.0),
}
ERROR_MPS, ERROR_RADPS = 0.01, 0.02
"""Largest difference between command and mean velocity over a second; measured: 0.005 m/s and 0.008 rad/s."""
CAR = get("car")
LIMITS = CAR.descriptor()


@pytest.fixture(scope="module", params=ROBOTS)
def log(request: pytest.FixtureRequest) -> Log:
    result: Log = call(drive, request.param, list(COMMANDS.values()))
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COMMANDS))
def test_it_moves_as_executed(log: Log, name: str) -> None:
    index = list(COMMANDS).index(name)
    executed, measured = log.command[DRIVING_STEPS - 1, index], log.steady(index)
    assert np.abs(measured - executed)[:2].max() < ERROR_MPS
    assert abs(measured[2] - executed[2]) < ERROR_RADPS
    assert not log.fell[index]


@pytest.mark.slow
def test_its_tightest_curve_has_the_radius_of_its_steering(log: Log) -> None:
    index = list(COMMANDS).index("on_the_spot")
    xy = log.pose_w[20:DRIVING_STEPS, index, :2]
    # Centre and radius of the circle through the path, by least squares.
    rows = np.column_stack([2.0 * xy, np.ones(len(xy))])
    x, y, rest = np.linalg.lstsq(rows, (xy**2).sum(axis=1), rcond=None)[0]
    assert math.sqrt(rest + x**2 + y**2) == pytest.approx(CAR.turning_radius_m, rel=0.02)


@pytest.mark.slow
def test_it_stops_and_stands(log: Log) -> None:
    assert np.abs(log.velocity_b[-1]).max() < 0.01
    assert np.abs(log.pose_w[-1, list(COMMANDS).index("stand")]).max() < 0.002


@pytest.mark.parametrize(
    ("command", "executed"),
    [
        ((0.5, 0.0, 0.2), (0.5, 0.0, 0.2)),  # a curve that it can drive stays
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.6), (0.6 * CAR.turning_radius_m, 0.0, 0.6)),  # on the spot: its tightest curve, forwards
        ((0.1, 0.0, -0.6), (0.6 * CAR.turning_radius_m, 0.0, -0.6)),
        ((-0.1, 0.0, 1.0), (-0.2, 0.0, 0.2 / CAR.turning_radius_m)),  # backwards it is slow: both are lowered
    ],
)
def test_steer(command: tuple[float, ...], executed: tuple[float, ...]) -> None:
    for kind in (np.asarray, torch.tensor):
        found = steer(kind([command]), CAR.turning_radius_m, kind(LIMITS.astype(float)[None]))
        assert np.asarray(found)[0] == pytest.approx(executed, abs=1e-6)


def test_steer_is_idempotent_and_leaves_other_bodies_alone() -> None:
    rng = np.random.default_rng(0)
    commands = rng.uniform((-0.2, 0.0, -1.4), (1.0, 0.0, 1.4), (500, 3))
    wide = np.repeat(LIMITS[None].astype(float), 500, axis=0)
    once = steer(commands, CAR.turning_radius_m, wide)
    assert steer(once, CAR.turning_radius_m, wide) == pytest.approx(once, abs=1e-9)
    assert (np.abs(once[:, 2]) * CAR.turning_radius_m <= np.abs(once[:, 0]) + 1e-9).all()
    assert steer(commands, 0.0, wide) is commands


def test_a_step_from_rest_stays_within_the_accelerations() -> None:
    """Raising the speed for a turn takes no more acceleration than the car has."""
    command = np.zeros((1, 3))
    for _ in range(20):
        before = command
        wanted = project(np.asarray([[0.0, 0.0, 1.4]]), command, LIMITS[None].astype(float))
        command = steer(wanted, CAR.turning_radius_m, LIMITS[None].astype(float))
        assert abs(command - before)[0, 0] <= CAR.limits.acceleration_mps2 * 0.1 + 1e-6
