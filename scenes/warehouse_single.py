"""A hall with parallel rows of pallet racks, all of one kind, and a free strip for loading at one end."""

from dataclasses import replace

import numpy as np

from scenes import furniture
from scenes.furniture import Make
from scenes.layout import Layout, Room, draw_connected
from scenes.rooms import along_walls, scatter
from scenes.scene import Scene
from scenes.shelving import fill_with_rows, pallet_rack


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw a warehouse of 16 to 20 m square with one type of aisle."""
    return draw_connected(lambda: _draw(rng, name))


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(16.0, 20.0), depth_m=rng.uniform(16.0, 20.0))
    hall = layout.inner()
    loading_at = hall.x_max_m - rng.uniform(2.5, 5.0)
    racks = replace(hall, x_max_m=loading_at)
    aisles = fill_with_rows(layout, racks, pallet_rack, along_x=True, aisle_m=rng.uniform(2.2, 2.8))
    strew_hall(layout, aisles, replace(hall, x_min_m=loading_at))
    return layout.scene(name=name, kind="warehouse_single")


def strew_hall(layout: Layout, aisles: list[Room], loading: Room) -> None:
    """Place pallets, boxes and people beside the racks; pallets, a forklift and boxes in the loading strip."""
    rng = layout.rng
    beside: tuple[Make, ...] = (furniture.pallet, furniture.box_pile, furniture.person)
    for aisle in aisles:
        for make in beside:
            along_walls(layout, aisle, make, count=int(rng.integers(0, 3)), askew_rad=0.25)
        scatter(layout, aisle, furniture.bin_or_cone, count=1)
    scatter(layout, loading, furniture.forklift, count=int(rng.integers(0, 2)))
    scatter(layout, loading, furniture.pallet, count=round(loading.area_m2 / 8.0))
    scatter(layout, loading, furniture.person, count=2)
    along_walls(layout, loading, furniture.pallet, count=3)
