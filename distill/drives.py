"""Recorded drives in memory: what was seen, how long until the episode ended badly, and how well a network knew it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from distill.recordings import OUTCOMES, read_shard
from distill.surroundings import from_bytes
from embodiments.spaces import CONTROL_DT_S
from world_model.collision_risk import DECIDES, HORIZONS_S, NO_CHANGE, SLOWS_IN, CollisionRisk

BAD = ("collision", "fall")
"""Ends that the network is to expect"""
ALARMS = (0.05, 0.1, 0.2)
"""Fractions of the control steps with an alarm for which the figures say what is caught"""
_BATCH = 1024
_LEAST_WIDTH = 0.1


@dataclass(frozen=True, kw_only=True)
class Drives:
    """N control steps of which it is known what followed."""

    crop: np.ndarray
    """(N, CHANNELS, SIDE, SIDE) uint8, 255 is 1"""
    vector: np.ndarray
    """(N, VECTOR_SIZE)"""
    change: np.ndarray
    """(N, CHANGE_SIZE)"""
    ended_badly: np.ndarray
    """(N, len(HORIZONS_S)) bool: within each of these times"""
    robot: np.ndarray
    """(N,) index of the robot"""

    def __len__(self) -> int:
        """Return the number of control steps."""
        return len(self.crop)

    def batch(self, rows: np.ndarray, *, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return crop, vector, change and what followed, (n, len(HORIZONS_S)) of 0 and 1."""
        parts = (self.vector[rows], self.change[rows], self.ended_badly[rows].astype(np.float32))
        vector, change, ended = (torch.from_numpy(part).to(device) for part in parts)
        return from_bytes(self.crop[rows]).to(device), vector, change, ended


def load(paths: Sequence[Path], *, robots: Sequence[str]) -> Drives:
    """Return the control steps of all shards of which it is known what followed.

    Raises:
        ValueError: If there is none, or a shard is damaged.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in Drives.__dataclass_fields__}
    for path in paths:
        shard = read_shard(path, kind="drives")
        known, ended = what_followed(shard.arrays["outcome"])
        for name in ("crop", "vector", "change"):
            parts[name].append(shard.arrays[name][known])
        parts["ended_badly"].append(ended[known])
        parts["robot"].append(np.full(int(known.sum()), robots.index(shard.attributes["embodiment"])))
    if not sum(len(rows) for rows in parts["robot"]):
        raise ValueError("no recorded control step is known to end well or badly; record more: record_drives --shards")
    return Drives(**{name: np.concatenate(rows) for name, rows in parts.items()})


def what_followed(outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where it is known what followed (T, B), and whether the episode ended badly (T, B, len(HORIZONS_S)).

    Args:
        outcome: (T, B) index into ``OUTCOMES`` of the step that each row's command led to; 0 while the episode runs.
    """
    steps = np.arange(len(outcome))[:, None]
    ends = outcome != 0
    # The row after an end holds the last observation of that episode, whose action is ignored.
    is_over = np.concatenate([np.zeros_like(ends[:1]), ends[:-1]])
    last = len(outcome) + 1000 * np.ones_like(steps)
    end_step = np.minimum.accumulate(np.where(ends, steps, last)[::-1])[::-1]  # (T, B) of the next end
    has_end = end_step < len(outcome)
    code = np.take_along_axis(outcome, np.minimum(end_step, len(outcome) - 1), axis=0)
    is_bad = has_end & np.isin(code, [OUTCOMES.index(name) for name in BAD])
    left_s = (end_step - steps + 1) * CONTROL_DT_S
    horizons_s = np.asarray(HORIZONS_S)
    seen_s = (len(outcome) - steps) * CONTROL_DT_S
    known = ~is_over & (has_end | (seen_s >= horizons_s.max()))
    return known, is_bad[..., None] & (left_s[..., None] <= horizons_s + 1e-6)


def calibrate(network: CollisionRisk, drives: Drives, *, device: str) -> None:
    """Set the logits between which the network slows a body down, from its answers where the plan was not changed.

    Raises:
        ValueError: If it was changed everywhere.
    """
    unchanged = (drives.change == np.asarray(NO_CHANGE)).all(axis=1)
    logits = _answers(network, drives, device=device)[unchanged, DECIDES]
    if not len(logits):
        raise ValueError("no held-out control step is driven as planned; record with a smaller --changed-envs")
    least, most = np.quantile(logits, [1.0 - alarm for alarm in SLOWS_IN])
    network.slows_between.copy_(torch.tensor([least, max(most, least + _LEAST_WIDTH)]))


@torch.no_grad()
def _answers(network: CollisionRisk, drives: Drives, *, device: str) -> np.ndarray:
    network.eval()
    found = []
    for low in range(0, len(drives), _BATCH):
        crop, vector, change, _ = drives.batch(np.arange(low, min(low + _BATCH, len(drives))), device=device)
        found.append(network(crop, vector, change).cpu().numpy())
    return np.concatenate(found)


def figures(network: CollisionRisk, drives: Drives, *, robots: Sequence[str], device: str) -> dict[str, float]:
    """Return how well the network tells the steps before a bad end from the others, over all robots and for each.

    ``auc`` is the area under the ROC curve by horizon; ``caught`` the fraction of the steps before a bad end within the
    second horizon that an alarm in some fraction of all steps contains. Null figures, where nothing ended badly, are
    left out.
    """
    logits = _answers(network, drives, device=device)
    found: dict[str, float] = {}
    parts = {"": np.ones(len(drives), bool)}
    parts |= {f"_{robot}": drives.robot == index for index, robot in enumerate(robots)}
    for name, rows in parts.items():
        for k, horizon_s in enumerate(HORIZONS_S):
            said, ended = logits[rows, k], drives.ended_badly[rows, k]
            if ended.any() and not ended.all():
                found[f"auc_{horizon_s}s{name}"] = area_under_curve(said, ended)
                if k == DECIDES:
                    found[f"rate_{horizon_s}s{name}"] = float(ended.mean())
                    alarms = {alarm: said >= np.quantile(said, 1.0 - alarm) for alarm in ALARMS}
                    found |= {f"caught_{a:.2f}{name}": float(raised[ended].mean()) for a, raised in alarms.items()}
    return found


def area_under_curve(said: np.ndarray, ended: np.ndarray) -> float:
    """Return the probability that one of the steps (N,) with an end has a higher answer (N,) than one without."""
    ranks, count = rankdata(said), int(ended.sum())
    return float((ranks[ended].sum() - count * (count + 1) / 2) / (count * (len(said) - count)))
