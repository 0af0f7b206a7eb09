"""Rooms: a rectangle cut into rooms with doors, and what stands in them."""

import itertools
from dataclasses import dataclass

import numpy as np

from scenes import furniture
from scenes.furniture import Make
from scenes.layout import DOOR_WIDTH_M, Layout, Room

INNER_WALL_M = 0.14
MIN_ROOM_M = 3.0
_DOOR_MARGIN_M = 0.15


@dataclass(frozen=True, kw_only=True)
class Wall:
    """An inner wall."""

    axis: int
    """0 runs along x, 1 along y."""
    at_m: float
    first_m: float
    last_m: float


def split_into_rooms(
    layout: Layout,
    area: Room,
    *,
    max_area_m2: float,
    second_door: float = 0.35,
    door_width_m: tuple[float, float] = DOOR_WIDTH_M,
) -> list[Room]:
    """Cut an area into rooms by walls with doors, so that every room can be reached from every other.

    Args:
        area: between inner wall faces.
        max_area_m2: larger rooms are cut as long as their sides allow it.
        second_door: probability of a second door in an inner wall.
        door_width_m: clear width of the doors, from and to.
    """
    rooms: list[Room] = []
    walls: list[Wall] = []
    _cut(layout.rng, area, max_area_m2, rooms, walls)
    for wall in walls:
        count = 1 + int(layout.rng.random() < second_door)
        junctions = junctions_m(walls, wall)
        doors = door_positions(layout.rng, wall.first_m, wall.last_m, junctions, count=count, width_m=door_width_m)
        build(layout, wall, doors)
    return rooms


def build(layout: Layout, wall: Wall, doors_m: list[tuple[float, float]]) -> None:
    """Build an inner wall with doors given by (position along its axis, width)."""
    start, end = (wall.first_m, wall.at_m), (wall.last_m, wall.at_m)
    if wall.axis == 1:
        start, end = start[::-1], end[::-1]
    layout.wall(
        start, end, thickness_m=INNER_WALL_M, doors_m=tuple((at - wall.first_m, width) for at, width in doors_m)
    )


def junctions_m(walls: list[Wall], wall: Wall) -> list[float]:
    """Return where other walls meet this one, along its axis."""
    reach = INNER_WALL_M
    return [
        other.at_m
        for other in walls
        if other.axis != wall.axis
        and min(abs(other.first_m - wall.at_m), abs(other.last_m - wall.at_m)) < reach
        and wall.first_m < other.at_m < wall.last_m
    ]


def door_positions(
    rng: np.random.Generator,
    first_m: float,
    last_m: float,
    junctions: list[float],
    *,
    count: int,
    width_m: tuple[float, float] = DOOR_WIDTH_M,
) -> list[tuple[float, float]]:
    """Draw up to ``count`` doors (position, width) in different spans between the junctions of a wall."""
    edges = [first_m, *sorted(junctions), last_m]
    room = width_m[0] + 2.0 * _DOOR_MARGIN_M + INNER_WALL_M
    spans = [(a, b) for a, b in itertools.pairwise(edges) if b - a >= room]
    doors = []
    for index in rng.permutation(len(spans))[:count]:
        a, b = spans[index]
        width = rng.uniform(width_m[0], min(width_m[1], b - a - 2.0 * _DOOR_MARGIN_M - INNER_WALL_M))
        margin = width / 2.0 + _DOOR_MARGIN_M + INNER_WALL_M / 2.0
        doors.append((rng.uniform(a + margin, b - margin), width))
    return doors


def furnish(layout: Layout, room: Room) -> None:
    """Furnish a room for one of the uses that fit its size."""
    rng = layout.rng
    if room.area_m2 > 24.0:
        use = rng.choice(["open_plan", "open_plan", "meeting", "lounge"])
    elif room.area_m2 > 13.0:
        use = rng.choice(["meeting", "office", "office", "lounge", "store", "open_plan"])
    else:
        use = rng.choice(["office", "office", "store", "copy"])
    standing, leaning = _USES[str(use)]
    for make in standing:
        scatter(layout, room, make, count=max(1, round(room.area_m2 / 16.0)))
    for make in leaning:
        along_walls(layout, room, make, count=max(1, round(room.area_m2 / 14.0)))


