"""A robot in full physics, in another process on this machine: ``python -m pipeline serve_robot`` behind a socket.

Options for the server are read from the environment variable ``CROSSBODY_SIM``, as on its command line.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Client, Connection
from typing import Any

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX
from export.runtime.robots.lidar import LIDAR_BLIND
from export.runtime.robots.robot import Depth, Health, Odometry, Scan

OPTIONS = "CROSSBODY_SIM"
Ask = Callable[[bytes], bytes]
"""A request to the simulation -> its answer."""
_FRESH_S = 0.004
"""Readings within this time come from one answer."""


class SimulatedRobot:
    """The simulated robot as the driver sees it; the operator holds the dead-man's switch after a moment."""

    def __init__(
        self, embodiment: Embodiment, ask: Ask | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; ``start`` connects.

        Args:
            embodiment: The robot.
            ask: How to reach a simulation that is already there; by default one is started.
            clock: What readings are stamped with [s].
        """
        self.embodiment = embodiment
        self._ask, self._clock = ask, clock
        self._server: subprocess.Popen[str] | None = None
        self._connection: Connection | None = None
        self._asked_s = -np.inf
        self._first_s: float | None = None
        self._depth: Depth | None = None
        self._odometry: Odometry | None = None
        self._scan: Scan | None = None

    def start(self) -> None:
        """Start the simulation and wait for it: a minute, the first time on a machine.

        Raises:
            OSError: If it does not come up; its own last line says why.
        """
        if self._ask is not None:
            return
        command = [sys.executable, "-m", "pipeline", "serve_robot", "--embodiments", self.embodiment.name]
        command += shlex.split(os.environ.get(OPTIONS, ""))
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout is not None
        ready = next((line for line in self._server.stdout if line.startswith("ready ")), "")
        if not ready:
            raise OSError("the simulation did not start; see the line above")
        connection = self._connection = Client(("127.0.0.1", int(ready.split()[1])))

        def ask(request: bytes) -> bytes:
            connection.send_bytes(request)
            return connection.recv_bytes()

        self._ask = ask

    def stop(self) -> None:
        """End the simulation."""
        if self._connection is not None:
            self._connection.close()  # the server ends with it
        if self._server is not None:
            try:
                self._server.wait(10.0)
            except subprocess.TimeoutExpired:
                self._server.kill()

    def health(self) -> Health:
        """Return that nothing hinders; a simulation has no run-stop."""
        return Health(run_stopped=False)

    def held(self) -> bool:
        """Return True a moment after the first question: the operator presses, and goes on pressing."""
        self._first_s = self._clock() if self._first_s is None else self._first_s
        return self._clock() - self._first_s > 0.3

    def depth(self) -> Depth | None:
        """Return the newest image."""
        self._refresh()
        return self._depth

    def odometry(self) -> Odometry | None:
        """Return the newest odometry, which begins where the robot was placed."""
        self._refresh()
        return self._odometry

    def scan(self) -> Scan | None:
        """Return the newest lidar turn."""
        self._refresh()
        return self._scan

    def drive(self, command: np.ndarray, *, acceleration: np.ndarray) -> None:
        """Send a command.

        Raises:
            ValueError: If it is not finite, or has a lateral part that wheels cannot execute.
        """
        sideways = not self.embodiment.moves_sideways and command[1] != 0.0
        if sideways:
            raise ValueError(
                f"{self.embodiment.name} has wheels that only roll: no lateral velocity, as in {command.tolist()}"
            )
        if not np.isfinite(command).all():
            raise ValueError(f"{self.embodiment.name} cannot execute {command.tolist()}")
        self.request({"op": "drive", "command": command.tolist(), "acceleration": acceleration.tolist()})

    def request(self, message: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Send a request to the simulation; return header and arrays.

        Raises:
            OSError: If it is gone.
        """
        assert self._ask is not None, "call start() first"
        try:
            header, _, payload = self._ask(json.dumps(message).encode()).partition(b"\n")
        except EOFError:
            raise OSError("the simulation ended") from None
        return json.loads(header), payload

    def _refresh(self) -> None:
        now_s = self._clock()
        if now_s - self._asked_s < _FRESH_S:
            return
        known = {"depth": self._depth, "scan": self._scan}
        header, payload = self.request(
            {"op": "read", "known": {name: reading.sequence for name, reading in known.items() if reading is not None}}
        )
        self._asked_s = now_s = self._clock()
        reading = header["odometry"]
        if self._odometry is None or reading["sequence"] != self._odometry.sequence:
            pose, velocity_b = np.asarray(reading["pose"]), np.asarray(reading["velocity_b"])
            self._odometry = Odometry(pose=pose, velocity_b=velocity_b, sequence=reading["sequence"], received_s=now_s)
        image, turn = payload[: header["depth"]["bytes"]], payload[header["depth"]["bytes"] :]
        if image:
            image_m = np.frombuffer(image, dtype="<f4").reshape(DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
            self._depth = Depth(image_m=image_m, sequence=header["depth"]["sequence"], received_s=now_s)
        if turn:
            points = np.frombuffer(turn, dtype="<f4").reshape(-1, 2).astype(np.float64)
            sequence = header["scan"]["sequence"]
            self._scan = Scan(points_b_m=points, sequence=sequence, received_s=now_s, blind=(LIDAR_BLIND,))


def make(embodiment: Embodiment) -> SimulatedRobot:
    """Return the simulated robot, not yet started."""
    return SimulatedRobot(embodiment)
