"""A strict fake of Stretch 3 in a small walled room: behaves as the vendor's class and its firmware do.

Each wheel is clipped by itself, which bends a curve that is too fast; lateral speed is refused; a second without
a command and the motors are off, so that the base coasts; the run-stop latches. It moves on the caller's clock.
"""

import time
from collections.abc import Callable

import numpy as np

from embodiments import registry
from embodiments.embodiment import DifferentialDrive
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from export.runtime.robots.lidar import LIDAR_HEIGHT_M, LIDAR_X_M, seen_points_b_m
from export.runtime.robots.robot import Depth, Health, Odometry, Scan

FIRMWARE_TIMEOUT_S = 1.0
"""Source: stretch_firmware, velocity watchdog; the motors' drivers go off, nothing brakes."""
COASTING_PER_S = 0.5
"""Fraction of its speed that a base with the motors off loses per second: little, on a hard floor."""
CAMERA_HZ, ODOMETRY_HZ, LIDAR_HZ = 15.0, 25.0, 10.0
_LIDAR_RAYS = 360

Box = tuple[float, float, float, float, float, float]
"""x, y, z of the lowest corner and of the highest [m]."""

ROOM: tuple[Box, ...] = (
    (-2.1, -3.1, 0.0, -2.0, 3.1, 2.5),
    (6.0, -3.1, 0.0, 6.1, 3.1, 2.5),
    (-2.1, -3.1, 0.0, 6.1, -3.0, 2.5),
    (-2.1, 3.0, 0.0, 6.1, 3.1, 2.5),
    (2.6, 0.9, 0.0, 3.2, 1.5, 0.8),
)
"""Four walls and one chest."""


