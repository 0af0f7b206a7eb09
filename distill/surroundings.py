"""Recorded surroundings in memory, and how well a network anticipates them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from world_model.anticipation import HORIZONS_S, OUTPUTS, SIDE, Anticipation, cells_b

_BATCH = 256
NEAR_M = (2.0, 4.0)
"""Distances within which figures are taken"""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """N recorded frames."""

    square: np.ndarray
    """(N, INPUTS, SIDE, SIDE) uint8, 255 is 1"""
    truth: np.ndarray
    """(N, OUTPUTS, SIDE^2 / 8) uint8, packed bits"""

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.square)

    def batch(self, rows: np.ndarray, *, device: str) -> tuple[Tensor, Tensor]:
        """Return what the network sees and what was there, (n, INPUTS or OUTPUTS, SIDE, SIDE)."""
        square = torch.from_numpy(self.square[rows]).to(device).float() / 255.0
        truth = torch.from_numpy(np.unpackbits(self.truth[rows], axis=-1)).to(device).float()
        return square, truth.view(len(rows), OUTPUTS, SIDE, SIDE)


@torch.no_grad()
def figures(network: Anticipation, frames: Frames, rows: np.ndarray, *, device: str) -> dict[str, float]:
    """Return precision and recall at probability 0.5 of still and moving things, within ``NEAR_M`` of the body.

    ``measured`` is the measured map's: its evidence above one half.
    """
    distance = cells_b(torch.zeros(1)).norm(dim=-1).view(SIDE, SIDE)
    counts: dict[str, np.ndarray] = {}
    for start in range(0, len(rows), _BATCH):
        square, truth = frames.batch(rows[start : start + _BATCH], device=device)
        answer = network(square).cpu() > 0.0
        square, truth = square.cpu(), truth.cpu() > 0.5
        pairs = {"still": (answer[:, 0], truth[:, 0]), "measured": (square[:, 0] > 0.5, truth[:, :2].any(dim=1))}
        pairs |= {f"moving_{h:.1f}s": (answer[:, 1 + k], truth[:, 1 + k]) for k, h in enumerate(HORIZONS_S)}
        for near_m in NEAR_M:
            for name, (said, true) in pairs.items():
                said, true = said[:, distance < near_m], true[:, distance < near_m]
                key = f"{name}_{near_m:.0f}m"
                counts[key] = counts.get(key, 0) + np.asarray(
                    [int((said & true).sum()), int(said.sum()), int(true.sum())]
                )
    found = {}
    for key, (both, said, true) in counts.items():
        found[f"{key}_precision"] = float(both / said) if said else 0.0
        found[f"{key}_recall"] = float(both / true) if true else 0.0
    return found
