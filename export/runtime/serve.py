"""Drives to one goal after the other, as they come, until it is interrupted or must not drive any more."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from export.runtime.driver.messages import Order, Report
from export.runtime.driver.process import DriverGoneError
from export.runtime.goals import Goals, Task
from export.runtime.navigator import Navigator

DRIVER_SILENT_S = 1.0
"""A driver that reports nothing for this long is gone."""


class ReportingDriver(Protocol):
    """A driver process; ``DriverProcess`` is one."""

    def receive(self, timeout_s: float) -> Report | None:
        """Return the newest report, or None if none comes in time."""

    def send(self, order: Order) -> None:
        """Send an order."""


class Server:
    """Hands goals to a navigator; ``last`` says how the last one ended."""

    def __init__(
        self, navigator: Navigator, goals: Goals, *, seconds: float, announce: Callable[[str], None] = print
    ) -> None:
        """Take a navigator without a goal.

        Args:
            seconds: A goal that is not reached within this time is given up.
            announce: Gets a line about every goal.
        """
        self._navigator, self._goals, self._seconds, self._announce = navigator, goals, seconds, announce
        self._task: Task | None = None
        self._ends_s = 0.0
        self._lost = ""
        self.last = ""

    def step(self, report: Report) -> Order:
        """Return the order that answers a report."""
        task = self._goals.newest()
        if task is not None:
            self._begin(task, report)
        if self._task is None:
            return self._navigator.step(report)
        if not self._locate(self._task):
            return self._navigator.stand(report)
        order = self._navigator.step(report)
        if not self._navigator.outcome and report.time_s > self._ends_s:
            self._navigator.outcome = f"out of time after {self._seconds:g} s"
            order = self._navigator.stand(report)
        if self._navigator.outcome:
            self._finish(self._navigator.outcome)
        return order

    def _begin(self, task: Task, report: Report) -> None:
        resumes, self._lost = task.resumes(self._task), ""
        if task.goal is None:
            if self._task is not None:
                self._navigator.outcome = "cancelled"
                self._finish("cancelled by an empty path")
            return
        try:
            origin = self._goals.origin(task.frame)
        except ValueError as error:
            self._announce(f"refused: {error}")
            return
        self._task = task
        if resumes:
            self._navigator.route = task.route(origin)
            return
        x, y, yaw = task.goal
        by = "straight" if task.path_xy_m is None else f"along a path of {len(task.path_xy_m)} poses"
        self._announce(f"to ({x:.2f}, {y:.2f}, {yaw:.2f}) in '{task.frame}', {by}")
        self._ends_s = report.time_s + self._seconds
        self._navigator.aim(task.route(origin))

    def _locate(self, task: Task) -> bool:
        """Follow the frame of the goal; return whether it is known."""
        try:
            self._navigator.route.origin = self._goals.origin(task.frame)
        except ValueError as error:
            if not self._lost:
                self._announce(f"standing: {error}")
            self._lost = str(error)
            return False
        self._lost = ""
        return True

    def _finish(self, outcome: str) -> None:
        self.last, self._task = outcome, None
        self._announce(f"{outcome}; waiting for the next goal")


def reports(driver: ReportingDriver, *, ends_s: float = math.inf) -> Iterator[Report]:
    """Return the driver's reports as they come, until ``ends_s`` on the monotonic clock.

    Raises:
        DriverGoneError: If the driver has died or is silent.
    """
    heard_s = time.monotonic()
    while time.monotonic() < ends_s:
        report = driver.receive(0.2)
        if report is not None:
            heard_s = time.monotonic()
            yield report
        elif time.monotonic() - heard_s > DRIVER_SILENT_S:
            raise DriverGoneError


def serve(driver: ReportingDriver, server: Server) -> str:
    """Answer reports until the driver latches; return why it did.

    Raises:
        DriverGoneError: If the driver has died or is silent.
    """
    for report in reports(driver):
        order = server.step(report)
        driver.send(order)
        if report.latched:
            driver.send(Order(sequence=order.sequence + 1, basis=order.basis, command=(0.0, 0.0, 0.0), mode="quit"))
            return f"stopped: {report.latched}"
    raise AssertionError("reports have no end")
