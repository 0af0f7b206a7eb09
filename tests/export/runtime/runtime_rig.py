"""The robot's side on a simulated clock: fake robot, driver and navigator in one thread, and faults between them."""

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from embodiments.observation import Observation
from export.runtime.driver.driver import TICK_S, Driver, DriverConfig
from export.runtime.driver.messages import Order, Report, pack_order
from export.runtime.navigator import Navigator
from export.runtime.robots.fake import FakeRobot
from export.runtime.robots.robot import Depth, Odometry, Scan
from export.runtime.route import Route

REPORT_TICKS = round(0.1 / TICK_S)


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Cruise:
    """A policy that always asks for the same."""

    def __init__(self, command: tuple[float, float, float] = (0.2, 0.0, 0.0)) -> None:
        self.command, self.resets, self.seen = command, 0, 0
        self.since_reset: list[Observation[np.ndarray]] = []
        """Observations"""

    def reset(self) -> None:
        self.resets += 1
        self.since_reset = []

    def step(self, observation: Observation[np.ndarray]) -> np.ndarray:
        self.seen += 1
        self.since_reset.append(observation)
        return np.asarray([self.command])


class FaultyRobot(FakeRobot):
    """The fake, with a fault between its sensors and the driver while ``fault`` is set."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.on_depth: Callable[[Depth], Depth | None] | None = None
        self.on_odometry: Callable[[Odometry], Odometry | None] | None = None
        self.on_scan: Callable[[Scan], Scan | None] | None = None

    def depth(self) -> Depth | None:
        reading = super().depth()
        return reading if self.on_depth is None or reading is None else self.on_depth(reading)

    def odometry(self) -> Odometry | None:
        reading = super().odometry()
        return reading if self.on_odometry is None or reading is None else self.on_odometry(reading)

    def scan(self) -> Scan | None:
        reading = super().scan()
        return reading if self.on_scan is None or reading is None else self.on_scan(reading)


class Rig:
    """Everything, tick by tick."""

    def __init__(
        self, policy: Any = None, *, goal: tuple[float, float, float] = (4.0, 0.0, 0.0), **config: Any
    ) -> None:
        self.clock = Clock()
        self.robot = FaultyRobot(self.clock)
        self.robot.start()
        self.driver = Driver(self.robot, DriverConfig(max_speed_mps=0.25, **config), clock=self.clock)
        self.policy = policy or Cruise()
        self.announced: list[str] = []
        self.navigator = Navigator(
            self.policy, self.robot.embodiment, Route(np.asarray(goal)), announce=self.announced.append
        )
        self.on_order: Callable[[Order], Order | None] = lambda order: order
        self.on_report: Callable[[Report], Report | None] = lambda report: report
        self.reports: list[Report] = []
        self.commanded: list[tuple[float, float]] = []
        """(time [s], greatest absolute value of the command in force)"""
        self._waiting: list[bytes] = []
        self._silent = False

    def run(self, seconds: float) -> "Rig":
        """Let time pass."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.now_s += TICK_S
            orders, self._waiting = self._waiting, []
            report = self.driver.tick(orders)
            self.commanded.append((self.clock.now_s, float(np.abs(self.driver.command).max())))
            if report is not None:
                self.reports.append(report)
                arrived = self.on_report(report)
                order = None if arrived is None else self.on_order(self.navigator.step(arrived))
                self._waiting += [pack_order(order)] if order is not None else []
        return self

    def moving(self) -> bool:
        """Return whether a command other than zero is in force."""
        return self.commanded[-1][1] > 0.0

    def time_to_stop_s(self, since_s: float) -> float:
        """Return how long after a moment the command became zero and stayed so."""
        later = [(time_s, size) for time_s, size in self.commanded if time_s >= since_s]
        last_moving = max((time_s for time_s, size in later if size > 0.0), default=since_s - TICK_S)
        return last_moving + TICK_S - since_s

    def time_to_resume_s(self, since_s: float) -> float:
        """Return how long after a moment a command other than zero came, inf if never."""
        return min(
            (time_s - since_s for time_s, size in self.commanded if time_s > since_s and size > 0.0), default=np.inf
        )


def driving(command: tuple[float, float, float] = (0.2, 0.0, 0.0)) -> Rig:
    """Return a rig of its own that has been driving for two seconds."""
    return copy.deepcopy(_driving(command))


@functools.cache
def _driving(command: tuple[float, float, float]) -> Rig:
    rig = Rig(Cruise(command)).run(2.0)
    assert rig.moving()
    return rig


def frozen(*, noise_m: float = 0.0) -> Callable[[Depth], Depth]:
    """Return a fault that numbers and stamps the first picture ever anew, each time under other noise."""
    first: list[Depth] = []

    def fault(reading: Depth) -> Depth:
        first.append(reading)
        image_m = first[0].image_m
        noise = noise_m * np.random.default_rng(reading.sequence).standard_normal(image_m.shape)
        return replace(reading, image_m=np.where(image_m > 0.0, image_m + noise, 0.0).astype(np.float32))

    return fault


def frozen_scan(*, noise_m: float = 0.0) -> Callable[[Scan], Scan]:
    """Return the same fault of a lidar."""
    first: list[Scan] = []

    def fault(reading: Scan) -> Scan:
        first.append(reading)
        points_b_m = first[0].points_b_m
        noise = noise_m * np.random.default_rng(reading.sequence).standard_normal(points_b_m.shape)
        return replace(reading, points_b_m=points_b_m + noise)

    return fault


def stuck(*, velocity_b: tuple[float, float, float] | None) -> Callable[[Odometry], Odometry]:
    """Return a fault that numbers and stamps the first pose ever anew.

    Args:
        velocity_b: What the velocity says; None for the first one ever.
    """
    first: list[Odometry] = []

    def fault(reading: Odometry) -> Odometry:
        first.append(reading)
        velocity = first[0].velocity_b if velocity_b is None else np.asarray(velocity_b)
        return replace(reading, pose=first[0].pose, velocity_b=velocity)

    return fault
