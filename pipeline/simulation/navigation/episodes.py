"""Episodes, sampled beforehand: where each starts, where it ends, and the fields of its goal."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.limits import fastest_time_s
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.simulation.navigation.config import Protocol
from pipeline.simulation.navigation.goal_fields import (
    RESOLUTION_M,
    BodyMaps,
    Goal,
    body_maps,
    known_route,
    solve_goal,
    straight_route,
)
from scenes.fields import distance_field
from scenes.grid import Grid
from scenes.occupancy import layer_occupancy
from scenes.scene import Scene, content_key

RouteKind = Literal["straight", "planned", "mixed"]

START_CLEARANCE_M = 0.15
COMPASS_TIME_LIMIT_S = 25.6
POINTNAV_TIME_MARGIN_S = 10.0
SUCCESS_RADIUS_M = {"compass": 0.5, "pointnav": 0.25}
_COMPASS_BOX_M, _COMPASS_MIN_OFFSET_M, _COMPASS_FAR_FRACTION = 5.0, 2.0, 0.9
_COMPASS_DISTANCE_M = (2.0, 7.07)
_POINTNAV_GEODESIC_M = (5.0, 20.0)
FEASIBLE_FRACTION = 0.6
"""Goals whose fastest drive takes at most this fraction of the time limit are called feasible: a goal 7 m away behind a
row of racks can be 25 m away by path. All goals are set, as in COMPASS; tables name the feasible ones too (ADR 15)."""
_MAX_TRIES = 400
"""Goals in a row without an episode after which the search in a scene ends"""


class NoFreeSpaceError(ValueError):
    """A scene has no start and goal for a body."""


@dataclass(frozen=True, kw_only=True)
class EpisodeSet:
    """Episodes for one body; N episodes, G goals with fields."""

    protocol: Protocol
    scene_index: np.ndarray
    """(N,) int64, into the list of scenes"""
    goal_index: np.ndarray
    """(N,) int64, into ``cost_to_go`` and ``geodesic``"""
    start_w: np.ndarray
    """(N, 3) x [m], y [m], yaw [rad]"""
    goal_w: np.ndarray
    """(N, 3)"""
    stop_xy_w_m: np.ndarray
    """(N, 2) the point near the goal with most clearance, well within its tolerance; privileged"""
    planned: np.ndarray
    """(N,) bool: whether the policy gets the planned route or the straight one"""
    route_w_m: np.ndarray
    """(N, P, 2) shortest path on the known map, equally spaced; the straight line where ``planned`` is false"""
    initial_geodesic_m: np.ndarray
    """(N,) on the map inflated by the inscribed radius"""
    fastest_time_s: np.ndarray
    time_limit_s: np.ndarray
    cost_to_go: tuple[Grid, ...]
    """Per goal: clearance-weighted distance to the goal on the true map [m]; privileged"""
    geodesic: tuple[Grid, ...]
    """Per goal: distance on the true map inflated by the inscribed radius [m]; privileged"""

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.scene_index)


@dataclass(frozen=True, kw_only=True)
class SceneFields:
    """Distance fields of a scene, the same for all goals and bodies."""

    distance: Grid
    """(K, H, W) to the nearest obstacle, per layer, true map"""
    known_distance: Grid
    """(K, H, W) on the known map"""


class _Episode(NamedTuple):
    """One sampled episode."""

    goal: int
    start_w: np.ndarray
    goal_w: np.ndarray
    geodesic_m: float


def scene_fields(scene: Scene) -> SceneFields:
    """Return the distance fields of one scene."""
    true = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, resolution_m=RESOLUTION_M, known_only=False)
    known = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, resolution_m=RESOLUTION_M, known_only=True)
    return SceneFields(distance=distance_field(true), known_distance=distance_field(known))


def build_episodes(
    embodiment: Embodiment,
    scenes: Sequence[Scene],
    fields: Sequence[SceneFields],
    *,
    protocol: Protocol,
    per_scene: int,
    route: RouteKind,
    seed: int,
    starts_per_goal: int = 1,
    series: int = 0,
    split: str = "",
) -> EpisodeSet:
    """Sample ``per_scene`` episodes in every scene; each scene has its own random key, so none affects another.

    Args:
        series: Each series has other episodes in the same scenes.
        split: For scenes whose name does not contain it: maps and meshes. Each split has other episodes.

    Raises:
        NoFreeSpaceError: If a scene has no start and goal that this body can reach.
    """
    goals: list[Goal] = []
    episodes: list[_Episode] = []
    scene_index: list[int] = []
    for index, (scene, field) in enumerate(zip(scenes, fields, strict=True)):
        sampler = _Sampler(embodiment, scene, field, protocol=protocol)
        found = sampler.sample(
            per_scene,
            starts_per_goal=starts_per_goal,
            key=f"{scene_key(scene)}/{embodiment.name}/{protocol}/{seed}"
            + (f"/{series}" if series else "")
            + (f"/{split}" if split else ""),
        )
        episodes += [episode._replace(goal=len(goals) + episode.goal) for episode in found]
        scene_index += [index] * len(found)
        goals += sampler.goals
    return _episode_set(embodiment, goals, episodes, scene_index, protocol=protocol, route=route)


def scene_key(scene: Scene) -> str:
    """Return what an episode's random key calls a scene: the content of a file, whatever its path, else the name."""
    return content_key(scene) if scene.kind in ("map", "mesh") else scene.name


