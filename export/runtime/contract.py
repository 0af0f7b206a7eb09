"""The contract of an exported policy, and the checks before its content is used. Needs no ONNX library.

The file carries its own SHA-256 in the metadata entry ``nav.sha256``, taken with those 64 characters zeroed. It is
checked on the raw bytes, before a parser sees them.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from embodiments import spaces
from embodiments.embodiment import Embodiment

SCHEMA_VERSION = 2
"""2: the graph takes a goal at any distance; files of version 1 needed a runtime that clipped it to the costmap."""
CONTRACT_KEY = "nav.contract"
HASH_KEY = "nav.sha256"
_HASH_SIZE = 64
_ZEROS = b"0" * _HASH_SIZE
# Protobuf of a metadata entry: key, then field 2 (0x12) of 64 (0x40) bytes, the value.
_HASH_MARK = HASH_KEY.encode() + b"\x12\x40"

# name -> unit, frame, range, meaning; shapes come from spaces.OBSERVATION_SHAPES
_COMMAND_UNIT = "m/s, m/s, rad/s"
_INPUTS: dict[str, tuple[str, str, str, str]] = {
    "depth_m": ("m", "camera", "0 (invalid) to 10", "planar depth along the optical axis, upright canonical pinhole"),
    "velocity_b": (_COMMAND_UNIT, "body", "finite", "measured vx, vy, yaw rate"),
    "previous_command": (_COMMAND_UNIT, "body", "admissible", "command executed last; zero after a reset"),
    "route_xy_b_m": ("m", "body", "finite", "next route points 1 m apart, padded with the goal"),
    "goal_b": ("m, m, 1, 1", "body", "finite", "goal x, y, cosine and sine of its relative heading; at any distance"),
    "embodiment": ("SI", "body", "finite", "descriptor of the robot, see descriptor.fields"),
}


def interface(state_size: int, *, value: bool) -> dict[str, Any]:
    """Return the contract's part that follows from ``embodiments.spaces`` alone, the same for every policy."""
    inputs = [
        _tensor(name, spaces.OBSERVATION_SHAPES[name], unit=unit, frame=frame, limits=limits, meaning=meaning)
        for name, (unit, frame, limits, meaning) in _INPUTS.items()
    ]
    state = {"unit": "1", "frame": "none", "limits": "finite", "meaning": "recurrent state; zeros after a reset"}
    meaning = "command to execute: scaled to the robot's limits and projected into its admissible set"
    outputs = [
        _tensor("command", (3,), unit=_COMMAND_UNIT, frame="body", limits="admissible", meaning=meaning),
        _tensor("state_output", (state_size,), **state),
    ]
    if value:
        meaning = "expected discounted return"
        outputs.append(_tensor("value", (1,), unit="1", frame="none", limits="finite", meaning=meaning))
    return {
        "schema_version": SCHEMA_VERSION,
        "inputs": [*inputs, _tensor("state_input", (state_size,), **state)],
        "outputs": outputs,
        "state_pairs": [["state_input", "state_output"]],
        "control_hz": spaces.CONTROL_HZ,
        "axes": "x forward, y left, z up; the body frame is yaw only",
        "depth": {
            "convention": "planar",
            "orientation": "upright",
            "height_px": spaces.DEPTH_HEIGHT_PX,
            "width_px": spaces.DEPTH_WIDTH_PX,
            "focal_px": round(spaces.DEPTH_FOCAL_PX, 6),
            "range_m": spaces.DEPTH_RANGE_M,
            "invalid": 0.0,
        },
        "route": {"points": spaces.ROUTE_POINTS, "spacing_m": spaces.ROUTE_SPACING_M},
        "stand": {"speed_mps": spaces.STAND_SPEED_MPS, "yaw_rate_radps": spaces.STAND_YAW_RATE_RADPS},
        "descriptor": {
            "fields": list(spaces.DESCRIPTOR_FIELDS),
            "slabs_m": [list(layer) for layer in spaces.HEIGHT_LAYERS_M],  # the name in every shipped file
        },
    }


def seal(model: bytes) -> bytes:
    """Return a serialised model with its SHA-256 filled in; its ``nav.sha256`` must hold 64 zeros."""
    start = _hash_start(model, "the model to be sealed")
    digest = hashlib.sha256(_zeroed(model, start)).hexdigest().encode()
    return model[:start] + digest + model[start + _HASH_SIZE :]


