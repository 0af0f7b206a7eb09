"""Which readings may be acted on. Each gate has its own deadline, and its name goes into the log.

Ages are taken on the monotonic clock from the time of receipt; wall clocks and sensors' own stamps play no part.
"""

from dataclasses import dataclass

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX
from export.runtime.robots.robot import Depth, Odometry, Scan

OPEN = ""
"""Name of no gate: everything may be acted on."""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Deadlines [s] and plausibility limits."""

    depth_s: float = 0.22
    """Three frames of a camera at 15 Hz"""
    odometry_s: float = 0.15
    scan_s: float = 0.4
    """Two turns of a lidar at 5.5 Hz"""
    frozen_s: float = 0.2
    """The same picture for this long while the robot moves: a stuck driver that numbers old frames anew"""
    future_s: float = 0.005
    """A reading from further ahead than this has another clock"""
    least_valid_share: float = 0.02
    """With fewer valid pixels the camera is covered or blinded"""
    ground_factor: float = 1.25
    """Nothing lies below the ground: looking down, no pixel may be further than the ground times this"""
    ground_share: float = 0.3
    """Share of the pixels looking down that may be wrong about that"""
    jump_m: float = 0.3
    jump_rad: float = 0.5
    """Odometry may differ from its own velocity by this much between two readings"""


class Gates:
    """Judges the newest readings; remembers only what it needs to notice what has stopped changing."""

    def __init__(self, embodiment: Embodiment, config: GateConfig | None = None, *, needs_scan: bool = True) -> None:
        self._config = config or GateConfig()
        self._needs_scan = needs_scan
        self._ground_m = ground_depth_m(embodiment)
        self._depth: Depth | None = None
        self._odometry: Odometry | None = None
        self._verdict = OPEN
        self._picture = b""
        self._changed_s = np.inf
        self._frozen = False
        self.jumped = False
        """Whether the odometry jumped at the last reading: the past means nothing any more"""

    def check(self, depth: Depth | None, odometry: Odometry | None, scan: Scan | None, *, now_s: float) -> str:
        """Return the name of the first closed gate, or ``OPEN``."""
        config = self._config
        checks: list[tuple[str, Depth | Odometry | Scan | None, float]] = [
            ("depth", depth, config.depth_s),
            ("odometry", odometry, config.odometry_s),
        ]
        checks += [("scan", scan, config.scan_s)] if self._needs_scan else []
        for name, reading, limit_s in checks:
            if (closed := self._age(name, reading, limit_s, now_s=now_s)) != OPEN:
                return closed
        assert depth is not None and odometry is not None
        return self._odometry_gate(odometry) or self._depth_gate(depth, odometry, now_s=now_s)

    def _age(self, name: str, reading: Depth | Odometry | Scan | None, limit_s: float, *, now_s: float) -> str:
        if reading is None:
            return f"{name}_missing"
        age_s = now_s - reading.received_s
        if age_s < -self._config.future_s:
            return f"{name}_from_the_future"
        return f"{name}_stale" if age_s > limit_s else OPEN

    def _odometry_gate(self, odometry: Odometry) -> str:
        if not (np.isfinite(odometry.pose).all() and np.isfinite(odometry.velocity_b).all()):
            return "odometry_not_finite"
        last, self._odometry = self._odometry, odometry
        self.jumped = False
        if last is not None and odometry.sequence != last.sequence:
            dt_s = max(0.0, odometry.received_s - last.received_s)
            moved = odometry.pose - last.pose
            reach = np.abs(last.velocity_b) * dt_s
            turned = abs((moved[2] + np.pi) % (2.0 * np.pi) - np.pi)
            far = float(np.hypot(*moved[:2])) > float(np.hypot(*reach[:2])) + self._config.jump_m
            self.jumped = far or bool(turned > reach[2] + self._config.jump_rad)
        return "odometry_jump" if self.jumped else OPEN

    def _depth_gate(self, depth: Depth, odometry: Odometry, *, now_s: float) -> str:
        last, self._depth = self._depth, depth
        if last is not None and depth.sequence < last.sequence:
            self._depth = last
            return "depth_reordered"
        if last is None or depth.sequence != last.sequence:
            self._verdict = self._picture_gate(depth.image_m)
            picture = depth.image_m.tobytes()
            if picture != self._picture:
                self._picture, self._changed_s, self._frozen = picture, now_s, False
        moving = float(np.abs(odometry.velocity_b).max()) > 0.05
        if not moving:  # standing, the same picture may come twice; but what froze stays closed until it changes
            self._changed_s = now_s
        self._frozen |= now_s - self._changed_s > self._config.frozen_s
        return self._verdict or ("depth_frozen" if self._frozen else OPEN)

    def _picture_gate(self, image_m: np.ndarray) -> str:
        """Return the gate that an image's content closes."""
        if image_m.shape != (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX):
            return "depth_shape"
        if not np.isfinite(image_m).all():
            return "depth_not_finite"
        if float(image_m.min()) < 0.0 or float(image_m.max()) > DEPTH_RANGE_M * 1.001:
            return "depth_range"
        valid = image_m > 0.0
        if float(valid.mean()) < self._config.least_valid_share:
            return "depth_blind"
        down = valid & np.isfinite(self._ground_m)
        under = image_m > self._config.ground_factor * self._ground_m
        if down.any() and float(under[down].mean()) > self._config.ground_share:
            return "depth_under_the_ground"
        return OPEN


def ground_depth_m(embodiment: Embodiment) -> np.ndarray:
    """Return (40, 64) planar depth [m] of flat ground, inf where a pixel looks at the horizon or above."""
    camera = embodiment.camera
    up = (DEPTH_HEIGHT_PX / 2.0 - np.arange(DEPTH_HEIGHT_PX) - 0.5) / DEPTH_FOCAL_PX
    falling = np.sin(camera.pitch_rad) - np.cos(camera.pitch_rad) * up  # per metre along the optical axis
    depth = np.where(falling > 1e-3, camera.z_m / np.maximum(falling, 1e-3), np.inf)
    near = np.where(depth < DEPTH_RANGE_M / 2.0, depth, np.inf)  # further away a degree of tilt decides
    return np.repeat(near[:, None], DEPTH_WIDTH_PX, axis=1).astype(np.float32)
