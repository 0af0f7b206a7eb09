"""Checks every command against a lidar scan that the policy never sees.

The command's arc is simulated and the body's footprint moved along it. Names follow Nav2's collision monitor.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from embodiments.embodiment import Disc, Embodiment


@dataclass(frozen=True, kw_only=True)
class StopZoneConfig:
    """Nav2's parameters; lengths in metres, times in seconds."""

    min_points: int = 2
    """Fewer points than this count as noise"""
    margin_m: float = 0.05
    """The footprint is this much larger all round in the stop zone"""
    latency_s: float = 0.25
    """Between the scan and the motors: the robot goes on for this long before it brakes"""
    slowdown_margin_m: float = 0.25
    """A point nearer to the footprint than this, and getting nearer, slows the robot down to"""
    linear_limit: float = 0.1
    """[m/s] and"""
    angular_limit: float = 0.5
    """[rad/s]. Limits, not a ratio: the policy counts on from what was executed, and a ratio would halve that again"""
    time_before_collision: float = 1.2
    """Approach: the speed is scaled so that a collision stays this far ahead"""
    simulation_time_step: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How much a scan slows a command."""

    factor: float
    """In [0, 1]: what the command is to be scaled by, all of it, so that its curvature stays"""
    zone: str
    """``stop``, ``slowdown``, ``approach``, or empty"""


_CLEAR = Decision(factor=1.0, zone="")


class StopZone:
    """Checks commands against the newest scan."""

    def __init__(self, embodiment: Embodiment, config: StopZoneConfig | None = None) -> None:
        """Take the footprint of all layers together: the lidar sees legs of what is wide further up."""
        self._config = config or StopZoneConfig()
        self._footprint = _discs([disc for layer in embodiment.footprint for disc in layer])
        self._body_m = _reach_m(self._footprint)
        accelerations = embodiment.limits.acceleration_mps2, embodiment.limits.yaw_acceleration_radps2
        self._acceleration = np.asarray(accelerations)

    def check(self, command: np.ndarray, points_b_m: np.ndarray, *, blind: tuple[Disc, ...] = ()) -> Decision:
        """Return by how much a command must be slowed down.

        Args:
            command: (3,) vx, vy [m/s], yaw rate [rad/s], body frame; finite.
            points_b_m: (N, 2) what the lidar hit, body frame.
            blind: Where the lidar sees nothing. It must stay clear like the footprint: nobody knows what is in there.
        """
        config = self._config
        discs = np.concatenate([self._footprint, _discs(blind)])
        near = self._within_reach(command, points_b_m, body_m=_reach_m(discs))
        if len(near) < config.min_points or not command.any():
            return _CLEAR
        times = np.arange(0.0, config.time_before_collision + 1e-9, config.simulation_time_step)
        times = np.append(times, self._stopping_s(command)) if self._stopping_s(command) > times[-1] else times
        gap = self._gap_m(command, near, times, discs)  # (K,)
        # What is inside the margin already must not come nearer; away from it the robot may go.
        limit = min(config.margin_m, float(gap[0]) - 1e-3)
        hits = np.flatnonzero(gap < limit)
        collision_s = float(times[hits[0]]) if hits.size else np.inf
        if collision_s <= self._stopping_s(command):
            return Decision(factor=0.0, zone="stop")
        approach = min(1.0, collision_s / config.time_before_collision)
        nears = float(gap[1]) < float(gap[0])
        slow = self._slowdown(command) if nears and gap[0] < config.slowdown_margin_m else 1.0
        if min(approach, slow) >= 1.0:
            return _CLEAR
        return Decision(factor=min(approach, slow), zone="approach" if approach < slow else "slowdown")

    def _slowdown(self, command: np.ndarray) -> float:
        speed, turn = float(np.hypot(command[0], command[1])), abs(float(command[2]))
        return min(1.0, self._config.linear_limit / max(speed, 1e-9), self._config.angular_limit / max(turn, 1e-9))

    def gap_m(self, points_b_m: np.ndarray) -> float:
        """Return the clearance between the footprint and the nearest point of a scan; inf without points."""
        if not len(points_b_m):
            return np.inf
        centre_m, radius_m = self._footprint[:, :2], self._footprint[:, 2]
        return float((np.linalg.norm(points_b_m[:, None] - centre_m, axis=-1) - radius_m).min())

    def free_m(self, points_b_m: np.ndarray, bearing_rad: float) -> float:
        """Return how far the footprint's circle may move in a direction before it touches a point of the scan."""
        reach = self._body_m
        along = points_b_m @ np.asarray([np.cos(bearing_rad), np.sin(bearing_rad)])
        aside = points_b_m @ np.asarray([-np.sin(bearing_rad), np.cos(bearing_rad)])
        blocking = along[(np.abs(aside) < reach) & (along > 0.0)]
        return float(blocking.min() - reach) if blocking.size else np.inf

    def _within_reach(self, command: np.ndarray, points_b_m: np.ndarray, *, body_m: float) -> np.ndarray:
        """Return the points that the body could meet or pass closely: most of a scan is further away."""
        longest_s = max(self._config.time_before_collision, self._stopping_s(command))
        reach_m = float(np.hypot(command[0], command[1])) * longest_s + body_m + self._config.slowdown_margin_m
        return points_b_m[np.hypot(points_b_m[:, 0], points_b_m[:, 1]) < reach_m]

    def _stopping_s(self, command: np.ndarray) -> float:
        """Return for how long at this speed the robot would cover its braking distance: latency and v^2/2a."""
        speed = np.asarray([np.hypot(command[0], command[1]), abs(command[2])])
        return self._config.latency_s + float((speed / (2.0 * self._acceleration)).max())

    def _gap_m(self, command: np.ndarray, points_b_m: np.ndarray, times: np.ndarray, discs: np.ndarray) -> np.ndarray:
        """Return (K,) clearance between discs (D, 3) that the body carries and the ``min_points``-th nearest point."""
        x, y, yaw = _arc(command, times)
        cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
        offset_x, offset_y = points_b_m[:, 0] - x[:, None], points_b_m[:, 1] - y[:, None]  # (K, N)
        local = np.stack([cos * offset_x + sin * offset_y, cos * offset_y - sin * offset_x], axis=-1)  # (K, N, 2)
        between = np.linalg.norm(local[:, :, None] - discs[:, :2], axis=-1) - discs[:, 2]  # (K, N, D)
        nearest = np.sort(between.min(axis=-1), axis=-1)
        clearance: np.ndarray = nearest[:, self._config.min_points - 1]
        return clearance


def _discs(discs: Iterable[Disc]) -> np.ndarray:
    """Return discs as (D, 3) x, y, radius [m]."""
    return np.asarray([(disc.x_m, disc.y_m, disc.radius_m) for disc in discs]).reshape(-1, 3)


def _reach_m(discs: np.ndarray) -> float:
    """Return the radius around the body's origin that covers discs (D, 3)."""
    return float((np.hypot(discs[:, 0], discs[:, 1]) + discs[:, 2]).max())


def _arc(command: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y [m] and yaw [rad], each (K,), after driving a constant command for each time."""
    yaw = command[2] * times
    half = yaw / 2.0
    chord = times * np.sinc(half / np.pi)  # exact, and finite without rotation
    cos, sin = np.cos(half), np.sin(half)
    return chord * (command[0] * cos - command[1] * sin), chord * (command[0] * sin + command[1] * cos), yaw