def verify_hash(model: bytes, *, where: str) -> str:
    """Return the SHA-256 that a file carries, after checking it.

    Raises:
        ValueError: If the file is truncated, damaged or not one of ours.
    """
    start = _hash_start(model, where)
    found = model[start : start + _HASH_SIZE].decode("ascii", errors="replace")
    if hashlib.sha256(_zeroed(model, start)).hexdigest() != found:
        raise ValueError(f"{where} is damaged or was changed: its content does not match {HASH_KEY}; copy it again")
    return found


def parse(metadata: Mapping[str, str], *, where: str) -> dict[str, Any]:
    """Return the contract of a model, after checking that this version of the project understands it.

    Raises:
        ValueError: If it is missing or describes other inputs, units, conventions or rates.
    """
    if CONTRACT_KEY not in metadata:
        raise ValueError(f"{where} has no {CONTRACT_KEY}; it was not exported by this project")
    try:
        contract: dict[str, Any] = json.loads(metadata[CONTRACT_KEY])
    except (ValueError, RecursionError):
        raise ValueError(f"{where} has a {CONTRACT_KEY} that is not JSON; export it again") from None
    if not isinstance(contract, dict):
        raise ValueError(f"{where} has a {CONTRACT_KEY} that is no JSON object; export it again")
    if contract.get("schema_version") != SCHEMA_VERSION:
        found = contract.get("schema_version")
        raise ValueError(
            f"{where} has contract version {found}, expected {SCHEMA_VERSION}; python -m pipeline reexport"
        )
    expected = _expected(contract, where=where)
    for key, value in expected.items():
        if contract.get(key) != value:
            raise ValueError(f"{where} disagrees with this version about '{key}'; export it again")
    return contract


def check_robot(contract: Mapping[str, Any], robot: Embodiment, *, where: str, allow_unseen: bool) -> None:
    """Refuse a robot for which the model was not made.

    Args:
        allow_unseen: Accept a robot that was not trained on; one that was must still be the same.

    Raises:
        ValueError: If the robot was not trained on, or its limits, footprint or camera have changed since.
    """
    trained: Mapping[str, Sequence[float]] = contract["embodiments"]
    if robot.name not in trained:
        if allow_unseen:
            return
        raise ValueError(f"{where} was not trained for '{robot.name}', only for: {', '.join(sorted(trained))}")
    then, now = np.asarray(trained[robot.name], dtype=np.float64), robot.descriptor().astype(np.float64)
    if then.shape != now.shape:
        raise ValueError(f"{where} describes '{robot.name}' by {then.size} numbers, expected {now.size}")
    wrong = np.flatnonzero(~(np.abs(then - now) <= 1e-4))  # NaN is wrong, too
    if wrong.size:
        first = int(wrong[0])
        name = spaces.DESCRIPTOR_FIELDS[first]
        raise ValueError(
            f"{where} was made for a '{robot.name}' with {name} = {then[first]:g}, this one has {now[first]:g}"
            f" ({wrong.size} of {now.size} quantities differ); train and export again"
        )


def _expected(contract: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return what ``interface`` says of a policy with this contract's state and outputs; it must hold the rest, too."""
    try:
        names = [output["name"] for output in contract["outputs"]]
        state_size, agent, trained = contract["inputs"][-1]["shape"][1], contract["agent"], contract["embodiments"]
        numbers = [value for robot in trained.values() for value in robot]
    except (KeyError, IndexError, TypeError, AttributeError):
        numbers, names, state_size, agent = [None], [], 0, ""
    if not (_are(int, [state_size]) and _are(int | float, numbers) and _are(str, [agent])):
        raise ValueError(f"{where} has an incomplete contract; export it again")
    return interface(state_size, value="value" in names)


def _are(kind: Any, values: Iterable[object]) -> bool:
    return all(isinstance(value, kind) for value in values)


def _tensor(name: str, shape: tuple[int, ...], *, unit: str, frame: str, limits: str, meaning: str) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": "float32",
        "shape": ["batch", *shape],
        "unit": unit,
        "frame": frame,
        "range": limits,
        "meaning": meaning,
    }


def _hash_start(model: bytes, where: str) -> int:
    found = model.find(_HASH_MARK)
    if found < 0 or model.find(_HASH_MARK, found + 1) >= 0 or len(model) < found + len(_HASH_MARK) + _HASH_SIZE:
        raise ValueError(f"{where} is truncated or was not exported by this project: no {HASH_KEY} in it")
    return found + len(_HASH_MARK)


def _zeroed(model: bytes, start: int) -> bytes:
    return model[:start] + _ZEROS + model[start + _HASH_SIZE :]
