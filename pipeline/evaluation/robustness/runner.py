"""Run one robot through the same episodes again and again, each time with something else disturbed.

The environment is built once and holds every episode once per point. A rollout (undisturbed, one factor, one population
of the search) is written when it is finished, so that an interrupted run continues with the next.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from embodiments import registry as robots
from pipeline.agents import registry as agents
from pipeline.evaluation.episodes.plan import CLEAN, CONFIRM, SEARCH, Disturbances, Job, draw
from pipeline.evaluation.episodes.runner import drive, make_agent, queues
from pipeline.evaluation.episodes.shards import rollouts
from pipeline.evaluation.robustness import worst_case
from pipeline.evaluation.robustness.worst_case import SearchConfig
from pipeline.simulation.conditions import disturbances
from pipeline.simulation.conditions.disturbances import FACTORS, NAMES, NEUTRAL
from pipeline.simulation.navigation.config import NavigationConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment
from pipeline.simulation.navigation.episodes import EpisodeSet

OUTCOMES = ("success", "collision", "fall", "timeout", "broken", "time_s", "path_m", "min_clearance_m")


def evaluate(job: Job) -> None:
    """Run what is not finished yet of one robot. One simulation per process: call it once.

    Raises:
        ValueError: If the policy does not fit the robot, or a scene has no room for it.
        FileNotFoundError: If the policy does not exist.
    """
    if all(rollout.rows.exists() for rollout in rollouts(job)):
        return
    if job.device == "cpu":
        torch.set_num_threads(1)  # all rollouts of a robot round alike in every process
    disturbed, asked = Disturbed(job), _asked(job)
    disturbed.run(CLEAN, NEUTRAL[None])
    for name in asked.factors:
        levels = FACTORS[NAMES.index(name)].levels
        disturbed.run(name, np.stack([disturbances.one_factor(name, level) for level in levels]))
    if asked.population:
        found = _search(disturbed, job)
        disturbed.run(CONFIRM, disturbances.from_unit(asked.search_reach * found.worst)[None])


def read(jobs: Iterable[Job]) -> pd.DataFrame:
    """Return the rows of all finished jobs."""
    return pd.concat([rollout.read_rows() for job in jobs for rollout in rollouts(job)], ignore_index=True)


def _search(disturbed: "Disturbed", job: Job) -> worst_case.Found:
    asked = _asked(job)

    def score(iteration: int, units: np.ndarray) -> np.ndarray:
        values = disturbances.from_unit(asked.search_reach * units)
        rows = disturbed.run(f"{SEARCH}_{iteration}", values, most=asked.search_episodes)
        return rows.groupby("point")["success"].mean().to_numpy()

    low, high = disturbances.unit_bounds()
    config = SearchConfig(population=asked.population, iterations=asked.iterations)
    return worst_case.search(score, low=low, high=high, config=config, seed=job.seed)


class Disturbed:
    """The environment, the agent and the episodes of one robot."""

    def __init__(self, job: Job) -> None:
        self._job, asked, (agent,) = job, _asked(job), job.agents
        embodiment = robots.get(job.embodiment)
        torch.manual_seed(job.seed)
        self._agent = make_agent(agent, job, seed=job.seed)
        self._plan = draw(job, embodiment)
        levels = [len(FACTORS[NAMES.index(name)].levels) for name in asked.factors]
        self._copies = max(1, asked.population, *levels)
        task = dataclasses.replace(self._plan.task, episodes=_repeated(self._plan.task.episodes, times=self._copies))
        config = NavigationConfig(disturbable=True)
        self.environment = NavigationEnvironment(
            task, config=config, num_envs=job.num_envs, seed=job.seed, device=job.device
        )
        self.environment.sees = agents.get(agent).uses_depth

    def run(self, name: str, values: np.ndarray, *, most: int | None = None) -> pd.DataFrame:
        """Return the rows of a rollout, one per point and episode; run it if it is not finished.

        Args:
            values: (P, F) factors of every point.
            most: Use so many episodes at most, spread over all scenes.
        """
        rollout = list(rollouts(self._job))[_asked(self._job).rollouts().index(name)]
        if rollout.rows.exists():
            return rollout.read_rows()
        count = len(self._plan)
        chosen = np.arange(count) if most is None else np.unique(np.linspace(0, count - 1, min(most, count)).round())
        rows = (count * np.arange(len(values))[:, None] + chosen.astype(int)).ravel()  # point p, episode n: p N + n
        columns = self._drive(rows, values, name)
        point, episode = rows // count, rows % count
        table = pd.DataFrame(
            {
                "embodiment": self._job.embodiment,
                "part": name,
                "point": point,
                "scene": self._plan.scene[episode],
                "scene_seed": self._plan.scene_seed[episode],
                "episode": self._plan.number[episode],
                **{column: columns[column] for column in OUTCOMES},
                **{f"factor_{factor}": values[point, index] for index, factor in enumerate(NAMES)},
            }
        )
        rollout.folder.mkdir(parents=True, exist_ok=True)
        rollout.write(table)
        return table

    def _drive(self, rows: np.ndarray, values: np.ndarray, name: str) -> dict[str, np.ndarray]:
        """Drive the given rows of the episode set, each with the factors of its point."""
        assert len(values) <= self._copies
        count = len(self._plan)
        factors = np.tile(NEUTRAL, (self._copies * count, 1))
        factors[: len(values) * count] = values.repeat(count, axis=0)
        self.environment.disturb(factors, np.tile(np.arange(count), self._copies))
        self.environment.assign(queues(rows, num_envs=self.environment.num_envs))
        self.environment.reseed(self._job.seed)
        return drive(self.environment, self._agent, rows, title=f"{self._job.embodiment} {name}")


def _asked(job: Job) -> Disturbances:
    assert job.disturbances is not None
    return job.disturbances


def _repeated(episodes: EpisodeSet, *, times: int) -> EpisodeSet:
    """Repeat all episodes one after the other; the fields of their goals are shared."""
    found = {field.name: getattr(episodes, field.name) for field in dataclasses.fields(episodes)}
    arrays = {name: np.concatenate([value] * times) for name, value in found.items() if isinstance(value, np.ndarray)}
    return dataclasses.replace(episodes, **arrays)  # type: ignore[arg-type]
