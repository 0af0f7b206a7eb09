"""Small recordings as the teacher's are: sequences of several episodes, one of which is a single row long."""

from pathlib import Path

import numpy as np

from distill.recordings import FIELDS, OUTCOMES, write_shard
from embodiments import registry
from embodiments.limits import action_to_command
from embodiments.spaces import DESCRIPTOR_SIZE

STEPS = 24
COLUMNS = {"train_000": 3, "train_001": 3, "val_000": 2}
ROBOT = "tiago"


def columns(steps: int, count: int, *, seed: int) -> dict[str, np.ndarray]:
    """Return every field of a teacher's recording, (T, B, ...), in the ranges that a drive has."""
    rng = np.random.default_rng(seed)
    descriptor = np.broadcast_to(registry.get(ROBOT).descriptor(), (steps, count, DESCRIPTOR_SIZE)).astype(np.float32)
    action = rng.uniform(-0.8, 0.8, (steps, count, 3)).astype(np.float32) * np.asarray([1, 0, 1], np.float32)
    first, outcome = np.zeros((steps, count), bool), np.zeros((steps, count), np.uint8)
    for column, row in enumerate(rng.integers(3, steps - 3, count)):
        outcome[row, column], first[row + 1, column] = OUTCOMES.index("success"), True
    first[0, 0] = True
    outcome[0, 0], first[1, 0] = OUTCOMES.index("collision"), True  # an episode of one row
    outcome[-1, -1] = OUTCOMES.index("timeout")
    command = action_to_command(action, descriptor).astype(np.float32)
    command[outcome > 0] = 0.0
    previous = np.concatenate([0.5 * command[:1], command[:-1]])
    previous[first] = 0.0
    near = rng.uniform(500, 8000, (steps, count, 1, 1)) + rng.uniform(0, 1500, (steps, count, 40, 64))
    depth = np.where(rng.random(near.shape) < 0.05, 0, near).astype(np.uint16)
    angle = rng.uniform(-np.pi, np.pi, (steps, count))
    xy = rng.uniform(-6, 6, (steps, count, 2))
    made = {
        "depth_mm": depth,
        "semantic": rng.integers(0, 6, depth.shape).astype(np.uint8),
        "velocity_b": (0.9 * previous + rng.normal(0.0, 0.01, previous.shape)).astype(np.float32),
        "previous_command": previous,
        "route_xy_b_m": rng.uniform(-8, 8, (steps, count, 10, 2)).astype(np.float32),
        "goal_b": np.concatenate([xy, np.cos(angle)[..., None], np.sin(angle)[..., None]], axis=-1).astype(np.float32),
        "embodiment": descriptor.copy(),
        "first": first,
        "outcome": outcome,
        "teacher_action": action,
        "labelled": outcome == 0,
        "command": command,
    }
    size = FIELDS["teacher"]["plan_features"][1]
    made["plan_features"] = rng.normal(size=(steps, count, *size)).astype(np.float32)
    return made


def write(folder: Path) -> Path:
    """Write three shards and return their folder."""
    for number, (name, count) in enumerate(COLUMNS.items()):
        attributes = {"embodiment": ROBOT, "views": 1, "seed": 0, "ends": []}
        path = folder / f"{name}.h5"
        write_shard(path, columns(STEPS, count, seed=number), kind="teacher", attributes=attributes)
    return folder
