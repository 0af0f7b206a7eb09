"""Occupancy, distance and geodesic fields and the ways down them, against shapes whose answers are known."""

import math
import time

import numpy as np
import pytest
from scipy import ndimage

from embodiments.spaces import HEIGHT_LAYERS_M
from scenes import registry
from scenes.fields import clearance, distance_field, geodesic_field
from scenes.grid import Grid
from scenes.occupancy import BORDER_CELLS, layer_occupancy
from scenes.path import descend, resample
from scenes.scene import FURNITURE, WALL, Scene, Solid, box, cylinder

CELL_M = 0.05
WHOLE = ((0.0, 2.0),)


def room(*solids: Solid, extent: tuple[float, float, float, float] = (-4.0, -3.0, 6.0, 5.0)) -> Scene:
    return Scene(name="room/test/0", kind="room", solids=solids, extent_w_m=extent)


def block(
    x: float, y: float, length: float, width: float, *, yaw: float = 0.0, z: float = 0.0, high: float = 1.0
) -> Solid:
    return box(centre_xy_w_m=(x, y), size_m=(length, width, high), yaw_rad=yaw, z_min_m=z, semantic=WALL, known=True)


def centres(grid: Grid) -> np.ndarray:
    rows, columns = np.indices(grid.values.shape[-2:])
    return grid.centre(np.stack([rows, columns], axis=-1))


def test_cells_of_a_turned_box_are_those_whose_centre_is_inside() -> None:
    yaw, half = 0.7, (0.9, 0.35)
    grid = layer_occupancy(room(block(1.0, 0.5, 1.8, 0.7, yaw=yaw)), layers_m=WHOLE)
    offset = centres(grid) - (1.0, 0.5)
    along = offset @ (math.cos(yaw), math.sin(yaw))
    across = offset @ (-math.sin(yaw), math.cos(yaw))
    inside = (np.abs(along) <= half[0]) & (np.abs(across) <= half[1])
    inner = (slice(BORDER_CELLS, -BORDER_CELLS),) * 2
    assert np.array_equal(grid.values[0][inner], inside[inner])
    assert grid.values[0].sum() == pytest.approx(1.8 * 0.7 / CELL_M**2 + 2 * 2 * (200 + 160) + 16, rel=0.01)


def test_outside_of_the_extent_is_occupied() -> None:
    grid = layer_occupancy(room(), layers_m=HEIGHT_LAYERS_M)
    assert grid.values.shape == (4, 160 + 2 * BORDER_CELLS, 200 + 2 * BORDER_CELLS)
    assert grid.values[:, :BORDER_CELLS].all() and grid.values[:, :, -BORDER_CELLS:].all()
    assert not grid.values[:, BORDER_CELLS:-BORDER_CELLS, BORDER_CELLS:-BORDER_CELLS].any()


def test_slabs_by_height() -> None:
    """A table top from 0.72 to 0.76 m is in the third layer alone, a touching face in none."""
    top = block(0.0, 0.0, 1.0, 1.0, z=0.72, high=0.04)
    low = block(3.0, 0.0, 1.0, 1.0, z=0.0, high=0.30)
    grid = layer_occupancy(room(top, low), layers_m=HEIGHT_LAYERS_M)
    assert grid.at(np.asarray([0.0, 0.0])).tolist() == [False, False, True, False]
    assert grid.at(np.asarray([3.0, 0.0])).tolist() == [True, False, False, False]


def test_unknown_solids_are_not_on_the_known_map() -> None:
    person = cylinder(centre_xy_w_m=(1.0, 1.0), radius_m=0.25, height_m=1.7, semantic=FURNITURE, known=False)
    point = np.asarray([1.0, 1.0])
    assert layer_occupancy(room(person), layers_m=WHOLE).at(point).all()
    assert not layer_occupancy(room(person), layers_m=WHOLE, known_only=True).at(point).any()


