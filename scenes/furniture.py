"""Items that stand in rooms, each around its own origin with its front along +x, in the sizes of real ones."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from scenes.layout import Item
from scenes.scene import BOX, FURNITURE, OTHER, PERSON, Solid, box, cylinder, moved

Part = tuple[float, float, float, float, float, float]
"""x, y of the centre, length, width, z_min, z_max [m]"""
Make = Callable[[np.random.Generator], Item]


def boxes(parts: Sequence[Part], *, semantic: int, known: bool) -> list[Solid]:
    """Return upright boxes aligned with the item's axes."""
    return [
        box(centre_xy_w_m=(x, y), size_m=(lx, ly, z1 - z0), yaw_rad=0.0, z_min_m=z0, semantic=semantic, known=known)
        for x, y, lx, ly, z0, z1 in parts
    ]


def item(solids: Sequence[Solid]) -> Item:
    """Return solids as an item around the centre of their bounding rectangle."""
    points = np.concatenate([np.asarray(solid.polygon_xy_w_m) for solid in solids])
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2.0
    centred = tuple(moved(solid, (-middle[0], -middle[1]), 0.0) for solid in solids)
    half = (high - low) / 2.0
    return Item(solids=centred, half_x_m=float(half[0]), half_y_m=float(half[1]))


def table(rng: np.random.Generator) -> Item:
    """Return a bare table."""
    return item(_table(rng, rng.uniform(0.7, 1.0), rng.uniform(1.0, 1.8)))


def workplace(rng: np.random.Generator) -> Item:
    """Return a desk with a screen, mostly a chair in front of it and sometimes drawers under it."""
    depth, width = rng.uniform(0.70, 0.80), rng.uniform(1.3, 1.7)
    solids = _table(rng, depth, width)
    solids += boxes([(-0.2, 0.0, 0.08, 0.55, 0.80, 1.15)], semantic=FURNITURE, known=True)
    if rng.random() < 0.6:
        side = rng.choice([-1.0, 1.0])
        drawers = (0.0, side * (width / 2.0 - 0.35), 0.55, 0.42, 0.0, 0.58)
        solids += boxes([drawers], semantic=FURNITURE, known=True)
    if rng.random() < 0.85:
        solids += _chair(depth / 2.0 + rng.uniform(0.0, 0.3), rng.uniform(-0.25, 0.25), rng.uniform(-0.8, 0.8))
    return item(solids)


def desk_island(rng: np.random.Generator) -> Item:
    """Return two or four workplaces back to back with a screen wall between them."""
    depth, width = 0.75, rng.uniform(1.3, 1.6)
    pairs = int(rng.integers(1, 3))
    solids = boxes([(0.0, 0.0, 0.12, pairs * width, 0.0, rng.uniform(1.15, 1.4))], semantic=FURNITURE, known=True)
    for pair in range(pairs):
        y = (pair - (pairs - 1) / 2.0) * width
        for side in (-1.0, 1.0):
            solids += [moved(solid, (side * (depth / 2.0 + 0.06), y), 0.0) for solid in _table(rng, depth, width)]
            if rng.random() < 0.8:
                chair_x = side * (depth + 0.06 + rng.uniform(0.0, 0.25))
                turn = (0.0 if side > 0 else np.pi) + rng.uniform(-0.8, 0.8)
                solids += _chair(chair_x, y + rng.uniform(-0.2, 0.2), turn)
    return item(solids)


def meeting_table(rng: np.random.Generator) -> Item:
    """Return a long table with chairs on both sides."""
    seats = int(rng.integers(2, 5))
    width, length = rng.uniform(0.9, 1.2), 0.7 * seats + 0.2
    solids = _table(rng, width, length)
    for side in (-1.0, 1.0):
        for seat in range(seats):
            if rng.random() < 0.8:
                y = (seat - (seats - 1) / 2.0) * 0.7
                turn = (0.0 if side > 0 else np.pi) + rng.uniform(-0.4, 0.4)
                solids += _chair(side * (width / 2.0 + rng.uniform(0.05, 0.25)), y, turn)
    return item(solids)


def cabinet(rng: np.random.Generator) -> Item:
    """Return a closed cupboard, low or high."""
    size = (rng.uniform(0.40, 0.55), rng.uniform(0.8, 1.6), rng.choice([0.75, 1.1, 1.95]))
    return item(boxes([(0.0, 0.0, size[0], size[1], 0.0, size[2])], semantic=FURNITURE, known=True))


