"""The interface between driver and robot; one adapter per robot beside this file.

A vendor's package is imported only in its adapter.
Every reading carries the time of its receipt on the monotonic clock: wall clocks jump, and sensors' stamps may lie.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from embodiments.embodiment import Disc, Embodiment


@dataclass(frozen=True, kw_only=True)
class Depth:
    """One canonical depth image, see ``embodiments.spaces``."""

    image_m: np.ndarray
    """(40, 64) planar depth [m], upright, 0 = invalid"""
    sequence: int
    """Grows with every new image of the sensor; a repeated number is the same image"""
    received_s: float
    """Monotonic clock [s]"""


@dataclass(frozen=True, kw_only=True)
class Odometry:
    """Where wheels or legs say the robot is."""

    pose: np.ndarray
    """(3,) x [m], y [m], yaw [rad] of the body in the odometry frame"""
    velocity_b: np.ndarray
    """(3,) vx, vy [m/s], yaw rate [rad/s], body frame"""
    sequence: int
    received_s: float


@dataclass(frozen=True, kw_only=True)
class Scan:
    """One turn of a lidar that the policy does not use."""

    points_b_m: np.ndarray
    """(N, 2) x, y [m] of what was hit, body frame; misses left out"""
    sequence: int
    received_s: float
    blind: tuple[Disc, ...] = ()
    """Where around it this lidar sees nothing, body frame"""
    sees_behind: bool = True
    """Whether its rays go backwards, too"""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether the robot may be driven."""

    run_stopped: bool
    hindrance: str = ""
    """Why it may not be driven at all (not homed, arm not stowed, battery low), one sentence with the mend; or empty"""


class Robot(Protocol):
    """A robot as the driver process sees it; called from one thread only."""

    embodiment: Embodiment

    def start(self) -> None:
        """Connect; the robot must not move.

        Raises:
            OSError: If it cannot be reached, with one line that says what to do.
        """

    def stop(self) -> None:
        """Disconnect; called once, after the last command was zero."""

    def health(self) -> Health:
        """Return whether it may be driven."""

    def depth(self) -> Depth | None:
        """Return the newest image, or None before the first."""

    def odometry(self) -> Odometry | None:
        """Return the newest odometry, or None before the first."""

    def scan(self) -> Scan | None:
        """Return the newest lidar turn, or None before the first or without a lidar."""

    def held(self) -> bool:
        """Return whether the operator holds the dead-man's switch now."""

    def drive(self, command: np.ndarray, *, acceleration: np.ndarray) -> None:
        """Send one admissible command.

        Args:
            command: (3,) vx, vy [m/s], yaw rate [rad/s], body frame.
            acceleration: (2,) limits [m/s^2, rad/s^2] that the vendor's own motion profile shall use.
        """
