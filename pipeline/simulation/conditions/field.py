"""Conditions ``field``: what a robot meets outside of a laboratory, one documented block of ranges.

Every episode gets one value of each quantity, uniform in its range, keyed by the episode: all agents meet the same. The
people of an episode come from ``navigation.crowd_plan``. Scenes change too: some have narrow doors, and no map shows
all furniture where it stands now.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.simulation.conditions.disturbances import NAMES, NEUTRAL
from scenes.changes import with_moved_furniture, with_narrow_doors
from scenes.registry import random_key
from scenes.scene import Scene

NARROW_SCENES = 1 / 3
"""Fraction of the scenes with doors whose doors are narrow"""

RANGES: dict[str, tuple[float, float]] = {
    # Standard deviation after one metre: from encoders on hard floor to slipping wheels and feet.
    "pose_drift": (0.0, 0.03),
    # From a direct connection to a loaded computer between policy and drive.
    "latency": (0.0, 0.15),
    # Nominal is a well lit, textured wall; the sensor's specification allows more (``sensors.depth_noise``).
    "depth_noise": (1.0, 2.0),
    "depth_dropout": (0.0, 0.05),
    # Of the pixels at depth edges; what is left after a driver's own filter.
    "flying_pixels": (0.0, 0.25),
    # A mount measured by hand, and one that was hit.
    "camera_height": (-0.02, 0.02),
    "camera_pitch": (-0.03, 0.03),
    # As in training (``physics.randomisation.training``).
    "mass": (0.95, 1.1),
    "friction": (0.7, 1.2),
    "motor_strength": (0.9, 1.1),
}


def draw_field(keys: Sequence[str], *, seed: int) -> np.ndarray:
    """Return the factors (N, F) of episodes with these keys, in the order of ``disturbances.FACTORS``."""
    values = np.tile(NEUTRAL, (len(keys), 1))
    for row, key in enumerate(keys):
        rng = random_key(key, "field", seed)
        for name, (low, high) in RANGES.items():
            values[row, NAMES.index(name)] = rng.uniform(low, high)
    return values.astype(np.float32)


def changed_scene(scene: Scene, *, seed: int) -> Scene:
    """Return a generated scene as it is met in the field; the same name and seed give the same scene."""
    rng = random_key(scene.name, "field", seed)
    is_narrow = rng.random() < NARROW_SCENES
    scene = with_moved_furniture(scene, rng)
    return with_narrow_doors(scene, rng) if is_narrow else scene
