"""Which readings may be acted on. Each gate has its own deadline, and its name goes into the log."""

from dataclasses import dataclass, field

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import STAND_SPEED_MPS
from export.runtime.driver.depth_gate import AGAINST_MOTION, DepthGate, DepthGateConfig
from export.runtime.driver.odometry_gate import STUCK, OdometryGate, OdometryGateConfig
from export.runtime.driver.readings import OPEN, age_gate
from export.runtime.driver.scan_gate import ScanGate, ScanGateConfig
from export.runtime.robots.robot import Depth, Odometry, Scan

DISARMING = (STUCK, AGAINST_MOTION)
"""Gates whose fault shows only in motion: no reading at rest shows its end."""
_FREE_AHEAD_M = 1.0


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Deadlines and plausibility limits of all readings."""

    depth: DepthGateConfig = field(default_factory=DepthGateConfig)
    odometry: OdometryGateConfig = field(default_factory=OdometryGateConfig)
    scan: ScanGateConfig = field(default_factory=ScanGateConfig)


class Gates:
    """Judges the newest readings; remembers only what it needs to notice what has stopped changing."""

    def __init__(self, embodiment: Embodiment, config: GateConfig | None = None, *, needs_scan: bool = True) -> None:
        self._config = config or GateConfig()
        self._needs_scan = needs_scan
        self._half_view_rad = embodiment.camera.hfov_rad / 2.0
        self._odometry = OdometryGate(self._config.odometry)
        self._depth = DepthGate(embodiment, self._config.depth)
        self._scan = ScanGate(embodiment, self._config.scan)

    @property
    def jumped(self) -> bool:
        """Whether the odometry jumped at the last reading: the past means nothing any more."""
        return self._odometry.jumped

    def check(
        self, depth: Depth | None, odometry: Odometry | None, scan: Scan | None, *, command: np.ndarray, now_s: float
    ) -> str:
        """Return the name of the first closed gate, or ``OPEN``.

        Args:
            depth: Newest image.
            odometry: Newest odometry.
            scan: Newest lidar turn, unless none is needed.
            command: (3,) vx, vy [m/s], yaw rate [rad/s] in force until now.
            now_s: Monotonic clock.
        """
        config = self._config
        self._odometry.command(command, now_s=now_s)
        late = age_gate("depth", depth, limit_s=config.depth.age_s, now_s=now_s)
        late = late or age_gate("odometry", odometry, limit_s=config.odometry.age_s, now_s=now_s)
        if self._needs_scan:
            late = late or age_gate("scan", scan, limit_s=config.scan.age_s, now_s=now_s)
        if late:
            return late
        assert depth is not None and odometry is not None
        closed = self._odometry.check(odometry)
        if self.jumped:
            self._depth.forget()
            self._scan.forget()
        if closed:
            return closed
        moving = float(np.abs(odometry.velocity_b).max()) > STAND_SPEED_MPS
        closed = self._depth.check(depth, odometry, is_moving=moving, now_s=now_s)
        return closed or (self._scan.check(scan, odometry) if self._needs_scan and scan is not None else OPEN)

    def usable(self, scan: Scan | None) -> Scan | None:
        """Return a scan whose points may be used, or None."""
        return scan if scan is not None and self._needs_scan and self._scan.content(scan) == OPEN else None

    def check_before_arming(self, scan: Scan | None) -> str:
        """Return the gate that keeps a robot from being armed: it sees no ground, and no obstacle explains why.

        Args:
            scan: A usable one; without a lidar nothing is refused.
        """
        if self._depth.sees_ground or scan is None:
            return OPEN
        bearing_rad = np.arctan2(scan.points_b_m[:, 1], scan.points_b_m[:, 0])
        ahead = np.abs(bearing_rad) < self._half_view_rad
        near = ahead & (np.hypot(*scan.points_b_m.T) < _FREE_AHEAD_M)
        return OPEN if near.any() else "depth_no_ground"

    def forget(self) -> None:
        """Judge the next readings by themselves alone: what was remembered may have been wrong."""
        self._depth.forget()
        self._odometry.forget()
        self._scan.forget()
