"""A scene as one body sees it, and the fields that lead to a goal in it: path lengths, costs, the known route."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from embodiments.embodiment import Embodiment
from embodiments.spaces import HEIGHT_LAYERS_M
from scenes.fields import clearance, geodesic_field
from scenes.grid import Grid
from scenes.path import descend, resample

RESOLUTION_M = 0.05
FIELD_STRIDE = 2
"""Goal fields are solved on cells this many times coarser: four times faster, and the look-up is bilinear."""
ROUTE_SAMPLES = 128
GOAL_CLEARANCE_M = 0.05
"""Every goal is reachable for the circumscribed radius plus this much."""
COMFORT_M = 0.30
"""From this clearance on, the cost of the teacher's path is its length."""
BLOCKED_GOAL_M = 1.0
"""Radius around a goal in which a route may cross what only the map shows"""
STOP_RADIUS_M = 0.2
"""Largest distance between a goal and the teacher's stop pose, of the 0.5 m that count as success."""


@dataclass(frozen=True, kw_only=True)
class BodyMaps:
    """Clearance [m] of one body in one scene, on the coarse cells."""

    inscribed: Grid
    """Of the body's inscribed circle: below 0 it collides in every heading"""
    circumscribed: Grid
    """Of the body's circumscribed circle: above 0 it is free in every heading"""
    known: Grid
    """Of the circumscribed circle, on the known map"""
    reachable: np.ndarray
    """(H, W) bool: where goals may lie, with room to turn, all connected by passages that the body's width fits; all
    False without free space"""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One goal and the fields that lead to it."""

    maps: BodyMaps
    cost_to_go: Grid
    geodesic: Grid
    stop_xy_w_m: np.ndarray


def body_maps(embodiment: Embodiment, *, distance: Grid, known_distance: Grid) -> BodyMaps:
    """Return the maps of a body from a scene's distance fields."""
    circumscribed_m = [embodiment.circumscribed_radius_m(layer) for layer in range(len(HEIGHT_LAYERS_M))]
    inscribed_m = [_inscribed_m(embodiment, layer) for layer in range(len(HEIGHT_LAYERS_M))]
    half_widths_m = [max(inscribed_m[layer], embodiment.half_width_m(layer)) for layer in range(len(HEIGHT_LAYERS_M))]
    circumscribed = coarsen(clearance(distance, circumscribed_m))
    return BodyMaps(
        inscribed=coarsen(clearance(distance, inscribed_m)),
        circumscribed=circumscribed,
        known=coarsen(clearance(known_distance, circumscribed_m)),
        reachable=_connected(
            circumscribed.values > GOAL_CLEARANCE_M, through=coarsen(clearance(distance, half_widths_m)).values > 0.0
        ),
    )


def solve_goal(maps: BodyMaps, goal_xy_w_m: np.ndarray) -> Goal:
    """Return a goal with its fields."""
    free = Grid(
        values=maps.inscribed.values > 0.0,
        origin_xy_w_m=maps.inscribed.origin_xy_w_m,
        resolution_m=maps.inscribed.resolution_m,
    )
    return Goal(
        maps=maps,
        cost_to_go=_cost_field(maps.circumscribed, free.values, goal_xy_w_m),
        geodesic=_filled(geodesic_field(free, goal_xy_w_m.tolist())),
        stop_xy_w_m=_stop_xy_w_m(maps.circumscribed, goal_xy_w_m),
    )


def known_route(maps: BodyMaps, start_w: np.ndarray, goal_w: np.ndarray) -> np.ndarray:
    """Return (ROUTE_SAMPLES, 2): the shortest path for the body on the known map, as a robot with a map plans it.

    Where the map shows something at the goal that no longer stands there, the route leads through it.
    """
    free = maps.known.values > 0.0
    row, column = maps.known.cell(goal_w[:2])
    if not free[row, column]:
        place = maps.known.centre(np.indices(free.shape).reshape(2, -1).T)
        near = np.linalg.norm(place - goal_w[:2], axis=1) < BLOCKED_GOAL_M
        free = free | near.reshape(free.shape)
    cost = _cost_field(maps.known, free, goal_w[:2])
    path = descend(cost, start_w[:2].tolist(), step_m=0.1, max_points=512)
    return resample(path, ROUTE_SAMPLES)


