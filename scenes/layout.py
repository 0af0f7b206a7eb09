"""A floor plan under construction: walls with doors, and items placed so that a wide body still gets everywhere."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from scenes.fields import distance_field
from scenes.occupancy import layer_occupancy
from scenes.scene import WALL, Scene, Solid, box, moved

BODY_RADIUS_M = 0.55
"""Every scene is connected for a disc of this radius: 0.46 m is the longest body's circumscribed radius, 0.05 m the
margin of a goal; the rest covers the cells of a planner."""
PASSAGE_M = 1.20
"""Least width left beside a free-standing item."""
DOOR_WIDTH_M = (1.20, 1.40)
DOOR_HEIGHT_M = 2.10
WALL_HEIGHT_M = 2.6
OUTER_WALL_M = 0.20
BODY_HEIGHT_M = (0.05, 1.80)
MIN_CONNECTED_FRACTION = 0.93
"""Fraction of a wide body's free space that must be in one piece; the rest is niches behind furniture."""
_CELL_M = 0.10
_DRAWS = 60


@dataclass(frozen=True, kw_only=True)
class Item:
    """Solids around a local origin, front along +x, and the half sizes of the rectangle that they fill."""

    solids: tuple[Solid, ...]
    half_x_m: float
    half_y_m: float


@dataclass(frozen=True, kw_only=True)
class Room:
    """A rectangle between the inner faces of walls."""

    x_min_m: float
    y_min_m: float
    x_max_m: float
    y_max_m: float

    @property
    def width_m(self) -> float:
        """Return the size along x."""
        return self.x_max_m - self.x_min_m

    @property
    def depth_m(self) -> float:
        """Return the size along y."""
        return self.y_max_m - self.y_min_m

    @property
    def area_m2(self) -> float:
        """Return the floor area."""
        return self.width_m * self.depth_m


