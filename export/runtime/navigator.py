"""The policy's side: turns each report into an order, ten times a second, until the goal is reached or given up."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.observation import Observation
from embodiments.spaces import CONTROL_DT_S
from export.runtime.driver.messages import Order, Report, triple
from export.runtime.retry import Retry
from export.runtime.route import Route, to_body

NO_GOAL = "no goal yet"
RESET_AFTER_S = 0.5
"""After a longer gap between two images the policy forgets its past."""


class StatefulPolicy(Protocol):
    """A policy with memory; ``export.runtime.policy.Policy`` is one."""

    def reset(self) -> None:
        """Forget the past."""

    def step(self, observation: Observation[np.ndarray]) -> np.ndarray:
        """Return the command (1, 3) for an observation."""


@dataclass(frozen=True, kw_only=True)
class GoalConfig:
    """When the goal is reached: near, turned to the goal heading and at rest, for a while."""

    radius_m: float = 0.5
    heading_rad: float = 0.1
    speed_mps: float = 0.1
    yaw_rate_radps: float = 0.1
    """As in training, protocol ``compass``"""
    hold_s: float = 0.0
    """0: the robot is stopped as soon as it stands there"""


class Navigator:
    """Answers reports with orders. ``outcome`` says how it ended, empty while it goes on."""

    def __init__(
        self,
        policy: StatefulPolicy,
        embodiment: Embodiment,
        route: Route | None,
        *,
        goal: GoalConfig | None = None,
        retry: Retry | None = None,
        announce: Callable[[str], None] = print,
    ) -> None:
        """Take the route to follow; without one it stands until ``aim`` gives one."""
        self._policy, self._goal, self._embodiment = policy, goal or GoalConfig(), embodiment
        self.route = route or Route(np.zeros(3))
        """The route that it follows; a new one to the same goal may be set"""
        self._retry = retry or Retry(embodiment)
        self._descriptor = embodiment.descriptor()
        self._announce = announce
        self._sequence = 0
        self._answered: Report | None = None
        self._arrived_s: float | None = None
        self._recovering = self._jumped = False
        self._announced = ""
        self.outcome = "" if route else NO_GOAL

    def aim(self, route: Route) -> None:
        """Go for another goal from now on; the policy forgets its past."""
        self.route, self.outcome, self._retry = route, "", Retry(self._embodiment)
        self._answered = self._arrived_s = None

    def stand(self, report: Report) -> Order:
        """Return an order to stand in answer to a report; the goal stays, and the policy forgets its past."""
        self._notice(report)
        self._answered = None
        return self._order(report, np.zeros(3), drives=False)

    @property
    def recoveries(self) -> int:
        """How often it has backed off and tried again."""
        return self._retry.recoveries

    def step(self, report: Report) -> Order:
        """Return the order that answers a report."""
        self._notice(report)
        self._jumped |= report.jumped
        if report.latched and not self.outcome:
            self.outcome = f"stopped: {report.latched}"
        if self.outcome or report.depth_m is None:
            return self._order(report, np.zeros(3), drives=False)
        if self._reached(report):
            self.outcome = "reached"
            return self._order(report, np.zeros(3), drives=False)
        recovery = (
            self._retry.step(report, left_m=self.route.left_m(np.asarray(report.pose))) if not report.gate else None
        )
        if self._retry.given_up:
            self.outcome = f"gave up after {self._retry.recoveries - 1} tries: {self._retry.reason}"
            return self._order(report, np.zeros(3), drives=False)
        if recovery is not None:
            self._recovering = True
            return self._order(report, np.asarray(recovery), drives=True)
        return self._order(report, self._ask(report), drives=not self.outcome)

    def _ask(self, report: Report) -> np.ndarray:
        last, self._answered = self._answered, report
        afresh = self._jumped or self._recovering or bool(report.gate)
        self._recovering = self._jumped = False
        if afresh or last is None or report.time_s - last.time_s > RESET_AFTER_S:
            self._policy.reset()
            missing = []
        else:
            missing = between(last, report)
        try:
            for missed in missing:
                self._policy.step(self._observation(missed))
            command: np.ndarray = self._policy.step(self._observation(report))[0]
        except ValueError as error:
            self.outcome = f"stopped: {error}"
            return np.zeros(3)
        return command

    def _observation(self, report: Report) -> Observation[np.ndarray]:
        pose = np.asarray(report.pose)
        one = Observation(
            depth_m=np.asarray(report.depth_m)[None],
            velocity_b=np.asarray(report.velocity_b),
            previous_command=np.asarray(report.command),
            route_xy_b_m=self.route.ahead_b(pose),
            goal_b=self.route.goal_b(pose),
            descriptor=self._descriptor,
        )
        return one.map(lambda value: value[None].astype(np.float32))

    def _reached(self, report: Report) -> bool:
        """Return whether the robot has stood at the goal for a while."""
        x, y, cos, sin = self.route.goal_b(np.asarray(report.pose))
        vx, vy, yaw_rate = report.velocity_b
        there = np.hypot(x, y) < self._goal.radius_m and abs(np.arctan2(sin, cos)) < self._goal.heading_rad
        still = np.hypot(vx, vy) < self._goal.speed_mps and abs(yaw_rate) < self._goal.yaw_rate_radps
        if not (there and still):
            self._arrived_s = None
            return False
        self._arrived_s = report.time_s if self._arrived_s is None else self._arrived_s
        return report.time_s - self._arrived_s >= self._goal.hold_s

    def _order(self, report: Report, command: np.ndarray, *, drives: bool) -> Order:
        self._sequence += 1
        x, y, turn = (float(value) for value in command)
        mode = "drive" if drives else "stand"
        return Order(sequence=self._sequence, basis=report.sequence, command=(x, y, turn), mode=mode)  # type: ignore[arg-type]

    def _notice(self, report: Report) -> None:
        """Announce to the operator when the gate that keeps the robot standing changes."""
        now = report.latched or report.gate
        if now == self._announced:
            return
        self._announced = now
        mend = "; release the dead-man's switch, then hold it again" if now.startswith("disarmed:") else ""
        self._announce(f"standing: {now}{mend}" if now else "driving")


def between(last: Report, report: Report) -> list[Report]:
    """Return one report without depth for every control step that is missing between two reports.

    The policy's costmap counts every step as 0.1 s of motion. With steps left out, obstacles would appear too near.
    """
    steps = round((report.time_s - last.time_s) / CONTROL_DT_S)
    if steps < 2:
        return []
    start, end = np.asarray(last.pose), np.asarray(report.pose)
    turn = (end[2] - start[2] + np.pi) % (2.0 * np.pi) - np.pi
    moved = np.asarray([*to_body(end[:2], np.asarray([*start[:2], start[2] + turn / 2.0])), turn])
    # The last report covers its own step.
    velocity = (moved / CONTROL_DT_S - np.asarray(report.velocity_b)) / (steps - 1)
    blank = np.zeros_like(report.depth_m)
    fraction = np.arange(1, steps)[:, None] / steps
    poses = start + fraction * np.asarray([*(end[:2] - start[:2]), turn])
    return [replace(report, pose=triple(pose), velocity_b=triple(velocity), depth_m=blank) for pose in poses]