def straight_route(start_w: np.ndarray, goal_w: np.ndarray) -> np.ndarray:
    """Return (ROUTE_SAMPLES, 2) points on the straight line."""
    return resample(np.asarray([start_w[:2], goal_w[:2]]), ROUTE_SAMPLES)


def _inscribed_m(embodiment: Embodiment, layer: int) -> float:
    """Return the inscribed radius; a body that lies wholly beside its origin in this layer still blocks a little."""
    return max(embodiment.inscribed_radius_m(layer), RESOLUTION_M / 2.0) if embodiment.footprint[layer] else 0.0


def coarsen(grid: Grid) -> Grid:
    """Return the smallest value of each block of cells, which errs on the side of the obstacle."""
    height, width = (size // FIELD_STRIDE * FIELD_STRIDE for size in grid.values.shape)
    blocks = grid.values[:height, :width].reshape(height // FIELD_STRIDE, FIELD_STRIDE, width // FIELD_STRIDE, -1)
    return Grid(
        values=blocks.min(axis=(1, 3)),
        origin_xy_w_m=grid.origin_xy_w_m,
        resolution_m=grid.resolution_m * FIELD_STRIDE,
    )


def _connected(goals: np.ndarray, *, through: np.ndarray) -> np.ndarray:
    """Return those cells (H, W) for goals that lie in one region of passable cells, the one with most of them.

    Coarse cells err on the side of the obstacle: a passage keeps some 5 cm on each side of the body.
    """
    regions, count = ndimage.label(goals | through)
    if not count:
        return np.zeros_like(goals)
    cells = ndimage.sum_labels(goals, regions, np.arange(1, count + 1))
    return np.asarray(goals & (regions == 1 + int(np.argmax(cells))))


def _stop_xy_w_m(clearance_m: Grid, goal_xy_w_m: np.ndarray) -> np.ndarray:
    """Return the (2,) float32 cell near the goal with most clearance, up to comfort; the nearest of equal ones."""
    reach = int(STOP_RADIUS_M / clearance_m.resolution_m) + 1
    offsets = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T - reach
    cells = clearance_m.cell(goal_xy_w_m) + offsets
    cells = cells.clip(0, np.asarray(clearance_m.values.shape) - 1)
    distance_m = np.linalg.norm(clearance_m.centre(cells) - goal_xy_w_m, axis=1)
    score = np.minimum(clearance_m.values[cells[:, 0], cells[:, 1]], COMFORT_M) - 1e-3 * distance_m
    best = cells[np.argmax(np.where(distance_m <= STOP_RADIUS_M, score, -np.inf))]
    return np.asarray(clearance_m.centre(best), dtype=np.float32)


def _cost_field(clearance_m: Grid, free: np.ndarray, goal_xy_w_m: np.ndarray) -> Grid:
    """Return the distance to the goal, in which a metre costs more the nearer it is to an obstacle."""
    speed = np.clip(clearance_m.values / COMFORT_M, 0.1, 1.0) ** 2
    grid = Grid(values=free, origin_xy_w_m=clearance_m.origin_xy_w_m, resolution_m=clearance_m.resolution_m)
    return _filled(geodesic_field(grid, goal_xy_w_m.tolist(), speed=np.maximum(speed, 0.05)))


def _filled(field: Grid) -> Grid:
    """Give unreachable cells the nearest reachable value plus twice the distance to it, so that all are finite."""
    blocked = ~np.isfinite(field.values)
    if not blocked.any():
        return field
    distance_m, (row, column) = ndimage.distance_transform_edt(
        blocked, sampling=field.resolution_m, return_indices=True
    )
    values = field.values[row, column] + 2.0 * distance_m
    return Grid(values=values.astype(np.float32), origin_xy_w_m=field.origin_xy_w_m, resolution_m=field.resolution_m)
