"""Messages at times of their own, put onto control steps of 0.1 s."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from embodiments.spaces import CONTROL_DT_S, CONTROL_HZ

SLOWEST_HZ = 9.0
"""A topic of 10 Hz that is a little slow still serves."""
NEAR_S = 0.07
"""An image or odometry further from its control step is missing; at 15 Hz the nearest is 0.033 s away at most."""
COMMAND_AFTER_S = 0.5 * CONTROL_DT_S
"""The command that was executed after an observation is the one in force in the middle of the control step."""
COMMAND_STALE_S = 0.5
"""Without a new command for this long a base stands."""
_FOLLOW = 0.1
"""How far the clock of the steps follows that of the images: they need not have the same rate to the last digit."""


class Ticks(NamedTuple):
    """Control steps without a gap, (T,) each."""

    time_s: np.ndarray
    depth: list[int]
    """Which image"""
    odometry: list[int]


def segments(depth_s: Sequence[float], odometry_s: Sequence[float], *, split_at_gaps: bool, where: str) -> list[Ticks]:
    """Return control steps with an image and odometry each.

    Args:
        depth_s: Times of the images, ascending; so ``odometry_s``.
        split_at_gaps: Begin a new segment where something is missing.
        where: What is read, for the error.

    Raises:
        ValueError: If a topic is too slow, or something is missing and the drive must not be split.
    """
    depth, odometry = np.asarray(depth_s), np.asarray(odometry_s)
    for name, times in (("depth images come", depth), ("odometry comes", odometry)):
        _check_rate(times, name, where=where)
    found, start = [], 0
    while start < len(depth):
        images = _run(depth, start)
        near = [_nearest(odometry, depth[index]) for index in images]
        lost = [row for row, index in enumerate(near) if abs(odometry[index] - depth[images[row]]) > NEAR_S]
        kept = images[: lost[0]] if lost else images
        following = images[lost[0]] + 1 if lost else images[-1] + 1
        if following < len(depth) and not split_at_gaps:
            what = "odometry" if lost else "depth image"
            at_s = float(depth[kept[-1]] - depth[0]) if kept else 0.0
            raise ValueError(f"{where}: no {what} follows {at_s:.1f} s after the first; give --split-at-gaps")
        if kept:
            found.append(Ticks(depth[kept], kept, near[: len(kept)]))
        start = following
    return found


def commands_at(time_s: np.ndarray, sent_s: Sequence[float], commands: np.ndarray, *, after_s: float) -> np.ndarray:
    """Return the commands (T, 3) in force ``after_s`` after each of ``time_s`` (T,); zero where none is fresh.

    Args:
        sent_s: When each was sent, ascending.
        commands: (N, 3)
    """
    at_s = time_s + after_s
    index = np.searchsorted(np.asarray(sent_s), at_s, side="right") - 1
    age_s = at_s - np.asarray(sent_s)[np.maximum(index, 0)]
    fresh = (index >= 0) & (age_s <= COMMAND_STALE_S)
    found: np.ndarray = np.where(fresh[:, None], commands[np.maximum(index, 0)], 0.0)
    return found


def _run(times_s: np.ndarray, start: int) -> list[int]:
    """Return the images of the control steps from one image on, until one is missing."""
    chosen, step_s = [start], times_s[start]
    while True:
        step_s += CONTROL_DT_S
        index = max(_nearest(times_s, step_s), chosen[-1] + 1)
        if index >= len(times_s) or abs(times_s[index] - step_s) > NEAR_S:
            return chosen
        chosen.append(index)
        step_s += _FOLLOW * (times_s[index] - step_s)


def _nearest(times_s: np.ndarray, at_s: float) -> int:
    after = int(np.searchsorted(times_s, at_s))
    if after == 0:
        return 0
    if after == len(times_s):
        return after - 1
    return after if times_s[after] - at_s < at_s - times_s[after - 1] else after - 1


def _check_rate(times_s: np.ndarray, name: str, *, where: str) -> None:
    if len(times_s) < 2:
        raise ValueError(f"{where}: {name} once only; record a whole drive")
    rate_hz = 1.0 / max(float(np.median(np.diff(times_s))), 1e-6)
    if rate_hz < SLOWEST_HZ:
        raise ValueError(
            f"{where}: {name} at {rate_hz:.1f} Hz, and {CONTROL_HZ:g} Hz or more are needed; set that rate"
        )
