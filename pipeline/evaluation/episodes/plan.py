"""Which episodes an evaluation of one robot runs: drawn beforehand, the same for every agent.

The plan of a robot is cut into shards. They depend on the job alone, not on the number or order of the processes. A
shard is drawn, loaded and run by itself.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embodiments import registry as robots
from embodiments.embodiment import Embodiment
from export.policy_server.client import TIMEOUT_S
from pipeline.simulation.conditions.field import changed_scene
from pipeline.simulation.navigation.config import Conditions
from pipeline.simulation.navigation.episodes import (
    EpisodeSet,
    NoFreeSpaceError,
    Protocol,
    SceneFields,
    build_episodes,
    scene_fields,
)
from pipeline.simulation.navigation.goal_fields import GOAL_CLEARANCE_M, ROUTE_SAMPLES
from pipeline.simulation.navigation.task import Task
from scenes import registry
from scenes.registry import FileOptions
from scenes.scene import Scene
from world_model import atomic_files

MIN_SCENES = 64
"""Different scenes per cell, if it has as many episodes."""
ROUNDS_PER_SHARD = 4
"""Episodes of a shard per environment. With fewer the batch waits longer for its last episodes; with more a few hundred
episodes do not occupy two processes."""
SERIES_EPISODES = 64
"""Episodes in one map are drawn in series of at most so many, each from its own key; so several shards can share it."""
_BATCH_STEP = 8
"""Batches smaller than asked for have a multiple of so many environments, the width of the processor's vectors"""
_TRIES = 32
"""Generated scenes that are tried for a body before one is found that has room for it"""

CLEAN, SEARCH, CONFIRM = "clean", "search", "confirm"
"""Parts of a robustness evaluation beside the factors: undisturbed, ``search_0`` and so on, the worst point again"""

_Loaded = tuple[Scene, SceneFields]


@dataclass(frozen=True, kw_only=True)
class Disturbances:
    """What a robustness evaluation disturbs, and how it searches for the worst case."""

    factors: tuple[str, ...]
    """Swept one at a time"""
    population: int
    """Points per iteration of the search; 0: no search"""
    iterations: int
    search_episodes: int
    """Per point of the search, at most as many as there are"""
    search_reach: float
    """Fraction of every factor's range in which the search looks"""

    def rollouts(self) -> list[str]:
        """Return the names of all rollouts in the order in which they run."""
        searched = [f"{SEARCH}_{index}" for index in range(self.iterations)] if self.population else []
        return [CLEAN, *self.factors, *searched, *([CONFIRM] if searched else [])]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The evaluation of one robot, as plain values, so that a file can hold it."""

    embodiment: str
    agents: tuple[str, ...]
    policies: dict[str, str]
    """Agent -> its exported file, for agents that have one"""
    scenes: tuple[str, ...]
    """Scene kinds and paths of Nav2 maps and meshes"""
    split: str
    episodes: int
    """Per scene kind or file"""
    routes: tuple[str, ...]
    protocol: Protocol
    seed: int
    num_envs: int
    device: str
    folder: str
    """Folder for the finished rollouts"""
    files: FileOptions = dataclasses.field(default_factory=FileOptions)
    """How maps and meshes are read"""
    conditions: Conditions = "nominal"
    servers: dict[str, str] = dataclasses.field(default_factory=dict)
    """Agent -> ``server:URL``, for policies behind servers"""
    server_timeout_s: float = TIMEOUT_S
    disturbances: Disturbances | None = None
    """Of a robustness evaluation"""
    view: str = ""
    """Shows the first environment of every agent and route, as ``--view`` says; empty for none"""

    def save(self, path: Path) -> None:
        """Write the job as JSON."""
        atomic_files.write_text(path, json.dumps(dataclasses.asdict(self), indent=2))

    @staticmethod
    def load(path: Path) -> "Job":
        """Read a job that ``save`` wrote."""
        found = _with_tuples(json.loads(path.read_text(encoding="utf-8")))
        found["files"] = FileOptions(**found["files"])
        if found["disturbances"]:
            found["disturbances"] = Disturbances(**_with_tuples(found["disturbances"]))
        return Job(**found)


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Episodes to draw in one scene."""

    scene: str
    """Scene kind, or the path of a file"""
    index: int
    """The scene's index within its kind and split; 0 for a file"""
    series: int
    numbers: tuple[int, ...]
    """The episodes' running numbers within the kind or file"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Episodes of one robot; N of them per route, in the same order for every route."""

    task: Task
    """Its episode set holds all routes one after the other: route k's episode n is row k N + n"""
    scene: np.ndarray
    """(N,) scene kind, or the path of a file, of each episode"""
    scene_seed: np.ndarray
    """(N,) the scene's index within its kind and split; 0 for a file"""
    number: np.ndarray
    """(N,) running number within the kind or file"""

    def __len__(self) -> int:
        """Return the number of episodes per route."""
        return len(self.scene)


