"""Pallet racks and shelves, and zones of a hall filled with rows of them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scenes.furniture import Part, boxes, item
from scenes.layout import Item, Layout, Room
from scenes.scene import BOX, RACK, Solid

MakeRow = Callable[[np.random.Generator, float], Item]
"""Makes a row of about the given length along its y axis; its aisles lie towards +x and -x."""


def pallet_rack(rng: np.random.Generator, length_m: float) -> Item:
    """Return a row of pallet racks, as many bays as fit: posts, decks, goods; some bays are open below 0.95 m.

    A low body passes under an open bay, between the posts, where no goods stand; a tall one does not.
    """
    depth, height = rng.uniform(1.0, 1.2), rng.uniform(2.8, 4.5)
    bays = max(1, int(length_m / 2.5))
    bay = length_m / bays
    posts: list[Part] = []
    solids: list[Solid] = []
    for index in range(bays + 1):
        y = -length_m / 2.0 + index * bay
        y += 0.06 if index == 0 else -0.06 if index == bays else 0.0
        posts += [(side * (depth / 2.0 - 0.06), y, 0.12, 0.12, 0.0, height) for side in (-1, 1)]
    for index in range(bays):
        y = -length_m / 2.0 + (index + 0.5) * bay
        solids += _open_bay(rng, y, bay, depth) if rng.random() < 0.15 else _loaded_bay(rng, y, bay, depth)
    top: Part = (0.0, 0.0, depth, length_m, 2.4, 2.5)
    return item(boxes([*posts, top], semantic=RACK, known=True) + solids)


def long_shelf(rng: np.random.Generator, length_m: float) -> Item:
    """Return a row of narrow steel shelves with a closed middle, as in a parts store."""
    depth, height = rng.uniform(0.5, 0.7), rng.uniform(1.9, 2.3)
    boards: list[Part] = [(0.0, 0.0, depth, length_m, z, z + 0.04) for z in np.arange(0.08, height, 0.45)]
    ends: list[Part] = [(0.0, s * (length_m / 2.0 - 0.05), depth, 0.10, 0.0, height) for s in (-1, 1)]
    solids = boxes([*boards, *ends, (0.0, 0.0, 0.10, length_m, 0.0, height)], semantic=RACK, known=True)
    goods: list[Part] = []
    for side in (-1, 1):
        for y in np.arange(-length_m / 2.0 + 0.35, length_m / 2.0 - 0.3, 0.6):
            if rng.random() < 0.5:
                level = 0.12 + 0.45 * int(rng.integers(0, 3))
                goods.append(
                    (side * depth / 4.0, float(y), depth / 2.0 - 0.06, 0.4, level, level + rng.uniform(0.15, 0.4))
                )
    return item(solids + boxes(goods, semantic=BOX, known=False))


def block_stack(rng: np.random.Generator, length_m: float) -> Item:
    """Return a row of pallets stacked on the floor without a rack: goods, not on the map, with gaps in the row."""
    solids: list[Solid] = []
    for y in np.arange(-length_m / 2.0 + 0.65, length_m / 2.0 - 0.6, 1.3):
        if rng.random() < 0.9:
            height = rng.uniform(0.5, 1.9)
            solids += boxes([(0.0, float(y), 0.9, 1.2, 0.0, height)], semantic=BOX, known=False)
    return item(solids or boxes([(0.0, 0.0, 0.9, 1.2, 0.0, 1.0)], semantic=BOX, known=False))


def fill_with_rows(layout: Layout, zone: Room, make_row: MakeRow, *, along_x: bool, aisle_m: float) -> list[Room]:
    """Fill a zone with parallel rows and return the aisles between them.

    Every row leaves at least one gap as wide as an aisle, at an end or inside it, so all aisles are connected; some
    are dead ends.

    Args:
        along_x: rows run along x, else along y.
        aisle_m: clear width between rows.
    """
    rng = layout.rng
    length, breadth = (zone.width_m, zone.depth_m) if along_x else (zone.depth_m, zone.width_m)
    aisles: list[Room] = []
    cursor = rng.choice([0.03, aisle_m * rng.uniform(0.8, 1.0)])
    while True:
        rows = [(centre, make_row(rng, piece)) for centre, piece in _row_pieces(rng, length)]
        depth = 2.0 * max(row.half_x_m for _, row in rows)
        if cursor + depth > breadth - 0.03:
            return aisles
        across = cursor + depth / 2.0
        for centre, row in rows:
            yaw = (np.pi / 2.0 if along_x else 0.0) + np.pi * int(rng.integers(2))
            x, y = (centre, across) if along_x else (across, centre)
            layout.put(row, (zone.x_min_m + x, zone.y_min_m + y), yaw)
        cursor += depth + aisle_m
        aisles.append(_aisle(zone, cursor - aisle_m, min(cursor, breadth), along_x))


def _row_pieces(rng: np.random.Generator, length_m: float) -> list[tuple[float, float]]:
    """Return (centre, length) of the pieces of a row: one to three gaps, at the start, inside, at the end."""
    gaps = rng.random(3) < (0.6, 0.45, 0.6)
    if not gaps.any():
        gaps[int(rng.integers(3))] = True
    first = rng.uniform(1.6, 2.4) if gaps[0] else 0.03
    last = length_m - (rng.uniform(1.6, 2.4) if gaps[2] else 0.03)
    if not gaps[1] or last - first < 5.6:
        return [((first + last) / 2.0, last - first)]
    gap = rng.uniform(1.6, 2.2)
    middle = rng.uniform(first + 1.6 + gap / 2.0, last - 1.6 - gap / 2.0)
    ends = ((first, middle - gap / 2.0), (middle + gap / 2.0, last))
    return [((a + b) / 2.0, b - a) for a, b in ends]


def _aisle(zone: Room, first_m: float, last_m: float, along_x: bool) -> Room:
    if along_x:
        return replace(zone, y_min_m=zone.y_min_m + first_m, y_max_m=zone.y_min_m + last_m)
    return replace(zone, x_min_m=zone.x_min_m + first_m, x_max_m=zone.x_min_m + last_m)


def _loaded_bay(rng: np.random.Generator, y: float, bay: float, depth: float) -> list[Solid]:
    """Return a bay with a deck near the ground, two goods on it and mostly more above."""
    deck = boxes([(0.0, y, depth, bay, 0.08, 0.18)], semantic=RACK, known=True)
    goods: list[Part] = []
    for side in (-1, 1):
        for z in (0.18, 2.5):
            if rng.random() < 0.8:
                at = y + side * bay / 4.0
                size = (rng.uniform(0.7, 1.0) * depth, rng.uniform(0.6, 0.9) * bay / 2.0)
                goods.append((0.0, at, *size, z, z + rng.uniform(0.6, 1.6)))
    return deck + boxes(goods, semantic=BOX, known=False)


def _open_bay(rng: np.random.Generator, y: float, bay: float, depth: float) -> list[Solid]:
    """Return a bay whose lowest deck is above a low body's head."""
    deck = boxes([(0.0, y, depth, bay, 0.95, 1.05)], semantic=RACK, known=True)
    goods: list[Part] = [(0.0, y, 0.9 * depth, 0.7 * bay, 1.05, rng.uniform(1.4, 2.2))]
    return deck + boxes(goods, semantic=BOX, known=False)
