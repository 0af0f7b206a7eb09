"""Conditions ``field`` for the episodes of an environment: what is wrong in each, and who walks there."""

import numpy as np

from pipeline.simulation.conditions.crowd import CrowdPlan
from pipeline.simulation.conditions.field import draw_field
from pipeline.simulation.navigation.crowd_plan import episode_keys, plan_people
from pipeline.simulation.navigation.environment import NavigationEnvironment
from pipeline.simulation.navigation.task import Task


def put_in_field(environment: NavigationEnvironment, task: Task, *, seed: int, numbers: np.ndarray) -> CrowdPlan:
    """Set sensor errors and people of every episode that begins from now on; their scenes were changed before.

    Returns who walks where.

    Args:
        environment: Built with ``disturbable`` and ``people``.
        task: The episodes that it drives.
        seed: The same seed gives the same errors and people, whoever drives.
        numbers: (N,) see ``Disturbance.load``.
    """
    keys = episode_keys(task.scenes, task.episodes)
    environment.disturb(draw_field(keys, seed=seed), numbers)
    people = plan_people(task.scenes, task.fields, task.episodes, seed=seed)
    environment.populate(people)
    return people
