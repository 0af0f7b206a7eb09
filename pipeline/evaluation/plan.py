"""Which episodes an evaluation of one robot runs: drawn beforehand, the same for every agent."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embodiments.embodiment import Embodiment
from pipeline.simulation.episodes import ROUTE_SAMPLES, EpisodeSet, Protocol
from pipeline.simulation.task import Task, build_task
from scenes import registry
from scenes.scene import Scene

MIN_SCENES = 64
"""Different scenes per cell, if it has as many episodes."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The evaluation of one robot, as plain values: it is handed to another process."""

    embodiment: str
    agents: tuple[str, ...]
    policies: dict[str, str]
    """Agent -> its exported file, for agents that have one"""
    scenes: tuple[str, ...]
    """Scene kinds and paths of Nav2 maps"""
    split: str
    episodes: int
    """Per scene kind or map"""
    routes: tuple[str, ...]
    protocol: Protocol
    seed: int
    num_envs: int
    device: str
    parts: str
    """Folder for the finished parts"""

    def save(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=2), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "Job":
        """Read a job that ``save`` wrote."""
        found = json.loads(path.read_text(encoding="utf-8"))
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return Job(**values)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The episodes of one robot; N of them per route, in the same order for every route."""

    task: Task
    """Its episode set holds all routes one after the other: route k's episode n is row k N + n"""
    scene: np.ndarray
    """(N,) scene kind, or the path of a map, of each episode"""
    scene_seed: np.ndarray
    """(N,) the scene's index within its kind and split; 0 for a map"""
    number: np.ndarray
    """(N,) running number within the kind or map"""

    def __len__(self) -> int:
        """Return the number of episodes per route."""
        return len(self.scene)


def draw(job: Job, embodiment: Embodiment) -> Plan:
    """Draw the episodes of a job.

    Raises:
        ValueError: If a scene does not exist or has no room for this robot.
    """
    tasks, names, seeds, numbers = [], [], [], []
    for name in job.scenes:
        scenes = _scenes(name, split=job.split, episodes=job.episodes)
        per_scene = -(-job.episodes // len(scenes))
        task = build_task(
            embodiment, scenes, protocol=job.protocol, per_scene=per_scene, route="planned", seed=job.seed
        )
        tasks.append(_spread(task, count=job.episodes))
        names += [name] * job.episodes
        seeds.append(tasks[-1].episodes.scene_index)
        numbers.append(np.arange(job.episodes))
    task = _join(tasks)
    return Plan(
        task=dataclasses.replace(task, episodes=_with_routes(task.episodes, job.routes)),
        scene=np.asarray(names),
        scene_seed=np.concatenate(seeds),
        number=np.concatenate(numbers),
    )


def _scenes(name: str, *, split: str, episodes: int) -> list[Scene]:
    if registry.is_map(name):
        return [registry.load(name)]
    return [registry.generate(name, split=split, index=index) for index in range(min(episodes, MIN_SCENES))]


def _spread(task: Task, *, count: int) -> Task:
    """Keep ``count`` episodes, taking one in every scene before a second in any."""
    scene = task.episodes.scene_index
    order = np.argsort(scene, kind="stable")
    _, first, per_scene = np.unique(scene[order], return_index=True, return_counts=True)
    place = np.empty(len(scene), dtype=int)  # of an episode among those in its scene
    place[order] = np.arange(len(scene)) - np.repeat(first, per_scene)
    keep = np.lexsort((scene, place))[:count]
    return dataclasses.replace(task, episodes=_take(task.episodes, keep))


def _take(episodes: EpisodeSet, rows: np.ndarray) -> EpisodeSet:
    arrays = {n: v[rows] for n, v in _arrays(episodes).items()}
    return dataclasses.replace(episodes, **arrays)  # type: ignore[arg-type]


def _join(tasks: Sequence[Task]) -> Task:
    """Put tasks of one robot into one, so that one batch can hold all kinds of scenes."""
    scene_first = np.cumsum([0] + [len(task.scenes) for task in tasks])
    goal_first = np.cumsum([0] + [len(task.episodes.geodesic) for task in tasks])
    columns = [_arrays(task.episodes) for task in tasks]
    for column, scene, goal in zip(columns, scene_first, goal_first, strict=False):
        column["scene_index"] = column["scene_index"] + scene
        column["goal_index"] = column["goal_index"] + goal
    episodes = dataclasses.replace(
        tasks[0].episodes,
        **{name: np.concatenate([column[name] for column in columns]) for name in columns[0]},  # type: ignore[arg-type]
        cost_to_go=tuple(field for task in tasks for field in task.episodes.cost_to_go),
        geodesic=tuple(field for task in tasks for field in task.episodes.geodesic),
    )
    return Task(
        embodiment=tasks[0].embodiment,
        scenes=tuple(scene for task in tasks for scene in task.scenes),
        fields=tuple(fields for task in tasks for fields in task.fields),
        episodes=episodes,
    )


def _with_routes(episodes: EpisodeSet, routes: Sequence[str]) -> EpisodeSet:
    """Repeat the same episodes once per route; the fields of their goals are shared."""
    variants = {"planned": _arrays(episodes), "straight": _arrays(_straight(episodes))}
    columns = [variants[route] for route in routes]
    arrays = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    return dataclasses.replace(episodes, **arrays)  # type: ignore[arg-type]


def _straight(episodes: EpisodeSet) -> EpisodeSet:
    share = np.linspace(0.0, 1.0, ROUTE_SAMPLES, dtype=np.float32)[None, :, None]
    start, goal = episodes.start_w[:, None, :2], episodes.goal_w[:, None, :2]
    route = start + share * (goal - start)
    return dataclasses.replace(episodes, planned=np.zeros(len(episodes), dtype=bool), route_w_m=route)


def _arrays(episodes: EpisodeSet) -> dict[str, np.ndarray]:
    """Return the columns with one entry per episode."""
    values = {field.name: getattr(episodes, field.name) for field in dataclasses.fields(episodes)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