@pytest.mark.parametrize("yaw", [0.0, 0.3, math.pi / 2])
@pytest.mark.parametrize("shift", [0.0, 0.013, 0.031])
def test_a_wall_thinner_than_a_cell_is_whole(yaw: float, shift: float) -> None:
    sheet = block(0.5 + shift, 0.5 + shift, 3.0, 0.01, yaw=yaw)
    grid = layer_occupancy(room(sheet), layers_m=WHOLE)
    along = np.linspace(-1.45, 1.45, 400)[:, None] * (math.cos(yaw), math.sin(yaw)) + (0.5 + shift, 0.5 + shift)
    assert grid.at(along).mean() > 0.9  # where it crosses from cell to cell either may hold it
    closed = layer_occupancy(room(block(0.5 + shift, 0.0, 0.01, 40.0)), layers_m=WHOLE)
    assert ndimage.label(~closed.values[0])[1] == 2, "a closed wall does not part the room"


@pytest.mark.parametrize("yaw", [0.0, 0.3, math.pi / 4])
@pytest.mark.parametrize("shift", [0.0, 0.013, 0.031])
def test_thin_things_do_not_vanish(yaw: float, shift: float) -> None:
    """A wall of 0.12 m has no hole that a ray could pass; a post of 0.02 m keeps a cell."""
    wall = block(0.5 + shift, 0.5, 3.0, 0.12, yaw=yaw)
    post = block(-2.0 + shift, 3.0 + shift, 0.02, 0.02, yaw=yaw)
    grid = layer_occupancy(room(wall, post), layers_m=WHOLE)
    along = np.linspace(-1.45, 1.45, 200)[:, None] * (math.cos(yaw), math.sin(yaw)) + (0.5 + shift, 0.5)
    assert grid.at(along).all()
    assert grid.values[0, 40:-10, 10:70].any()


def truth_to_turned_box(
    points: np.ndarray, centre: tuple[float, float], half: tuple[float, float], yaw: float
) -> np.ndarray:
    offset = points - centre
    along = np.abs(offset @ (math.cos(yaw), math.sin(yaw))) - half[0]
    across = np.abs(offset @ (-math.sin(yaw), math.cos(yaw))) - half[1]
    return np.hypot(along.clip(min=0.0), across.clip(min=0.0))


@pytest.mark.parametrize("shift", [0.0, 0.01, 0.025, 0.04])
@pytest.mark.parametrize("yaw", [0.0, 0.4, math.pi / 4])
def test_distance_is_within_half_a_cell_of_the_true_surface(yaw: float, shift: float) -> None:
    half = (0.8, 0.5)
    scene = room(block(1.0 + shift, 1.0, 2 * half[0], 2 * half[1], yaw=yaw), extent=(-9.0, -9.0, 11.0, 11.0))
    field = distance_field(layer_occupancy(scene, layers_m=WHOLE))
    points = centres(field)
    truth = truth_to_turned_box(points, (1.0 + shift, 1.0), half, yaw)
    near = (truth > 0.0) & (truth < 3.0)
    error = field.values[0][near] - truth[near]
    assert np.abs(error).mean() < 0.5 * CELL_M
    # Away from corners half a cell; a turned box's corner may lose up to a cell more.
    offset = points - (1.0 + shift, 1.0)
    along = np.abs(offset @ (math.cos(yaw), math.sin(yaw)))
    across = np.abs(offset @ (-math.sin(yaw), math.cos(yaw)))
    flat = near & ((along < half[0] - 0.1) | (across < half[1] - 0.1))
    assert np.abs(field.values[0][flat] - truth[flat]).max() <= 0.5 * CELL_M + 0.006
    assert np.abs(error).max() < 1.5 * CELL_M


def test_distance_is_per_slab_and_infinite_where_a_slab_is_empty() -> None:
    occupied = Grid(values=np.zeros((2, 20, 30), dtype=bool), origin_xy_w_m=(0.0, 0.0), resolution_m=0.1)
    occupied.values[0, 10, 5] = True
    field = distance_field(occupied)
    assert field.values.dtype == np.float32
    assert field.values[0, 10, 5] == pytest.approx(-0.05)
    assert field.values[0, 10, 15] == pytest.approx(0.95)
    assert np.isinf(field.values[1]).all()


