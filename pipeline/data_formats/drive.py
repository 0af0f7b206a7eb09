"""One drive at 10 Hz, whatever file it comes from or goes to."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from distill.recordings import OUTCOMES, read_shard, shard_paths
from embodiments.spaces import CONTROL_DT_S

Split = Literal["train", "val"]
VAL_PREFIX = "val_"
"""What the name of a held-out shard begins with."""


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Rows of a drive, one after the other, 0.1 s apart."""

    name: str
    embodiment: str
    rows: dict[str, np.ndarray]
    """Fields of ``distill.recordings.FIELDS["teacher"]`` that are known -> (T, ...)"""
    pose: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    """(T, 3) x, y [m], yaw [rad] in the odometry frame; empty where nobody knows it"""
    split: Split = "train"

    def __len__(self) -> int:
        """Return the number of rows T."""
        return len(self.rows["depth_mm"])

    def part(self, start: int, end: int, *, name: str) -> "Drive":
        """Return some of the rows."""
        rows = {key: values[start:end] for key, values in self.rows.items()}
        return Drive(name=name, embodiment=self.embodiment, rows=rows, pose=self.pose[start:end], split=self.split)


def sequences(folder: Path, *, own_camera_only: bool = False) -> Iterator[Drive]:
    """Yield every sequence of the teacher's recordings in a folder: those to train on first, then those held out.

    Args:
        own_camera_only: Leave out what other cameras saw of the same trajectories.

    Raises:
        FileNotFoundError: If there is no recording.
        ValueError: If one is damaged.
    """
    paths = sorted(shard_paths(folder), key=lambda path: path.name.startswith(VAL_PREFIX))
    for path in paths:
        shard = read_shard(path, kind="teacher")
        count = shard.arrays["first"].shape[1]
        views = int(shard.attributes.get("views", 1)) if own_camera_only else 1
        for column in range(count // views):
            rows = {name: values[:, column] for name, values in shard.arrays.items()}
            yield Drive(
                name=f"{path.stem}_{column:04d}",
                embodiment=str(shard.attributes["embodiment"]),
                rows=rows,
                pose=dead_reckoning(rows["velocity_b"], rows["first"]),
                split="val" if path.name.startswith(VAL_PREFIX) else "train",
            )


def sequence_count(folder: Path, *, own_camera_only: bool = False) -> int:
    """Return how many sequences a folder of the teacher's recordings holds; see ``sequences``."""
    count = 0
    for path in shard_paths(folder):
        shard = read_shard(path, kind="teacher", fields=("first",))
        views = int(shard.attributes.get("views", 1)) if own_camera_only else 1
        count += shard.arrays["first"].shape[1] // views
    return count


def pieces(drive: Drive, *, at_least: int = 2) -> list[Drive]:
    """Cut a sequence where an episode begins or has ended; put together again in this order they are the sequence.

    Args:
        at_least: Rows of a piece. What is shorter is joined to a neighbour:
            LeRobot cannot hold an episode of a single row beside others.
    """
    first, ended = drive.rows["first"], drive.rows["outcome"] != OUTCOMES.index("running")
    begins = first.copy()
    begins[1:] |= ended[:-1]
    cuts = [0]
    for row in np.flatnonzero(begins).tolist():
        if min(row - cuts[-1], len(drive) - row) >= at_least:
            cuts.append(row)
    return [
        drive.part(start, end, name=f"{drive.name}_{number}")
        for number, (start, end) in enumerate(itertools.pairwise([*cuts, len(drive)]))
    ]


def dead_reckoning(velocity_b: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return poses (T, 3) that measured velocities (T, 3) add up to; every episode begins at the origin."""
    pose = np.zeros((len(velocity_b), 3))
    for row in range(1, len(pose)):
        if first[row]:
            continue
        x, y, turn = velocity_b[row].astype(np.float64) * CONTROL_DT_S
        yaw = pose[row - 1, 2] + 0.5 * turn
        cos, sin = np.cos(yaw), np.sin(yaw)
        pose[row] = pose[row - 1] + [cos * x - sin * y, sin * x + cos * y, turn]
    return pose
