"""The only part that commands the robot: gates, watchdog, stop zone and limiter check every order.

Every fault ends in zero velocity. What follows depends on whether its end can be seen at rest:

* A reading that was bad and is good again (late, missing, implausible, frozen): driving goes on by itself.
* A fault that shows only in motion (stuck odometry, images that contradict the motion), a pause of the driver's own
  loop, a policy process that sends nothing for a second: the robot is disarmed. The operator releases the dead-man's
  switch and holds it again.
* Run-stop, hindrance, robot error, malformed order, a log that cannot be written: latched until the program is started
  anew.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from export.runtime.driver.arming import Arming
from export.runtime.driver.cycle_log import CycleLog
from export.runtime.driver.gates import DISARMING, GateConfig, Gates
from export.runtime.driver.limiter import Limiter
from export.runtime.driver.messages import Order, Report, triple, unpack_order
from export.runtime.driver.readings import OPEN
from export.runtime.driver.stop_zone import StopZone, StopZoneConfig
from export.runtime.robots.robot import Depth, Odometry, Robot, Scan

TICK_S = 0.02
_DIRECTIONS = {"ahead": 0.0, "left": np.pi / 2.0, "behind": np.pi, "right": -np.pi / 2.0}


@dataclass(frozen=True, kw_only=True)
class DriverConfig:
    """Deadlines of the driver [s] and the limits that an operator sets."""

    max_speed_mps: float = 0.15
    """For first runs; the robot's own limits hold besides"""
    watchdog_s: float = 0.25
    """Without a new order for this long the robot is stopped"""
    basis_s: float = 0.4
    """An order that answers an older report than this is dropped"""
    link_s: float = 1.0
    """A policy process that sends nothing for this long is lost: the robot is disarmed"""
    pause_s: float = 0.5
    """After a longer pause of the driver's own loop (SIGSTOP, suspend) the robot is disarmed"""
    report_s: float = 0.1
    send_s: float = 0.05
    """Stretch drops commands that come faster than about 20 Hz; a stop is sent at once"""
    needs_scan: bool = True
    """Without a lidar there is no stop zone and no reversing"""
    gates: GateConfig = field(default_factory=GateConfig)
    zone: StopZoneConfig = field(default_factory=StopZoneConfig)


