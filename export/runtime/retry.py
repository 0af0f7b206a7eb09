"""Notices that the robot makes no progress and recovers; after some tries it gives up and says why.

In the manner of Robot Utility Models (Etukuru et al. 2024): verify, then try again. Here the verifier is arithmetic on
odometry, and a recovery is: back off, turn to the freer side, reset the policy, drive on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from embodiments.embodiment import Embodiment
from export.runtime.driver.messages import Report

PAUSE_S = 0.25
"""After a longer gap between reports the robot was not allowed to drive; the gap is no failed try"""


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """When a try counts as failed, and what follows."""

    tries: int = 3
    """Recoveries before it gives up"""
    patience_s: float = 8.0
    """Without coming ``progress_m`` nearer for this long: no progress"""
    progress_m: float = 0.15
    near_m: float = 0.6
    """Nearer than this to the goal no progress is required: it turns"""
    spins: float = 1.5
    """Turns on the spot without progress"""
    blocked_s: float = 3.0
    """The stop zone has held the robot for this long"""
    back_mps: float = 0.08
    back_s: float = 3.0
    back_clearance_m: float = 0.4
    """Free distance behind that backing off needs"""
    turn_radps: float = 0.5
    turn_rad: float = 1.2


class Retry:
    """Watches reports; takes over while it recovers."""

    def __init__(self, embodiment: Embodiment, config: RetryConfig | None = None) -> None:
        self._config = config or RetryConfig()
        self._back_mps = min(self._config.back_mps, embodiment.limits.reverse_mps)
        self._turn_radps = min(self._config.turn_radps, embodiment.limits.yaw_rate_radps)
        self.recoveries = 0
        self.reason = ""
        """Why the last try failed"""
        self._phase: Literal["watch", "back", "turn"] = "watch"
        self._since_s = 0.0
        self._turn_to = 0.0
        self._best_m = np.inf
        self._best_s = self._blocked_s = self._last_s = self._turned_rad = 0.0

    @property
    def given_up(self) -> bool:
        """Whether all tries are used up."""
        return self.recoveries > self._config.tries

    def step(self, report: Report, *, left_m: float) -> tuple[float, float, float] | None:
        """Take in a report in which the robot may drive.

        Args:
            left_m: Distance left to the goal [m].

        Returns:
            The command (vx, vy, yaw rate) of a recovery, or None: the policy drives. On the first None after a recovery
            the policy should forget its past.
        """
        if self._phase == "watch":
            self._watch(report, left_m=left_m)
        if self.given_up or self._phase == "watch":
            return None
        return self._recover(report)

    def _watch(self, report: Report, *, left_m: float) -> None:
        config, now_s = self._config, report.time_s
        if not np.isfinite(self._best_m):
            self._blocked_s = self._last_s = now_s
        if (paused_s := now_s - self._last_s) > PAUSE_S:
            self._best_s, self._blocked_s, self._last_s = self._best_s + paused_s, self._blocked_s + paused_s, now_s
        if left_m < self._best_m - config.progress_m:
            self._best_m, self._best_s, self._turned_rad = left_m, now_s, 0.0
        self._turned_rad += abs(report.velocity_b[2]) * (now_s - self._last_s)
        self._blocked_s = self._blocked_s if report.zone == "stop" else now_s
        self._last_s = now_s
        if left_m < config.near_m:
            self._best_s, self._turned_rad = now_s, 0.0
        reasons = {
            "blocked by what the lidar sees": now_s - self._blocked_s > config.blocked_s,
            "spinning on the spot": self._turned_rad > 2.0 * np.pi * config.spins,
            "no progress": now_s - self._best_s > config.patience_s,
        }
        failed = [reason for reason, holds in reasons.items() if holds]
        if failed:
            self.reason = failed[0]
            self.recoveries += 1
            self._begin("back", report)

    def _recover(self, report: Report) -> tuple[float, float, float] | None:
        config, elapsed_s = self._config, report.time_s - self._since_s
        free_m = report.free_m.get("behind", 0.0)
        if self._phase == "back":
            if elapsed_s < config.back_s and free_m > config.back_clearance_m:
                return -self._back_mps, 0.0, 0.0
            self._begin("turn", report)
            left, right = (report.free_m.get(side, 0.0) for side in ("left", "right"))
            self._turn_to = 1.0 if left >= right else -1.0
        turned = report.time_s - self._since_s
        if self._phase == "turn" and turned < config.turn_rad / self._turn_radps:
            return 0.0, 0.0, self._turn_to * self._turn_radps
        self._phase = "watch"
        self._best_m = np.inf
        return None

    def _begin(self, phase: Literal["back", "turn"], report: Report) -> None:
        self._phase, self._since_s = phase, report.time_s
