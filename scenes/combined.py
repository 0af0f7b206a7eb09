"""Half an office, half a warehouse, with doors in the wall between them."""

from dataclasses import replace

import numpy as np

from scenes.layout import Layout, draw_connected
from scenes.office import build_floor, furnish_floor
from scenes.rooms import INNER_WALL_M, Wall, build, door_positions
from scenes.scene import Scene
from scenes.shelving import fill_with_rows, long_shelf, pallet_rack
from scenes.warehouse_single import strew_hall


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw an office with a warehouse of 17 to 20 m by 14 to 17 m."""
    return draw_connected(lambda: _draw(rng, name))


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(17.0, 20.0), depth_m=rng.uniform(14.0, 17.0))
    floor = layout.inner()
    wall_at = floor.x_min_m + floor.width_m * rng.uniform(0.45, 0.55)
    office = replace(floor, x_max_m=wall_at - INNER_WALL_M / 2.0)
    hall = replace(floor, x_min_m=wall_at + INNER_WALL_M / 2.0)
    corridor, rooms = build_floor(layout, office)
    behind = [room for room in rooms if abs(room.x_max_m - office.x_max_m) < 1e-6]
    doors = []
    for room in (corridor, behind[int(rng.integers(len(behind)))]):
        doors += door_positions(rng, room.y_min_m, room.y_max_m, [], count=1)
    build(layout, Wall(axis=1, at_m=wall_at, first_m=floor.y_min_m, last_m=floor.y_max_m), doors)
    furnish_floor(layout, corridor, rooms)
    street = hall.x_min_m + rng.uniform(1.8, 2.6)
    make_row = pallet_rack if rng.random() < 0.6 else long_shelf
    along_x, aisle = bool(rng.integers(2)), rng.uniform(2.0, 2.6)
    aisles = fill_with_rows(layout, replace(hall, x_min_m=street), make_row, along_x=along_x, aisle_m=aisle)
    strew_hall(layout, aisles, replace(hall, x_max_m=street))
    return layout.scene(name=name, kind="combined")