class Driver:
    """The driver's logic, one tick at a time, on whatever clock it is given."""

    def __init__(
        self,
        robot: Robot,
        config: DriverConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        log: CycleLog | None = None,
    ) -> None:
        """Begin disarmed and at rest; the robot, started before the first tick, stamps readings by this clock [s]."""
        self._robot, self._config, self._clock, self._log = robot, config, clock, log
        self._gates = Gates(robot.embodiment, config.gates, needs_scan=config.needs_scan)
        self._limiter = Limiter(robot.embodiment, max_speed_mps=config.max_speed_mps)
        self._zone = StopZone(robot.embodiment, config.zone)
        self._order: Order | None = None
        self._ordered_s = self._heard_s = -np.inf
        self._reported: dict[int, float] = {}
        self._sequence = 0
        self._arming = Arming()
        self._jumped = False
        self._latched = ""
        self._sent_s = self._report_due_s = self._ticked_s = -np.inf
        self._sent = np.zeros(3)
        self.quit = False
        """Whether the policy process asked to quit"""

    @property
    def latched(self) -> str:
        """Why the robot will not drive again, or empty."""
        return self._latched

    @property
    def command(self) -> np.ndarray:
        """(3,) the command in force."""
        return self._sent

    def tick(self, orders: Iterable[bytes]) -> Report | None:
        """Take in orders, decide, command the robot; return a report when one is due.

        Args:
            orders: What has arrived since the last tick.
        """
        depth, odometry, scan = self._robot.depth(), self._robot.odometry(), self._robot.scan()
        now_s = self._clock()  # after the readings: their age must count what it took to get them
        for data in orders:
            self._heard_s = now_s
            self._take(data, now_s=now_s)
        gap_s = 0.0 if np.isinf(self._ticked_s) else now_s - self._ticked_s
        if gap_s > self._config.pause_s:
            self._disarm("driver_paused")
        gate = self._gate(depth, odometry, scan, now_s=now_s)
        usable = self._gates.usable(scan)
        self._jumped |= self._gates.jumped
        dt_s = min(max(gap_s, 1e-3), 0.1)
        self._ticked_s = now_s
        command, zone, asked = self._decide(gate, usable, dt_s=dt_s)
        self._send(command, now_s=now_s)
        # The policy's map counts every report as one control step: a tick that comes a little early must not cost one.
        if now_s < self._report_due_s - TICK_S / 2.0:
            return None
        is_late = now_s - self._report_due_s > self._config.report_s / 2.0
        self._report_due_s = (now_s if is_late else self._report_due_s) + self._config.report_s
        report = self._report(gate, zone, depth, odometry, scan, now_s=now_s)
        self._note(report, asked=asked)
        return report

    def brake(self, *, dt_s: float) -> bool:
        """Ramp down by one step, whatever the orders; return whether the command is zero."""
        command = self._limiter.step(np.zeros(3), dt_s=dt_s)
        self._command(command)
        return not command.any()

    def halt(self) -> None:
        """Command zero at once."""
        self._command(self._limiter.halt())

    def _take(self, data: bytes, *, now_s: float) -> None:
        try:
            order = unpack_order(data)
        except ValueError as error:
            self._latch(f"policy: {error}")
            return
        self.quit |= order.mode == "quit"
        late = now_s - self._reported.get(order.basis, -np.inf) > self._config.basis_s
        if not late and (self._order is None or order.sequence > self._order.sequence):
            self._order, self._ordered_s = order, now_s

    def _gate(self, depth: Depth | None, odometry: Odometry | None, scan: Scan | None, *, now_s: float) -> str:
        """Return the name of the gate that keeps the robot standing, or ``OPEN``."""
        health = self._robot.health()
        if health.run_stopped:
            self._latch("run_stop")
        if health.hindrance:
            self._latch(health.hindrance)
        gate = self._gates.check(depth, odometry, scan, command=self._sent, now_s=now_s)
        if gate in DISARMING:
            self._disarm(gate)
        if self._arming.is_armed and now_s - self._heard_s > self._config.link_s:
            self._disarm("link_lost")
        is_held = self._robot.held()
        if gate != OPEN and not is_held:  # the operator starts over
            self._disarm(gate)
        if gate == OPEN and not self._arming.is_armed:
            gate = self._gates.check_before_arming(self._gates.usable(scan))
            if gate != OPEN:
                self._gates.forget()
        if self._arming.update(is_held=is_held, is_open=gate == OPEN):
            self._heard_s = now_s
        if self._latched:
            return "latched"
        if gate != OPEN or not self._arming.is_armed:
            return gate or self._arming.gate
        if not is_held:
            return "dead_man"
        return "order_stale" if now_s - self._ordered_s > self._config.watchdog_s else OPEN

    def _disarm(self, cause: str) -> None:
        self._arming.disarm(cause)
        self._gates.forget()

    def _decide(self, gate: str, scan: Scan | None, *, dt_s: float) -> tuple[np.ndarray, str, np.ndarray]:
        """Return the command to execute, the stop zone that limits it, and the policy's command."""
        asked = np.zeros(3) if self._order is None else np.asarray(self._order.command)
        if gate != OPEN or self._order is None:
            return self._limiter.halt(), "", asked
        target = asked if self._order.mode == "drive" else np.zeros(3)
        if (scan is None or not scan.sees_behind) and target[0] < 0.0:
            target = np.asarray([0.0, *target[1:]])  # nothing sees behind
        command = self._limiter.step(target, dt_s=dt_s)
        if scan is None:
            return command, "", asked
        decision = self._zone.check(command, scan.points_b_m, blind=scan.blind)
        if decision.factor < 1.0:
            command = self._limiter.last = command * decision.factor
        return command, decision.zone, asked

    def _send(self, command: np.ndarray, *, now_s: float) -> None:
        stops = bool(self._sent.any()) and not command.any()
        if stops or now_s - self._sent_s >= self._config.send_s - 1e-6:
            self._sent_s = now_s
            self._command(command)

    def _command(self, command: np.ndarray) -> None:
        self._sent = command.copy()
        try:
            self._robot.drive(command, acceleration=self._limiter.acceleration)
        except (OSError, ValueError) as error:
            self._latch(f"robot: {error}")
            self._limiter.halt()

    def _note(self, report: Report, *, asked: np.ndarray) -> None:
        """Write a report into the log; a drive that cannot be logged any more ends standing."""
        if self._log is None:
            return
        try:
            self._log.write(report, asked=asked)
        except OSError as error:
            self._latch(f"log: {error}")
            self._log = None

    def _latch(self, reason: str) -> None:
        self._latched = self._latched or reason

    def _report(
        self,
        gate: str,
        zone: str,
        depth: Depth | None,
        odometry: Odometry | None,
        scan: Scan | None,
        *,
        now_s: float,
    ) -> Report:
        self._sequence += 1
        recent = {number: time_s for number, time_s in self._reported.items() if now_s - time_s < 1.0}
        self._reported = recent | {self._sequence: now_s}
        readings = {"depth": depth, "odometry": odometry, "scan": scan}
        # The policy gets the image, so that its answer is ready when the robot may drive.
        waits = gate in (OPEN, "dead_man", "order_stale") or gate.startswith("disarmed")
        usable = self._gates.usable(scan)
        free = {} if usable is None else {n: self._zone.free_m(usable.points_b_m, b) for n, b in _DIRECTIONS.items()}
        if usable is not None and not usable.sees_behind:
            free.pop("behind")
        jumped, self._jumped = self._jumped, False
        return Report(
            sequence=self._sequence,
            time_s=now_s,
            gate=gate,
            latched=self._latched,
            zone=zone,
            jumped=jumped,
            pose=triple(None if odometry is None else odometry.pose),
            velocity_b=triple(None if odometry is None else odometry.velocity_b),
            command=triple(self._limiter.last),
            ages_s={n: round(now_s - r.received_s, 4) for n, r in readings.items() if r is not None},
            free_m={name: round(min(value, 99.0), 3) for name, value in free.items()},
            depth_m=depth.image_m if depth is not None and waits else None,
        )
