"""The PointNav adapter: images, goals and actions mean the same on both sides."""

import math

import numpy as np
import pytest

from embodiments import registry
from embodiments.limits import bound
from embodiments.observation import Observation, from_inputs
from embodiments.spaces import (
    CONTROL_DT_S,
    DEPTH_FOCAL_PX,
    DEPTH_HEIGHT_PX,
    DEPTH_RANGE_M,
    DEPTH_WIDTH_PX,
    OBSERVATION_SHAPES,
)
from export.policy_server import pointnav

GOALS = np.asarray([[4.0, 0.0], [0.0, 3.0], [-2.0, -2.0], [6.0, -1.0]])
LAG_S = 0.1


def observation(batch: int, **arrays: np.ndarray) -> Observation[np.ndarray]:
    empty = {name: np.zeros((batch, *shape), dtype=np.float32) for name, shape in OBSERVATION_SHAPES.items()}
    tiago = np.repeat(registry.get("tiago").descriptor()[None], batch, axis=0)
    return from_inputs(empty | {"embodiment": tiago} | arrays)


def ray_depth_m(tangent_x: np.ndarray, tangent_y: np.ndarray) -> np.ndarray:
    """Return the planar depth of a slanted wall along rays: x = z tan_x, and the wall is z = 4 + x + y / 2."""
    return 4.0 / (1.0 - tangent_x - 0.5 * tangent_y)


def test_a_slanted_wall_looks_the_same_in_both_cameras() -> None:
    across = (np.arange(DEPTH_WIDTH_PX) + 0.5 - DEPTH_WIDTH_PX / 2) / DEPTH_FOCAL_PX
    down = (np.arange(DEPTH_HEIGHT_PX) + 0.5 - DEPTH_HEIGHT_PX / 2) / DEPTH_FOCAL_PX
    # the left half alone: the wall must not come near the camera, nor beyond the range
    ours = np.where(across < 0.0, ray_depth_m(across, down[:, None]), 0.0)
    image = pointnav.depth_image(ours[None, None].astype(np.float32))
    assert image.shape == (1, 256, 256, 1) and image.dtype == np.float32
    tangent = (np.arange(256) + 0.5 - 128.0) / 128.0
    expected = np.where(tangent < 0.0, ray_depth_m(tangent, tangent[:, None]), 0.0) / DEPTH_RANGE_M
    half = 0.5 / DEPTH_FOCAL_PX
    seen = (np.abs(tangent) <= across[-1] + half) & (np.abs(tangent) <= down[-1] + half)[:, None]
    assert 0.5 < seen.mean() < 0.65  # 87° of 90° across, 61° down
    np.testing.assert_allclose(image[0, :, :, 0][seen], expected[seen], atol=0.02)
    assert not image[0, :, :, 0][~seen].any()


def test_depth_is_a_fraction_of_ten_metres() -> None:
    depth_m = np.full((2, 1, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX), 2.5, dtype=np.float32)
    depth_m[1] = DEPTH_RANGE_M
    image = pointnav.depth_image(depth_m)
    assert image[:, 128, 128, 0].tolist() == [0.25, 1.0]
    assert not image[:, 0].any()  # above what our camera sees


def test_goals_are_polar_and_left_is_positive() -> None:
    goal_b = np.asarray([[3.0, 0.0, 1.0, 0.0], [0.0, 2.0, 1.0, 0.0], [-1.0, -1.0, 1.0, 0.0]])
    expected = [[3.0, 0.0], [2.0, math.pi / 2], [math.sqrt(2.0), -0.75 * math.pi]]
    np.testing.assert_allclose(pointnav.polar_goal(goal_b), expected, rtol=1e-6)


class Unicycles:
    """Robots without physics: the bounded command, with a lag."""

    def __init__(self, robot: str, goals: np.ndarray) -> None:
        self.descriptor = np.repeat(registry.get(robot).descriptor()[None], len(goals), axis=0)
        self.pose, self.goals = np.zeros((len(goals), 3)), goals
        self.velocity, self.command = np.zeros((len(goals), 3)), np.zeros((len(goals), 3))

    def observe(self) -> Observation[np.ndarray]:
        offset = self.goals - self.pose[:, :2]
        cos, sin = np.cos(self.pose[:, 2]), np.sin(self.pose[:, 2])
        x, y = cos * offset[:, 0] + sin * offset[:, 1], cos * offset[:, 1] - sin * offset[:, 0]
        goal_b = np.stack([x, y, np.ones_like(x), np.zeros_like(x)], axis=1)
        return observation(len(x), goal_b=goal_b, velocity_b=self.velocity, embodiment=self.descriptor)

    def drive(self, command: np.ndarray) -> None:
        self.command = bound(command, self.command, self.descriptor)
        self.velocity += (self.command - self.velocity) * min(1.0, CONTROL_DT_S / LAG_S)
        heading = self.pose[:, 2]
        self.pose[:, 0] += self.velocity[:, 0] * np.cos(heading) * CONTROL_DT_S
        self.pose[:, 1] += self.velocity[:, 0] * np.sin(heading) * CONTROL_DT_S
        self.pose[:, 2] += self.velocity[:, 2] * CONTROL_DT_S


