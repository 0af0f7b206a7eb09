"""Recorded surroundings in memory, and how well a network anticipates them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_model.anticipation import (
    FAR_M,
    HORIZONS_S,
    SIDE,
    STILL_M,
    Anticipation,
    Surroundings,
    cells_b,
    surroundings,
)

_BATCH = 256
NEAR_M = (2.0, 4.0)
"""Distances within which figures are taken"""
SOMEBODY = 0.4
"""Probability from which on figures say that somebody is there; precision and recall are about equal there"""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """N recorded frames, as in ``distill.recordings``."""

    square: np.ndarray
    """(N, INPUTS, SIDE, SIDE) uint8, 255 is 1"""
    distance: np.ndarray
    """(N, SIDE, SIDE) uint8, 255 is ``FAR_M``"""
    moving: np.ndarray
    """(N, len(HORIZONS_S), SIDE^2 / 8) uint8, packed bits"""

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.square)

    def batch(self, rows: np.ndarray, *, device: str) -> tuple[Tensor, Surroundings]:
        """Return what the network sees, (n, INPUTS, SIDE, SIDE), and what was there."""
        moving = np.unpackbits(self.moving[rows], axis=-1).reshape(len(rows), len(HORIZONS_S), SIDE, SIDE)
        distance_m = from_bytes(self.distance[rows]) * FAR_M
        truth = [distance_m, (distance_m < STILL_M).float(), torch.from_numpy(moving).float()]
        return from_bytes(self.square[rows]).to(device), Surroundings(*(value.to(device) for value in truth))


def as_bytes(values: Tensor) -> np.ndarray:
    """Return values in [0, 1] as uint8; what lies outside is clipped."""
    return (values.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).cpu().numpy()


def from_bytes(values: np.ndarray) -> Tensor:
    """Return uint8 as values in [0, 1]."""
    return torch.from_numpy(values).float() / 255.0


@torch.no_grad()
def figures(network: Anticipation, frames: Frames, rows: np.ndarray, *, device: str) -> dict[str, float]:
    """Return precision and recall of still and moving things, by region around the body.

    ``still`` is the network's at probability 0.5, ``moving`` at ``SOMEBODY``; ``measured`` is the measured map's: its
    evidence above one half, people included. ``visible`` counts only cells within one cell of an obstacle point of the
    present image.
    ``distance_error_m`` is the mean error of the distance to still things, up to ``FAR_M``. The regions reach
    ``NEAR_M`` far; ``ahead`` is within 45 degrees of straight ahead.
    """
    regions = _regions(device)
    counts: dict[str, np.ndarray] = {}
    errors: dict[str, list[float]] = {}
    for start in range(0, len(rows), _BATCH):
        square, truth = frames.batch(rows[start : start + _BATCH], device=device)
        answer = surroundings(network(square))
        pairs = _pairs(square, answer, truth)
        for region, cells in regions.items():
            for name, (said, true) in pairs.items():
                both = torch.stack([(said & true)[:, cells].sum(), said[:, cells].sum(), true[:, cells].sum()])
                key = f"{name}_{region}"
                counts[key] = counts.get(key, 0) + both.cpu().numpy()
            error = (answer.distance_m - truth.distance_m).abs()[:, cells].mean(dim=1)
            errors.setdefault(f"distance_error_m_{region}", []).extend(error.tolist())
    found = {name: float(np.mean(values)) for name, values in errors.items()}
    for key, (both, said, true) in counts.items():
        found[f"{key}_precision"] = float(both / said) if said else 0.0
        found[f"{key}_recall"] = float(both / true) if true else 0.0
    return found


def _regions(device: str) -> dict[str, Tensor]:
    """Return the cells of each region by name, (SIDE, SIDE) bool."""
    ahead_m, left_m = cells_b(torch.zeros(1, device=device)).view(SIDE, SIDE, 2).unbind(dim=-1)
    distance_m, is_ahead = torch.hypot(ahead_m, left_m), ahead_m > left_m.abs()
    around = {f"{near_m:.0f}m": distance_m < near_m for near_m in NEAR_M}
    return around | {f"{name}_ahead": cells & is_ahead for name, cells in around.items()}


def _pairs(square: Tensor, answer: Surroundings, truth: Surroundings) -> dict[str, tuple[Tensor, Tensor]]:
    """Return by name what was said to be there and what was there, each (n, SIDE, SIDE) bool."""
    still, moving = truth.still > 0.5, truth.moving > 0.5
    visible = torch.nn.functional.max_pool2d(square[:, 2:3], 3, stride=1, padding=1)[:, 0] > 0.05
    somebody = answer.moving > SOMEBODY
    return {
        "still": (answer.still > 0.5, still),
        "still_by_distance": (answer.distance_m < STILL_M, still),
        "measured": (square[:, 0] > 0.5, still | moving[:, 0]),
        "moving_visible": (somebody[:, 0] & visible, moving[:, 0] & visible),
        **{f"moving_{h:.1f}s": (somebody[:, k], moving[:, k]) for k, h in enumerate(HORIZONS_S)},
    }