def scatter(layout: Layout, room: Room, make: Make, *, count: int, tries: int = 8, gap_m: float | None = None) -> int:
    """Stand up to ``count`` items freely in a room, a third of them square to it; return how many fitted."""
    rng, placed = layout.rng, 0
    for _ in range(count):
        thing = make(rng)
        for _ in range(tries):
            xy = (rng.uniform(room.x_min_m, room.x_max_m), rng.uniform(room.y_min_m, room.y_max_m))
            yaw = rng.uniform(-np.pi, np.pi) if rng.random() < 0.67 else rng.integers(4) * np.pi / 2.0
            if layout.stand(thing, xy, yaw) if gap_m is None else layout.stand(thing, xy, yaw, gap_m=gap_m):
                placed += 1
                break
    return placed


def along_walls(layout: Layout, room: Room, make: Make, *, count: int, tries: int = 6, askew_rad: float = 0.0) -> int:
    """Lean up to ``count`` items against a room's walls; return how many fitted."""
    rng, placed = layout.rng, 0
    for _ in range(count):
        thing = make(rng)
        for _ in range(tries):
            turn = rng.uniform(-askew_rad, askew_rad)
            side, along = int(rng.integers(4)), float(rng.choice([0.0, 1.0, rng.random(), rng.random()]))
            if layout.lean(thing, room, side=side, along=along, off_m=0.02 + 0.1 * askew_rad, turn_rad=turn):
                placed += 1
                break
    return placed


def _cut(rng: np.random.Generator, area: Room, max_area_m2: float, rooms: list[Room], walls: list[Wall]) -> None:
    longest = max(area.width_m, area.depth_m)
    done = area.area_m2 < max_area_m2 * rng.uniform(0.55, 1.0) and longest / min(area.width_m, area.depth_m) < 2.0
    if done or longest < 2.0 * MIN_ROOM_M + INNER_WALL_M:
        rooms.append(area)
        return
    along_x = area.width_m >= area.depth_m
    low, high = (area.x_min_m, area.x_max_m) if along_x else (area.y_min_m, area.y_max_m)
    half = INNER_WALL_M / 2.0
    at = rng.uniform(low + MIN_ROOM_M + half, high - MIN_ROOM_M - half)
    if along_x:
        walls.append(Wall(axis=1, at_m=at, first_m=area.y_min_m, last_m=area.y_max_m))
        first = Room(x_min_m=low, x_max_m=at - half, y_min_m=area.y_min_m, y_max_m=area.y_max_m)
        second = Room(x_min_m=at + half, x_max_m=high, y_min_m=area.y_min_m, y_max_m=area.y_max_m)
    else:
        walls.append(Wall(axis=0, at_m=at, first_m=area.x_min_m, last_m=area.x_max_m))
        first = Room(x_min_m=area.x_min_m, x_max_m=area.x_max_m, y_min_m=low, y_max_m=at - half)
        second = Room(x_min_m=area.x_min_m, x_max_m=area.x_max_m, y_min_m=at + half, y_max_m=high)
    _cut(rng, first, max_area_m2, rooms, walls)
    _cut(rng, second, max_area_m2, rooms, walls)


_USES: dict[str, tuple[tuple[Make, ...], tuple[Make, ...]]] = {
    "open_plan": ((furniture.desk_island, furniture.screen), (furniture.workplace, furniture.cabinet)),
    "meeting": ((furniture.meeting_table,), (furniture.cabinet, furniture.plant, furniture.chair)),
    "office": ((furniture.table,), (furniture.workplace, furniture.bookshelf, furniture.cabinet)),
    "lounge": ((furniture.coffee_table, furniture.plant), (furniture.sofa, furniture.sofa, furniture.copier)),
    "store": ((furniture.box_pile,), (furniture.bookshelf, furniture.bookshelf, furniture.box_pile)),
    "copy": ((), (furniture.copier, furniture.cabinet, furniture.bin_or_cone)),
}
"""Use of a room: what stands free in it and what leans against its walls."""
