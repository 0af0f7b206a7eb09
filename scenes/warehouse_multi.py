"""A hall in which zones with different storage meet: pallet racks and shelves in both directions, block stacks."""

import numpy as np

from scenes.layout import Layout, Room, draw_connected
from scenes.scene import Scene
from scenes.shelving import MakeRow, block_stack, fill_with_rows, long_shelf, pallet_rack
from scenes.warehouse_single import strew_hall

_STORAGE: tuple[tuple[MakeRow, float, float], ...] = (
    (pallet_rack, 2.0, 2.6),
    (long_shelf, 1.4, 1.8),
    (block_stack, 1.5, 2.2),
)
"""Rows and the least and greatest width of the aisles between them [m]."""


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw a warehouse of 16 to 20 m square with several types of aisles."""
    return draw_connected(lambda: _draw(rng, name))


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(16.0, 20.0), depth_m=rng.uniform(16.0, 20.0))
    hall, street = layout.inner(), rng.uniform(1.8, 2.6)
    cut_x = hall.x_min_m + hall.width_m * rng.uniform(0.4, 0.6)
    cut_y = hall.y_min_m + hall.depth_m * rng.uniform(0.4, 0.6)
    columns = ((hall.x_min_m, cut_x - street / 2.0), (cut_x + street / 2.0, hall.x_max_m))
    rows = ((hall.y_min_m, cut_y - street / 2.0), (cut_y + street / 2.0, hall.y_max_m))
    zones = [Room(x_min_m=x0, x_max_m=x1, y_min_m=y0, y_max_m=y1) for x0, x1 in columns for y0, y1 in rows]
    order = [0, 1, 2, int(rng.integers(3))]
    rng.shuffle(order)
    aisles: list[Room] = []
    for zone, kind in zip(zones, order, strict=True):
        make_row, least, greatest = _STORAGE[kind]
        aisle = rng.uniform(least, greatest)
        aisles += fill_with_rows(layout, zone, make_row, along_x=bool(rng.integers(2)), aisle_m=aisle)
    strew_hall(layout, aisles, Room(x_min_m=hall.x_min_m, x_max_m=hall.x_max_m, y_min_m=rows[0][1], y_max_m=rows[1][0]))
    return layout.scene(name=name, kind="warehouse_multi")
