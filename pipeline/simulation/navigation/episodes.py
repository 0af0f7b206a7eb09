"""Episodes, drawn beforehand: where each starts, where it ends, and the fields that belong to its goal."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from embodiments.embodiment import Embodiment
from embodiments.limits import fastest_time_s
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.simulation.navigation.config import Protocol
from scenes.fields import clearance, distance_field, geodesic_field
from scenes.grid import Grid
from scenes.occupancy import layer_occupancy
from scenes.path import descend, resample
from scenes.scene import Scene

RouteKind = Literal["straight", "planned", "mixed"]

RESOLUTION_M = 0.05
FIELD_STRIDE = 2
"""Goal fields are solved on cells this many times coarser: four times faster, and the look-up is bilinear."""
ROUTE_SAMPLES = 128
GOAL_CLEARANCE_M = 0.05
"""Every goal is reachable for the circumscribed radius plus this much."""
START_CLEARANCE_M = 0.15
COMFORT_M = 0.30
"""Clearance from which on the teacher's path costs no more than its length."""
COMPASS_TIME_LIMIT_S = 25.6
POINTNAV_TIME_MARGIN_S = 10.0
STOP_RADIUS_M = 0.2
"""How far from a goal the teacher may choose to come to rest, of the 0.5 m that are allowed."""
SUCCESS_RADIUS_M = {"compass": 0.5, "pointnav": 0.25}
_COMPASS_BOX_M, _COMPASS_MIN_OFFSET_M, _COMPASS_FAR_SHARE = 5.0, 2.0, 0.9
_COMPASS_DISTANCE_M = (2.0, 7.07)
_POINTNAV_GEODESIC_M = (5.0, 20.0)
FEASIBLE_FRACTION = 0.6
"""An episode is only set if the fastest drive takes at most this share of the time limit: a 2-7 m goal behind a long
row of racks can lie 25 m away, further than any driver gets in 25.6 s. COMPASS draws such goals too (ADR 0009)."""
_TRIES = 400
"""In a row that bring no episode, before a scene is said to have no more"""


class NoFreeSpaceError(ValueError):
    """A scene has no start and goal for a body."""


@dataclass(frozen=True, kw_only=True)
class EpisodeSet:
    """Episodes for one body; N episodes, G goals with fields."""

    protocol: Protocol
    scene_index: np.ndarray
    """(N,) int64, into the list of scenes they were drawn from"""
    goal_index: np.ndarray
    """(N,) int64, into ``cost_to_go`` and ``geodesic``"""
    start_w: np.ndarray
    """(N, 3) x [m], y [m], yaw [rad]"""
    goal_w: np.ndarray
    """(N, 3)"""
    stop_xy_w_m: np.ndarray
    """(N, 2) the roomiest place near the goal, well within its tolerance; privileged"""
    planned: np.ndarray
    """(N,) bool: whether the policy is given the planned route or the straight one"""
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
    """What is the same for all goals in a scene."""

    distance: Grid
    """(K, H, W) to the nearest obstacle, per layer, true map"""
    known_distance: Grid


@dataclass(frozen=True, kw_only=True)
class _Ground:
    """One scene as one body sees it, on the coarse cells."""

    scene: Scene
    inscribed: Grid
    circumscribed: Grid
    known: Grid
    reachable: np.ndarray