def batch_size(episodes: int, *, at_most: int) -> int:
    """Return the number of environments for so many episodes per route: an idle one costs as much as a busy one.

    Args:
        at_most: What the user asked for.
    """
    return max(1, min(at_most, -(-episodes // _BATCH_STEP) * _BATCH_STEP))


def draws(job: Job) -> list[Draw]:
    """Return everything that is to be drawn for a job: every scene gets one episode before any gets a second."""
    return [draw for name in job.scenes for draw in _draws_of(name, job.episodes)]


def _draws_of(name: str, episodes: int) -> list[Draw]:
    numbers = range(episodes)
    if registry.is_map(name):
        starts = range(0, episodes, SERIES_EPISODES)
        series = [tuple(numbers[start : start + SERIES_EPISODES]) for start in starts]
        return [Draw(scene=name, index=0, series=k, numbers=chosen) for k, chosen in enumerate(series)]
    count = min(episodes, MIN_SCENES)
    return [Draw(scene=name, index=index, series=0, numbers=tuple(numbers[index::count])) for index in range(count)]


def shards(job: Job) -> list[list[Draw]]:
    """Cut a job into shards of about equal size, each of whole draws; they depend on the job alone."""
    everything = draws(job)
    total = sum(len(draw.numbers) for draw in everything)
    count = min(-(-total // (ROUNDS_PER_SHARD * job.num_envs)), len(everything))
    cut: list[list[Draw]] = [[] for _ in range(count)]
    before = 0
    for draw in everything:
        cut[before * count // total].append(draw)
        before += len(draw.numbers)
    return [shard for shard in cut if shard]


def draw(job: Job, embodiment: Embodiment, *, shard: int | None = None) -> Plan:
    """Draw the episodes of a job, or of one of its shards.

    A generated scene without room for this robot is replaced by one of the same kind that no other draw uses.

    Raises:
        ValueError: If a scene does not exist, or a map has no room for this robot.
    """
    chosen = draws(job) if shard is None else shards(job)[shard]
    loaded: dict[tuple[str, int], _Loaded] = {}
    drawn = [_drawn(d, job, embodiment, loaded) for d in chosen]
    task = Task(
        embodiment=embodiment,
        scenes=tuple(scene for scene, _ in loaded.values()),
        fields=tuple(fields for _, fields in loaded.values()),
        episodes=_with_routes(_join([episodes for _, episodes in drawn]), job.routes),
    )
    counts = [len(d.numbers) for d in chosen]
    return Plan(
        task=task,
        scene=np.repeat([d.scene for d in chosen], counts),
        scene_seed=np.repeat([index for index, _ in drawn], counts),
        number=np.concatenate([d.numbers for d in chosen]),
    )


def without_room(name: str, scene: Scene, jobs: Sequence[Job]) -> dict[str, str]:
    """Return robot -> why it cannot drive in a map or mesh, of the robots that have no room there."""
    fields, found = scene_fields(scene), {}
    for job in jobs:
        embodiment = robots.get(job.embodiment)
        try:
            _draw_in(name, scene, fields, job, embodiment, count=min(job.episodes, SERIES_EPISODES))
        except NoFreeSpaceError as error:
            found[job.embodiment] = f"{error} ({_room(embodiment, fields)})"
    return found


def _room(embodiment: Embodiment, fields: SceneFields) -> str:
    """Return how much room the body needs and how much there is, in the height layer that lacks most."""
    radii_m = [embodiment.circumscribed_radius_m(layer) for layer in range(len(fields.distance.values))]
    room_m = [
        (radius + GOAL_CLEARANCE_M, float(layer.max()))
        for radius, layer in zip(radii_m, fields.distance.values, strict=True)
        if radius > 0.0
    ]
    needed_m, widest_m = max(room_m, key=lambda pair: pair[0] - pair[1])
    needed, widest = f"{needed_m:.2f} m", f"{widest_m:.2f} m"
    return f"the body needs {needed} from its centre to the nearest obstacle, the widest place has {widest}"


def gave_way(scene: np.ndarray, scene_seed: np.ndarray) -> np.ndarray:
    """Return which episodes (N,) of a plan are in a replacement scene, because the first one had no room."""
    generated = np.asarray([not registry.is_map(str(name)) for name in scene], dtype=bool)
    return generated & (scene_seed >= MIN_SCENES)


def _drawn(
    draw: Draw, job: Job, embodiment: Embodiment, loaded: dict[tuple[str, int], _Loaded]
) -> tuple[int, EpisodeSet]:
    """Return the index of the scene that is used, and its episodes; it joins ``loaded``, whose order counts."""
    for index in range(draw.index, draw.index + _TRIES * MIN_SCENES, MIN_SCENES):
        key = (draw.scene, index)
        scene, fields = loaded.get(key) or _load(draw.scene, index, job)
        try:
            count = len(draw.numbers)
            episodes = _draw_in(draw.scene, scene, fields, job, embodiment, count=count, series=draw.series)
        except NoFreeSpaceError as error:
            if registry.is_map(draw.scene):
                raise
            no_room = error
            continue
        loaded[key] = scene, fields
        place = list(loaded).index(key)
        return index, dataclasses.replace(episodes, scene_index=episodes.scene_index + place)
    raise no_room


def _draw_in(
    name: str, scene: Scene, fields: SceneFields, job: Job, embodiment: Embodiment, *, count: int, series: int = 0
) -> EpisodeSet:
    return build_episodes(
        embodiment,
        [scene],
        [fields],
        protocol=job.protocol,
        per_scene=count,
        route="planned",
        seed=job.seed,
        series=series,
        split=job.split if registry.is_map(name) else "",
    )


def _load(name: str, index: int, job: Job) -> _Loaded:
    if registry.is_map(name):
        scene = registry.load(name, options=job.files)
    else:
        scene = registry.generate(name, split=job.split, index=index)
        scene = changed_scene(scene, seed=job.seed) if job.conditions == "field" else scene
    return scene, scene_fields(scene)


def _join(sets: Sequence[EpisodeSet]) -> EpisodeSet:
    """Put the episodes of several draws one after the other."""
    goal_first = np.cumsum([0] + [len(episodes.geodesic) for episodes in sets])
    columns = [_arrays(episodes) for episodes in sets]
    for column, first in zip(columns, goal_first, strict=False):
        column["goal_index"] = column["goal_index"] + first
    return dataclasses.replace(
        sets[0],
        **{name: np.concatenate([column[name] for column in columns]) for name in columns[0]},  # type: ignore[arg-type]
        cost_to_go=tuple(field for episodes in sets for field in episodes.cost_to_go),
        geodesic=tuple(field for episodes in sets for field in episodes.geodesic),
    )


def _with_routes(episodes: EpisodeSet, routes: Sequence[str]) -> EpisodeSet:
    """Repeat the same episodes once per route; the fields of their goals are shared."""
    variants = {"planned": _arrays(episodes), "straight": _arrays(_straight(episodes))}
    columns = [variants[route] for route in routes]
    arrays = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    return dataclasses.replace(episodes, **arrays)  # type: ignore[arg-type]


def _straight(episodes: EpisodeSet) -> EpisodeSet:
    fraction = np.linspace(0.0, 1.0, ROUTE_SAMPLES, dtype=np.float32)[None, :, None]
    start, goal = episodes.start_w[:, None, :2], episodes.goal_w[:, None, :2]
    route = start + fraction * (goal - start)
    return dataclasses.replace(episodes, planned=np.zeros(len(episodes), dtype=bool), route_w_m=route)


def _arrays(episodes: EpisodeSet) -> dict[str, np.ndarray]:
    """Return the columns with one entry per episode."""
    values = {field.name: getattr(episodes, field.name) for field in dataclasses.fields(episodes)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
