"""Nav2 ``map_server`` maps: a yaml with an image beside it. numpy, and PyYAML and Pillow when a map is read or written.

The origin is the outer corner of the bottom left pixel; image row 0 is the top, the highest y; a grid's row 0 is the
lowest y. A map that is turned by its origin's yaw becomes a grid along the axes.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scenes import map_image, map_turn, map_yaml
from scenes.grid import Grid, rectangles
from scenes.scene import WALL, Scene, Solid, box

_OCCUPIED_THRESHOLD, _FREE_THRESHOLD = 0.65, 0.196
"""The grey of unknown, 205, has an occupancy of 0.1961: with the other usual value, 0.25, it would read as free."""
_BLACK, _WHITE = 0, 254
_LARGEST_M2 = 90_000.0
"""Largest rectangle around a map's free space that can be a scene; fields over it have cells of 0.05 m."""
_MOST_WALLS = 100_000


def save(grid: Grid, path_yaml: Path, *, image_suffix: str = ".pgm") -> None:
    """Write a map as ``map_saver`` does: the yaml, and an image of the same name beside it.

    Args:
        grid: (H, W) bool, true where occupied.
        image_suffix: ``.pgm`` or ``.png``.

    Raises:
        ValueError: If the grid is not one boolean layer, or the suffix is another one.
    """
    if grid.values.ndim != 2 or grid.values.dtype != bool:
        raise ValueError(f"a map is saved from one boolean layer; got {grid.values.dtype} {grid.values.shape}.")
    if image_suffix not in (".pgm", ".png"):
        raise ValueError(f"a map's image is .pgm or .png, not '{image_suffix}'.")
    import yaml
    from PIL import Image

    pixels = np.where(grid.values, _BLACK, _WHITE).astype(np.uint8)[::-1]
    image_path = path_yaml.with_suffix(image_suffix)
    Image.fromarray(pixels).save(image_path)
    keys = {
        "image": image_path.name,
        "mode": "trinary",
        "resolution": float(grid.resolution_m),
        "origin": [float(grid.origin_xy_w_m[0]), float(grid.origin_xy_w_m[1]), 0.0],
        "negate": 0,
        "occupied_thresh": _OCCUPIED_THRESHOLD,
        "free_thresh": _FREE_THRESHOLD,
    }
    path_yaml.write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")


def load(
    path_yaml: Path, *, unknown_is_occupied: bool = True, say: Callable[[str], object] = lambda remark: None
) -> Grid:
    """Read a map.

    Args:
        say: Takes a line for the user where the map is read other than its keys say.

    Returns:
        (H, W) bool, true where occupied. A pixel is occupied from ``occupied_thresh`` on, free up to ``free_thresh``
        and unknown between, or where it is not opaque.

    Raises:
        FileNotFoundError: If the yaml or its image does not exist.
        ValueError: If a key is missing or has an impossible value, or the image cannot be read.
    """
    path_yaml = Path(path_yaml)
    keys = map_yaml.read(path_yaml)
    cells, remark = map_image.read(path_yaml, keys)
    if remark:
        say(f"map '{path_yaml}': {remark}")
    grid = Grid(values=cells[::-1], origin_xy_w_m=keys.origin_w[:2], resolution_m=keys.resolution_m)
    grid = map_turn.turned(grid, keys.origin_w[2], outside=map_image.UNKNOWN, solid=map_image.OCCUPIED)
    occupied = grid.values != map_image.FREE if unknown_is_occupied else grid.values == map_image.OCCUPIED
    return Grid(values=occupied, origin_xy_w_m=grid.origin_xy_w_m, resolution_m=grid.resolution_m)


def image_file(path_yaml: Path) -> Path:
    """Return where a map's image should lie.

    Raises:
        FileNotFoundError: If the yaml does not exist.
        ValueError: If a key is missing or has an impossible value.
    """
    return map_image.path_of(Path(path_yaml), map_yaml.read(Path(path_yaml)))


def around_free_space(grid: Grid) -> Grid:
    """Return the part of a map (H, W) that has free cells, with one cell around them where there is one.

    Raises:
        ValueError: If no cell is free.
    """
    free_rows, free_columns = (np.flatnonzero(~grid.values.all(axis=axis)) for axis in (1, 0))
    if not len(free_rows):
        raise ValueError("no free cell; check negate and the thresholds.")
    height, width = grid.values.shape
    rows = slice(max(int(free_rows.min()) - 1, 0), min(int(free_rows.max()) + 2, height))
    columns = slice(max(int(free_columns.min()) - 1, 0), min(int(free_columns.max()) + 2, width))
    x, y = (grid.origin_xy_w_m[axis] + grid.resolution_m * (columns, rows)[axis].start for axis in (0, 1))
    return Grid(values=grid.values[rows, columns], origin_xy_w_m=(x, y), resolution_m=grid.resolution_m)


def load_scene(path_yaml: Path, *, wall_height_m: float = 2.0, unknown_is_occupied: bool = True) -> Scene:
    """Return a map as a scene: its occupied cells as walls of one height, all known.

    The scene ends where the map's free space ends; what lies farther out cannot be reached.

    Raises:
        FileNotFoundError: If the yaml or its image does not exist.
        ValueError: If the map cannot be read or has no free cell, or the walls have no height.
    """
    if not 0.0 < wall_height_m < math.inf:
        raise ValueError(f"walls of {wall_height_m:g} m height; a map's walls need a height above 0.")
    remarks: list[str] = []
    grid = load(path_yaml, unknown_is_occupied=unknown_is_occupied, say=remarks.append)
    try:
        grid = around_free_space(grid)
    except ValueError as error:
        raise ValueError(f"map '{path_yaml}': {error}") from error
    occupied, (x, y) = grid.values, grid.origin_xy_w_m
    size = (occupied.shape[1] * grid.resolution_m, occupied.shape[0] * grid.resolution_m)
    if size[0] * size[1] > _LARGEST_M2:
        raise ValueError(
            f"map '{path_yaml}': its free space spans {size[0]:.0f} x {size[1]:.0f} m; at most "
            f"{_LARGEST_M2:.0f} m² are supported; check resolution, or cut the image."
        )
    found = rectangles(occupied)
    if len(found) > _MOST_WALLS:
        raise ValueError(
            f"map '{path_yaml}': its walls make {len(found)} rectangles, at most {_MOST_WALLS} are supported; "
            "the image is noisy."
        )
    return Scene(
        name=str(path_yaml),
        kind="map",
        solids=tuple(_wall(rectangle, (x, y), grid.resolution_m, wall_height_m) for rectangle in found),
        extent_w_m=(x, y, x + size[0], y + size[1]),
        remarks=tuple(remarks),
    )


def _wall(rectangle: tuple[int, int, int, int], origin: tuple[float, ...], cell_m: float, height_m: float) -> Solid:
    row_0, row_1, column_0, column_1 = rectangle
    return box(
        centre_xy_w_m=(origin[0] + (column_0 + column_1) / 2.0 * cell_m, origin[1] + (row_0 + row_1) / 2.0 * cell_m),
        size_m=((column_1 - column_0) * cell_m, (row_1 - row_0) * cell_m, height_m),
        yaw_rad=0.0,
        z_min_m=0.0,
        semantic=WALL,
        known=True,
    )