def scene_fields(scene: Scene) -> SceneFields:
    """Return the distance fields of one scene, for any body."""
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
    feasible_fraction: float = FEASIBLE_FRACTION,
) -> EpisodeSet:
    """Draw ``per_scene`` episodes in every scene; the key is the scene's name, so episodes do not depend on the others.

    Args:
        series: Each draws other episodes in the same scenes.
        split: Of scenes whose name does not say it: maps and meshes. Each split draws other episodes.
        feasible_fraction: Under ``compass`` the fastest drive takes at most this share of the time limit.

    Raises:
        NoFreeSpaceError: If a scene has no start and goal that this body can reach.
    """
    drawn = [
        _draw_scene(
            embodiment,
            scene,
            field,
            protocol=protocol,
            count=per_scene,
            starts=starts_per_goal,
            feasible_fraction=feasible_fraction,
            key=f"{scene.name}/{embodiment.name}/{protocol}/{seed}"
            + (f"/{series}" if series else "")
            + (f"/{split}" if split else ""),
        )
        for scene, field in zip(scenes, fields, strict=True)
    ]
    rows = [(index, *row) for index, (grounds, rows) in enumerate(drawn) for row in rows]
    goals = [goal for _, row in enumerate(drawn) for goal in row[0]]
    offsets = np.cumsum([0] + [len(row[0]) for row in drawn])
    scene_index = np.asarray([row[0] for row in rows], dtype=np.int64)
    local_goal = np.asarray([row[1] for row in rows], dtype=np.int64)
    start, goal = (np.asarray([row[k] for row in rows], dtype=np.float32) for k in (2, 3))
    initial = np.asarray([row[4] for row in rows], dtype=np.float32)
    planned = _planned_mask(len(rows), route=route)
    routes = [
        _known_route(goals[offsets[s] + g], begin, end) if plan else _line(begin, end)
        for s, g, begin, end, plan in zip(scene_index, local_goal, start, goal, planned, strict=True)
    ]
    fastest = _fastest_s(embodiment, initial, protocol=protocol).astype(np.float32)
    compass_limit = _compass_limit_s(embodiment)
    time_limit = np.full_like(fastest, compass_limit) if protocol == "compass" else 3 * fastest + POINTNAV_TIME_MARGIN_S
    return EpisodeSet(
        protocol=protocol,
        scene_index=scene_index,
        goal_index=offsets[scene_index] + local_goal,
        start_w=start,
        goal_w=goal,
        stop_xy_w_m=np.asarray([goals[offsets[s] + g].stop_xy for s, g in zip(scene_index, local_goal, strict=True)]),
        planned=planned,
        route_w_m=np.asarray(routes, dtype=np.float32),
        initial_geodesic_m=initial,
        fastest_time_s=fastest,
        time_limit_s=time_limit,
        cost_to_go=tuple(g.cost_to_go for g in goals),
        geodesic=tuple(g.geodesic for g in goals),
    )


@dataclass(frozen=True, kw_only=True)
class _Goal:
    """One goal and the fields that lead to it."""

    ground: _Ground
    cost_to_go: Grid
    geodesic: Grid
    stop_xy: np.ndarray


