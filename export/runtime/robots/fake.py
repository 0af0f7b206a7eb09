"""A strict fake of a robot in a small walled room; a wheeled one behaves as Stretch's vendor class and firmware do.

Each wheel is clipped by itself, which bends a curve that is too fast; lateral speed is refused; a second without
a command and the motors are off, so that the base coasts; the run-stop latches. A walking one goes as commanded,
within its limits, and does not sway. It moves on the caller's clock.
"""

import time
from collections.abc import Callable

import numpy as np

from embodiments import registry
from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from export.runtime.robots.lidar import LIDAR_BLIND, LIDAR_HEIGHT_M, LIDAR_X_M, seen_points_b_m
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
    """A robot on its own clock; ``held`` and ``run_stop`` are what an operator would press."""

    def __init__(
        self,
        embodiment: Embodiment | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        boxes: tuple[Box, ...] = ROOM,
    ) -> None:
        """Stand at the origin, facing along x, released; by default a Stretch 3."""
        self.embodiment = embodiment or registry.get("stretch3")
        self._has_wheels = not self.embodiment.moves_sideways
        self._clock, self._boxes = clock, np.asarray(boxes, dtype=np.float64)
        self.pose = np.zeros(3)
        self.velocity = np.zeros(3)
        """vx, vy [m/s], yaw rate [rad/s], body frame"""
        self._target, self._acceleration = np.zeros(3), np.zeros(3)
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
        """(time [s], vx, yaw rate) of every command that arrived"""

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
        if self._has_wheels and command[1] != 0.0:
            raise ValueError("a differential base has no lateral velocity")
        self._move()
        self._target, self._acceleration = self._executable(command), acceleration[[0, 0, 1]]
        if self._has_wheels:  # the vendor's one number is the wheels'
            self._acceleration = acceleration[0] * np.asarray([1.0, 1.0, 1.0 / self.embodiment.limits.half_track_m])
        self._commanded_s = self._now_s
        self.commands.append((self._now_s, float(command[0]), float(command[2])))

    def odometry(self) -> Odometry | None:
        """Return the newest reading of the wheels."""
        self._move()
        number, taken_s = self._frame(ODOMETRY_HZ)
        return Odometry(pose=self.pose.copy(), velocity_b=self.velocity.copy(), sequence=number, received_s=taken_s)

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
            range_m = self.cast(np.asarray([LIDAR_X_M, 0.0, LIDAR_HEIGHT_M]), directions)
            points = seen_points_b_m(angle, range_m, self.embodiment)
            self._scan = Scan(points_b_m=points, sequence=number, received_s=taken_s, blind=(LIDAR_BLIND,))
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
                step = self._acceleration * dt_s
                self.velocity = self.velocity + np.clip(self._target - self.velocity, -step, step)
            middle = self.pose[2] + self.velocity[2] * dt_s / 2.0
            ahead_m, aside_m, turned_rad = self.velocity * dt_s
            cos, sin = np.cos(middle), np.sin(middle)
            moved = [ahead_m * cos - aside_m * sin, ahead_m * sin + aside_m * cos, turned_rad]
            self.pose = self.pose + np.asarray(moved)

    def _executable(self, command: np.ndarray) -> np.ndarray:
        """Return the velocity (3,) that the drive makes of a command (3,)."""
        limits = self.embodiment.limits
        if not self._has_wheels:
            highest = np.asarray([limits.forward_mps, limits.lateral_mps, limits.yaw_rate_radps])
            return np.clip(command, [-limits.reverse_mps, *-highest[1:]], highest)
        yaw_rate = command[2]
        if self.embodiment.turning_radius_m:  # a car's steering ends there
            tightest = abs(command[0]) / self.embodiment.turning_radius_m
            yaw_rate = np.clip(yaw_rate, -tightest, tightest)
        turn = limits.half_track_m * yaw_rate
        wheels = np.clip([command[0] - turn, command[0] + turn], -limits.wheel_speed_mps, limits.wheel_speed_mps)
        return np.asarray([wheels.mean(), 0.0, (wheels[1] - wheels[0]) / (2.0 * limits.half_track_m)])

    def _render(self) -> np.ndarray:
        left = (DEPTH_WIDTH_PX / 2.0 - np.arange(DEPTH_WIDTH_PX) - 0.5) / DEPTH_FOCAL_PX
        up = (DEPTH_HEIGHT_PX / 2.0 - np.arange(DEPTH_HEIGHT_PX) - 0.5) / DEPTH_FOCAL_PX
        return np.minimum(self.measure(left, up), DEPTH_RANGE_M)

    def measure(self, left: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Return what the depth camera measures now.

        Args:
            left: (W,) slopes of the columns' rays over the optical axis.
            up: (H,) of the rows'.

        Returns:
            (H, W) float32 planar depth [m] with noise; 0 outside the field of view and too near, 10 m beyond the range.
        """
        camera = self.embodiment.camera
        up, left = np.meshgrid(up, left, indexing="ij")
        cos, sin = np.cos(camera.pitch_rad), np.sin(camera.pitch_rad)
        directions = np.stack([cos + sin * up, left, cos * up - sin], axis=-1)
        depth = self.cast(np.asarray([camera.x_m, 0.0, camera.z_m]), directions)
        noise = 1.0 + 0.002 * self._random.standard_normal(depth.shape)
        seen = np.where(depth < camera.max_range_m, depth * noise, DEPTH_RANGE_M)
        inside = (np.abs(left) <= np.tan(camera.hfov_rad / 2.0)) & (np.abs(up) <= np.tan(camera.vfov_rad / 2.0))
        return np.where(inside & (depth >= camera.min_range_m), seen, 0.0).astype(np.float32)

    def cast(self, origin_b: np.ndarray, directions_b: np.ndarray) -> np.ndarray:
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


def make(embodiment: Embodiment) -> FakeRobot:
    """Return the fake on the real clock."""
    return FakeRobot(embodiment)
