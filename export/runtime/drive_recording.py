"""Records a drive as MCAP: what the driver reported, and what the policy answered, ten times a second."""

import contextlib
import copy
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from embodiments.embodiment import Embodiment
from export.runtime.driver.messages import Order, Report
from export.runtime.recording import messages
from export.runtime.recording.mcap_file import McapFile, check_installed
from export.runtime.route import Route
from export.runtime.serve import ReportingDriver


class DriveRecording:
    """Appends reports and orders to an MCAP file.

    It lies in the policy process: a full disk ends the recording, never the drive. A kill leaves a file without its
    index, which ``mcap recover`` mends.
    """

    def __init__(self, path: Path, embodiment: Embodiment, *, facts: dict[str, object]) -> None:
        """Begin a new file.

        Args:
            embodiment: The robot; its camera's place goes into ``/tf``.
            facts: About the drive: policy, robot, goal.

        Raises:
            ValueError: If the packages that write MCAP are not installed.
            FileExistsError: If the file is there.
        """
        refuse(path)
        self._camera = embodiment.camera
        self._file: McapFile | None = McapFile(path)
        self._epoch_ns: int | None = None
        self.failure = ""
        """Why it ended early, or empty"""
        self._file.note({name: json.dumps(value) for name, value in facts.items()})

    def add(self, report: Report, order: Order, route: Route | None) -> None:
        """Append one cycle; after an error nothing more is written.

        Args:
            route: What the policy follows now, if there is a goal.
        """
        if self._file is None:
            return
        if self._epoch_ns is None:
            self._epoch_ns = time.time_ns() - round(report.time_s * 1e9)
        try:
            self._append(self._file, report, order, route, time_ns=self._epoch_ns + round(report.time_s * 1e9))
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Write the index."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self._fail(error)
        self._file = None

    def _append(self, file: McapFile, report: Report, order: Order, route: Route | None, *, time_ns: int) -> None:
        if report.depth_m is not None:
            depth_mm = np.rint(np.clip(report.depth_m, 0.0, 65.0) * 1000.0).astype(np.uint16)
            file.write("/depth/image", messages.depth_image(time_ns, depth_mm), time_ns=time_ns)
            file.write("/depth/camera_info", messages.camera_info(time_ns), time_ns=time_ns)
        if "odometry" in report.ages_s:
            file.write("/odom", messages.odometry(time_ns, report.pose, report.velocity_b), time_ns=time_ns)
            file.write("/tf", messages.transforms(time_ns, report.pose, self._camera), time_ns=time_ns)
            if route is not None:
                pose, route = np.asarray(report.pose), copy.copy(route)  # asking it moves its place on the path
                file.write("/route", messages.route(time_ns, route.ahead_b(pose)), time_ns=time_ns)
                file.write("/goal_pose", messages.goal(time_ns, route.goal_b(pose).tolist()), time_ns=time_ns)
        file.write("/cmd_vel", messages.twist(time_ns, report.command), time_ns=time_ns)
        file.write("/policy/cmd_vel", messages.twist(time_ns, order.command), time_ns=time_ns)
        status = {name: getattr(report, name) for name in ("gate", "latched", "zone", "ages_s", "free_m")}
        file.write("/status", {"data": json.dumps(status)}, time_ns=time_ns)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or f"the recording ended early: {error}"
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.abandon()
        self._file = None


class Listener(Protocol):
    """Takes every report and the order that answers it: ``DriveRecording``, ``DriveView``."""

    def add(self, report: Report, order: Order, route: Route | None) -> None:
        """Take one cycle and the route that the policy follows; must not raise."""


class RecordedDriver:
    """A driver whose reports and orders others get, too; an order is sent before they get it."""

    def __init__(
        self, driver: ReportingDriver, listeners: Sequence[Listener], route: Callable[[], Route | None]
    ) -> None:
        """Take a driver process, and what says which route the policy follows now."""
        self._driver, self._listeners, self._route = driver, listeners, route
        self._report: Report | None = None

    def receive(self, timeout_s: float) -> Report | None:
        """Return the newest report, or None if none comes in time."""
        self._report = self._driver.receive(timeout_s)
        return self._report

    def send(self, order: Order) -> None:
        """Send an order; hand it over with its report, once."""
        self._driver.send(order)
        if self._report is not None:
            for listener in self._listeners:
                listener.add(self._report, order, self._route())
        self._report = None


def refuse(path: Path) -> None:
    """Refuse a recording that could not be written, before anything else begins.

    Raises:
        FileExistsError: If the file is there.
        ValueError: If it is called otherwise than ``.mcap``, or the packages that write MCAP are missing.
    """
    if path.suffix != ".mcap":
        raise ValueError(f"--record {path} must end in .mcap")
    if path.exists():
        raise FileExistsError(f"--record {path} exists already; choose another name or remove it")
    check_installed()