def _episode_set(
    embodiment: Embodiment,
    goals: Sequence[Goal],
    episodes: Sequence[_Episode],
    scene_index: Sequence[int],
    *,
    protocol: Protocol,
    route: RouteKind,
) -> EpisodeSet:
    start_w = np.asarray([episode.start_w for episode in episodes], dtype=np.float32)
    goal_w = np.asarray([episode.goal_w for episode in episodes], dtype=np.float32)
    geodesic_m = np.asarray([episode.geodesic_m for episode in episodes], dtype=np.float32)
    planned = _planned_mask(len(episodes), route=route)
    routes = []
    for number, episode in enumerate(episodes):
        ends = start_w[number], goal_w[number]
        routes.append(known_route(goals[episode.goal].maps, *ends) if planned[number] else straight_route(*ends))
    fastest_s = _fastest_s(embodiment, geodesic_m, protocol=protocol).astype(np.float32)
    limit_s = 3 * fastest_s + POINTNAV_TIME_MARGIN_S
    if protocol == "compass":
        limit_s = np.full_like(fastest_s, _compass_limit_s(embodiment))
    return EpisodeSet(
        protocol=protocol,
        scene_index=np.asarray(scene_index, dtype=np.int64),
        goal_index=np.asarray([episode.goal for episode in episodes], dtype=np.int64),
        start_w=start_w,
        goal_w=goal_w,
        stop_xy_w_m=np.asarray([goals[episode.goal].stop_xy_w_m for episode in episodes]),
        planned=planned,
        route_w_m=np.asarray(routes, dtype=np.float32),
        initial_geodesic_m=geodesic_m,
        fastest_time_s=fastest_s,
        time_limit_s=limit_s,
        cost_to_go=tuple(goal.cost_to_go for goal in goals),
        geodesic=tuple(goal.geodesic for goal in goals),
    )


