"""An office floor: a corridor with rooms on both sides, furnished, with boxes, chairs and people as obstacles."""

from dataclasses import replace

import numpy as np

from scenes import furniture
from scenes.furniture import Make
from scenes.layout import Layout, Room, draw_connected
from scenes.rooms import (
    INNER_WALL_M,
    Wall,
    along_walls,
    build,
    door_positions,
    furnish,
    scatter,
    split_into_rooms,
)
from scenes.scene import Scene


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw an office of 14 to 18 m square."""
    return draw_connected(lambda: _draw(rng, name))


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(14.0, 18.0), depth_m=rng.uniform(14.0, 18.0))
    corridor, rooms = build_floor(layout, layout.inner())
    furnish_floor(layout, corridor, rooms)
    return layout.scene(name=name, kind="office")


def build_floor(layout: Layout, area: Room) -> tuple[Room, list[Room]]:
    """Wall off a corridor along x and rooms on both sides of it; return the corridor and the rooms."""
    half = layout.rng.uniform(0.85, 1.15)
    middle = layout.rng.uniform(0.42, 0.58) * area.depth_m + area.y_min_m
    corridor = replace(area, y_min_m=middle - half, y_max_m=middle + half)
    rooms = _strip(layout, replace(area, y_max_m=corridor.y_min_m - INNER_WALL_M), door_side_max=True)
    rooms += _strip(layout, replace(area, y_min_m=corridor.y_max_m + INNER_WALL_M), door_side_max=False)
    return corridor, rooms


def furnish_floor(layout: Layout, corridor: Room, rooms: list[Room]) -> None:
    """Furnish the rooms, then place boxes, chairs, plants, pallets and people as obstacles."""
    rng = layout.rng
    for room in rooms:
        furnish(layout, room)
        along_walls(layout, room, furniture.box_pile, count=int(rng.integers(0, 3)), askew_rad=0.4)
        scatter(layout, room, _in_the_way(rng), count=2)
    along_walls(layout, corridor, furniture.cabinet, count=2)
    along_walls(layout, corridor, _in_the_way(rng), count=3, askew_rad=0.3)
    along_walls(layout, corridor, furniture.person, count=1)


def _strip(layout: Layout, area: Room, *, door_side_max: bool) -> list[Room]:
    """Cut one side of the corridor into rooms; most rooms at the corridor have a door to it."""
    rng = layout.rng
    rooms = split_into_rooms(layout, area, max_area_m2=rng.uniform(18.0, 30.0))
    edge = area.y_max_m if door_side_max else area.y_min_m
    touching = [room for room in rooms if abs((room.y_max_m if door_side_max else room.y_min_m) - edge) < 1e-6]
    junctions = sorted(room.x_min_m - INNER_WALL_M / 2.0 for room in touching if room.x_min_m > area.x_min_m + 1e-6)
    count = max(1, int(np.sum(rng.random(len(touching)) < 0.85)))
    at = edge + INNER_WALL_M / 2.0 if door_side_max else edge - INNER_WALL_M / 2.0
    wall = Wall(axis=0, at_m=at, first_m=area.x_min_m, last_m=area.x_max_m)
    build(layout, wall, door_positions(rng, area.x_min_m, area.x_max_m, junctions, count=count))
    return rooms


def _in_the_way(rng: np.random.Generator) -> Make:
    makers: tuple[Make, ...] = (
        furniture.box_pile,
        furniture.person,
        furniture.chair,
        furniture.plant,
        furniture.pallet,
    )
    return makers[int(rng.choice(len(makers), p=(0.35, 0.2, 0.2, 0.15, 0.1)))]
