"""Whether a lidar scan has the right form, enough finite points at possible ranges, and changes while the robot moves.

Without these checks a scan that holds nothing usable looks like free space to the stop zone.
"""

from dataclasses import dataclass

import numpy as np

from embodiments.embodiment import Embodiment
from export.runtime.driver.odometry_gate import travel
from export.runtime.driver.readings import OPEN
from export.runtime.robots.lidar import LIDAR_RANGE_M
from export.runtime.robots.robot import Odometry, Scan


@dataclass(frozen=True, kw_only=True)
class ScanGateConfig:
    """Limits of a plausible scan."""

    age_s: float = 0.4
    """Two turns of a lidar at 5.5 Hz"""
    min_points: int = 20
    """A turn has some hundred rays; with fewer hits than this there is nothing to judge by"""
    lost_sectors: int = 3
    """Of twelve: a scan without points in so many that had some just before is cut short"""
    odd_fraction: float = 0.02
    """Fraction of the points that may lie out of range or within the body"""
    frozen_m: float = 0.02
    frozen_rad: float = 0.02
    """Motion after which an unchanged scan is frozen"""
    changed_m: float = 0.001
    """Mean displacement of the points that counts as a change"""


class ScanGate:
    """Judges every new scan by itself, and against the odometry's motion since it last changed."""

    def __init__(self, embodiment: Embodiment, config: ScanGateConfig) -> None:
        self._config = config
        discs = [disc for layer in embodiment.footprint for disc in layer]
        self._discs = np.asarray([(disc.x_m, disc.y_m, disc.radius_m) for disc in discs])
        self._checked: Scan | None = None
        self._sequence = -1
        self._content = OPEN
        self._points = np.zeros((0, 2))
        """(N, 2) last scan that changed"""
        self._pose = np.zeros(3)
        """(3,) odometry then"""
        self._is_frozen = False

    def content(self, scan: Scan) -> str:
        """Return the gate that a scan closes by itself; unless it is ``OPEN``, its points must not be used."""
        if scan is not self._checked:
            self._checked = scan
            self._content = self._check_content(scan.points_b_m)
        return self._content

    def check(self, scan: Scan, odometry: Odometry) -> str:
        """Return the gate that a scan closes, or ``OPEN``. A frozen scan opens the gate as soon as it changes."""
        content = self.content(scan)
        if content == OPEN and scan.sequence != self._sequence:
            self._sequence = scan.sequence
            self._compare(scan.points_b_m, odometry.pose)
        return content or ("scan_frozen" if self._is_frozen else OPEN)

    def forget(self) -> None:
        """Judge the next scan by itself alone."""
        self._points, self._is_frozen = np.zeros((0, 2)), False

    def _check_content(self, points_b_m: np.ndarray) -> str:
        config = self._config
        if points_b_m.ndim != 2 or points_b_m.shape[1] != 2:
            return "scan_shape"
        if not np.isfinite(points_b_m).all():
            return "scan_not_finite"
        if len(points_b_m) < config.min_points:
            return "scan_empty"
        range_m = np.hypot(points_b_m[:, 0], points_b_m[:, 1])
        gap_m = np.linalg.norm(points_b_m[:, None] - self._discs[:, :2], axis=2) - self._discs[:, 2]
        odd = (range_m > LIDAR_RANGE_M[1] + 0.5) | (gap_m.min(axis=1) < 0.0)
        if float(odd.mean()) > config.odd_fraction:
            return "scan_range"
        lost = (_sectors(self._points) >= 5) & (_sectors(points_b_m) == 0)
        return "scan_short" if int(lost.sum()) >= config.lost_sectors else OPEN

    def _compare(self, points_b_m: np.ndarray, pose: np.ndarray) -> None:
        """Notice that a new scan shows what the last one showed, although the robot has moved."""
        if self._changes(points_b_m):
            self._points, self._pose, self._is_frozen = points_b_m, pose, False
            return
        moved_m, turned_rad = travel(self._pose, pose)
        self._is_frozen |= moved_m > self._config.frozen_m or turned_rad > self._config.frozen_rad

    def _changes(self, points_b_m: np.ndarray) -> bool:
        if points_b_m.shape != self._points.shape:
            return True
        moved_m = np.linalg.norm(points_b_m - self._points, axis=1)
        return float(moved_m.mean()) > self._config.changed_m


def _sectors(points_b_m: np.ndarray) -> np.ndarray:
    """Return how many points (12,) lie in each sector of 30 degrees around the robot."""
    bearing_rad = np.arctan2(points_b_m[:, 1], points_b_m[:, 0])
    counts, _ = np.histogram(bearing_rad, bins=12, range=(-np.pi, np.pi))
    return counts
