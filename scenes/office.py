"""An office floor: a corridor with rooms on both sides, furnished, with boxes, chairs and people in the way."""

import numpy as np

from scenes import furniture
from scenes.layout import Layout, Room, connected_share
from scenes.rooms import (
    INNER_WALL_M,
    Make,
    along_walls,
    build,
    door_positions,
    furnish,
    long_wall,
    scatter,
    split_into_rooms,
)
from scenes.scene import Scene

MIN_CONNECTED_SHARE = 0.93
_DRAWS = 40


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw an office of 14 to 18 m square.

    Raises:
        RuntimeError: If no draw is connected for a wide body, which would be a fault of this generator.
    """
    for _ in range(_DRAWS):
        scene = _draw(rng, name)
        if connected_share(scene) >= MIN_CONNECTED_SHARE:
            return scene
    raise RuntimeError(f"no connected office in {_DRAWS} draws for {name}.")


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(14.0, 18.0), depth_m=rng.uniform(14.0, 18.0))
    office_floor(layout, layout.inner())
    return layout.scene(name=name, kind="office")


def office_floor(layout: Layout, area: Room) -> None:
    """Fill an area with a corridor along x, rooms on both sides, furniture and things in the way."""
    rng = layout.rng
    half = rng.uniform(0.85, 1.15)
    middle = rng.uniform(0.42, 0.58) * area.depth_m + area.y_min_m
    corridor = Room(x_min_m=area.x_min_m, x_max_m=area.x_max_m, y_min_m=middle - half, y_max_m=middle + half)
    rooms = _strip(layout, area, y_min_m=area.y_min_m, y_max_m=corridor.y_min_m, corridor_at_max=True)
    rooms += _strip(layout, area, y_min_m=corridor.y_max_m, y_max_m=area.y_max_m, corridor_at_max=False)
    for room in rooms:
        furnish(layout, room)
        along_walls(layout, room, furniture.box_pile, count=int(rng.integers(0, 3)), askew_rad=0.4)
        scatter(layout, room, _in_the_way(rng), count=2)
    along_walls(layout, corridor, furniture.cabinet, count=2)
    along_walls(layout, corridor, _in_the_way(rng), count=3, askew_rad=0.3)
    along_walls(layout, corridor, furniture.person, count=1)


def _strip(layout: Layout, area: Room, *, y_min_m: float, y_max_m: float, corridor_at_max: bool) -> list[Room]:
    """Wall off one side of the corridor and cut it into rooms; every room at the corridor mostly has a door to it."""
    rng = layout.rng
    at = y_max_m + INNER_WALL_M / 2.0 if corridor_at_max else y_min_m - INNER_WALL_M / 2.0
    strip = Room(x_min_m=area.x_min_m, x_max_m=area.x_max_m, y_min_m=y_min_m, y_max_m=y_max_m)
    rooms = split_into_rooms(layout, strip, max_area_m2=rng.uniform(18.0, 30.0))
    edge = y_max_m if corridor_at_max else y_min_m
    touching = [room for room in rooms if abs((room.y_max_m if corridor_at_max else room.y_min_m) - edge) < 1e-6]
    junctions = sorted({room.x_min_m for room in touching} - {area.x_min_m})
    count = max(1, int(np.sum(rng.random(len(touching)) < 0.85)))
    wall = long_wall(axis=0, at_m=at, first_m=area.x_min_m, last_m=area.x_max_m)
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