class _Sampler:
    """Samples goals and starts of one body in one scene; ``goals`` are those found so far."""

    def __init__(
        self,
        embodiment: Embodiment,
        scene: Scene,
        fields: SceneFields,
        *,
        protocol: Protocol,
    ) -> None:
        self._embodiment, self._scene, self._protocol = embodiment, scene, protocol
        self._maps = body_maps(embodiment, distance=fields.distance, known_distance=fields.known_distance)
        self.goals: list[Goal] = []

    def sample(self, count: int, *, starts_per_goal: int, key: str) -> list[_Episode]:
        """Return ``count`` episodes; the same ``key`` gives the same ones."""
        if not self._maps.reachable.any():
            raise NoFreeSpaceError(
                f"scene '{self._scene.name}' has no free space for '{self._embodiment.name}'; "
                "use a larger or emptier map"
            )
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
        episodes: list[_Episode] = []
        tries = 0
        while len(episodes) < count and tries < _MAX_TRIES:
            tries += 1
            goal_xy = self._maps.circumscribed.centre(rng.choice(np.argwhere(self._maps.reachable)))
            candidates = _start_candidates(self._maps, self._scene, goal_xy, rng, protocol=self._protocol)
            if not len(candidates):
                continue
            goal = solve_goal(self._maps, goal_xy)
            starts = [xy for xy in candidates if self._fits(float(goal.geodesic.at(xy)))][:starts_per_goal]
            if not starts:
                continue
            for xy in starts:
                start_yaw, goal_yaw = rng.uniform(-np.pi, np.pi, size=2)
                episode = _Episode(
                    goal=len(self.goals),
                    start_w=np.asarray([*xy, start_yaw]),
                    goal_w=np.asarray([*goal_xy, goal_yaw]),
                    geodesic_m=float(goal.geodesic.at(xy)),
                )
                episodes.append(episode)
            self.goals.append(goal)
            tries = 0
        if len(episodes) < count:
            raise NoFreeSpaceError(self._too_few(len(episodes), count))
        return episodes[:count]

    def _fits(self, geodesic_m: float) -> bool:
        """Return whether the length of the path fits the protocol; COMPASS's takes any."""
        low_m, high_m = _POINTNAV_GEODESIC_M
        return self._protocol == "compass" or low_m <= geodesic_m <= high_m

    def _too_few(self, found: int, count: int) -> str:
        body = self._embodiment
        radius_m = max(body.circumscribed_radius_m(layer) for layer in range(len(HEIGHT_LAYERS_M)))
        number = f"found only {found} of {count} pairs of" if found else "found no"
        return (
            f"scene '{self._scene.name}': {number} start and goal that '{body.name}' (radius {radius_m:.2f} m) can "
            f"connect under protocol '{self._protocol}', after {_MAX_TRIES} tries in a row; use a larger or emptier map"
        )


def _start_candidates(
    maps: BodyMaps, scene: Scene, goal_xy: np.ndarray, rng: np.random.Generator, *, protocol: Protocol
) -> np.ndarray:
    """Return (n, 2) start positions with clearance, at the protocol's distance from the goal."""
    if protocol == "pointnav":
        points = maps.circumscribed.centre(rng.choice(np.argwhere(maps.reachable), size=32))
    else:
        points = goal_xy + _compass_offsets(rng)
    x_min, y_min, x_max, y_max = scene.extent_w_m
    inside = (points[:, 0] > x_min) & (points[:, 0] < x_max) & (points[:, 1] > y_min) & (points[:, 1] < y_max)
    points = points[inside]
    cell = maps.circumscribed.cell(points)
    clear = maps.circumscribed.values[cell[:, 0], cell[:, 1]] > START_CLEARANCE_M
    return points[clear & maps.reachable[cell[:, 0], cell[:, 1]]]


def _compass_offsets(rng: np.random.Generator) -> np.ndarray:
    """Return (n, 2) offsets of starts from a goal, sampled as COMPASS does."""
    offset = rng.uniform(-_COMPASS_BOX_M, _COMPASS_BOX_M, size=(64, 2))
    far = rng.random((64, 2)) < _COMPASS_FAR_FRACTION
    pushed = np.sign(offset) * rng.uniform(_COMPASS_MIN_OFFSET_M, _COMPASS_BOX_M, size=(64, 2))
    offset = np.where(far, pushed, offset)
    distance = np.linalg.norm(offset, axis=1)
    return offset[(distance >= _COMPASS_DISTANCE_M[0]) & (distance <= _COMPASS_DISTANCE_M[1])]


def _fastest_s(embodiment: Embodiment, geodesic_m: np.ndarray, *, protocol: Protocol) -> np.ndarray:
    limits = embodiment.limits
    return fastest_time_s(
        geodesic_m,
        tolerance_m=SUCCESS_RADIUS_M[protocol],
        speed_mps=limits.forward_mps,
        acceleration_mps2=limits.acceleration_mps2,
    )


def _compass_limit_s(embodiment: Embodiment) -> float:
    return COMPASS_TIME_LIMIT_S * max(1.0, 1.0 / embodiment.limits.forward_mps)


def _planned_mask(count: int, *, route: RouteKind) -> np.ndarray:
    """Return which episodes get the planned route; mixed: every other one."""
    if route == "mixed":
        return np.arange(count) % 2 == 0
    return np.full(count, route == "planned")
