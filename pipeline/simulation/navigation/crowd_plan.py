"""Who walks where in an episode: paths that cross the robot's, drawn beforehand and the same for every agent."""

from collections.abc import Sequence

import numpy as np

from pipeline.simulation.conditions.crowd import MAX_PEOPLE, PATH_POINTS, RADIUS_M, CrowdPlan
from pipeline.simulation.navigation.episodes import EpisodeSet, SceneFields, scene_key
from pipeline.simulation.navigation.goal_fields import coarsen
from scenes.fields import geodesic_field
from scenes.grid import Grid
from scenes.path import descend, resample
from scenes.registry import random_key
from scenes.scene import Scene

EPISODES_WITH_PEOPLE = 0.75
SPEED_MPS = (0.4, 1.4)
"""From strolling to the mean walking speed of adults (Weidmann 1993: 1.34 m/s)"""
NOTICE_S = (0.2, 1.0)
"""From a simple reaction to that of somebody who looks at a telephone"""
PATIENCE_S = (1.5, 4.0)
"""How long somebody waits before a blocked passage"""
CROSSING = (0.2, 0.9)
"""The part of the robot's shortest path in which a person's path crosses it"""
REACH_M = (2.0, 7.0)
"""How far the two goals of a person lie from the crossing, along the path"""
START_CLEAR_M = 1.5
"""Nobody begins nearer to the robot"""
_MARGIN_M = 0.05
COMFORT_M = 0.3
"""People make a detour to keep this much off walls and furniture."""
_CROSSINGS = 2
"""Crossing points per episode; each takes a geodesic field"""
_TRIES = 16


def plan_people(
    scenes: Sequence[Scene],
    fields: Sequence[SceneFields],
    episodes: EpisodeSet,
    *,
    seed: int,
    crowded: np.ndarray | None = None,
) -> CrowdPlan:
    """Draw the people of every episode; the key is the scene's name, start and goal, so agents meet the same people.

    Args:
        crowded: (N,) bool, episodes in which as many walk as there can be.
    """
    room = {int(index): _room(fields[index]) for index in np.unique(episodes.scene_index)}
    plans = []
    for number, (scene_index, key) in enumerate(zip(episodes.scene_index, episode_keys(scenes, episodes), strict=True)):
        rng = random_key(key, "people", seed)
        start = episodes.start_w[number]
        field = episodes.cost_to_go[episodes.goal_index[number]]
        path = resample(descend(field, start[:2].tolist(), step_m=0.1, max_points=1024), PATH_POINTS)
        is_crowded = crowded is not None and bool(crowded[number])
        plans.append(_plan_episode(room[int(scene_index)], path, rng, crowded=is_crowded))
    return CrowdPlan(**{name: np.stack([plan[name] for plan in plans]) for name in plans[0]})


def episode_keys(scenes: Sequence[Scene], episodes: EpisodeSet) -> list[str]:
    """Return what tells episodes (N,) apart: scene, start and goal, but neither agent nor route."""
    places = np.concatenate([episodes.start_w, episodes.goal_w], axis=1)
    names = [scene_key(scenes[index]) for index in episodes.scene_index]
    return [f"{name}/{place.tobytes().hex()}" for name, place in zip(names, places, strict=True)]


def _room(fields: SceneFields) -> Grid:
    """Return the distance (H, W) of a person's side to the nearest obstacle of any layer, on the coarse cells [m]."""
    distance = fields.distance
    lowest = Grid(
        values=distance.values.min(axis=0) - RADIUS_M,
        origin_xy_w_m=distance.origin_xy_w_m,
        resolution_m=distance.resolution_m,
    )
    return coarsen(lowest)


def _plan_episode(
    room: Grid, robot_path_w: np.ndarray, rng: np.random.Generator, *, crowded: bool
) -> dict[str, np.ndarray]:
    """Draw the people of one episode; where a scene leaves no room for a path nobody walks."""
    count = int(rng.integers(1, MAX_PEOPLE + 1)) if rng.random() < EPISODES_WITH_PEOPLE else 0
    count = MAX_PEOPLE if crowded else count
    plan = {
        "path_w_m": np.zeros((MAX_PEOPLE, PATH_POINTS, 2), dtype=np.float32),
        "start_m": np.zeros(MAX_PEOPLE, dtype=np.float32),
        "speed_mps": np.zeros(MAX_PEOPLE, dtype=np.float32),
        "notice_s": rng.uniform(*NOTICE_S, size=MAX_PEOPLE).astype(np.float32),
        "patience_s": rng.uniform(*PATIENCE_S, size=MAX_PEOPLE).astype(np.float32),
    }
    crossings = [_crossing(room, robot_path_w, rng) for _ in range(min(count, _CROSSINGS))]
    for person in range(count):
        found = _path(crossings[person % _CROSSINGS], rng)
        if found is None:
            continue
        start_m = _start_m(found, robot_path_w[0], rng)
        if start_m is None:
            continue
        plan["path_w_m"][person], plan["start_m"][person] = found, start_m
        plan["speed_mps"][person] = rng.uniform(*SPEED_MPS)
    return plan


def _crossing(room: Grid, robot_path_w: np.ndarray, rng: np.random.Generator) -> Grid:
    """Return the cost of the way to a point on the robot's path; inf everywhere if a person cannot stand there.

    A metre costs up to twice its length near obstacles: people keep off the walls where there is room.
    """
    point = robot_path_w[int(rng.uniform(*CROSSING) * (len(robot_path_w) - 1))]
    free = Grid(values=room.values > _MARGIN_M, origin_xy_w_m=room.origin_xy_w_m, resolution_m=room.resolution_m)
    return geodesic_field(free, point.tolist(), speed=np.clip(room.values / COMFORT_M, 0.5, 1.0))


def _path(field: Grid, rng: np.random.Generator) -> np.ndarray | None:
    """Return a path (PATH_POINTS, 2) from one goal over the crossing to another; None if there is no room for one."""
    cells = np.argwhere((field.values >= REACH_M[0]) & (field.values <= REACH_M[1]))
    if len(cells) < 2:
        return None
    ends = field.centre(rng.choice(cells, size=_TRIES))  # (_TRIES, 2)
    first = ends[0]
    last = ends[int(np.argmax(np.linalg.norm(ends - first, axis=1)))]
    here, there = (descend(field, end.tolist(), step_m=0.1, max_points=256) for end in (first, last))
    return resample(np.concatenate([here, there[::-1]]), PATH_POINTS).astype(np.float32)


def _start_m(path_w: np.ndarray, robot_xy_w: np.ndarray, rng: np.random.Generator) -> float | None:
    """Return where on the path (PATH_POINTS, 2) a person begins: anywhere that is not too near to the robot."""
    spacing_m = float(np.linalg.norm(path_w[1] - path_w[0]))
    far = np.flatnonzero(np.linalg.norm(path_w - robot_xy_w, axis=1) > START_CLEAR_M)
    return spacing_m * float(rng.choice(far)) if len(far) else None
