"""A picture of anticipation: around the body what was measured, what the network says, and what is there."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.surroundings import Frames
from world_model.anticipation import BEHIND_M, BESIDE_M, CELL_M, FAR_M, HORIZONS_S, SIDE, Anticipation, surroundings

_FRAMES = 4
_COLUMNS = ("measured", "anticipated", "true")
_EXTENT_M = (-BESIDE_M, BESIDE_M, -BEHIND_M, SIDE * CELL_M - BEHIND_M)
"""Left, right, bottom and top; left in the picture is where y is largest, once the axis is turned round"""


@torch.no_grad()
def draw(path: Path, network: Anticipation, frames: Frames, *, device: str) -> None:
    """Write a PNG: a row per frame, the body facing up; those in which most people are near."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    rows = _crowded(frames)
    square, truth = frames.batch(rows, device=device)
    network.eval()
    answer = surroundings(network(square))
    square = square.cpu()
    figure = Figure(figsize=(2.6 * len(_COLUMNS), 2.6 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(_COLUMNS), squeeze=False)
    for row in range(len(rows)):
        measured = np.ones((SIDE, SIDE, 3)) * (0.75 + 0.25 * square[row, 1].numpy()[..., None])
        evidence = square[row, 0].numpy()[..., None]
        _show(axes[row, 0], measured * (1.0 - evidence) + 0.15 * evidence)
        for column, around in ((1, answer), (2, truth)):
            distance_m, moving = around.distance_m[row].cpu().numpy(), around.moving[row].cpu().numpy()
            _show(axes[row, column], _coloured(distance_m, moving[0], moving[-2]))
    for column, name in enumerate(_COLUMNS):
        axes[0, column].set_title(name, fontsize=10)
    figure.supxlabel(
        f"8 x 8 m, the robot is the dot and faces up. Black: still things, white: {FAR_M:.1f} m off. Red: people now, "
        f"orange: in {HORIZONS_S[-2]:.0f} s.\nMeasured: black where the map has obstacles, grey unseen.",
        fontsize=7,
        wrap=True,
    )
    figure.savefig(path, dpi=100)


def _crowded(frames: Frames) -> np.ndarray:
    """Return the frames with most people's cells, not two of the same moment."""
    counts = np.unpackbits(frames.moving[:, 0], axis=-1).sum(axis=1)
    apart = max(1, len(counts) // (2 * _FRAMES))
    chosen: list[int] = []
    for row in np.argsort(-counts.astype(int), kind="stable"):
        if all(abs(int(row) - other) >= apart for other in chosen):
            chosen.append(int(row))
    return np.sort(chosen[:_FRAMES])


def _coloured(distance_m: np.ndarray, now: np.ndarray, later: np.ndarray) -> np.ndarray:
    image = np.repeat((distance_m / FAR_M)[..., None], 3, axis=-1)
    for probability, colour in ((later, (0.95, 0.65, 0.2)), (now, (0.85, 0.15, 0.15))):
        image = image * (1.0 - probability[..., None]) + probability[..., None] * np.asarray(colour)
    return image


def _show(axis: Any, image: np.ndarray) -> None:
    """Draw a square with the body facing up and its left on the left."""
    axis.imshow(image.swapaxes(0, 1), origin="lower", extent=_EXTENT_M)
    axis.invert_xaxis()
    axis.plot(0.0, 0.0, "o", color="#1f77b4", markersize=4)
    axis.set(xticks=[], yticks=[])
