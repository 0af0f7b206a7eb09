"""Property tests of the admissible set: whatever a policy asks for, what is executed fits the robot."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from embodiments.limits import action_to_command, active_dimensions, bound, command_to_action, project
from embodiments.registry import get, names
from embodiments.spaces import (
    CONTROL_DT_S,
    DESCRIPTOR_SIZE,
    LIMIT_FIELDS,
    STAND_SPEED_MPS,
    STAND_YAW_RATE_RADPS,
)

TOLERANCE = 1e-5
ROBOTS = st.sampled_from(names())
UNIT = st.floats(-1.0, 1.0, width=32)
SHARES = st.tuples(UNIT, UNIT, UNIT).map(lambda values: np.asarray(values, dtype=np.float32))
WILD = st.tuples(*[st.floats(-50.0, 50.0, width=32)] * 3).map(lambda values: np.asarray(values, dtype=np.float32))


def limit(descriptor: np.ndarray, name: str) -> float:
    return float(descriptor[LIMIT_FIELDS.index(name)])


def admissible(share: np.ndarray, descriptor: np.ndarray) -> np.ndarray:
    """Return an admissible command: what stays when accelerations do not matter."""
    return project_now(action_to_command(share, descriptor), np.zeros(3, dtype=np.float32), descriptor)


def project_now(command: np.ndarray, previous: np.ndarray, descriptor: np.ndarray) -> np.ndarray:
    """Project with accelerations so large that they never bind."""
    quick = descriptor.copy()
    for name in ("acceleration_mps2", "yaw_acceleration_radps2"):
        quick[LIMIT_FIELDS.index(name)] = 1e6
    return project(command, previous, quick)


def assert_inside(command: np.ndarray, descriptor: np.ndarray) -> None:
    vx, vy, yaw_rate = (float(value) for value in command)
    assert -limit(descriptor, "reverse_mps") - TOLERANCE <= vx <= limit(descriptor, "forward_mps") + TOLERANCE
    assert abs(vy) <= limit(descriptor, "lateral_mps") + TOLERANCE
    assert abs(yaw_rate) <= limit(descriptor, "yaw_rate_radps") + TOLERANCE
    wheel = abs(vx) + limit(descriptor, "half_track_m") * abs(yaw_rate)
    assert wheel <= limit(descriptor, "wheel_speed_mps") + TOLERANCE


@settings(deadline=None)
@given(robot=ROBOTS, command=WILD, before=SHARES)
def test_projection_stays_inside_the_admissible_set(robot, command, before):
    descriptor = get(robot).descriptor()
    previous = admissible(before, descriptor)
    assert_inside(previous, descriptor)
    assert_inside(project(command, previous, descriptor), descriptor)


@settings(deadline=None)
@given(robot=ROBOTS, command=WILD, before=SHARES)
def test_projection_keeps_to_the_accelerations(robot, command, before):
    descriptor = get(robot).descriptor()
    previous = admissible(before, descriptor)
    change = project(command, previous, descriptor) - previous
    assert np.hypot(change[0], change[1]) <= limit(descriptor, "acceleration_mps2") * CONTROL_DT_S + TOLERANCE
    assert abs(change[2]) <= limit(descriptor, "yaw_acceleration_radps2") * CONTROL_DT_S + TOLERANCE


@settings(deadline=None)
@given(robot=ROBOTS, share=SHARES)
def test_projection_keeps_the_curvature(robot, share):
    descriptor = get(robot).descriptor()
    wanted = action_to_command(share, descriptor)
    got = admissible(share, descriptor)
    assume(np.any(got != 0.0))  # below the thresholds it means stand
    assert np.allclose(np.cross(wanted, got), 0.0, atol=1e-4)
    assert float(wanted @ got) >= 0.0


@settings(deadline=None)
@given(robot=ROBOTS, share=SHARES)
def test_an_admissible_command_is_not_changed(robot, share):
    descriptor = get(robot).descriptor()
    once = admissible(share, descriptor)
    assume(np.hypot(once[0], once[1]) > 1.01 * STAND_SPEED_MPS or abs(once[2]) > 1.01 * STAND_YAW_RATE_RADPS)
    assert np.allclose(project_now(once, once, descriptor), once, atol=1e-6)
    assert np.allclose(project(once, once, descriptor), once, atol=1e-6)


@settings(deadline=None)
@given(robot=ROBOTS, command=WILD, before=SHARES)
def test_what_was_projected_is_executed_as_it_is(robot, command, before):
    descriptor = get(robot).descriptor()
    previous = admissible(before, descriptor)
    projected = project(command, previous, descriptor)
    assert np.allclose(bound(projected, previous, descriptor), projected, atol=1e-5)


@pytest.mark.parametrize("robot", names())
def test_a_robot_starts_straight_ahead(robot):
    """The first command of a slow start is below the stand thresholds; it must not be taken for a wish to stand."""
    descriptor = get(robot).descriptor()
    command = np.zeros(3)
    for _ in range(5):
        command = bound(project(np.asarray([0.3, 0.0, 0.0]), command, descriptor), command, descriptor)
    assert command[0] > 2.0 * STAND_SPEED_MPS


@settings(deadline=None)
@given(robot=ROBOTS, command=WILD, before=SHARES)
def test_bounding_keeps_any_command_inside_the_admissible_set(robot, command, before):
    descriptor = get(robot).descriptor()
    assert_inside(bound(command, admissible(before, descriptor), descriptor), descriptor)


@settings(deadline=None)
@given(robot=ROBOTS, before=SHARES, speed=st.floats(0.0, 0.99), turn=st.floats(-0.99, 0.99))
def test_zero_is_reached_exactly_and_kept(robot, before, speed, turn):
    descriptor = get(robot).descriptor()
    command = admissible(before, descriptor)
    stand = np.asarray([speed * STAND_SPEED_MPS, 0.0, turn * STAND_YAW_RATE_RADPS], dtype=np.float32)
    slowest = max(
        limit(descriptor, "forward_mps") / limit(descriptor, "acceleration_mps2"),
        limit(descriptor, "yaw_rate_radps") / limit(descriptor, "yaw_acceleration_radps2"),
    )
    for _ in range(int(np.ceil(slowest / CONTROL_DT_S)) + 2):
        command = project(stand, command, descriptor)
    assert np.array_equal(command, np.zeros(3))
    assert np.array_equal(project(stand, command, descriptor), np.zeros(3))


@settings(deadline=None)
@given(robot=ROBOTS, command=WILD, before=SHARES, share=SHARES)
def test_numpy_and_torch_agree(robot, command, before, share):
    descriptor = get(robot).descriptor()
    previous = admissible(before, descriptor)
    tensors = [torch.from_numpy(array)[None] for array in (command, previous, descriptor, share)]
    assert np.allclose(project(*tensors[:3])[0].numpy(), project(command, previous, descriptor), rtol=1e-6, atol=1e-6)
    scaled = action_to_command(tensors[3], tensors[2])[0].numpy()
    assert np.allclose(scaled, action_to_command(share, descriptor), atol=1e-7)
    back = command_to_action(tensors[0], tensors[2])[0].numpy()
    assert np.allclose(back, command_to_action(command, descriptor), atol=1e-6)


@settings(deadline=None)
@given(robot=ROBOTS, share=SHARES)
def test_shares_come_back(robot, share):
    descriptor = get(robot).descriptor()
    back = command_to_action(action_to_command(share, descriptor), descriptor)
    assert np.allclose(back, share * active_dimensions(descriptor), atol=1e-5)


def by_hand(**limits: float) -> np.ndarray:
    descriptor = np.zeros(DESCRIPTOR_SIZE, dtype=np.float32)
    for name, value in limits.items():
        descriptor[LIMIT_FIELDS.index(name)] = value
    return descriptor


@pytest.fixture
def stretch_like() -> np.ndarray:
    return by_hand(
        forward_mps=0.3,
        reverse_mps=0.2,
        yaw_rate_radps=1.9,
        acceleration_mps2=100.0,
        yaw_acceleration_radps2=100.0,
        wheel_speed_mps=0.3,
        half_track_m=0.15,
    )


def test_wheel_cap_scales_the_pair(stretch_like):
    # (0.25, 0.5) asks the outer wheel for 0.25 + 0.15 * 0.5 = 0.325 m/s: both shrink by 0.3 / 0.325.
    command = project(np.asarray([0.25, 0.0, 0.5]), np.zeros(3), stretch_like)
    assert np.allclose(command, np.asarray([0.25, 0.0, 0.5]) * 0.3 / 0.325, atol=1e-6)


def test_acceleration_shortens_the_step_along_a_line():
    descriptor = by_hand(
        forward_mps=1.0,
        reverse_mps=0.2,
        yaw_rate_radps=2.0,
        acceleration_mps2=1.0,
        yaw_acceleration_radps2=2.0,
        wheel_speed_mps=2.0,
    )
    # 0.1 m/s and 0.2 rad/s per step are allowed; the speed needs 5 steps, the turn 2: both take a fifth.
    command = project(np.asarray([0.5, 0.0, 0.4]), np.zeros(3), descriptor)
    assert np.allclose(command, [0.1, 0.0, 0.08], atol=1e-6)


def test_reverse_uses_its_own_limit(stretch_like):
    assert np.allclose(action_to_command(np.asarray([-1.0, 1.0, -0.5]), stretch_like), [-0.2, 0.0, -0.95], atol=1e-6)


def test_below_both_thresholds_means_stand(stretch_like):
    moving = np.asarray([0.2, 0.0, 0.0])
    assert np.array_equal(project(np.asarray([0.04, 0.0, 0.04]), moving, stretch_like), np.zeros(3))
    assert np.allclose(project(np.asarray([0.04, 0.0, 0.06]), moving, stretch_like), [0.04, 0.0, 0.06], atol=1e-6)


def test_a_batch_is_projected_row_by_row():
    descriptors = np.stack([get(name).descriptor() for name in names()])
    rng = np.random.default_rng(0)
    command = rng.uniform(-2.0, 2.0, (len(descriptors), 3)).astype(np.float32)
    previous = np.zeros_like(command)
    together = project(command, previous, descriptors)
    alone = [project(c, p, d) for c, p, d in zip(command, previous, descriptors, strict=True)]
    assert np.allclose(together, np.stack(alone), atol=1e-7)
