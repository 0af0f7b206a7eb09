"""Serve a policy that was made for PointGoal navigation with depth, in the format of Habitat's PointNav tasks.

Such a policy sees a square depth image in [0, 1] and the goal in polar coordinates, no colour. It answers one of four
actions (stop, 0.25 m forward, 10° left, 10° right), or a speed and a yaw rate. ``Discrete`` and ``Continuous`` stand
between it and ``PolicyServer``.

What stays different from Habitat: the camera is the robot's own, pitched and as high as it is mounted; of a wider image
only what our camera sees is filled; the robot has inertia. There is no goal heading: evaluate with
``--protocol pointnav``.

Source: Anderson et al. 2018, "On Evaluation of Embodied Navigation Agents"; Savva et al. 2019, "Habitat".
"""

import math
from functools import cache
from typing import Protocol

import numpy as np

from embodiments.observation import Observation
from embodiments.spaces import (
    COMMAND_SIZE,
    CONTROL_DT_S,
    DEPTH_FOCAL_PX,
    DEPTH_HEIGHT_PX,
    DEPTH_RANGE_M,
    DEPTH_WIDTH_PX,
    LIMIT_FIELDS,
)

IMAGE_PX = 256
HFOV_RAD = math.radians(90.0)
"""Field of view of the square image, across and down"""
STOP, FORWARD, LEFT, RIGHT = range(4)
STEP_M, TURN_RAD = 0.25, math.radians(10.0)
LEAST_ACTION_S = 0.3
"""An action takes at least so long: faster, a control step of 0.1 s would be too coarse to end it in time"""
BRAKING_FRACTION = 0.5
"""A robot drives no faster than it can brake within this fraction of an action"""
MOST_ACTION_S = 3.0
"""After so long the policy is asked again, whether or not the robot got there"""
_PIXELS = DEPTH_HEIGHT_PX * DEPTH_WIDTH_PX


