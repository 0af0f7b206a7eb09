"""The yaml of a Nav2 ``map_server`` map: its keys, checked. PyYAML reads it event by event, so aliases cannot blow up.

Numbers are read as yaml-cpp reads them: ``5e-2``, quoted numbers and tabs after a colon are numbers.

Source: nav2_map_server ``map_io.cpp`` (keys, trinary mode).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REQUIRED = ("image", "resolution", "origin", "negate", "occupied_thresh", "free_thresh")
FARTHEST_M = 10_000.0
"""Largest coordinate of an origin: 32-bit floats resolve 1 mm there."""
_FINEST_M, _COARSEST_M = 0.005, 1.0
_LARGEST_BYTES = 64 * 1024
"""A map's yaml has some hundred bytes."""
_DEEPEST = 8
_LONGEST_SHOWN = 40
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_QUOTED_OR_TAB = re.compile(r"""("[^"\n]*"|'[^'\n]*')|\t""")
_YES = ("1", "true", "yes", "on", "y")
_NO = ("0", "false", "no", "off", "n")


@dataclass(frozen=True, kw_only=True)
class MapKeys:
    """What a map's yaml says."""

    image: str
    """Path of the image, relative to the yaml's folder, or absolute"""
    resolution_m: float
    """Edge of a pixel"""
    origin_w: tuple[float, float, float]
    """x [m], y [m] and yaw [rad] of the bottom left pixel's outer corner"""
    negate: bool
    """Whether white is occupied"""
    occupied_threshold: float
    free_threshold: float


def read(path_yaml: Path) -> MapKeys:
    """Read and check a map's yaml.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no yaml, a key is missing or given twice, or a value is impossible.
    """
    if not path_yaml.is_file():
        raise FileNotFoundError(f"no map at '{path_yaml}'; give the path of a Nav2 map's yaml.")
    try:
        return _checked(_entries(path_yaml))
    except ValueError as error:
        raise ValueError(f"map '{path_yaml}' {error}") from error


def _checked(entries: dict[str, Any]) -> MapKeys:
    missing = [name for name in REQUIRED if name not in entries]
    if missing:
        raise ValueError(f"lacks the key '{missing[0]}'; a Nav2 map has: {', '.join(REQUIRED)}.")
    mode = entries.get("mode", "trinary")
    if mode != "trinary":
        raise ValueError(f"has mode {_shown(mode)}; only 'trinary' is supported.")
    image = entries["image"]
    if not isinstance(image, str) or not image.strip() or "\0" in image:
        raise ValueError(f"has image {_shown(image)}; the path of an image is expected.")
    resolution_m = _number("resolution", entries["resolution"])
    if not _FINEST_M <= resolution_m <= _COARSEST_M:
        raise ValueError(
            f"has resolution {resolution_m:g}; expected are {_FINEST_M:g} to {_COARSEST_M:g} metres per pixel."
        )
    occupied = _number("occupied_thresh", entries["occupied_thresh"])
    free = _number("free_thresh", entries["free_thresh"])
    if not 0.0 <= free <= occupied <= 1.0:
        raise ValueError(
            f"has free_thresh {free:g} and occupied_thresh {occupied:g}; "
            "expected 0 <= free_thresh <= occupied_thresh <= 1."
        )
    return MapKeys(
        image=image,
        resolution_m=resolution_m,
        origin_w=_origin(entries["origin"]),
        negate=_flag("negate", entries["negate"]),
        occupied_threshold=occupied,
        free_threshold=free,
    )


def _origin(value: Any) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"has origin {_shown(value)}; [x, y, yaw] of the bottom left pixel is expected.")
    x, y, yaw = (_number("origin", number) for number in value)
    if max(abs(x), abs(y)) > FARTHEST_M:
        raise ValueError(
            f"has origin ({x:g}, {y:g}), farther than {FARTHEST_M:g} m from zero, where positions lose their accuracy; "
            "subtract an offset from origin and goals."
        )
    return x, y, math.remainder(yaw, 2.0 * math.pi)


def _number(name: str, value: Any) -> float:
    number = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value.strip()) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"has {name} {_shown(value)}; a number is expected.")
    return number


def _flag(name: str, value: Any) -> bool:
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in _YES + _NO:
        raise ValueError(f"has {name} {_shown(value)}; 0 or 1 is expected.")
    return word in _YES


def _shown(value: Any) -> str:
    """Return a value for an error message: short, whatever a file holds."""
    if not isinstance(value, str):
        return "of several values" if value else "of no value"
    return f"'{value}'" if len(value) <= _LONGEST_SHOWN else f"'{value[:_LONGEST_SHOWN]}...'"


def _entries(path_yaml: Path) -> dict[str, Any]:
    """Return the keys of a yaml; their values are texts, lists or dictionaries."""
    try:
        import yaml
    except ImportError as error:
        raise ValueError(f"needs PyYAML and Pillow ({error}): pip install pyyaml pillow") from error
    if path_yaml.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"has more than {_LARGEST_BYTES // 1024} KiB; a map's yaml holds some lines of text.")
    try:
        text = path_yaml.read_text(encoding="utf-8-sig")
        events = yaml.parse(_QUOTED_OR_TAB.sub(lambda found: found[1] or " ", text), Loader=yaml.SafeLoader)
        next(events), next(events)  # the stream and its first document start
        found = _value(yaml, events, next(events), depth=0)
    except (yaml.YAMLError, UnicodeDecodeError, StopIteration) as error:
        raise ValueError(f"is not valid yaml: {' '.join(str(error).split()) or 'it is empty'}") from error
    if not isinstance(found, dict):
        raise ValueError(f"holds no keys; a Nav2 map has: {', '.join(REQUIRED)}.")
    return found


def _value(yaml: Any, events: Iterator[Any], event: Any, *, depth: int) -> Any:
    """Return what begins with an event: a text, a list or a dictionary."""
    if depth > _DEEPEST:
        raise ValueError(f"nests its values more than {_DEEPEST} deep; a Nav2 map has: {', '.join(REQUIRED)}.")
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise ValueError("uses yaml anchors or aliases, which are not supported; write the values out.")
    if isinstance(event, yaml.ScalarEvent):
        return event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(yaml, events, event, depth=depth + 1))
        return items
    found: dict[str, Any] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        key = _value(yaml, events, event, depth=depth + 1)
        if not isinstance(key, str):
            raise ValueError("has a key that is no word.")
        if key in found:
            raise ValueError(f"has the key {_shown(key)} twice.")
        found[key] = _value(yaml, events, next(events), depth=depth + 1)
    return found
