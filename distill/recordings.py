"""Recordings on disk: HDF5 shards of sequences, (T, B, ...), checked when written and when read."""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from embodiments.spaces import COMMAND_SIZE, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX, DESCRIPTOR_SIZE, GOAL_SIZE, ROUTE_POINTS
from world_model import anticipation, atomic_files, collision_risk
from world_model.local_planner.planner import FEATURE_SIZE as PLAN_FEATURES

FORMAT = "crossbody-recording"
VERSION = 3
_SEAL_BYTES = 512
"""Before the HDF5 content: its SHA-256, then zeros; the smallest user block that HDF5 allows"""
"""2: with the features of the local plan, whose costmap begins with the episode."""
SUFFIX = ".h5"

_IMAGE = (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
_OBSERVATION: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "velocity_b": ("float32", (COMMAND_SIZE,)),
    "previous_command": ("float32", (COMMAND_SIZE,)),
    "route_xy_b_m": ("float32", (ROUTE_POINTS, 2)),
    "goal_b": ("float32", (GOAL_SIZE,)),
    "embodiment": ("float32", (DESCRIPTOR_SIZE,)),
    "first": ("bool", ()),
    "outcome": ("uint8", ()),
}
OUTCOMES = ("running", "success", "collision", "fall", "timeout", "broken")
"""Index = value of ``outcome``; other than 0 only at the last step of an episode."""

