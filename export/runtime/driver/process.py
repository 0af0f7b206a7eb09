"""The driver as a process of its own, and the pipe to it: the policy process may die, hang or send nonsense."""

import contextlib
import importlib
import multiprocessing
import os
import pkgutil
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from embodiments import registry
from embodiments.embodiment import Embodiment
from export.runtime import robots
from export.runtime.driver.cycle_log import MAX_BYTES, CycleLog
from export.runtime.driver.driver import TICK_S, Driver, DriverConfig
from export.runtime.driver.messages import Order, Report, pack_order, pack_report, unpack_report
from export.runtime.robots.robot import Robot

_NOT_ADAPTERS = {"robot", "d435i", "depth_image", "lidar"}
_BRAKE_S = 3.0
_ORDERS_PER_TICK = 32
"""A flood of orders must not keep the driver from its watchdog; orders that wait get too old and are dropped"""
_READ_S = 0.05
"""An order that stops in the middle for this long will not be finished"""
READY, FAILED = b"ready", b"failed "


class DriverGoneError(Exception):
    """The driver process has ended or is silent: the robot's own time-out is all that stops it now."""


@dataclass(frozen=True, kw_only=True)
class DriverTask:
    """What the driver process is to do; plain values, sent before anything else."""

    robot: str
    """Adapter"""
    embodiment: str
    config: DriverConfig
    arguments: tuple[str, ...] = ()
    """Further ones of the command line that the adapter understands"""
    log: Path | None = None
    log_max_bytes: int = MAX_BYTES
    header: dict[str, object] = field(default_factory=dict)


def robot_names() -> tuple[str, ...]:
    """Return the adapters: every file in ``robots/`` but the interface and what adapters have in common."""
    modules = pkgutil.iter_modules(robots.__path__)
    return tuple(sorted(m.name for m in modules if not m.ispkg and m.name not in _NOT_ADAPTERS))


def make_robot(name: str, embodiment: Embodiment, arguments: Sequence[str] = ()) -> Robot:
    """Return an adapter, not yet started.

    Raises:
        ValueError: If there is none of that name, or it cannot drive that robot.
    """
    if name not in robot_names():
        raise ValueError(f"no robot '{name}'; known: {', '.join(robot_names())}")
    robot: Robot = importlib.import_module(f"export.runtime.robots.{name}").make(embodiment, *arguments)
    return robot


class DriverProcess:
    """Starts the driver and talks to it."""

    def __init__(self, task: DriverTask, *, start_s: float = 180.0) -> None:
        """Start the driver and wait until its robot is connected: a simulated one may have to compile first.

        Raises:
            OSError: If the robot cannot be reached, in the driver's words.
        """
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self.process = context.Process(target=run_driver, args=(other, task), name="driver")
        self.process.start()
        other.close()
        try:
            answer = self._connection.recv_bytes() if self._connection.poll(start_s) else FAILED + b"no answer in time"
        except EOFError:
            answer = FAILED + b"the driver process ended"
        except BaseException:  # Ctrl-C while it connects: the driver must still end
            self.close()
            raise
        if answer != READY:
            self.close()
            raise OSError(answer.removeprefix(FAILED).decode())

    def receive(self, timeout_s: float) -> Report | None:
        """Return the newest report, or None if none comes in time.

        Raises:
            DriverGoneError: If the driver has died.
        """
        try:
            if not self._connection.poll(timeout_s):
                return None
            data = self._connection.recv_bytes()
            while self._connection.poll(0.0):
                data = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise DriverGoneError from error
        return unpack_report(data)

    def send(self, order: Order) -> None:
        """Send an order.

        Raises:
            DriverGoneError: If the driver has died.
        """
        try:
            self._connection.send_bytes(pack_order(order))
        except OSError as error:
            raise DriverGoneError from error

    def close(self) -> None:
        """Close the pipe: the driver brakes, disconnects and ends by itself."""
        self._connection.close()
        self.process.join(_BRAKE_S + 5.0)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(_BRAKE_S + 5.0)
        if self.process.is_alive():  # in a call that never returns
            self.process.kill()
            self.process.join()


def run_driver(connection: Connection, task: DriverTask) -> None:
    """Drive until the other end is closed, asks to quit, or a signal comes; leave with the robot at rest."""
    stops = [False]
    # No key (Ctrl-C, Ctrl-Z) and no closed terminal reaches it: the policy process gets them and closes the pipe.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stops.__setitem__(0, True))
    try:
        robot = make_robot(task.robot, registry.get(task.embodiment), task.arguments)
        log = None if task.log is None else CycleLog(task.log, header=task.header, max_bytes=task.log_max_bytes)
        driver = Driver(robot, task.config, log=log)
        robot.start()
    except (OSError, ValueError, ImportError) as error:
        connection.send_bytes(FAILED + str(error).encode())
        return
    try:
        if _sent(connection, READY):
            _drive(driver, connection, lambda: stops[0] or driver.quit)
    except OSError as error:
        print(f"the driver ends: {error}", file=sys.stderr)
    finally:
        driver.halt()
        robot.stop()
        if log is not None:
            with contextlib.suppress(OSError):  # a full disk, already reported
                log.close()


def _drive(driver: Driver, connection: Connection, ends: Callable[[], bool]) -> None:
    _limit_reads(connection)
    next_s = time.monotonic()
    while not ends():
        orders = _waiting(connection)
        if orders is None:
            return  # the other end is closed: no ramp, stand
        report = driver.tick(orders)
        if report is not None and _has_room(connection) and not _sent(connection, pack_report(report)):
            return
        next_s = max(next_s + TICK_S, time.monotonic() - TICK_S)
        time.sleep(max(0.0, next_s - time.monotonic()))
    ends_s = time.monotonic() + _BRAKE_S
    while not driver.brake(dt_s=TICK_S) and time.monotonic() < ends_s:
        time.sleep(TICK_S)


def _has_room(connection: Connection) -> bool:
    """Return whether a report can be sent without waiting: a policy that hangs must not hang the driver."""
    return bool(select.select([], [connection], [], 0.0)[1])


def _limit_reads(connection: Connection) -> None:
    """Let a read fail with an OSError after ``_READ_S``: a policy that hangs in mid-order must not hang the driver."""
    seconds, fraction = divmod(_READ_S, 1.0)
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(seconds), int(1e6 * fraction)))


def _waiting(connection: Connection) -> list[bytes] | None:
    """Return the orders that wait, at most ``_ORDERS_PER_TICK``; None if the other end is closed."""
    found: list[bytes] = []
    try:
        while len(found) < _ORDERS_PER_TICK and connection.poll(0.0):
            found.append(connection.recv_bytes(maxlength=4096))
    except (EOFError, OSError):
        return None
    return found


def _sent(connection: Connection, data: bytes) -> bool:
    """Send; return whether the other end is still open."""
    try:
        connection.send_bytes(data)
    except OSError:
        return False
    return True
