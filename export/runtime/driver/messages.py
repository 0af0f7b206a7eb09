"""Messages between the driver process and the policy process, as bytes that cannot harm the reader.

The driver does not trust the policy process: an order is a short JSON text, checked field by field.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from embodiments.spaces import DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX

Mode = Literal["drive", "stand", "quit"]
_MODES = ("drive", "stand", "quit")
_ORDER_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Report:
    """State of the robot; the driver sends it ten times a second."""

    sequence: int
    time_s: float
    """Monotonic clock of the driver"""
    gate: str
    """Name of the gate that keeps the robot standing, or empty"""
    latched: str
    """Why it will not drive again until the program is started anew, or empty"""
    zone: str
    """Zone in which the lidar slows or stops the robot, see ``StopZone``; or empty"""
    jumped: bool
    """Whether the odometry jumped"""
    pose: tuple[float, float, float]
    """x, y [m], yaw [rad] in the odometry frame"""
    velocity_b: tuple[float, float, float]
    command: tuple[float, float, float]
    """What was sent to the motors last"""
    ages_s: dict[str, float]
    free_m: dict[str, float]
    """How far the body may move ahead, behind, to the left and to the right, by the lidar"""
    depth_m: np.ndarray | None
    """(40, 64); None while a gate is closed"""


@dataclass(frozen=True, kw_only=True)
class Order:
    """A command of the policy process."""

    sequence: int
    basis: int
    """Sequence number of the report that it answers: an order from an old report is dropped"""
    command: tuple[float, float, float]
    """vx, vy [m/s], yaw rate [rad/s], body frame"""
    mode: Mode = "drive"


def triple(values: np.ndarray | None) -> tuple[float, float, float]:
    """Return three values as a message holds them: 0 where there is none or it is not finite."""
    whole = np.zeros(3) if values is None or values.shape != (3,) else values
    finite = np.nan_to_num(whole, nan=0.0, posinf=0.0, neginf=0.0)
    return float(finite[0]), float(finite[1]), float(finite[2])


def pack_report(report: Report) -> bytes:
    """Return a report as a line of JSON and the raw image."""
    fields = {name: value for name, value in vars(report).items() if name != "depth_m"}
    image = b"" if report.depth_m is None else np.ascontiguousarray(report.depth_m, dtype="<f4").tobytes()
    return json.dumps(fields).encode() + b"\n" + image


def unpack_report(data: bytes) -> Report:
    """Return a report.

    Raises:
        ValueError: If it is not one.
    """
    text, _, image = data.partition(b"\n")
    fields: dict[str, Any] = json.loads(text)
    depth = None
    if image:
        depth = np.frombuffer(image, dtype="<f4").reshape(DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX)
    for name in ("pose", "velocity_b", "command"):
        fields[name] = tuple(fields[name])
    return Report(**fields, depth_m=depth)


def pack_order(order: Order) -> bytes:
    """Return an order as JSON."""
    return json.dumps(vars(order)).encode()


def unpack_order(data: bytes) -> Order:
    """Return an order.

    Raises:
        ValueError: If it is malformed or its command is not finite: such a sender must not drive.
    """
    if len(data) > _ORDER_BYTES:
        raise ValueError("an order of more than a kilobyte")
    try:
        fields = json.loads(data)
        forward, lateral, turn = (float(value) for value in fields["command"])
        order = Order(
            sequence=int(fields["sequence"]),
            basis=int(fields["basis"]),
            command=(forward, lateral, turn),
            mode=fields["mode"],
        )
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"malformed order ({type(error).__name__})") from None
    if order.mode not in _MODES:
        raise ValueError("malformed order (mode)")
    if not np.isfinite(order.command).all():
        raise ValueError("an order that is not finite")
    return order