def test_clearance_takes_the_tightest_slab_and_ignores_empty_ones() -> None:
    values = np.asarray([[[1.0]], [[0.6]], [[0.1]], [[2.0]]], dtype=np.float32)
    distance = Grid(values=values, origin_xy_w_m=(0.0, 0.0), resolution_m=0.05)
    assert clearance(distance, (0.3, 0.3, 0.0, 0.0)).values.item() == pytest.approx(0.3)
    assert clearance(distance, (0.3, 0.3, 0.2, 0.0)).values.item() == pytest.approx(-0.1)
    with pytest.raises(ValueError, match="one radius per layer"):
        clearance(distance, (0.3,))
    with pytest.raises(ValueError, match="positive radius"):
        clearance(distance, (0.0, 0.0, 0.0, 0.0))


def free_space(scene: Scene) -> Grid:
    grid = layer_occupancy(scene, layers_m=WHOLE)
    return Grid(values=~grid.values[0], origin_xy_w_m=grid.origin_xy_w_m, resolution_m=grid.resolution_m)


def test_geodesic_in_the_open_is_the_straight_distance() -> None:
    goal = np.asarray([1.234, -0.567])
    free = free_space(room())
    field = geodesic_field(free, goal)
    points = centres(field)
    truth = np.linalg.norm(points - goal, axis=-1)
    inside = free.values
    assert (np.abs(field.values[inside] - truth[inside]) < 0.01 + 0.01 * truth[inside]).all()
    assert np.isinf(field.values[~free.values]).all()


def corner() -> tuple[Scene, np.ndarray, np.ndarray, float]:
    """Return an L: a block fills x > 0, y > 0, so the way from one arm to the other touches the corner (0, 0)."""
    scene = room(block(3.0, 3.0, 6.0, 6.0), extent=(-1.0, -1.0, 6.0, 6.0))
    start, goal = np.asarray([-0.5, 5.0]), np.asarray([5.0, -0.5])
    return scene, start, goal, 2.0 * math.hypot(0.5, 5.0)


def test_geodesic_around_a_corner() -> None:
    scene, start, goal, truth = corner()
    field = geodesic_field(free_space(scene), goal)
    assert field.at(start) == pytest.approx(truth, rel=0.02)


def test_geodesic_through_a_door() -> None:
    """Two rooms, a wall at x = 1, a door 1 m wide around y = 2.5: straight to the door's edge and on."""
    wall = (block(1.0, -0.5, 0.2, 5.0), block(1.0, 4.0, 0.2, 2.0))
    field = geodesic_field(free_space(room(*wall)), (3.0, -1.0))
    truth = math.hypot(1.9, 3.0) + 0.2 + math.hypot(1.9, 3.0)  # both edges of the door's lower jamb
    assert field.at(np.asarray([-1.0, -1.0])) == pytest.approx(truth, rel=0.02)


def test_speed_divides_the_cost() -> None:
    free = free_space(room())
    plain = geodesic_field(free, (0.0, 0.0))
    slow = geodesic_field(free, (0.0, 0.0), speed=np.full(free.values.shape, 0.25))
    inside = free.values & (plain.values > 0.2)
    assert np.allclose(slow.values[inside], 4.0 * plain.values[inside], rtol=0.01)


def test_slow_ground_is_avoided() -> None:
    free = free_space(room())
    speed = np.ones(free.values.shape)
    band = np.abs(centres(free)[..., 1]) < 0.5
    band &= np.abs(centres(free)[..., 0] - 1.0) < 1.0
    speed[band] = 0.1
    path = descend(geodesic_field(free, (3.0, 0.0), speed=speed), (-1.0, 0.0), step_m=0.05, max_points=1000)
    assert np.abs(path[:, 1]).max() > 0.45


