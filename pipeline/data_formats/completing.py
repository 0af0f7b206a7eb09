"""What a recording needs and a drive from elsewhere does not say: goal, route, labels, descriptor.

In hindsight the goal of an episode is where the robot was at its end, and its route the path that it took there. So a
drive by hand becomes a demonstration of driving to that goal.
"""

import itertools

import numpy as np

from distill.recordings import OUTCOMES
from embodiments import registry
from embodiments.limits import command_to_action
from embodiments.spaces import COMMAND_SIZE, CONTROL_HZ, DESCRIPTOR_SIZE
from export.runtime.route import Route
from pipeline.data_formats.drive import Drive, dead_reckoning

NO_CLASS = 255
"""Semantic class of what nobody has classified; the losses leave it out."""
_SHORTEST_PATH_M = 0.2
"""Below it the route is straight: the robot turned on the spot, or stood."""


def episodes_of(drive: Drive, *, episode_s: float) -> list[Drive]:
    """Cut a drive without episodes of its own into some of equal length, about ``episode_s`` each."""
    if "first" in drive.rows:
        return [drive]
    count = max(1, round(len(drive) / (episode_s * CONTROL_HZ)))
    borders = np.linspace(0, len(drive), count + 1).round().astype(int).tolist()
    spans = itertools.pairwise(borders)
    return [drive.part(a, b, name=f"{drive.name}_{k}") for k, (a, b) in enumerate(spans) if b - a >= 2]


def completed(drive: Drive) -> Drive:
    """Return an episode with every field but ``plan_features``; fields that are there stay as they are."""
    steps, there = len(drive), drive.rows
    last = np.arange(steps) == steps - 1
    first = there.get("first", np.arange(steps) == 0)
    pose = drive.pose if len(drive.pose) else dead_reckoning(there["velocity_b"], first)
    descriptor = registry.get(drive.embodiment).descriptor().astype(np.float32)
    described = there.get("embodiment", np.broadcast_to(descriptor, (steps, DESCRIPTOR_SIZE)).copy())
    before = np.concatenate([np.zeros((1, COMMAND_SIZE), np.float32), there["command"][:-1]])
    made = {
        "semantic": np.full(there["depth_mm"].shape, NO_CLASS, dtype=np.uint8),
        "previous_command": np.where(first[:, None], np.float32(0.0), before),
        **hindsight(pose),
        "embodiment": described,
        "first": first,
        "outcome": np.where(last, OUTCOMES.index("success"), 0).astype(np.uint8),
        "teacher_action": command_to_action(there["command"], described).astype(np.float32),
        "labelled": ~last,
    }
    if ("route_xy_b_m" in there) != ("goal_b" in there):  # of two different ways
        there = {name: values for name, values in there.items() if name not in ("route_xy_b_m", "goal_b")}
    return Drive(name=drive.name, embodiment=drive.embodiment, rows=made | there, pose=pose, split=drive.split)


def hindsight(pose: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``route_xy_b_m`` (T, 10, 2) and ``goal_b`` (T, 4) to where a path (T, 3) ends, along it."""
    step_m = np.hypot(*np.diff(pose[:, :2], axis=0).T)
    moved = np.concatenate([[True], step_m > 1e-6])
    path_xy_m = pose[moved, :2] if float(step_m.sum()) > _SHORTEST_PATH_M else None
    route = Route(pose[-1], path_xy_m=path_xy_m)
    ahead = np.stack([route.ahead_b(one) for one in pose])
    goal = np.stack([route.goal_b(one) for one in pose])
    return {"route_xy_b_m": ahead.astype(np.float32), "goal_b": goal.astype(np.float32)}
