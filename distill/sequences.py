"""Training windows cut from teacher recordings, reproducible from seed and step alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.recordings import depth_from_mm, read_shard
from embodiments.observation import Observation

_FIELDS = (
    "depth_mm",
    "semantic",
    "velocity_b",
    "previous_command",
    "route_xy_b_m",
    "goal_b",
    "plan_features",
    "embodiment",
    "first",
    "teacher_action",
    "labelled",
)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Sequences of equal length, (T, B, ...); ``recordings.FIELDS['teacher']`` says what each field is."""

    depth_m: Tensor
    """(T, B, 1, 40, 64)"""
    semantic: Tensor
    velocity_b: Tensor
    previous_command: Tensor
    route_xy_b_m: Tensor
    goal_b: Tensor
    plan_features: Tensor
    descriptor: Tensor
    first: Tensor
    teacher_action: Tensor
    labelled: Tensor

    @property
    def observation(self) -> Observation[Tensor]:
        """The observations, (T, B, ...)."""
        return Observation(
            depth_m=self.depth_m,
            velocity_b=self.velocity_b,
            previous_command=self.previous_command,
            route_xy_b_m=self.route_xy_b_m,
            goal_b=self.goal_b,
            descriptor=self.descriptor,
        )

    def chosen(self, which: Tensor) -> "Windows":
        """Return some of the sequences: a mask (B,) or their numbers."""
        return Windows(**{name: value[:, which] for name, value in vars(self).items()})

    def to(self, device: str) -> "Windows":
        """Return the same on another device."""
        return Windows(**{name: value.to(device) for name, value in vars(self).items()})


class SequencePool:
    """Recordings in memory, as many shards at a time as fit; the next group follows when one has been seen enough."""

    def __init__(self, paths: Sequence[Path], *, max_frames: int, seed: int, looks: float = 2.0) -> None:
        """Plan which shards are in memory when.

        Args:
            max_frames: Frames to hold in memory, 8 kB each.
            looks: How often a frame is drawn on average before the next group of shards replaces it.
        """
        order = np.random.default_rng([seed, 0]).permutation(len(paths))
        self._seed, self._looks = seed, looks
        self._groups: list[list[Path]] = [[]]
        self._frames = [0]
        self.frames = 0
        for path in (paths[index] for index in order):
            first = read_shard(path, kind="teacher", fields=("first",)).arrays["first"]
            if self._frames[-1] and self._frames[-1] + first.size > max_frames:
                self._groups.append([])
                self._frames.append(0)
            self._groups[-1].append(path)
            self._frames[-1] += first.size
            self.frames += first.size
        self._loaded = -1
        self._shards: list[dict[str, np.ndarray]] = []

    def windows(self, step: int, *, batch: int, length: int) -> Windows:
        """Return ``batch`` windows of ``length`` frames; the same step always gives the same ones.

        Raises:
            ValueError: If the recordings are shorter.
        """
        self._load(self._group(step, frames=batch * length))
        rng = np.random.default_rng([self._seed, 1, step])
        sequences = [(shard, column) for shard in self._shards for column in range(shard["first"].shape[1])]
        chosen = [sequences[index] for index in rng.integers(len(sequences), size=batch)]
        return _stack([_cut(shard, column, rng, length=length) for shard, column in chosen])

    def _group(self, step: int, *, frames: int) -> int:
        """Return which group serves this step: each stays until its frames were drawn ``looks`` times."""
        stays = [max(1, int(self._looks * size / frames)) for size in self._frames]
        place = step % sum(stays)
        return int(np.searchsorted(np.cumsum(stays), place, side="right"))

    def _load(self, group: int) -> None:
        if group == self._loaded:
            return
        self._shards = []
        self._shards = [read_shard(path, kind="teacher", fields=_FIELDS).arrays for path in self._groups[group]]
        self._loaded = group


def _cut(shard: dict[str, np.ndarray], column: int, rng: np.random.Generator, *, length: int) -> dict[str, np.ndarray]:
    available = shard["first"].shape[0]
    if available < length:
        raise ValueError(f"a window of {length} frames does not fit into recordings of {available}; shorten the window")
    start = int(rng.integers(available - length + 1))
    return {name: array[start : start + length, column] for name, array in shard.items()}


def _stack(windows: list[dict[str, np.ndarray]]) -> Windows:
    arrays = {name: np.stack([window[name] for window in windows], axis=1) for name in windows[0]}  # (T, B, ...)
    depth_m = depth_from_mm(arrays.pop("depth_mm"))[:, :, None]
    arrays["descriptor"] = arrays.pop("embodiment")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Windows(depth_m=torch.from_numpy(depth_m), **tensors)