def _draw_scene(
    embodiment: Embodiment,
    scene: Scene,
    fields: SceneFields,
    *,
    protocol: Protocol,
    count: int,
    starts: int,
    feasible_fraction: float,
    key: str,
) -> tuple[list[_Goal], list[tuple[int, np.ndarray, np.ndarray, float]]]:
    """Return the goals of one scene and its episodes (goal, start, goal pose, initial geodesic)."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little"))
    ground = _ground(embodiment, scene, fields)
    goals: list[_Goal] = []
    rows: list[tuple[int, np.ndarray, np.ndarray, float]] = []
    fruitless = 0
    while len(rows) < count and fruitless < _TRIES:
        fruitless += 1
        cell = rng.choice(np.argwhere(ground.reachable))
        goal_xy = ground.circumscribed.centre(cell)
        candidates = _start_candidates(ground, goal_xy, rng, protocol=protocol)
        if not len(candidates):
            continue
        goal = _solve(ground, goal_xy)
        found = [
            xy
            for xy in candidates
            if _fits(goal, xy, embodiment=embodiment, protocol=protocol, feasible_fraction=feasible_fraction)
        ][:starts]
        if found:
            for xy in found:
                yaw = rng.uniform(-np.pi, np.pi, size=2)
                length = float(goal.geodesic.at(xy))
                rows.append((len(goals), np.asarray([*xy, yaw[0]]), np.asarray([*goal_xy, yaw[1]]), length))
            goals.append(goal)
            fruitless = 0
    if len(rows) < count:
        radius_m = max(embodiment.circumscribed_radius_m(layer) for layer in range(len(HEIGHT_LAYERS_M)))
        told = f"found only {len(rows)} of {count} pairs of" if rows else "found no"
        raise NoFreeSpaceError(
            f"scene '{scene.name}': {told} start and goal that '{embodiment.name}' (radius {radius_m:.2f} m) can "
            f"connect under protocol '{protocol}', after {_TRIES} tries in a row; use a larger or emptier map"
        )
    return goals, rows[:count]


def _ground(embodiment: Embodiment, scene: Scene, fields: SceneFields) -> _Ground:
    circumscribed = [embodiment.circumscribed_radius_m(k) for k in range(len(HEIGHT_LAYERS_M))]
    inscribed = [_inscribed_m(embodiment, k) for k in range(len(HEIGHT_LAYERS_M))]
    wide = _coarsen(clearance(fields.distance, circumscribed))
    free = wide.values > GOAL_CLEARANCE_M
    regions, found = ndimage.label(free)
    if not found:
        raise NoFreeSpaceError(
            f"scene '{scene.name}' has no free space for '{embodiment.name}'; use a larger or emptier map"
        )
    largest = 1 + int(np.argmax(ndimage.sum_labels(free, regions, np.arange(1, found + 1))))
    return _Ground(
        scene=scene,
        inscribed=_coarsen(clearance(fields.distance, inscribed)),
        circumscribed=wide,
        known=_coarsen(clearance(fields.known_distance, circumscribed)),
        reachable=regions == largest,
    )


def _inscribed_m(embodiment: Embodiment, layer: int) -> float:
    """Return the inscribed radius; a body that lies wholly beside its origin in this layer still blocks a little."""
    return max(embodiment.inscribed_radius_m(layer), RESOLUTION_M / 2.0) if embodiment.footprint[layer] else 0.0


def _coarsen(grid: Grid) -> Grid:
    """Keep the smallest value of each block of cells, which errs on the side of the obstacle."""
    height, width = (size // FIELD_STRIDE * FIELD_STRIDE for size in grid.values.shape)
    blocks = grid.values[:height, :width].reshape(height // FIELD_STRIDE, FIELD_STRIDE, width // FIELD_STRIDE, -1)
    return Grid(
        values=blocks.min(axis=(1, 3)),
        origin_xy_w_m=grid.origin_xy_w_m,
        resolution_m=grid.resolution_m * FIELD_STRIDE,
    )


def _start_candidates(
    ground: _Ground, goal_xy: np.ndarray, rng: np.random.Generator, *, protocol: Protocol
) -> np.ndarray:
    """Return (n, 2) start positions with room around them, related to the goal as the protocol wants."""
    if protocol == "pointnav":
        cells = np.argwhere(ground.reachable)
        points = ground.circumscribed.centre(rng.choice(cells, size=32))
    else:
        offset = rng.uniform(-_COMPASS_BOX_M, _COMPASS_BOX_M, size=(64, 2))
        far = rng.random((64, 2)) < _COMPASS_FAR_SHARE
        pushed = np.sign(offset) * rng.uniform(_COMPASS_MIN_OFFSET_M, _COMPASS_BOX_M, size=(64, 2))
        offset = np.where(far, pushed, offset)
        distance = np.linalg.norm(offset, axis=1)
        offset = offset[(distance >= _COMPASS_DISTANCE_M[0]) & (distance <= _COMPASS_DISTANCE_M[1])]
        points = goal_xy + offset
    x_min, y_min, x_max, y_max = ground.scene.extent_w_m
    inside = (points[:, 0] > x_min) & (points[:, 0] < x_max) & (points[:, 1] > y_min) & (points[:, 1] < y_max)
    points = points[inside]
    cell = ground.circumscribed.cell(points)
    roomy = ground.circumscribed.values[cell[:, 0], cell[:, 1]] > START_CLEARANCE_M
    return points[roomy & ground.reachable[cell[:, 0], cell[:, 1]]]


def _fits(
    goal: _Goal, start_xy: np.ndarray, *, embodiment: Embodiment, protocol: Protocol, feasible_fraction: float
) -> bool:
    length = np.asarray(float(goal.geodesic.at(start_xy)))
    if protocol == "pointnav":
        return bool(_POINTNAV_GEODESIC_M[0] <= length <= _POINTNAV_GEODESIC_M[1])
    return bool(_fastest_s(embodiment, length, protocol=protocol) <= feasible_fraction * _compass_limit_s(embodiment))


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


def _solve(ground: _Ground, goal_xy: np.ndarray) -> _Goal:
    cost = _cost_field(ground.circumscribed, ground.inscribed.values > 0.0, goal_xy)
    inside = Grid(
        values=ground.inscribed.values > 0.0,
        origin_xy_w_m=ground.inscribed.origin_xy_w_m,
        resolution_m=ground.inscribed.resolution_m,
    )
    return _Goal(
        ground=ground,
        cost_to_go=cost,
        geodesic=_filled(geodesic_field(inside, goal_xy.tolist())),
        stop_xy=_roomiest(ground.circumscribed, goal_xy, radius_m=STOP_RADIUS_M),
    )


def _roomiest(room: Grid, around_xy: np.ndarray, *, radius_m: float) -> np.ndarray:
    """Return the (2,) float32 place within ``radius_m`` with most room, up to comfort; the nearest of equal ones."""
    reach = int(radius_m / room.resolution_m) + 1
    cells = room.cell(around_xy) + np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T - reach
    cells = cells.clip(0, np.asarray(room.values.shape) - 1)
    way_m = np.linalg.norm(room.centre(cells) - around_xy, axis=1)
    worth = np.minimum(room.values[cells[:, 0], cells[:, 1]], COMFORT_M) - 1e-3 * way_m
    return np.asarray(room.centre(cells[np.argmax(np.where(way_m <= radius_m, worth, -np.inf))]), dtype=np.float32)


def _cost_field(room: Grid, passable: np.ndarray, goal_xy: np.ndarray) -> Grid:
    """Return the distance to the goal where a metre costs more the nearer it is to an obstacle."""
    speed = np.clip(room.values / COMFORT_M, 0.1, 1.0) ** 2
    free = Grid(values=passable, origin_xy_w_m=room.origin_xy_w_m, resolution_m=room.resolution_m)
    return _filled(geodesic_field(free, goal_xy.tolist(), speed=np.maximum(speed, 0.05)))


def _filled(field: Grid) -> Grid:
    """Replace unreachable cells by their nearest reachable value plus the way out: every look-up is finite."""
    blocked = ~np.isfinite(field.values)
    if not blocked.any():
        return field
    way_m, (row, column) = ndimage.distance_transform_edt(blocked, sampling=field.resolution_m, return_indices=True)
    values = field.values[row, column] + 2.0 * way_m
    return Grid(values=values.astype(np.float32), origin_xy_w_m=field.origin_xy_w_m, resolution_m=field.resolution_m)


def _known_route(goal: _Goal, start_w: np.ndarray, goal_w: np.ndarray) -> np.ndarray:
    """Return (P, 2): the shortest path for this body on the known map, as a robot with a map would plan it."""
    ground = goal.ground
    field = _cost_field(ground.known, ground.known.values > 0.0, goal_w[:2])
    path = descend(field, start_w[:2].tolist(), step_m=0.1, max_points=512)
    return resample(path, ROUTE_SAMPLES)


def _line(start_w: np.ndarray, goal_w: np.ndarray) -> np.ndarray:
    return resample(np.asarray([start_w[:2], goal_w[:2]]), ROUTE_SAMPLES)


def _planned_mask(count: int, *, route: RouteKind) -> np.ndarray:
    """Return which episodes are given the planned route; mixed: every other one."""
    if route == "mixed":
        return np.arange(count) % 2 == 0
    return np.full(count, route == "planned")