class Layout:
    """Collects solids in a rectangle [0, width] x [0, depth]; marks floor that is occupied or must stay clear."""

    def __init__(self, rng: np.random.Generator, *, width_m: float, depth_m: float) -> None:
        """Start with the outer walls."""
        self.rng = rng
        self.width_m, self.depth_m = width_m, depth_m
        self.solids: list[Solid] = []
        shape = (int(np.ceil(depth_m / _CELL_M)), int(np.ceil(width_m / _CELL_M)))
        self._x = (np.arange(shape[1]) + 0.5) * _CELL_M
        self._y = (np.arange(shape[0]) + 0.5) * _CELL_M
        self._walls = np.zeros(shape, dtype=bool)
        self._items = np.zeros(shape, dtype=bool)
        self._reserved = np.zeros(shape, dtype=bool)
        half = OUTER_WALL_M / 2.0
        for y in (half, depth_m - half):
            self.wall((half, y), (width_m - half, y), thickness_m=OUTER_WALL_M)
        for x in (half, width_m - half):
            self.wall((x, half), (x, depth_m - half), thickness_m=OUTER_WALL_M)

    def inner(self) -> Room:
        """Return the rectangle between the outer walls."""
        return Room(
            x_min_m=OUTER_WALL_M,
            y_min_m=OUTER_WALL_M,
            x_max_m=self.width_m - OUTER_WALL_M,
            y_max_m=self.depth_m - OUTER_WALL_M,
        )

    def wall(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        thickness_m: float,
        doors_m: tuple[tuple[float, float], ...] = (),
    ) -> None:
        """Add a straight wall between two points on its centre line, lengthened by half its thickness at both ends.

        Args:
            doors_m: (distance of the centre from ``start``, clear width) of each opening; a lintel closes it above.
        """
        along = np.subtract(end, start)
        length, yaw = float(np.hypot(*along)), float(np.arctan2(along[1], along[0]))
        direction = along / length
        cursor, pieces = -thickness_m / 2.0, []
        for centre, width in sorted(doors_m):
            pieces.append((cursor, centre - width / 2.0, 0.0))
            pieces.append((centre - width / 2.0, centre + width / 2.0, DOOR_HEIGHT_M))
            cursor = centre + width / 2.0
            clear = (width / 2.0, thickness_m / 2.0 + PASSAGE_M)
            self._mark(self._reserved, tuple(start + direction * centre), clear, yaw, 0.05)
        pieces.append((cursor, length + thickness_m / 2.0, 0.0))
        for first, last, z_min in pieces:
            if last - first < 1e-3:
                continue
            centre_xy = tuple(start + direction * (first + last) / 2.0)
            size = (last - first, thickness_m, WALL_HEIGHT_M - z_min)
            self.solids.append(
                box(centre_xy_w_m=centre_xy, size_m=size, yaw_rad=yaw, z_min_m=z_min, semantic=WALL, known=True)
            )
            if z_min == 0.0:
                self._mark(self._walls, centre_xy, ((last - first) / 2.0, thickness_m / 2.0), yaw, 0.0)

    def stand(self, item: Item, xy: tuple[float, float], yaw_rad: float, *, gap_m: float = PASSAGE_M) -> bool:
        """Place an item away from walls if it fits with ``gap_m`` all around; return whether it did."""
        half = (item.half_x_m, item.half_y_m)
        taken = self._touches(self._walls, xy, half, yaw_rad, gap_m) or self._touches(
            self._items, xy, half, yaw_rad, gap_m
        )
        if taken or self._touches(self._reserved, xy, half, yaw_rad, 0.0):
            return False
        self.put(item, xy, yaw_rad)
        return True

    def lean(
        self, item: Item, room: Room, *, side: int, along: float, off_m: float = 0.02, turn_rad: float = 0.0
    ) -> bool:
        """Place an item with its back to a wall if it fits and its front stays passable; return whether it did.

        Args:
            side: 0 to 3, the wall at x_min, y_min, x_max, y_max; the item's front (+x) looks away from it.
            along: 0 to 1, where along that wall.
            off_m: gap behind the item.
            turn_rad: turn away from the wall's direction.
        """
        yaw = side * np.pi / 2.0
        reach = abs(np.cos(turn_rad)) * item.half_x_m + abs(np.sin(turn_rad)) * item.half_y_m
        spread = abs(np.sin(turn_rad)) * item.half_x_m + abs(np.cos(turn_rad)) * item.half_y_m
        length = room.depth_m if side % 2 == 0 else room.width_m
        if length < 2.0 * spread + 0.1:
            return False
        offset = spread + 0.05 + along * (length - 2.0 * spread - 0.1)
        deep = off_m + reach
        x = (room.x_min_m + deep, room.x_min_m + offset, room.x_max_m - deep, room.x_min_m + offset)[side]
        y = (room.y_min_m + offset, room.y_min_m + deep, room.y_min_m + offset, room.y_max_m - deep)[side]
        front = (x + np.cos(yaw) * (reach + PASSAGE_M / 2.0), y + np.sin(yaw) * (reach + PASSAGE_M / 2.0))
        half = (item.half_x_m, item.half_y_m)
        clear = (PASSAGE_M / 2.0, spread)
        blocked = (
            self._touches(self._walls, (x, y), half, yaw + turn_rad, -0.08)
            or self._touches(self._items, (x, y), half, yaw + turn_rad, 0.02)
            or self._touches(self._reserved, (x, y), half, yaw + turn_rad, 0.0)
            or self._touches(self._walls, front, clear, yaw, 0.0)
            or self._touches(self._items, front, clear, yaw, 0.0)
        )
        if blocked:
            return False
        self.put(item, (x, y), yaw + turn_rad)
        return True

    def scene(self, *, name: str, kind: str) -> Scene:
        """Return the finished scene, centred on the origin and turned by a random multiple of 90 degrees."""
        quarter = int(self.rng.integers(4))
        x, y = self.width_m / 2.0, self.depth_m / 2.0
        shift = ((-x, -y), (y, -x), (x, y), (-y, x))[quarter]
        solids = tuple(moved(solid, shift, quarter * np.pi / 2.0) for solid in self.solids)
        half_x, half_y = (x, y) if quarter % 2 == 0 else (y, x)
        extent = (-half_x, -half_y, half_x, half_y)
        return Scene(name=name, kind=kind, solids=solids, extent_w_m=extent)

    def put(self, item: Item, xy: tuple[float, float], yaw_rad: float) -> None:
        """Place an item without asking whether it fits: the structure of a hall."""
        self.solids += [moved(solid, xy, yaw_rad) for solid in item.solids]
        self._mark(self._items, xy, (item.half_x_m, item.half_y_m), yaw_rad, 0.0)

    def _window(self, xy: Sequence[float], reach_m: float) -> tuple[slice, slice]:
        """Return the part of the floor raster within ``reach_m`` of a point, along both axes."""
        rows, columns = self._walls.shape
        first_column, last_column = (int((xy[0] + sign * reach_m) / _CELL_M + 0.5) for sign in (-1.0, 1.0))
        first_row, last_row = (int((xy[1] + sign * reach_m) / _CELL_M + 0.5) for sign in (-1.0, 1.0))
        return (
            slice(min(max(first_row, 0), rows), min(max(last_row, 0), rows)),
            slice(min(max(first_column, 0), columns), min(max(last_column, 0), columns)),
        )

    def _near(
        self, window: tuple[slice, slice], xy: Sequence[float], half: tuple[float, float], yaw_rad: float, gap_m: float
    ) -> np.ndarray:
        """Return which cells of a window lie within ``gap_m`` of a turned rectangle, or that deep in it if negative."""
        dx, dy = self._x[window[1]][None, :] - xy[0], self._y[window[0]][:, None] - xy[1]
        cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
        over_x, over_y = np.abs(dx * cos + dy * sin) - half[0], np.abs(dy * cos - dx * sin) - half[1]
        if gap_m <= 0.0:
            return np.maximum(over_x, over_y) <= gap_m
        return np.maximum(over_x, 0.0) ** 2 + np.maximum(over_y, 0.0) ** 2 <= gap_m**2

    def _mark(
        self, raster: np.ndarray, xy: Sequence[float], half: tuple[float, float], yaw_rad: float, gap_m: float
    ) -> None:
        window = self._window(xy, math.hypot(*half) + max(gap_m, 0.0) + _CELL_M)
        raster[window] |= self._near(window, xy, half, yaw_rad, gap_m)

    def _touches(
        self, raster: np.ndarray, xy: Sequence[float], half: tuple[float, float], yaw_rad: float, gap_m: float
    ) -> bool:
        window = self._window(xy, math.hypot(*half) + max(gap_m, 0.0) + _CELL_M)
        part = raster[window]
        return bool(part.any()) and bool((part & self._near(window, xy, half, yaw_rad, gap_m)).any())


def draw_connected(draw: Callable[[], Scene], *, radius_m: float = BODY_RADIUS_M) -> Scene:
    """Draw scenes until a disc can reach nearly all free space of one.

    Raises:
        RuntimeError: If none of many draws is, which would be a fault of the generator.
    """
    for _ in range(_DRAWS):
        scene = draw()
        if connected_fraction(scene, radius_m=radius_m) >= MIN_CONNECTED_FRACTION:
            return scene
    raise RuntimeError(f"none of {_DRAWS} drawn scenes of kind '{scene.kind}' is connected.")


def connected_fraction(scene: Scene, *, radius_m: float = BODY_RADIUS_M) -> float:
    """Return the largest fraction of a disc's free space in one piece; 0 if less than 12 % of the floor is free."""
    distance = distance_field(layer_occupancy(scene, layers_m=(BODY_HEIGHT_M,)))
    free = distance.values[0] > radius_m
    pieces, count = scipy.ndimage.label(free)
    if count == 0 or free.mean() < 0.12:
        return 0.0
    return float(np.bincount(pieces.ravel())[1:].max() / free.sum())
