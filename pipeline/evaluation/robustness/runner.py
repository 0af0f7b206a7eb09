"""Run one robot through the same episodes again and again, each time with something else wrong.

The environment is built once. A part (undisturbed, one factor, one population of the search) is written when it is
finished, so that an interrupted run goes on with the next.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from embodiments import registry as robots
from pipeline.agents import registry as agents
from pipeline.agents.agent import Agent
from pipeline.evaluation.episodes.plan import Job, Plan, draw
from pipeline.evaluation.episodes.runner import queues
from pipeline.evaluation.robustness import worst_case
from pipeline.evaluation.robustness.worst_case import SearchConfig
from pipeline.runs import atomic_files
from pipeline.runs.progress import progress
from pipeline.simulation.conditions import disturbances
from pipeline.simulation.conditions.disturbances import FACTORS, NAMES, NEUTRAL
from pipeline.simulation.navigation.config import Protocol
from pipeline.simulation.navigation.environment import NavigationConfig, NavigationEnvironment
from pipeline.simulation.navigation.episodes import EpisodeSet
from pipeline.simulation.navigation.task import make_environment
from scenes.registry import FileOptions

CLEAN, CONFIRM, SEARCH = "clean", "confirm", "search"
OUTCOMES = ("success", "collision", "fall", "timeout", "broken", "time_s", "path_m", "min_clearance_m")


@dataclass(frozen=True, kw_only=True)
class RobustnessJob:
    """What is tried with one robot, as plain values: it is handed to another process."""

    embodiment: str
    agent: str
    policy: str | None
    policy_sha256: str | None
    """So that parts of another file of the same name are not mistaken for this one's"""
    robot_sha256: str
    """Of its definition and gait, likewise"""
    scenes_sha256: tuple[str, ...]
    """Of the maps and meshes among the scenes, likewise"""
    commit: str
    """Of the code, likewise, and whether it had been changed since"""
    scenes: tuple[str, ...]
    split: str
    episodes: int
    """Per scene kind or map"""
    route: str
    protocol: Protocol
    seed: int
    num_envs: int
    device: str
    factors: tuple[str, ...]
    """Swept one at a time"""
    population: int
    """Of the worst-case search; 0: no search"""
    iterations: int
    search_episodes: int
    """Per point of the search, at most as many as there are"""
    search_reach: float
    """Share of every factor's range in which the search looks"""
    parts: str
    files: FileOptions = dataclasses.field(default_factory=FileOptions)
    """How maps and meshes are read"""

    def save(self, path: Path) -> None:
        """Write the job as JSON."""
        atomic_files.write_text(path, json.dumps(dataclasses.asdict(self), indent=2))

    @staticmethod
    def load(path: Path) -> "RobustnessJob":
        """Read a job that ``save`` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return RobustnessJob(**values | {"files": FileOptions(**found["files"])})

    def part(self, name: str) -> Path:
        """Return the file of a part; it exists only when the part is finished."""
        return Path(self.parts) / f"{self.embodiment}.{name}.parquet"

    def part_names(self) -> list[str]:
        """Return all parts in the order in which they run."""
        searched = [f"{SEARCH}_{index}" for index in range(self.iterations)] if self.population else []
        return [CLEAN, *self.factors, *searched, *([CONFIRM] if searched else [])]


def evaluate(job: RobustnessJob) -> None:
    """Run what is not finished yet of one robot. One simulation per process: call it once.

    Raises:
        ValueError: If the policy does not fit the robot, or a scene has no room for it.
        FileNotFoundError: If the policy does not exist.
    """
    if all(job.part(name).exists() for name in job.part_names()):
        return
    if job.device == "cpu":
        torch.set_num_threads(1)  # whoever starts it: all parts of a robot round alike
    course = _Course(job)
    course.run(CLEAN, NEUTRAL[None])
    for name in job.factors:
        levels = FACTORS[NAMES.index(name)].levels
        course.run(name, np.stack([disturbances.one_factor(name, level) for level in levels]))
    if job.population:
        found = _search(course, job)
        course.run(CONFIRM, disturbances.from_unit(job.search_reach * found.worst)[None])


def _search(course: "_Course", job: RobustnessJob) -> worst_case.Found:
    def score(iteration: int, units: np.ndarray) -> np.ndarray:
        values = disturbances.from_unit(job.search_reach * units)
        rows = course.run(f"{SEARCH}_{iteration}", values, most=job.search_episodes)
        return rows.groupby("point")["success"].mean().to_numpy()

    low, high = disturbances.unit_bounds()
    config = SearchConfig(population=job.population, iterations=job.iterations)
    return worst_case.search(score, low=low, high=high, config=config, seed=job.seed)


class _Course:
    """The environment, the agent and the episodes of one robot."""

    def __init__(self, job: RobustnessJob) -> None:
        self._job = job
        embodiment = robots.get(job.embodiment)
        torch.manual_seed(job.seed)
        self._agent: Agent = agents.make(
            job.agent,
            embodiment,
            num_envs=job.num_envs,
            device=job.device,
            seed=job.seed,
            policy=Path(job.policy) if job.policy else None,
        )
        self._plan: Plan = draw(_plan_job(job), embodiment)
        levels = [len(FACTORS[NAMES.index(name)].levels) for name in job.factors]
        self._copies = max(1, job.population, *levels)
        task = dataclasses.replace(self._plan.task, episodes=_repeated(self._plan.task.episodes, times=self._copies))
        self._environment: NavigationEnvironment = make_environment(
            task,
            config=NavigationConfig(disturbable=True),
            num_envs=job.num_envs,
            seed=job.seed,
            device=job.device,
        )
        self._environment.sees = agents.get(job.agent).uses_depth

    def run(self, name: str, values: np.ndarray, *, most: int | None = None) -> pd.DataFrame:
        """Return the rows of a part, one per point and episode; run it if it is not finished.

        Args:
            values: (P, F) factors of every point.
            most: Use so many episodes at most, spread over all scenes.
        """
        file = self._job.part(name)
        if file.exists():
            return pd.read_parquet(file)
        count = len(self._plan)
        chosen = np.arange(count) if most is None else np.unique(np.linspace(0, count - 1, min(most, count)).round())
        chosen = chosen.astype(int)
        assert len(values) <= self._copies
        rows = (count * np.arange(len(values))[:, None] + chosen).ravel()  # point p's episode n is row p N + n
        table = np.tile(NEUTRAL, (self._copies * count, 1))
        table[: len(values) * count] = values.repeat(count, axis=0)
        self._environment.disturb(table, np.tile(np.arange(count), self._copies))
        columns = _drive(self._environment, self._agent, rows, job=self._job, name=name)
        point, episode = columns.pop("episode") // count, rows % count
        part = pd.DataFrame(
            {
                "embodiment": self._job.embodiment,
                "part": name,
                "point": point,
                "scene": self._plan.scene[episode],
                "scene_seed": self._plan.scene_seed[episode],
                "episode": self._plan.number[episode],
                **columns,
                **{f"factor_{factor}": values[point, index] for index, factor in enumerate(NAMES)},
            }
        )
        _write(file, part)
        return part


def _drive(
    environment: NavigationEnvironment, agent: Agent, rows: np.ndarray, *, job: RobustnessJob, name: str
) -> dict[str, np.ndarray]:
    """Drive the given episodes; return one entry per episode, in the order of ``rows``."""
    environment.assign(queues(rows, num_envs=environment.num_envs))
    environment.reseed(job.seed)
    ended_rows: list[dict[str, np.ndarray]] = []
    with progress(len(rows), f"{job.embodiment} {name}") as bar:
        done, successes = 0, 0
        step = environment.reset()
        while done < len(rows):
            ended = step.terminated | step.truncated
            if bool(ended.any()):
                values = {column: getattr(step.outcome, column)[ended].cpu().numpy() for column in _COLUMNS}
                ended_rows.append(values)
                done, successes = done + len(values["episode"]), successes + int(values["success"].sum())
                bar.advance(len(values["episode"]), success=successes / done)
            agent.reset(step.first)
            action = agent.act(step.observation, environment.privileged)
            step = environment.step(action) if agent.output == "action" else environment.step_command(action)
    columns = {column: np.concatenate([values[column] for values in ended_rows]) for column in _COLUMNS}
    order = np.argsort(columns["episode"])
    if not np.array_equal(columns["episode"][order], rows):
        raise RuntimeError(f"{job.embodiment} {name}: not every assigned episode ended exactly once")
    return {column: values[order] for column, values in columns.items()}


_COLUMNS = ("episode", *OUTCOMES)


def _plan_job(job: RobustnessJob) -> Job:
    return Job(
        embodiment=job.embodiment,
        agents=(job.agent,),
        policies={},
        scenes=job.scenes,
        split=job.split,
        episodes=job.episodes,
        routes=(job.route,),
        protocol=job.protocol,
        seed=job.seed,
        num_envs=job.num_envs,
        device=job.device,
        parts=job.parts,
        files=job.files,
    )


def _repeated(episodes: EpisodeSet, *, times: int) -> EpisodeSet:
    """Repeat all episodes one after the other; the fields of their goals are shared."""
    found = {field.name: getattr(episodes, field.name) for field in dataclasses.fields(episodes)}
    arrays = {name: np.concatenate([value] * times) for name, value in found.items() if isinstance(value, np.ndarray)}
    return dataclasses.replace(episodes, **arrays)  # type: ignore[arg-type]


def _write(file: Path, rows: pd.DataFrame) -> None:
    """Write a part whole, because its being there says that it is finished."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.replacing(file) as temporary:
        rows.to_parquet(temporary, index=False)


def read(jobs: Sequence[RobustnessJob]) -> pd.DataFrame:
    """Return the rows of all finished jobs."""
    files = [job.part(name) for job in jobs for name in job.part_names()]
    return pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
