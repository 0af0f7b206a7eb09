"""A training environment in which conditions ``nominal`` and ``field`` hold, each in scenes of its own."""

from collections.abc import Sequence

import numpy as np
import torch

from embodiments import registry
from pipeline.simulation.conditions.disturbances import NEUTRAL
from pipeline.simulation.conditions.field import changed_scene, draw_field
from pipeline.simulation.navigation.config import NavigationConfig
from pipeline.simulation.navigation.crowd_plan import episode_keys, plan_people
from pipeline.simulation.navigation.environment import NavigationEnvironment
from pipeline.simulation.navigation.task import build_task
from pipeline.simulation.physics.randomisation import Randomisation
from scenes.registry import random_key
from scenes.scene import Scene


def both_conditions(
    embodiment: str,
    scenes: Sequence[Scene],
    *,
    field_fraction: float,
    goals_per_scene: int,
    randomisation: Randomisation,
    num_envs: int,
    device: str,
    seed: int,
    crowded: bool = False,
) -> NavigationEnvironment:
    """Return the environment of a robot; call ``assign`` or ``reset`` next.

    Args:
        embodiment: Name of the robot.
        scenes: Generated ones, of any split.
        field_fraction: Fraction of the scenes in which conditions ``field`` hold.
        goals_per_scene: Each on one of the two routes.
        randomisation: Of bodies and sensors, beside the conditions.
        num_envs: Robots at once.
        device: Where it runs.
        seed: Of everything.
        crowded: Whether in training scenes as many people walk as there can be.
    """
    in_field = [random_key(scene.name, "surroundings", seed).random() < field_fraction for scene in scenes]
    scenes = [
        changed_scene(scene, seed=seed) if field else scene for scene, field in zip(scenes, in_field, strict=True)
    ]
    task = build_task(
        registry.get(embodiment),
        scenes,
        protocol="compass",
        per_scene=goals_per_scene,
        route="mixed",
        seed=seed,
    )
    environment = NavigationEnvironment(
        task,
        config=NavigationConfig(randomisation=randomisation, disturbable=True, people=True),
        num_envs=num_envs,
        device=device,
        seed=seed,
    )
    is_field = np.asarray(in_field)[task.episodes.scene_index]
    keys = episode_keys(task.scenes, task.episodes)
    environment.disturb(np.where(is_field[:, None], draw_field(keys, seed=seed), NEUTRAL), np.arange(len(keys)))
    is_val = np.asarray([scene.name.split("/")[1] == "val" for scene in scenes])[task.episodes.scene_index]
    people = plan_people(task.scenes, task.fields, task.episodes, seed=seed, crowded=~is_val if crowded else None)
    people.speed_mps[~is_field] = 0.0  # nobody is there
    environment.populate(people)
    return environment


def queues(
    environment: NavigationEnvironment, *, val_from: int, first_val: int, length: int, seed: int
) -> torch.Tensor:
    """Return episodes (B, length) for every environment, chosen at random.

    Args:
        environment: With training scenes first and validation scenes after them.
        val_from: Number of the first environment that drives in validation scenes; the others never do.
        first_val: Number of the first validation scene.
        length: Episodes each; no episode ends within two steps of its beginning.
        seed: Of the choice.
    """
    rng = np.random.default_rng([seed, 4])
    is_val = environment.episodes.scene_index >= first_val
    rows = [
        rng.choice(np.flatnonzero(is_val == (number >= val_from)), size=length)
        for number in range(environment.num_envs)
    ]
    return torch.as_tensor(np.stack(rows))