class FakeRobot:
    """Stretch 3 on its own clock; ``held`` and ``run_stop`` are what an operator would press."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, boxes: tuple[Box, ...] = ROOM) -> None:
        """Stand at the origin, facing along x, released."""
        self.embodiment = registry.get("stretch3")
        drive = self.embodiment.drive
        assert isinstance(drive, DifferentialDrive)
        self._half_track_m = drive.track_m / 2.0
        self._clock, self._boxes = clock, np.asarray(boxes, dtype=np.float64)
        self.pose = np.zeros(3)
        self.velocity = np.zeros(2)
        """v [m/s], yaw rate [rad/s], as the wheels turn"""
        self._target, self._acceleration_mps2 = np.zeros(2), self.embodiment.limits.acceleration_mps2
        self._commanded_s = -np.inf
        self._now_s = clock()
        self._began_s = self._now_s
        self._random = np.random.default_rng(0)
        self._depth: Depth | None = None
        self._scan: Scan | None = None
        self.run_stopped = False
        self.hold: Callable[[float], bool] = lambda elapsed_s: elapsed_s > 0.3
        """Seconds since the first call of ``held`` -> whether the dead-man's switch is held"""
        self._asked_s: float | None = None
        self.commands: list[tuple[float, float, float]] = []
        """(time [s], v, yaw rate) of every command that arrived"""

    def start(self) -> None:
        """Nothing to connect to."""

    def stop(self) -> None:
        """Nothing to disconnect from."""

    def run_stop(self) -> None:
        """Press the run-stop; it stays pressed."""
        self.run_stopped = True

    def health(self) -> Health:
        """Return whether the run-stop is pressed; a fake is always homed, stowed and charged."""
        self._move()
        return Health(run_stopped=self.run_stopped)

    def held(self) -> bool:
        """Return what ``hold`` says now."""
        now_s = self._clock()
        self._asked_s = now_s if self._asked_s is None else self._asked_s
        return self.hold(now_s - self._asked_s)

    def drive(self, command: np.ndarray, *, acceleration: np.ndarray) -> None:
        """Take a command as the vendor's class does.

        Raises:
            ValueError: If it has a lateral part or is not finite.
        """
        if not np.isfinite(command).all():
            raise ValueError("the robot refuses a command that is not finite")
        if command[1] != 0.0:
            raise ValueError("a differential base has no lateral velocity")
        self._move()
        limit = self.embodiment.limits.wheel_speed_mps
        turn = self._half_track_m * command[2]
        left, right = np.clip([command[0] - turn, command[0] + turn], -limit, limit)
        self._target = np.asarray([(left + right) / 2.0, (right - left) / (2.0 * self._half_track_m)])
        self._acceleration_mps2 = float(acceleration[0])
        self._commanded_s = self._now_s
        self.commands.append((self._now_s, float(command[0]), float(command[2])))

    def odometry(self) -> Odometry | None:
        """Return the newest reading of the wheels."""
        self._move()
        number, taken_s = self._frame(ODOMETRY_HZ)
        velocity_b = np.asarray([self.velocity[0], 0.0, self.velocity[1]])
        return Odometry(pose=self.pose.copy(), velocity_b=velocity_b, sequence=number, received_s=taken_s)

    def depth(self) -> Depth | None:
        """Return the newest image."""
        self._move()
        number, taken_s = self._frame(CAMERA_HZ)
        if self._depth is None or number != self._depth.sequence:
            self._depth = Depth(image_m=self._render(), sequence=number, received_s=taken_s)
        return self._depth

    def scan(self) -> Scan | None:
        """Return the newest turn of the lidar."""
        self._move()
        number, taken_s = self._frame(LIDAR_HZ)
        if self._scan is None or number != self._scan.sequence:
            angle = np.linspace(-np.pi, np.pi, _LIDAR_RAYS, endpoint=False)
            directions = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
            range_m = self._cast(np.asarray([LIDAR_X_M, 0.0, LIDAR_HEIGHT_M]), directions)
            points = seen_points_b_m(angle, range_m, self.embodiment)
            self._scan = Scan(points_b_m=points, sequence=number, received_s=taken_s)
        return self._scan

    def _frame(self, rate_hz: float) -> tuple[int, float]:
        number = int((self._now_s - self._began_s) * rate_hz)
        return number, self._began_s + number / rate_hz

    def _move(self) -> None:
        """Bring the base up to the present."""
        now_s = self._clock()
        while self._now_s < now_s - 1e-9:
            dt_s = min(0.01, now_s - self._now_s)
            self._now_s += dt_s
            if self.run_stopped or self._now_s - self._commanded_s > FIRMWARE_TIMEOUT_S:
                self._target = self._target * 0.0
                self.velocity = self.velocity * (1.0 - COASTING_PER_S * dt_s)
            else:
                step = np.asarray([1.0, 1.0 / self._half_track_m]) * self._acceleration_mps2 * dt_s
                self.velocity = self.velocity + np.clip(self._target - self.velocity, -step, step)
            middle = self.pose[2] + self.velocity[1] * dt_s / 2.0
            ahead_m = self.velocity[0] * dt_s
            moved = [ahead_m * np.cos(middle), ahead_m * np.sin(middle), self.velocity[1] * dt_s]
            self.pose = self.pose + np.asarray(moved)

    def _render(self) -> np.ndarray:
        camera = self.embodiment.camera
        left = (DEPTH_WIDTH_PX / 2.0 - np.arange(DEPTH_WIDTH_PX) - 0.5) / DEPTH_FOCAL_PX
        up = (DEPTH_HEIGHT_PX / 2.0 - np.arange(DEPTH_HEIGHT_PX) - 0.5) / DEPTH_FOCAL_PX
        up, left = np.meshgrid(up, left, indexing="ij")
        cos, sin = np.cos(camera.pitch_rad), np.sin(camera.pitch_rad)
        directions = np.stack([cos + sin * up, left, cos * up - sin], axis=-1)
        depth = self._cast(np.asarray([camera.x_m, 0.0, camera.z_m]), directions)
        noise = 1.0 + 0.002 * self._random.standard_normal(depth.shape)
        seen = np.where(depth < camera.max_range_m, depth * noise, DEPTH_RANGE_M)
        inside = (np.abs(left) <= np.tan(camera.hfov_rad / 2.0)) & (np.abs(up) <= np.tan(camera.vfov_rad / 2.0))
        return np.where(inside & (depth >= camera.min_range_m), np.minimum(seen, DEPTH_RANGE_M), 0.0).astype(np.float32)

    def _cast(self, origin_b: np.ndarray, directions_b: np.ndarray) -> np.ndarray:
        """Return how far rays (..., 3) from a point of the body go, in their own lengths; the ground counts."""
        cos, sin = np.cos(self.pose[2]), np.sin(self.pose[2])
        turn = np.asarray([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        origin = turn @ origin_b + [self.pose[0], self.pose[1], 0.0]
        directions = directions_b @ turn.T
        safe = np.where(np.abs(directions) < 1e-12, 1e-12, directions)
        ground = np.where(safe[..., 2] < 0.0, -origin[2] / safe[..., 2], np.inf)
        low = (self._boxes[:, :3] - origin) / safe[..., None, :]  # (..., K, 3)
        high = (self._boxes[:, 3:] - origin) / safe[..., None, :]
        enters, leaves = np.minimum(low, high).max(axis=-1), np.maximum(low, high).min(axis=-1)
        boxes = np.where((enters <= leaves) & (leaves > 0.0), np.maximum(enters, 0.0), np.inf).min(axis=-1)
        return np.minimum(ground, boxes)


def make() -> FakeRobot:
    """Return the fake on the real clock."""
    return FakeRobot()
