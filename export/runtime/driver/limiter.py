"""The last check of a command before the motors: finite, admissible, within the operator's speed, slew-limited."""

import numpy as np

from embodiments import limits
from embodiments.embodiment import Embodiment
from embodiments.spaces import LIMIT_FIELDS


class Limiter:
    """Brings commands into the robot's admissible set, keeping the curvature, and remembers what it let through."""

    def __init__(self, embodiment: Embodiment, *, max_speed_mps: float) -> None:
        """Start at rest.

        Args:
            embodiment: The robot.
            max_speed_mps: Of the body in any direction and of the outer wheel, so that turning on the spot is limited,
                too; a robot without wheels turns at the rate that its curvature needs.

        Raises:
            ValueError: If the speed is not positive and finite.
        """
        if not 0.0 < max_speed_mps < np.inf:
            raise ValueError(f"--max-speed is {max_speed_mps:g}; expected a positive number of m/s")
        self._descriptor = embodiment.descriptor().astype(np.float64)
        self._turning_radius_m = embodiment.turning_radius_m
        self._max_speed_mps = max_speed_mps
        self._half_track_m = self._descriptor[LIMIT_FIELDS.index("half_track_m")]  # 0 without wheels
        names = ("acceleration_mps2", "yaw_acceleration_radps2")
        self.acceleration = np.asarray([self._descriptor[LIMIT_FIELDS.index(name)] for name in names])
        """(2,) [m/s^2, rad/s^2]"""
        self.last = np.zeros(3)
        """(3,) the command let through last"""

    def step(self, target: np.ndarray, *, dt_s: float) -> np.ndarray:
        """Return the admissible command nearest on the line from the last one to ``target``.

        Args:
            target: (3,) vx, vy [m/s], yaw rate [rad/s], body frame; anything not finite counts as zero.
            dt_s: Time since the last step.
        """
        delta = self.admissible(target) - self.last
        change = np.asarray([np.hypot(delta[0], delta[1]), abs(delta[2])])
        steps = max(1.0, float((change / (self.acceleration * dt_s)).max()))
        between = self.last + delta / steps  # the set is convex: the line between two members stays inside
        self.last = limits.steer(between, self._turning_radius_m, self._descriptor)  # but a car's is not
        return self.last

    def halt(self) -> np.ndarray:
        """Return zero at once: the robot's own motion profile brakes as hard as it can."""
        self.last = np.zeros(3)
        return self.last

    def admissible(self, target: np.ndarray) -> np.ndarray:
        """Return a command (3,) scaled into the admissible set, whatever the last one was."""
        values = np.asarray(target, dtype=np.float64)
        if values.shape != (3,) or not np.isfinite(values).all():
            return np.zeros(3)
        bounded: np.ndarray = limits.scale(values, self._descriptor)
        bounded = limits.steer(bounded, self._turning_radius_m, self._descriptor)
        wheel_mps = abs(bounded[0]) + self._half_track_m * abs(bounded[2])
        fastest = max(float(np.hypot(bounded[0], bounded[1])), float(wheel_mps))
        return bounded * min(1.0, self._max_speed_mps / max(fastest, 1e-9))