def bookshelf(rng: np.random.Generator) -> Item:
    """Return an open shelf: two sides, a back and boards."""
    depth, width, height = rng.uniform(0.30, 0.40), rng.uniform(0.8, 1.8), rng.uniform(1.6, 2.1)
    sides: list[Part] = [(0.0, s * (width / 2.0 - 0.04), depth, 0.08, 0.0, height) for s in (-1, 1)]
    back: Part = (-depth / 2.0 + 0.04, 0.0, 0.08, width, 0.0, height)
    boards: list[Part] = [(0.0, 0.0, depth, width, z, z + 0.03) for z in np.arange(0.06, height, 0.38)]
    return item(boxes([*sides, back, *boards], semantic=FURNITURE, known=True))


def sofa(rng: np.random.Generator) -> Item:
    """Return a sofa: seat, back and two arms."""
    width = rng.uniform(1.4, 2.2)
    arms: list[Part] = [(0.0, s * (width / 2.0 - 0.1), 0.85, 0.2, 0.0, 0.62) for s in (-1, 1)]
    seat: Part = (0.0, 0.0, 0.85, width, 0.0, 0.42)
    back: Part = (-0.32, 0.0, 0.2, width, 0.0, 0.85)
    return item(boxes([seat, back, *arms], semantic=FURNITURE, known=True))


def coffee_table(rng: np.random.Generator) -> Item:
    """Return a low table, closed to every body."""
    return item(boxes([(0.0, 0.0, 0.6, rng.uniform(0.6, 1.1), 0.0, 0.42)], semantic=FURNITURE, known=True))


def copier(rng: np.random.Generator) -> Item:
    """Return a copier or drinks machine."""
    high = rng.uniform(1.0, 1.8)
    return item(boxes([(0.0, 0.0, 0.7, rng.uniform(0.7, 1.1), 0.0, high)], semantic=FURNITURE, known=True))


def screen(rng: np.random.Generator) -> Item:
    """Return a free-standing partition: too high to look over for most cameras."""
    width, height = rng.uniform(1.2, 2.6), rng.uniform(1.3, 1.9)
    return item(boxes([(0.0, 0.0, 0.12, width, 0.0, height)], semantic=FURNITURE, known=True))


def nook(rng: np.random.Generator) -> Item:
    """Return partitions in the shape of an L or a U, open to +x: a dead end on the straight line to a goal."""
    width, depth, height = rng.uniform(1.4, 2.4), rng.uniform(0.8, 1.4), rng.uniform(1.2, 1.9)
    sides = (-1, 1) if rng.random() < 0.5 else (1,)
    back: Part = (-depth / 2.0 + 0.06, 0.0, 0.12, width, 0.0, height)
    arms: list[Part] = [(0.0, side * (width / 2.0 - 0.06), depth, 0.12, 0.0, height) for side in sides]
    return item(boxes([back, *arms], semantic=FURNITURE, known=True))


def plant(rng: np.random.Generator) -> Item:
    """Return a potted plant: a pot and a wider crown."""
    pot, crown = rng.uniform(0.14, 0.22), rng.uniform(0.22, 0.38)
    return item([_round(pot, 0.0, 0.45, semantic=OTHER), _round(crown, 0.45, rng.uniform(0.9, 1.6), semantic=OTHER)])


def chair(rng: np.random.Generator) -> Item:
    """Return a chair without a table."""
    return item(_chair(0.0, 0.0, rng.uniform(-np.pi, np.pi)))


def box_pile(rng: np.random.Generator) -> Item:
    """Return one to three cardboard boxes on top of each other, not quite aligned."""
    length, width, z, solids = rng.uniform(0.35, 0.8), rng.uniform(0.35, 0.8), 0.0, []
    for _ in range(int(rng.integers(1, 4))):
        height = rng.uniform(0.25, 0.55)
        block = boxes([(0.0, 0.0, length, width, z, z + height)], semantic=BOX, known=False)
        solids += [moved(solid, (0.0, 0.0), rng.uniform(-0.3, 0.3)) for solid in block]
        z, length, width = z + height, length * rng.uniform(0.75, 1.0), width * rng.uniform(0.75, 1.0)
    return item(solids)


def bin_or_cone(rng: np.random.Generator) -> Item:
    """Return a waste bin, bucket or cone: low and narrow."""
    radius, height = rng.uniform(0.13, 0.25), rng.uniform(0.3, 0.75)
    return item([_round(radius, 0.0, height, semantic=OTHER)])