FIELDS: dict[str, dict[str, tuple[str, tuple[int | None, ...]]]] = {
    "teacher": {
        "depth_mm": ("uint16", _IMAGE),
        "semantic": ("uint8", _IMAGE),
        **_OBSERVATION,
        "plan_features": ("float32", (PLAN_FEATURES,)),
        "teacher_action": ("float32", (COMMAND_SIZE,)),
        "labelled": ("bool", ()),
        "command": ("float32", (COMMAND_SIZE,)),
    },
    "specialist": {
        "features": ("float32", (None,)),
        **_OBSERVATION,
        "mean": ("float32", (COMMAND_SIZE,)),
        "log_std": ("float32", (COMMAND_SIZE,)),
        "command": ("float32", (COMMAND_SIZE,)),
    },
    "surroundings": {
        "square": ("uint8", (anticipation.INPUTS, anticipation.SIDE, anticipation.SIDE)),
        "distance": ("uint8", (anticipation.SIDE, anticipation.SIDE)),
        "moving": ("uint8", (len(anticipation.HORIZONS_S), anticipation.SIDE**2 // 8)),
        "counted": ("bool", ()),
    },
    "drives": {
        "crop": ("uint8", (collision_risk.CHANNELS, collision_risk.SIDE, collision_risk.SIDE)),
        "vector": ("float32", (collision_risk.VECTOR_SIZE,)),
        "change": ("float32", (collision_risk.CHANGE_SIZE,)),
        "first": ("bool", ()),
        "outcome": ("uint8", ()),
    },
}
"""Kind -> field -> dtype and shape after (T, B); None = any length.

``embodiment`` is the descriptor at that step (cameras and jittered bodies differ between sequences). ``teacher_action``
is what the teacher would do, valid where ``labelled``; ``command`` is what was executed after this observation.
``plan_features`` are ``world_model.local_planner.planner.LocalPlan.features`` of what that view's camera has seen
since the episode began, from every mount that it had meanwhile.
``features`` are ``world_model.base_head.policy_features`` (base action last); ``mean`` is that of the specialist's full
action, base + residual. ``square`` is what ``world_model.anticipation`` sees, times 255; ``distance`` the one to
the nearest still thing, in parts of ``FAR_M``, times 255; ``moving`` where somebody is at each horizon, as packed bits;
``counted`` whether the episode went on long enough to know it. ``crop`` (times 255), ``vector`` and ``change`` are what
``world_model.collision_risk`` sees.
"""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One recording in memory."""

    kind: str
    arrays: dict[str, np.ndarray]
    """Field -> (T, B, ...)."""
    attributes: dict[str, Any]


def depth_to_mm(depth_m: np.ndarray) -> np.ndarray:
    """Return depth [m] as uint16 millimetres; 0 = invalid stays 0."""
    return np.rint(np.clip(depth_m, 0.0, 65.0) * 1000.0).astype(np.uint16)


def depth_from_mm(depth_mm: np.ndarray) -> np.ndarray:
    """Return uint16 millimetres as float32 metres."""
    return depth_mm.astype(np.float32) * np.float32(1e-3)


def write_shard(
    path: Path, arrays: Mapping[str, np.ndarray], *, kind: str, attributes: Mapping[str, Any] | None = None
) -> None:
    """Write one shard atomically, compressed, with the SHA-256 of its HDF5 bytes in front of them.

    Args:
        path: Ends in ``.h5``.
        arrays: Every field of ``FIELDS[kind]``, (T, B, ...).
        attributes: JSON-able facts about the shard (robot, scenes, seed, mounts).

    Raises:
        ValueError: If a field is missing, unknown, of another dtype or shape, or not finite.
    """
    _check_fields(str(path), arrays, kind=kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()  # HDF5 itself passes over some errors of a file system
    with h5py.File(content, "w", userblock_size=_SEAL_BYTES) as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["kind"] = kind
        file.attrs["attributes"] = json.dumps(dict(attributes or {}))
        for name, array in arrays.items():
            chunks = (min(64, array.shape[0]), 1, *array.shape[2:])
            file.create_dataset(name, data=array, chunks=chunks, compression="lzf", shuffle=True, fletcher32=True)
    body = content.getbuffer()[_SEAL_BYTES:]
    seal = hashlib.sha256(body).hexdigest().encode().ljust(_SEAL_BYTES, b"\0")
    with atomic_files.replacing(path) as temporary, temporary.open("wb") as written:
        written.write(seal)
        written.write(body)


def read_shard(path: Path, *, kind: str, fields: tuple[str, ...] | None = None) -> Shard:
    """Return a shard.

    Args:
        fields: Those to read; all by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is truncated, damaged, not a recording or of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no recording {path}")
    with path.open("rb") as sealed:
        if sealed.read(_SEAL_BYTES).rstrip(b"\0") != _seal_of(path):
            raise ValueError(f"{path} is truncated or damaged, or not a {FORMAT}; delete it and record again")
    try:
        with h5py.File(path, "r") as file:
            _check_header(path, file, kind=kind)
            names = tuple(FIELDS[kind]) if fields is None else fields
            arrays = {name: file[name][()] for name in names}
            attributes = json.loads(file.attrs["attributes"])
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is truncated or damaged; delete it and record again") from error
    _check_fields(str(path), arrays, kind=kind, partial=fields is not None)
    return Shard(kind=kind, arrays=arrays, attributes=attributes)


def shard_paths(directory: Path) -> tuple[Path, ...]:
    """Return the shards of a folder, sorted.

    Raises:
        FileNotFoundError: If there is none.
    """
    paths = tuple(sorted(p for p in directory.rglob(f"*{SUFFIX}") if not p.name.startswith(".")))
    if not paths:
        raise FileNotFoundError(f"no recordings (*{SUFFIX}) in {directory}; run the stage that records them first")
    return paths


def _seal_of(path: Path) -> bytes:
    """Return the hexadecimal SHA-256 of a shard's bytes after those that hold it."""
    with path.open("rb") as file:
        file.seek(_SEAL_BYTES)
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _check_header(path: Path, file: h5py.File, *, kind: str) -> None:
    if file.attrs.get("format") != FORMAT or file.attrs.get("version") != VERSION:
        raise ValueError(f"{path} is an HDF5 file but not a {FORMAT} of version {VERSION}")
    if file.attrs.get("kind") != kind:
        raise ValueError(f"{path} is a '{file.attrs.get('kind')}' recording, expected '{kind}'")


def _check_fields(where: str, arrays: Mapping[str, np.ndarray], *, kind: str, partial: bool = False) -> None:
    if kind not in FIELDS:
        raise ValueError(f"no recordings of kind '{kind}'; there are: {', '.join(FIELDS)}")
    expected = FIELDS[kind]
    unknown = sorted(arrays.keys() - expected.keys())
    missing = [] if partial else sorted(expected.keys() - arrays.keys())
    if unknown or missing:
        raise ValueError(f"{where}: fields missing: {missing or 'none'}, unknown: {unknown or 'none'}")
    leading = next(iter(arrays.values())).shape[:2]
    for name, array in arrays.items():
        dtype, shape = expected[name]
        fits = len(array.shape) == 2 + len(shape) and all(
            want in (None, got) for want, got in zip(shape, array.shape[2:], strict=True)
        )
        if array.dtype != np.dtype(dtype) or not fits or array.shape[:2] != leading:
            wanted = f"{dtype} {(*leading, *shape)}"
            raise ValueError(f"{where}: field '{name}' is {array.dtype} {array.shape}, expected {wanted}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{where}: field '{name}' holds NaN or Inf")
