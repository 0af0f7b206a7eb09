"""The image of a Nav2 map as free, unknown and occupied cells. Pillow reads it; only well-tried formats are allowed.

Source: nav2_map_server ``map_io.cpp``, main branch: grey of 8 bits, thresholds included, unknown where not opaque.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from scenes.map_yaml import MapKeys

FREE, UNKNOWN, OCCUPIED = range(3)
LARGEST_PIXELS = 36_000_000
"""300 x 300 m at 0.05 m"""
_LARGEST_BYTES = 300_000_000
_FORMATS = ("PNG", "PPM", "BMP", "TIFF", "JPEG")
FORMATS = "PNG, PGM, BMP, TIFF, JPEG"
_GREY_OF_UNKNOWN = 205
"""What map savers write for unknown"""
_LOSSY_GREY = 2
"""JPEG shifts a grey by this much"""
_PALETTE = (0, 205, 254)
"""The three greys that Nav2's ``map_saver`` writes"""
_LARGE_PORTION = 0.01
"""Of the cells: from here on, grey 205 is a class of its own and not a shade of a drawing"""


def path_of(path_yaml: Path, keys: MapKeys) -> Path:
    """Return where a map's image should lie."""
    return path_yaml.parent / keys.image  # an absolute path stays itself


def read(path_yaml: Path, keys: MapKeys) -> tuple[np.ndarray, str]:
    """Read a map's image.

    Returns:
        (H, W) uint8 of ``FREE``, ``UNKNOWN``, ``OCCUPIED``, row 0 at the top; and a remark on how it was read, or "".

    Raises:
        FileNotFoundError: If there is no image.
        ValueError: If it cannot be read or is too large.
    """
    path = path_of(path_yaml, keys)
    if not path.is_file():
        raise FileNotFoundError(f"map '{path_yaml}' names the image '{keys.image}', but there is no '{path}'.")
    if path.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"the image '{path}' of map '{path_yaml}' has more than {_LARGEST_BYTES // 1_000_000} MB.")
    try:
        from PIL import Image
    except ImportError as error:
        raise ValueError(f"maps need PyYAML and Pillow ({error}): pip install pyyaml pillow") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large images, which are refused below
            with Image.open(path, formats=_FORMATS) as opened:
                _check_size(opened.size)
                grey, opaque = _grey(opened)
                counts = np.asarray(Image.fromarray(grey).histogram())
                lossy = opened.format == "JPEG"
    except Exception as error:  # every format has errors of its own
        why = "it is none of them" if isinstance(error, Image.UnidentifiedImageError) else " ".join(str(error).split())
        raise ValueError(f"the image '{path}' of map '{path_yaml}' cannot be read as {FORMATS}: {why}") from error
    class_of_grey = _class_of_grey(keys)  # (256,)
    remark = _separate_unknown(class_of_grey, counts, keys, lossy=lossy)
    cells = class_of_grey[grey]
    if opaque is not None:
        cells[~opaque] = UNKNOWN
    return cells, remark


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > LARGEST_PIXELS:
        raise ValueError(f"{size[0]} x {size[1]} pixels; at most {LARGEST_PIXELS // 1_000_000} million are supported.")


def _grey(opened: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return (H, W) uint8 grey, 0 black, and where it is opaque; None: everywhere."""
    if opened.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if opened.mode.startswith("I"):  # 16 bit
        wide = np.asarray(opened).astype(np.int32)
        return ((wide.clip(0, 65535) + 128) // 257).astype(np.uint8), None
    if not opened.has_transparency_data:
        return np.array(opened.convert("L")), None
    coloured = opened.convert("RGBA")
    return np.array(coloured.convert("L")), np.asarray(coloured.getchannel("A")) == 255


def _class_of_grey(keys: MapKeys) -> np.ndarray:
    """Return the class (256,) of each grey; in 32 bits as Nav2 computes, so that a grey on a threshold falls alike."""
    bright = np.arange(256, dtype=np.float32) / np.float32(255.0)
    occupancy = bright if keys.negate else np.float32(1.0) - bright
    classes = np.full(256, UNKNOWN, dtype=np.uint8)
    classes[occupancy >= np.float32(keys.occupied_threshold)] = OCCUPIED
    classes[occupancy <= np.float32(keys.free_threshold)] = FREE
    return classes


def _separate_unknown(class_of_grey: np.ndarray, counts: np.ndarray, keys: MapKeys, *, lossy: bool) -> str:
    """Make grey 205 unknown, in place, where it is what a map saver wrote for unknown; return a remark, or "".

    ``map_saver`` writes ``free_thresh: 0.25`` beside it, by which 205 would be free (docs/adr/0011-unknown-cells.md).

    Args:
        class_of_grey: (256,) changed in place.
        counts: (256,) pixels of each grey.
    """
    margin = _LOSSY_GREY if lossy else 0
    meant = slice(_GREY_OF_UNKNOWN - margin, _GREY_OF_UNKNOWN + margin + 1)
    portion = counts[meant].sum() / counts.sum()
    from_a_saver = portion > 0.0 and counts[list(_PALETTE)].sum() == counts.sum()
    brighter = counts[_GREY_OF_UNKNOWN + margin + 1 :].sum()
    if keys.negate or class_of_grey[_GREY_OF_UNKNOWN] != FREE or not brighter:
        return ""
    if portion < _LARGE_PORTION and not from_a_saver:
        return ""
    class_of_grey[meant] = UNKNOWN
    return (
        f"{portion:.1%} of its cells have grey 205, which map savers write for unknown, though free_thresh "
        f"{keys.free_threshold:g} calls it free; they are taken as unknown."
    )
