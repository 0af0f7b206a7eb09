"""Settings of episodes and training environments; importing them costs no torch."""

from dataclasses import dataclass, field
from typing import Literal

from pipeline.simulation.physics.randomisation import Randomisation, training

Protocol = Literal["compass", "pointnav"]


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """Weights of the reward terms."""

    kind: Literal["progress", "compass"] = "progress"
    progress_per_m: float = 1.0
    """Unit of the reward: one metre nearer to the goal along the clearance-weighted geodesic."""
    heading: float = 1.0
    """For the whole turn to the goal heading, near the goal only: distance alone says nothing about heading."""
    heading_radius_m: float = 1.5
    success: float = 8.0
    """More than a typical path is worth, so that arriving beats circling near the goal."""
    collision: float = -6.0
    """About what a path is worth: bumping on the way must never pay."""
    fall: float = -6.0
    action_change: float = -0.02
    """Per squared change of the command over v_max: smooth commands spare motors and gaits. A turn weighs more
    the slower the body is, since its rad/s are divided by m/s."""
    near_obstacle: float = -0.05
    near_obstacle_m: float = 0.15
    """Per step at zero clearance, fading to nothing at this clearance."""
    time_per_step: float = -0.02
    """Times v_max in m/s, so that a slow body is not punished for its speed. Over a whole episode nearly a collision's
    worth: half of that taught Stretch to stand still before obstacles."""


@dataclass(frozen=True, kw_only=True)
class TrainingEnvironmentConfig:
    """What episodes are practised and under which randomisation."""

    goals_per_scene: int = 2
    """Goals are what costs time to prepare (a tenth of a second each), so several starts share one"""
    starts_per_goal: int = 6
    randomisation: Randomisation = field(default_factory=training)
    """Moderate, so that gaits stay inside what they were trained for"""
    reward: RewardConfig = field(default_factory=RewardConfig)
    episode_seed: int = 0
    """Of the set of episodes; which of them run when follows the seed of the stage"""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Correlated noise on what is executed (never on the labels), so that the way back is in the data."""

    envs: float = 0.5
    """Share of the environments that are disturbed"""
    deviation: float = 0.25
    """Standard deviation in shares of the limits"""
    correlation: float = 0.9
    """From one control step to the next: a second long, so that it leads somewhere"""
