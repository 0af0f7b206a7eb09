"""Whether the odometry is finite, continuous, and moves when the robot is commanded to move.

A stuck odometry shows only in motion: fresh readings whose pose stays while commands flow. It looks like blocked
wheels, and the robot must stop for both. Nothing at rest shows its end, so the operator has to arm the robot again.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from embodiments.spaces import STAND_SPEED_MPS, STAND_YAW_RATE_RADPS
from export.runtime.driver.readings import OPEN
from export.runtime.robots.robot import Odometry

STUCK = "odometry_stuck"


@dataclass(frozen=True, kw_only=True)
class OdometryGateConfig:
    """Limits of plausible odometry."""

    age_s: float = 0.15
    jump_m: float = 0.3
    jump_rad: float = 0.5
    """Two poses may differ by this much more than the velocity explains"""
    stuck_m: float = 0.025
    stuck_rad: float = 0.05
    """Commanded or measured travel after which a pose that has not moved is stuck"""
    moved_m: float = 0.0025
    moved_rad: float = 0.005
    """A pose that differs by this much has moved; a tenth of what was commanded"""
    lag_s: float = 0.15
    """Time that a base may take to follow a command"""


class OdometryGate:
    """Judges every new odometry reading against the one before and against the commands."""

    def __init__(self, config: OdometryGateConfig) -> None:
        self._config = config
        self._last: Odometry | None = None
        self._anchor: Odometry | None = None
        self._travel = np.zeros(2)
        """Expected travel [m, rad] since the pose last moved"""
        self._commands: deque[tuple[float, np.ndarray]] = deque([(-np.inf, np.zeros(3))])
        self.jumped = False
        """Whether the last reading jumped: what was seen before it no longer counts"""

    def command(self, command: np.ndarray, *, now_s: float) -> None:
        """Take in the command (3,) that is in force since the last call."""
        self._commands.append((now_s, command))
        while len(self._commands) > 1 and self._commands[1][0] <= now_s - self._config.lag_s:
            self._commands.popleft()

    def check(self, odometry: Odometry) -> str:
        """Return the gate that a reading closes, or ``OPEN``."""
        if odometry.pose.shape != (3,) or odometry.velocity_b.shape != (3,):
            return "odometry_shape"
        if not (np.isfinite(odometry.pose).all() and np.isfinite(odometry.velocity_b).all()):
            return "odometry_not_finite"
        last, self._last = self._last, odometry
        self.jumped = False
        if last is None or odometry.sequence == last.sequence:
            return OPEN
        dt_s = max(0.0, odometry.received_s - last.received_s)
        self.jumped = self._jumps(last, odometry, dt_s=dt_s)
        if self.jumped:
            self.forget()
            return "odometry_jump"
        return STUCK if self._sticks(odometry, dt_s=dt_s) else OPEN

    def forget(self) -> None:
        """Begin to watch for a stuck pose anew."""
        self._anchor = None

    def _jumps(self, last: Odometry, odometry: Odometry, *, dt_s: float) -> bool:
        moved_m, turned_rad = travel(last.pose, odometry.pose)
        reach = np.abs(last.velocity_b) * dt_s
        far = moved_m > float(np.hypot(*reach[:2])) + self._config.jump_m
        return far or bool(turned_rad > reach[2] + self._config.jump_rad)

    def _sticks(self, odometry: Odometry, *, dt_s: float) -> bool:
        """Add up the travel that follows from commands or the odometry's own velocity while the pose stays."""
        config = self._config
        moved_m, turned_rad = (np.inf, np.inf) if self._anchor is None else travel(self._anchor.pose, odometry.pose)
        if moved_m >= config.moved_m or turned_rad >= config.moved_rad:
            self._anchor, self._travel = odometry, np.zeros(2)
            return False
        followed = np.minimum(_speeds(self._commands[0][1]), _speeds(self._commands[-1][1]))
        expected = np.maximum(followed, _speeds(odometry.velocity_b))
        self._travel = self._travel + expected * min(dt_s, config.age_s)
        return bool(self._travel[0] > config.stuck_m or self._travel[1] > config.stuck_rad)


def travel(start: np.ndarray, end: np.ndarray) -> tuple[float, float]:
    """Return distance [m] and angle [rad], both positive, between two poses (3,)."""
    turn = (end[2] - start[2] + np.pi) % (2.0 * np.pi) - np.pi
    return float(np.hypot(*(end[:2] - start[:2]))), abs(float(turn))


def _speeds(velocity_b: np.ndarray) -> np.ndarray:
    """Return speed [m/s] and yaw rate [rad/s], both positive; zero where they mean: stand."""
    speed_mps, yaw_rate_radps = float(np.hypot(*velocity_b[:2])), abs(float(velocity_b[2]))
    if speed_mps < STAND_SPEED_MPS and yaw_rate_radps < STAND_YAW_RATE_RADPS:
        return np.zeros(2)
    return np.asarray([speed_mps, yaw_rate_radps])