def test_what_cannot_be_reached_is_infinite() -> None:
    free = free_space(room(block(1.0, 1.0, 0.2, 8.0)))
    field = geodesic_field(free, (3.0, 0.0))
    assert np.isinf(field.at(np.asarray([-2.0, 0.0])))
    assert np.isinf(geodesic_field(free, (1.0, 1.0)).values).all()
    assert np.isinf(geodesic_field(free, (99.0, 1.0)).values).all()
    # The goal's start circle does not reach through a thin wall.
    thin = free_space(room(block(1.0, 1.0, 0.12, 8.0)))
    assert np.isinf(geodesic_field(thin, (1.10, 0.0)).at(np.asarray([0.9, 0.0])))


def test_geodesic_is_fast() -> None:
    free = Grid(values=np.ones((200, 200), dtype=bool), origin_xy_w_m=(0.0, 0.0), resolution_m=0.05)
    spent = []
    for _ in range(5):
        begin = time.process_time()
        geodesic_field(free, (5.0, 5.0))
        spent.append(time.process_time() - begin)
    assert min(spent) < 0.03


def test_descent_is_as_long_as_the_field_says_and_ends_at_the_goal() -> None:
    scene, start, goal, truth = corner()
    field = geodesic_field(free_space(scene), goal)
    path = descend(field, start, step_m=0.1, max_points=1000, goal_xy_w_m=goal)
    step = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert path[0] == pytest.approx(start) and path[-1] == pytest.approx(goal)
    assert step.sum() == pytest.approx(truth, rel=0.02)
    assert step.max() <= 0.1 + 1e-6
    assert np.isfinite(field.at(path)).all()
    assert len(descend(field, start, step_m=0.1, max_points=7)) == 7


def test_descent_from_inside_an_obstacle_leaves_it_first() -> None:
    field = geodesic_field(free_space(room(block(0.0, 0.0, 1.0, 1.0))), (3.0, 0.0))
    path = descend(field, (0.45, 0.1), step_m=0.05, max_points=1000)
    assert path[0] == pytest.approx([0.45, 0.1])
    assert np.linalg.norm(path[-1] - (3.0, 0.0)) < 0.05
    assert np.linalg.norm(np.diff(path, axis=0), axis=1).sum() < 2.8


def test_descent_without_a_path_says_so() -> None:
    field = geodesic_field(free_space(room(block(1.0, 1.0, 1.0, 1.0))), (1.0, 1.0))
    with pytest.raises(ValueError, match="no path to the goal: it is not in free space"):
        descend(field, (0.0, 0.0), step_m=0.1, max_points=100)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", registry.names())
def test_descent_never_gets_stuck(kind: str, weighted: bool) -> None:
    scene = registry.generate(kind, split="val", index=0)
    distance = distance_field(layer_occupancy(scene, layers_m=((0.05, 1.8),)))
    room_m = clearance(distance, (0.3,))
    free = Grid(values=room_m.values > 0.0, origin_xy_w_m=room_m.origin_xy_w_m, resolution_m=room_m.resolution_m)
    speed = np.clip(room_m.values / 0.4, 0.05, 1.0) ** 2 if weighted else None
    rng = np.random.default_rng(1)
    cells = np.argwhere(room_m.values > 0.1)
    for goal_cell in rng.choice(cells, size=2):
        goal = room_m.centre(goal_cell)
        field = geodesic_field(free, goal, speed=speed)
        reachable = cells[np.isfinite(field.values[cells[:, 0], cells[:, 1]])]
        for start in room_m.centre(rng.choice(reachable, size=8)):
            path = descend(field, start, step_m=0.1, max_points=2000)
            length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
            assert np.linalg.norm(path[-1] - goal) < CELL_M
            assert np.isfinite(field.at(path)).mean() > 0.98
            if not weighted:
                assert length == pytest.approx(field.at(start), rel=0.03, abs=0.1)


def test_resample_spaces_points_equally() -> None:
    points = resample(np.asarray([(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)]), 5)
    assert points == pytest.approx(np.asarray([(0, 0), (1, 0), (2, 0), (3, 0), (3, 1)], dtype=float))
