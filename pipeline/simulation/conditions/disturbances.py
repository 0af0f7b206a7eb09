"""Disturbances that the policy does not know of: one vector of factors per episode.

``FACTORS`` is the only list of them. A factor with a direction (a bias) has another direction in every episode. The
direction is the same for every level, so that levels are compared on the same samples.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from embodiments.spaces import CAMERA_FIELDS
from pipeline.simulation.conditions.people import Person

INVERSE_GOLDEN_RATIO = (math.sqrt(5.0) - 1.0) / 2.0
"""Multiples of it, modulo 1, fill the unit interval evenly."""


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One kind of disturbance."""

    name: str
    unit: str
    neutral: float
    """Its value in an undisturbed simulation"""
    low: float
    high: float
    """Range of values"""
    levels: tuple[float, ...]
    """Values of a one-factor sweep"""
    meaning: str


FACTORS: tuple[Factor, ...] = (
    Factor(
        name="pose_drift",
        unit="m after 1 m",
        neutral=0.0,
        low=0.0,
        high=0.2,
        levels=(0.02, 0.05, 0.1, 0.2),
        meaning="standard deviation of the odometry's random walk; its heading drifts half as many radians",
    ),
    Factor(
        name="pose_bias",
        unit="m",
        neutral=0.0,
        low=0.0,
        high=0.5,
        levels=(0.1, 0.2, 0.3, 0.5),
        meaning="constant error of the believed position, in another direction in every episode",
    ),
    Factor(
        name="heading_bias",
        unit="rad",
        neutral=0.0,
        low=0.0,
        high=0.1,
        levels=(0.03, 0.06, 0.1),
        meaning="constant error of the believed heading, alternately to the left and to the right",
    ),
    Factor(
        name="depth_noise",
        unit="× nominal",
        neutral=1.0,
        low=0.0,
        high=8.0,
        levels=(0.0, 2.0, 4.0, 8.0),
        meaning="factor on the depth sensor's nominal deviation and losses",
    ),
    Factor(
        name="depth_dropout",
        unit="fraction",
        neutral=0.0,
        low=0.0,
        high=0.3,
        levels=(0.02, 0.05, 0.1, 0.3),
        meaning="further fraction of the depth pixels that are lost, anywhere in the image",
    ),
    Factor(
        name="latency",
        unit="s",
        neutral=0.0,
        low=0.0,
        high=0.3,
        levels=(0.1, 0.2, 0.3),
        meaning="delay between a command and the drive",
    ),
    Factor(
        name="flying_pixels",
        unit="fraction",
        neutral=0.0,
        low=0.0,
        high=0.5,
        levels=(0.1, 0.25, 0.5),
        meaning="pixels at depth edges that read something between the near and the far side",
    ),
    Factor(
        name="camera_height",
        unit="m",
        neutral=0.0,
        low=-0.1,
        high=0.1,
        levels=(-0.1, -0.05, 0.05, 0.1),
        meaning="how much higher the camera really sits than the descriptor says",
    ),
    Factor(
        name="camera_pitch",
        unit="rad",
        neutral=0.0,
        low=-0.1,
        high=0.1,
        levels=(-0.1, -0.05, 0.05, 0.1),
        meaning="how much further down the camera is really pitched than the descriptor says",
    ),
    Factor(
        name="mass",
        unit="× nominal",
        neutral=1.0,
        low=0.7,
        high=1.5,
        levels=(0.7, 1.25, 1.5),
        meaning="factor on mass and inertia of the base link",
    ),
    Factor(
        name="friction",
        unit="× nominal",
        neutral=1.0,
        low=0.3,
        high=1.5,
        levels=(0.3, 0.6, 1.5),
        meaning="factor on the friction of wheels or feet",
    ),
    Factor(
        name="motor_strength",
        unit="× nominal",
        neutral=1.0,
        low=0.6,
        high=1.2,
        levels=(0.6, 0.8, 1.2),
        meaning="factor on torque limits and gains of the joints",
    ),
    Factor(
        name="speed_scale",
        unit="× commanded",
        neutral=1.0,
        low=0.6,
        high=1.3,
        levels=(0.6, 0.8, 1.15, 1.3),
        meaning="the drive executes this fraction of every command",
    ),
    Factor(
        name="person",
        unit="m/s",
        neutral=0.0,
        low=0.0,
        high=1.2,
        levels=(0.4, 0.8, 1.2),
        meaning="a person walks back and forth across the route at this speed and stands while the robot is near",
    ),
)
NAMES = tuple(factor.name for factor in FACTORS)
NEUTRAL = np.asarray([factor.neutral for factor in FACTORS], dtype=np.float32)
"""(F,) no disturbance"""
LONGEST_LATENCY_S = next(factor.high for factor in FACTORS if factor.name == "latency")