def person(rng: np.random.Generator) -> Item:
    """Return a standing person: legs and a wider trunk."""
    height, radius = rng.uniform(1.55, 1.85), rng.uniform(0.22, 0.28)
    return item([_round(0.8 * radius, 0.0, 0.85, semantic=PERSON), _round(radius, 0.85, height, semantic=PERSON)])


def pallet(rng: np.random.Generator) -> Item:
    """Return a pallet with goods, sometimes empty: then lower than most cameras look."""
    solids = boxes([(0.0, 0.0, 0.8, 1.2, 0.0, 0.144)], semantic=OTHER, known=False)
    if rng.random() < 0.75:
        goods = (0.0, 0.0, rng.uniform(0.6, 0.8), rng.uniform(0.8, 1.2), 0.144, rng.uniform(0.5, 1.6))
        solids += boxes([goods], semantic=BOX, known=False)
    return item(solids)


def forklift(rng: np.random.Generator) -> Item:
    """Return a parked forklift: a body, a mast and forks close to the ground."""
    length = rng.uniform(1.6, 2.1)
    forks: list[Part] = [(length / 2.0 + 0.5, side * 0.3, 1.0, 0.14, 0.05, 0.14) for side in (-1, 1)]
    mast: Part = (length / 2.0 - 0.05, 0.0, 0.15, 0.9, 0.0, 2.1)
    cabin: Part = (-0.1, 0.0, 0.9, 0.9, 0.9, 2.0)
    return item(boxes([(0.0, 0.0, length, 1.1, 0.12, 0.9), mast, cabin, *forks], semantic=OTHER, known=False))


def wedge(rng: np.random.Generator) -> Item:
    """Return an upright prism with three to six unequal sides."""
    sides = int(rng.integers(3, 7))
    angles = 2.0 * np.pi * (np.arange(sides) + rng.uniform(-0.25, 0.25, sides)) / sides
    radius = rng.uniform(0.3, 0.8)
    polygon = tuple((float(radius * np.cos(angle)), float(radius * np.sin(angle))) for angle in angles)
    height = rng.uniform(0.25, 1.9)
    return item([Solid(polygon_xy_w_m=polygon, z_min_m=0.0, z_max_m=height, semantic=OTHER, known=False)])


def bench(rng: np.random.Generator) -> Item:
    """Return a bench whose board lies in the second height layer, so that nothing passes under it."""
    width = rng.uniform(1.0, 1.8)
    legs: list[Part] = [(0.0, side * (width / 2.0 - 0.1), 0.36, 0.08, 0.0, 0.42) for side in (-1, 1)]
    return item(boxes([(0.0, 0.0, 0.4, width, 0.42, 0.47), *legs], semantic=FURNITURE, known=True))


def _round(radius_m: float, z_min_m: float, z_max_m: float, *, semantic: int) -> Solid:
    """Return an eight-sided prism around the item's origin, not on the known map."""
    solid = cylinder(
        centre_xy_w_m=(0.0, 0.0), radius_m=radius_m, height_m=z_max_m, semantic=semantic, known=False, sides=8
    )
    return replace(solid, z_min_m=z_min_m)


def _table(rng: np.random.Generator, depth: float, width: float) -> list[Solid]:
    """Return a top in the third height layer on four legs: a low body passes under it, between the legs."""
    top = rng.uniform(0.72, 0.76)
    x, y = depth / 2.0 - 0.06, width / 2.0 - 0.06
    legs: list[Part] = [(sx * x, sy * y, 0.08, 0.08, 0.0, top - 0.03) for sx in (-1, 1) for sy in (-1, 1)]
    return boxes([(0.0, 0.0, depth, width, top - 0.03, top), *legs], semantic=FURNITURE, known=True)


def _chair(x: float, y: float, yaw_rad: float) -> list[Solid]:
    """Return an office chair with its back to its own +x; movable, so the map does not show it."""
    chair_parts: list[Part] = [
        (0.0, 0.0, 0.48, 0.48, 0.0, 0.10),
        (0.0, 0.0, 0.12, 0.12, 0.10, 0.42),
        (0.0, 0.0, 0.46, 0.46, 0.42, 0.50),
        (0.20, 0.0, 0.08, 0.42, 0.50, 0.95),
    ]
    return [moved(solid, (x, y), yaw_rad) for solid in boxes(chair_parts, semantic=FURNITURE, known=False)]