class ToTheGoal:
    """Turns to the goal by tens of degrees, goes forward, stops when it is there."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def reset(self, rows: np.ndarray) -> None:
        """It remembers nothing."""

    def act(self, depth: np.ndarray, pointgoal: np.ndarray, rows: np.ndarray) -> np.ndarray:
        assert len(depth) == len(pointgoal) == len(rows)
        self.asked.append(rows.tolist())
        distance, direction = pointgoal[:, 0], pointgoal[:, 1]
        turn = np.where(direction > 0.0, pointnav.LEFT, pointnav.RIGHT)
        ahead = np.where(np.abs(direction) < math.radians(8.0), pointnav.FORWARD, turn)
        return np.where(distance < 0.2, pointnav.STOP, ahead)


@pytest.mark.parametrize("robot", ["tiago", "stretch3", "go2"])
def test_discrete_actions_lead_to_the_goal_and_stop_there(robot: str) -> None:
    bodies, policy = Unicycles(robot, GOALS), ToTheGoal()
    adapter = pointnav.Discrete(policy, batch=len(GOALS))
    adapter.reset(np.ones(len(GOALS), dtype=bool))
    steps = 450
    for _ in range(steps):
        bodies.drive(adapter.act(bodies.observe()))
    away = np.linalg.norm(bodies.pose[:, :2] - GOALS, axis=1)
    assert (away < 0.25).all() and not bodies.velocity.round(3).any()
    assert sum(map(len, policy.asked)) < steps * len(GOALS) / 3  # an action takes several control steps


def test_an_action_moves_as_far_as_it_says() -> None:
    class Once(ToTheGoal):
        def act(self, depth: np.ndarray, pointgoal: np.ndarray, rows: np.ndarray) -> np.ndarray:
            first = not self.asked
            super().act(depth, pointgoal, rows)
            return np.asarray([pointnav.FORWARD, pointnav.LEFT, pointnav.RIGHT]) if first else np.zeros(len(rows))

    bodies = Unicycles("tiago", GOALS[:3])
    adapter = pointnav.Discrete(Once(), batch=3)
    adapter.reset(np.ones(3, dtype=bool))
    for _ in range(30):
        bodies.drive(adapter.act(bodies.observe()))
    assert bodies.pose[0, 0] == pytest.approx(pointnav.STEP_M, abs=0.05)
    assert bodies.pose[1:, 2] == pytest.approx([pointnav.TURN_RAD, -pointnav.TURN_RAD], abs=math.radians(2.5))


def test_a_stopped_robot_stands_until_its_next_episode() -> None:
    policy = ToTheGoal()
    adapter = pointnav.Discrete(policy, batch=2)
    adapter.reset(np.asarray([True, True]))
    near = observation(2, goal_b=np.asarray([[0.1, 0.0, 1.0, 0.0], [0.1, 0.0, 1.0, 0.0]]))
    adapter.act(near)
    far = observation(2, goal_b=np.asarray([[5.0, 0.0, 1.0, 0.0]] * 2))
    assert not adapter.act(far).any()
    adapter.reset(np.asarray([False, True]))
    assert adapter.act(far)[:, 0].astype(bool).tolist() == [False, True]
    assert policy.asked == [[0, 1], [1]]


def test_a_stuck_robot_is_asked_again() -> None:
    policy = ToTheGoal()
    adapter = pointnav.Discrete(policy, batch=1)
    adapter.reset(np.asarray([True]))
    seen = observation(1, goal_b=np.asarray([[5.0, 0.0, 1.0, 0.0]]))
    for _ in range(round(pointnav.MOST_ACTION_S / CONTROL_DT_S) + 2):
        adapter.act(seen)
    assert len(policy.asked) == 2


def test_velocities_are_passed_on() -> None:
    class Answers:
        answer = np.asarray([[0.3, -0.2], [np.nan, 0.1]])

        def reset(self, rows: np.ndarray) -> None:
            assert rows.tolist() == [1]

        def act(self, depth: np.ndarray, pointgoal: np.ndarray) -> np.ndarray:
            return self.answer

    adapter = pointnav.Continuous(Answers())
    adapter.reset(np.asarray([False, True]))
    np.testing.assert_array_equal(adapter.act(observation(2)), [[0.3, 0.0, -0.2], [np.nan, 0.0, 0.1]])
    Answers.answer = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 3\), expected \(2, 2\)"):
        adapter.act(observation(2))


def test_what_is_no_action_is_refused() -> None:
    class Wrong(ToTheGoal):
        def act(self, depth: np.ndarray, pointgoal: np.ndarray, rows: np.ndarray) -> np.ndarray:
            return np.full(len(rows), 4)

    adapter = pointnav.Discrete(Wrong(), batch=1)
    adapter.reset(np.asarray([True]))
    with pytest.raises(ValueError, match="expected 1 actions of 0 to 3"):
        adapter.act(observation(1))