def one_factor(name: str, level: float) -> np.ndarray:
    """Return the (F,) vector in which one factor has a level and all others are neutral."""
    values = NEUTRAL.copy()
    values[NAMES.index(name)] = level
    return values


def from_unit(unit: np.ndarray) -> np.ndarray:
    """Turn normalised factors (..., F) into values: 0 is neutral, 1 the upper and −1 the lower end of the range."""
    low = np.asarray([factor.low for factor in FACTORS])
    high = np.asarray([factor.high for factor in FACTORS])
    values = NEUTRAL + np.where(unit > 0.0, unit * (high - NEUTRAL), unit * (NEUTRAL - low))
    return values.astype(np.float32)


def unit_bounds() -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest normalised value (F,) of every factor: 0 where it has only one side."""
    low = np.asarray([-1.0 if factor.low < factor.neutral else 0.0 for factor in FACTORS])
    high = np.asarray([1.0 if factor.high > factor.neutral else 0.0 for factor in FACTORS])
    return low, high


class Disturbance:
    """The factors of the running episodes, one row per environment, and the quantities derived from them."""

    def __init__(self, num_envs: int, *, episodes: int, device: str) -> None:
        """Start without disturbance in any episode."""
        neutral = torch.as_tensor(NEUTRAL, device=device)
        self._table, self._numbers = neutral.repeat(episodes, 1), torch.arange(episodes, device=device)
        self._now = neutral.repeat(num_envs, 1)  # (B, F)
        self._number = torch.zeros(num_envs, dtype=torch.long, device=device)
        self.person = Person(num_envs, device=device)

    def load(self, values: np.ndarray, numbers: np.ndarray) -> None:
        """Set the factors of every episode of the set.

        Args:
            values: (N, F) in the order of ``FACTORS``.
            numbers: (N,) seeds of directions and phases; equal numbers give equal ones.
        """
        self._table = torch.as_tensor(values, dtype=torch.float32, device=self._now.device)
        self._numbers = torch.as_tensor(numbers, dtype=torch.long, device=self._now.device)

    def begin(self, mask: torch.Tensor, episode: torch.Tensor) -> None:
        """Load the factors of the episodes (B,) that begin in the masked environments."""
        row = episode.clamp(min=0)
        self._now = torch.where(mask[:, None], self._table[row], self._now)
        self._number = torch.where(mask, self._numbers[row], self._number)

    def factor(self, name: str) -> torch.Tensor:
        """Return the current values (B,) of one factor."""
        return self._now[:, NAMES.index(name)]

    @property
    def phase(self) -> torch.Tensor:
        """(B,) in [0, 1), different for every episode number."""
        return torch.remainder(self._number * INVERSE_GOLDEN_RATIO, 1.0).to(torch.float32)

    @property
    def pose_bias(self) -> torch.Tensor:
        """(B, 3) added to the true pose: x, y [m], yaw [rad]."""
        angle, size = 2.0 * math.pi * self.phase, self.factor("pose_bias")
        sign = 1.0 - 2.0 * torch.remainder(self._number, 2)
        return torch.stack([size * angle.cos(), size * angle.sin(), sign * self.factor("heading_bias")], dim=1)

    @property
    def drift_rates(self) -> torch.Tensor:
        """(B, 3) standard deviation of the odometry's drift after 1 m: x, y [m], yaw [rad]."""
        rate = self.factor("pose_drift")
        return torch.stack([rate, rate, rate / 2.0], dim=1)

    @property
    def camera_error(self) -> torch.Tensor:
        """(B, 7) deviation of the real mount from the descriptor, laid out as ``CAMERA_FIELDS``."""
        error = torch.zeros(len(self._now), len(CAMERA_FIELDS), device=self._now.device)
        error[:, CAMERA_FIELDS.index("camera_z_m")] = self.factor("camera_height")
        error[:, CAMERA_FIELDS.index("camera_pitch_rad")] = self.factor("camera_pitch")
        return error
