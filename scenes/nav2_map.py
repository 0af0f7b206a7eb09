"""Nav2 ``map_server`` maps: a yaml with an image beside it. numpy, and PyYAML and Pillow when a map is read or written.

The origin is the outer corner of the bottom left pixel; image row 0 is the top, the highest y; a grid's row 0 is the
lowest y.

Source: nav2_map_server ``map_io.cpp`` (keys, thresholds, trinary mode).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from scenes.grid import Grid, rectangles
from scenes.scene import WALL, Scene, Solid, box

_REQUIRED = ("image", "resolution", "origin", "negate", "occupied_thresh", "free_thresh")
_COARSEST_M = 1.0
_OCCUPIED_THRESHOLD, _FREE_THRESHOLD = 0.65, 0.196
"""The grey of unknown, 205, has an occupancy of 0.1961: with the other usual value, 0.25, it would read as free."""
_BLACK, _WHITE = 0, 254


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
    yaml, image = _readers()
    pixels = np.where(grid.values, _BLACK, _WHITE).astype(np.uint8)[::-1]
    image_path = path_yaml.with_suffix(image_suffix)
    image.fromarray(pixels).save(image_path)
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


def load(path_yaml: Path, *, unknown_is_occupied: bool = True) -> Grid:
    """Read a map.

    Returns:
        (H, W) bool, true where occupied. A pixel is occupied above ``occupied_thresh``, free below ``free_thresh`` and
        unknown between.

    Raises:
        FileNotFoundError: If the yaml or its image does not exist.
        ValueError: If a key is missing or has an impossible value, or the image cannot be read.
    """
    path_yaml = Path(path_yaml)
    keys = _keys(path_yaml)
    pixels = _pixels(path_yaml, keys)  # (H, W), 0 black to 1 white
    occupancy = pixels if keys["negate"] else 1.0 - pixels
    occupied = occupancy > keys["occupied_thresh"]
    if unknown_is_occupied:
        occupied = ~(occupancy < keys["free_thresh"]) | occupied
    x, y, _ = keys["origin"]
    return Grid(values=occupied[::-1].copy(), origin_xy_w_m=(x, y), resolution_m=keys["resolution"])


def image_file(path_yaml: Path) -> Path:
    """Return where a map's image should lie.

    Raises:
        FileNotFoundError: If the yaml does not exist.
        ValueError: If a key is missing or has an impossible value.
    """
    return _image_file(Path(path_yaml), _keys(Path(path_yaml)))


def load_scene(path_yaml: Path, *, wall_height_m: float = 2.0, unknown_is_occupied: bool = True) -> Scene:
    """Return a map as a scene: its occupied cells as walls of one height, all known.

    The scene ends where the map's free space ends; what lies farther out cannot be reached.

    Raises:
        FileNotFoundError: If the yaml or its image does not exist.
        ValueError: If the map cannot be read or has no free cell, or the walls have no height.
    """
    if not 0.0 < wall_height_m < math.inf:
        raise ValueError(f"walls of {wall_height_m:g} m height; a map's walls need a height above 0.")
    grid = load(path_yaml, unknown_is_occupied=unknown_is_occupied)
    free_rows, free_columns = np.nonzero(~grid.values)
    if not len(free_rows):
        raise ValueError(f"map '{path_yaml}' has no free cell; check negate and the thresholds.")
    height, width = grid.values.shape
    rows = slice(max(int(free_rows.min()) - 1, 0), min(int(free_rows.max()) + 2, height))
    columns = slice(max(int(free_columns.min()) - 1, 0), min(int(free_columns.max()) + 2, width))
    occupied = grid.values[rows, columns]
    x, y = (grid.origin_xy_w_m[axis] + grid.resolution_m * (columns, rows)[axis].start for axis in (0, 1))
    size = (occupied.shape[1] * grid.resolution_m, occupied.shape[0] * grid.resolution_m)
    walls = tuple(_wall(rectangle, (x, y), grid.resolution_m, wall_height_m) for rectangle in rectangles(occupied))
    return Scene(name=str(path_yaml), kind="map", solids=walls, extent_w_m=(x, y, x + size[0], y + size[1]))


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


def _readers() -> tuple[Any, Any]:
    try:
        import yaml
        from PIL import Image
    except ImportError as error:
        raise ValueError(f"maps need PyYAML and Pillow ({error}): pip install pyyaml pillow") from error
    return yaml, Image


def _keys(path_yaml: Path) -> dict[str, Any]:
    """Read and check the yaml."""
    if not path_yaml.is_file():
        raise FileNotFoundError(f"no map at '{path_yaml}'; give the path of a Nav2 map's yaml.")
    yaml, _ = _readers()
    try:
        keys = yaml.safe_load(path_yaml.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"map '{path_yaml}' is not valid yaml: {' '.join(str(error).split())}") from error
    if not isinstance(keys, dict):
        raise ValueError(f"map '{path_yaml}' holds no keys; a Nav2 map has: {', '.join(_REQUIRED)}.")
    missing = [name for name in _REQUIRED if name not in keys]
    if missing:
        raise ValueError(f"map '{path_yaml}' lacks the key '{missing[0]}'; a Nav2 map has: {', '.join(_REQUIRED)}.")
    if keys.get("mode", "trinary") != "trinary":
        raise ValueError(f"map '{path_yaml}' has mode '{keys['mode']}'; only 'trinary' is supported.")
    resolution = _number(keys, "resolution", path_yaml)
    if not 0.0 < resolution <= _COARSEST_M:
        raise ValueError(
            f"map '{path_yaml}' has resolution {resolution:g}; expected are metres per pixel, above 0 and at most "
            f"{_COARSEST_M:g}."
        )
    occupied, free = _number(keys, "occupied_thresh", path_yaml), _number(keys, "free_thresh", path_yaml)
    if not 0.0 <= free <= occupied <= 1.0:
        raise ValueError(
            f"map '{path_yaml}' has free_thresh {free:g} and occupied_thresh {occupied:g}; "
            "expected 0 <= free_thresh <= occupied_thresh <= 1."
        )
    return {
        "image": str(keys["image"]),
        "resolution": resolution,
        "origin": _origin(keys["origin"], path_yaml),
        "negate": bool(_number(keys, "negate", path_yaml)),
        "occupied_thresh": occupied,
        "free_thresh": free,
    }


def _number(keys: dict[str, Any], name: str, path_yaml: Path) -> float:
    value = keys[name]
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"map '{path_yaml}': {name} is {value!r}; a number is expected.")
    return float(value)


def _origin(value: object, path_yaml: Path) -> tuple[float, float, float]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) != 3 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        raise ValueError(f"map '{path_yaml}' has origin {value!r}; [x, y, yaw] of the bottom left pixel is expected.")
    x, y, yaw = (float(number) for number in numbers)
    if abs(math.remainder(yaw, 2.0 * math.pi)) > 1e-6:
        raise ValueError(
            f"map '{path_yaml}' is turned (origin yaw {yaw:g} rad), which is not supported; "
            "turn the image and set yaw to 0."
        )
    return x, y, yaw


def _image_file(path_yaml: Path, keys: dict[str, Any]) -> Path:
    return path_yaml.parent / str(keys["image"])  # an absolute path stays itself


def _pixels(path_yaml: Path, keys: dict[str, Any]) -> np.ndarray:
    """Return the image in grey, 0 black to 1 white, row 0 at the top."""
    _, image = _readers()
    path = _image_file(path_yaml, keys)
    if not path.is_file():
        raise FileNotFoundError(f"map '{path_yaml}' names the image '{keys['image']}', but there is no '{path}'.")
    try:
        with image.open(path) as opened:
            if opened.mode.startswith("I"):  # 16 bit
                return np.asarray(opened, dtype=np.float64) / 65535.0
            if opened.has_transparency_data:  # map_server averages alpha in as a fourth channel, opaque is white
                return np.asarray(opened.convert("RGBA"), dtype=np.float64).mean(axis=2) / 255.0
            return np.asarray(opened.convert("L"), dtype=np.float64) / 255.0
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"the image '{path}' of map '{path_yaml}' cannot be read: {error}") from error