class DiscretePolicy(Protocol):
    """A PointNav policy with Habitat's four actions."""

    def reset(self, rows: np.ndarray) -> None:
        """Forget the past of the robots with these numbers (N,)."""

    def act(self, depth: np.ndarray, pointgoal: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return the next actions (N,) of the robots that have finished their last ones.

        Args:
            depth: (N, 256, 256, 1) in [0, 1], see ``depth_image``.
            pointgoal: (N, 2), see ``polar_goal``.
            rows: (N,) which robots of the batch these are, for a policy with a state.
        """


class ContinuousPolicy(Protocol):
    """A PointNav policy that answers velocities, for the whole batch at every control step."""

    def reset(self, rows: np.ndarray) -> None:
        """Forget the past of the robots with these numbers (N,)."""

    def act(self, depth: np.ndarray, pointgoal: np.ndarray) -> np.ndarray:
        """Return speed [m/s] and yaw rate [rad/s], left positive, as (B, 2); arrays as in ``DiscretePolicy``."""


class Discrete:
    """A served policy that carries actions out by measured motion.

    The next action is asked for when the robot has to brake, so that a robot that goes on need not stop in between.
    What is left of an action then is driven all the same: as braking, or before the next one of the same kind.
    """

    def __init__(self, policy: DiscretePolicy, *, batch: int) -> None:
        """Take the policy of one session, for a batch of B robots."""
        self._policy = policy
        self._action = np.full(batch, STOP)
        self._done = np.zeros(batch)
        self._age_s = np.zeros(batch)
        self._asks = np.ones(batch, dtype=bool)

    def reset(self, mask: np.ndarray) -> None:
        """Begin new episodes where ``mask`` (B,) says so."""
        self._policy.reset(np.flatnonzero(mask))
        self._begin(mask, STOP)
        self._asks[mask] = True

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return commands (B, 3).

        Raises:
            ValueError: If the policy answers something that is no action.
        """
        velocity, brake = _velocity(self._action, observation.velocity_b), _brakes(observation.descriptor)
        self._done += velocity * CONTROL_DT_S
        self._age_s += CONTROL_DT_S
        # Half a control step early: the answer takes effect only from here on.
        to_stand = velocity**2 / (2.0 * _along(self._action, brake)) + velocity * CONTROL_DT_S / 2.0
        arrived = self._done + to_stand >= _amount(self._action)
        moves = self._action != STOP  # stop is for good, as in Habitat: it ends the try
        rows = np.flatnonzero(self._asks | (moves & (arrived | (self._age_s >= MOST_ACTION_S))))
        if len(rows):
            some = observation.rows(rows)
            answer = np.asarray(self._policy.act(depth_image(some.depth_m), polar_goal(some.goal_b), rows))
            if answer.shape != (len(rows),) or not np.isin(answer, (STOP, FORWARD, LEFT, RIGHT)).all():
                raise ValueError(f"the policy answered {answer!r}, expected {len(rows)} actions of 0 to 3")
            goes_on = arrived[rows] & (answer == self._action[rows])
            left = np.where(goes_on, _amount(self._action[rows]) - self._done[rows], 0.0)
            self._begin(rows, answer)
            self._done[rows] = -left
        return _command(self._action, _speeds(observation.descriptor))

    def _begin(self, rows: np.ndarray, action: np.ndarray | int) -> None:
        self._action[rows] = action
        self._done[rows] = self._age_s[rows] = 0.0
        self._asks[rows] = False


class Continuous:
    """A served policy that passes speed and yaw rate on."""

    def __init__(self, policy: ContinuousPolicy) -> None:
        """Take the policy of one session."""
        self._policy = policy

    def reset(self, mask: np.ndarray) -> None:
        """Begin new episodes where ``mask`` (B,) says so."""
        self._policy.reset(np.flatnonzero(mask))

    def act(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return commands (B, 3).

        Raises:
            ValueError: If the policy's answer is misshapen.
        """
        batch = len(observation.goal_b)
        answer = np.asarray(self._policy.act(depth_image(observation.depth_m), polar_goal(observation.goal_b)))
        if answer.shape != (batch, 2):
            raise ValueError(f"the policy answered an array of shape {answer.shape}, expected {(batch, 2)}")
        return np.stack([answer[:, 0], np.zeros(batch), answer[:, 1]], axis=1)


def depth_image(depth_m: np.ndarray) -> np.ndarray:
    """Return our depth images as a square camera of 90° in the same place sees them, as far as ours sees.

    Every pixel takes the nearest one of ours along the same ray: planar depth is the same there, and an average over an
    edge would be a surface that does not exist.

    Args:
        depth_m: (B, 1, 40, 64) planar depth [m]; 0 = invalid.

    Returns:
        (B, 256, 256, 1) float32, 0 for 0 m, for invalid and beyond our field of view, 1 for 10 m and more.
    """
    flat = depth_m.reshape(len(depth_m), _PIXELS)
    source, seen = _lookup()
    square = np.where(seen, flat[:, source], 0.0) / DEPTH_RANGE_M
    return square.clip(0.0, 1.0).astype(np.float32)[..., None]


def polar_goal(goal_b: np.ndarray) -> np.ndarray:
    """Return (B, 2) distance [m] and direction [rad] of the goal, left positive, from our goal (B, 4)."""
    x, y = goal_b[:, 0], goal_b[:, 1]
    return np.stack([np.hypot(x, y), np.arctan2(y, x)], axis=1).astype(np.float32)


@cache
def _lookup() -> tuple[np.ndarray, np.ndarray]:
    """Return which of our pixels each of the square image shows (256, 256), and whether there is one."""
    focal_px = IMAGE_PX / 2.0 / math.tan(HFOV_RAD / 2.0)
    tangent = (np.arange(IMAGE_PX) + 0.5 - IMAGE_PX / 2.0) / focal_px
    column = np.floor(tangent * DEPTH_FOCAL_PX + DEPTH_WIDTH_PX / 2.0).astype(int)
    row = np.floor(tangent * DEPTH_FOCAL_PX + DEPTH_HEIGHT_PX / 2.0).astype(int)
    seen = ((row >= 0) & (row < DEPTH_HEIGHT_PX))[:, None] & ((column >= 0) & (column < DEPTH_WIDTH_PX))
    return np.where(seen, row[:, None] * DEPTH_WIDTH_PX + column, 0), seen


def _speeds(descriptor: np.ndarray) -> np.ndarray:
    """Return (B, 2) the speed [m/s] and yaw rate [rad/s] with which each robot carries actions out."""
    limits = np.stack([descriptor[:, LIMIT_FIELDS.index(name)] for name in ("forward_mps", "yaw_rate_radps")], axis=1)
    amount = np.asarray([STEP_M, TURN_RAD])
    braking = np.sqrt(2.0 * _brakes(descriptor) * BRAKING_FRACTION * amount)
    return np.minimum(np.minimum(limits, braking), amount / LEAST_ACTION_S)


def _brakes(descriptor: np.ndarray) -> np.ndarray:
    """Return (B, 2) the acceleration [m/s²] and yaw acceleration [rad/s²] of each robot."""
    names = ("acceleration_mps2", "yaw_acceleration_radps2")
    return np.stack([descriptor[:, LIMIT_FIELDS.index(name)] for name in names], axis=1)


def _amount(action: np.ndarray) -> np.ndarray:
    """Return how far actions move a robot [m or rad]."""
    return np.where(action == FORWARD, STEP_M, TURN_RAD)


def _along(action: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the linear or the angular one of two values (B, 2), whichever an action is about."""
    return np.where(action == FORWARD, values[:, 0], values[:, 1])


def _velocity(action: np.ndarray, velocity_b: np.ndarray) -> np.ndarray:
    """Return how fast (B,) [m/s or rad/s] the robots get on with their actions."""
    turning = np.where(action == RIGHT, -velocity_b[:, 2], velocity_b[:, 2])
    return _along(action, np.stack([velocity_b[:, 0], turning], axis=1)).clip(min=0.0)


def _command(action: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """Return the commands (B, 3) that carry actions out."""
    command = np.zeros((len(action), COMMAND_SIZE), dtype=np.float32)
    command[:, 0] = np.where(action == FORWARD, speed[:, 0], 0.0)
    command[:, 2] = np.where(action == LEFT, speed[:, 1], np.where(action == RIGHT, -speed[:, 1], 0.0))
    return command
