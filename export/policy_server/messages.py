"""Messages between an evaluation and a policy server; ``docs/policy_server.md`` explains them to whoever writes one.

JSON for what is small, the safetensors format for arrays: a length, a JSON header, then raw little-endian numbers.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embodiments.spaces import COMMAND_SIZE

PROTOCOL = 1
CONTRACT, RESET, ACT = "/contract", "/reset", "/act"
SESSION = "Session"
"""HTTP header that says whose state is meant: several processes may use one server at once"""
JSON_TYPE, ARRAYS_TYPE = "application/json", "application/octet-stream"

Output = Literal["command", "action"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a policy server says about its policy."""

    name: str
    """Of the policy, in tables and file names: at most 40 letters, digits, ``_``, ``.`` and ``-``"""
    output: Output
    """``command``: m/s and rad/s; ``action``: fractions of the robot's limits"""
    revision: str = ""
    """Which version of the policy it is, such as a hash of its weights"""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is not allowed.
        """
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise ValueError(f"name is {self.name!r}; it must be 1 to 40 letters, digits, '_', '.' or '-'")
        if self.output not in ("command", "action"):
            raise ValueError(f"output is {self.output!r}; it must be 'command' or 'action'")
        if not isinstance(self.revision, str):
            raise ValueError(f"revision is {self.revision!r}; it must be a text")

    def encode(self) -> bytes:
        """Return the body of the answer to ``GET /contract``."""
        return json.dumps({"protocol": PROTOCOL, **asdict(self)}).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Contract":
        """Read that body; further entries are ignored.

        Raises:
            ValueError: If it is no contract, or one of another version of the protocol.
        """
        found = _json_object(body)
        if found.get("protocol") != PROTOCOL:
            raise ValueError(f"protocol is {found.get('protocol')!r}; this version of crossbody speaks {PROTOCOL}")
        return cls(name=found.get("name", ""), output=found.get("output", ""), revision=found.get("revision", ""))


@dataclass(frozen=True, kw_only=True)
class Reset:
    """New episodes begin in some rows of the batch."""

    mask: np.ndarray
    """(B,) bool: where; all of them in the first message of a session"""
    embodiment: str
    """The robot's name; its physical quantities are in every observation"""
    seed: int
    """For policies that draw random numbers: the same seed must give the same answers"""

    def encode(self) -> bytes:
        """Return the body of ``POST /reset``."""
        return json.dumps(
            {"mask": self.mask.tolist(), "embodiment": self.embodiment, "seed": self.seed},
        ).encode()

    @classmethod
    def decode(cls, body: bytes) -> "Reset":
        """Read that body.

        Raises:
            ValueError: If it is no such message.
        """
        found = _json_object(body)
        mask, embodiment, seed = (found.get(name) for name in ("mask", "embodiment", "seed"))
        if not (isinstance(mask, list) and mask and all(isinstance(value, bool) for value in mask)):
            raise ValueError("mask must be a list of true and false, one per row of the batch")
        if not (isinstance(embodiment, str) and isinstance(seed, int)):
            raise ValueError("embodiment must be a text and seed an integer")
        return cls(mask=np.asarray(mask, dtype=bool), embodiment=embodiment, seed=seed)


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return float32 arrays as one message."""
    return save({name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()})


def decode_arrays(body: bytes, shapes: Mapping[str, tuple[int, ...]], *, batch: int) -> dict[str, np.ndarray]:
    """Read such a message.

    Args:
        body: The message.
        shapes: The arrays that it must hold, name -> shape without the batch axis; others are left out.
        batch: B, of every array.

    Raises:
        ValueError: If it is no such message, or an array is missing, misshapen or not of float32.
    """
    try:
        found = load(body)
    except SafetensorError as error:
        raise ValueError(f"the body is no safetensors message: {error}") from None
    for name, shape in shapes.items():
        if name not in found:
            raise ValueError(f"there is no array '{name}', only: {', '.join(found) or 'none'}")
        if found[name].dtype != np.float32 or found[name].shape != (batch, *shape):
            was, expected = f"{found[name].dtype} {found[name].shape}", f"float32 {(batch, *shape)}"
            raise ValueError(f"'{name}' is {was}, expected {expected}")
    return {name: found[name] for name in shapes}


def answer_shapes(output: Output) -> dict[str, tuple[int, ...]]:
    """Return the array that answers ``POST /act``: name -> shape without the batch axis."""
    return {output: (COMMAND_SIZE,)}


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"the body is no JSON object but {body[:40]!r}")
    return found
