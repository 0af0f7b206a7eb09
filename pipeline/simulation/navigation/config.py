"""Settings of episodes and training environments; importing them costs no torch."""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.simulation.physics.randomisation import Randomisation, nominal, training
from world_model.config import Precision

Protocol = Literal["compass", "pointnav"]
Conditions = Literal["nominal", "field"]
"""Nominal dynamics and sensors with nobody there, or ``conditions.field`` with people"""


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """Weights of the reward terms."""

    kind: Literal["progress", "compass"] = "progress"
    progress_per_m: float = 1.0
    """Unit of the reward: one metre nearer to the goal along the clearance-weighted geodesic."""
    heading: float = 1.0
    """For half a turn to the goal heading, near the goal only: the distance does not depend on the heading."""
    heading_radius_m: float = 1.5
    success: float = 8.0
    """More than the reward of a typical path, so that arriving pays more than circling near the goal."""
    collision: float = -6.0
    """About the reward of a path, so that a collision never pays."""
    fall: float = -6.0
    action_change: float = -0.02
    """Per squared change of the command over v_max: smooth commands are easier on motors and gaits. Turning counts
    more for a slow body, because rad/s are divided by m/s."""
    near_obstacle: float = -0.05
    near_obstacle_m: float = 0.15
    """Per step at zero clearance, fading to nothing at this clearance."""
    time_per_step: float = -0.02
    """Times v_max in m/s, so that a slow body is not punished for its speed. Over a whole episode it sums up to nearly
    the collision penalty; with half of it, Stretch learned to stand still before obstacles."""


@dataclass(frozen=True, kw_only=True)
class NavigationConfig:
    """How episodes are run."""

    randomisation: Randomisation = field(default_factory=nominal)
    reward: RewardConfig = field(default_factory=RewardConfig)
    settle_s: float = 0.0
    """How long an episode goes on after its first success to see whether it settles; 0 in training."""
    disturbable: bool = False
    """Whether ``disturb`` may be called. It costs some speed, and the simulator rounds differently: results are to be
    compared among such environments."""
    people: bool = False
    """Whether ``populate`` may be called; needs ``disturbable``."""
    measures_energy: bool = False
    """Whether the motors' work is summed up, which costs some percent of a step."""


@dataclass(frozen=True, kw_only=True)
class TrainingEnvironmentConfig:
    """Episodes and randomisation of training."""

    goals_per_scene: int = 2
    """A goal takes a tenth of a second to prepare, so several starts share one"""
    starts_per_goal: int = 6
    randomisation: Randomisation = field(default_factory=training)
    """Moderate, so that gaits stay in the conditions that they were trained for"""
    reward: RewardConfig = field(default_factory=RewardConfig)
    precision: Precision = "auto"
    """Of the frozen anticipation network while robots train: bfloat16 is faster where the processor has it"""
    episode_seed: int = 0
    """Seed of the set of episodes; the order in which they run follows the stage's seed"""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Correlated noise on what is executed (never on the labels), so that the way back is in the data."""

    envs: float = 0.5
    """Share of the environments that are disturbed"""
    deviation: float = 0.25
    """Standard deviation in shares of the limits"""
    correlation: float = 0.9
    """From one control step to the next: a second long, so that it leads somewhere"""
