"""A picture of the world model's open-loop predictions: measured, predicted and decoded depth, step by step."""

from pathlib import Path

import torch

from distill.pretraining import HORIZONS, observe, predict_open_loop_from
from distill.sequences import Windows
from embodiments.spaces import DEPTH_RANGE_M
from world_model.rssm import WorldModel

_SEQUENCES = 4
_LINES = ("true", "predicted", "decoded")


@torch.no_grad()
def draw(path: Path, world_model: WorldModel, windows: Windows, *, start: int) -> None:
    """Write a PNG: per sequence a row of true depth and rows of predictions, from ``start`` on without observations."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    moving = windows.previous_command[start + 1 : start + max(HORIZONS) + 1].abs().sum(dim=(0, 2))  # (B,)
    broken = windows.first[start + 1 : start + max(HORIZONS) + 1].any(dim=0)
    shown = torch.argsort(moving.masked_fill(broken, -1.0), descending=True)[:_SEQUENCES]
    windows = windows.chosen(shown)
    dynamic = observe(world_model, windows).dynamic
    predicted = predict_open_loop_from(world_model, windows, dynamic, start)
    columns = (0, *HORIZONS)
    count = len(_LINES)
    figure = Figure(figsize=(2.2 * len(columns), 1.35 * count * len(shown)), layout="constrained")
    axes = figure.subplots(count * len(shown), len(columns), squeeze=False)
    for column, horizon in enumerate(columns):
        truth = windows.depth_m[start + horizon, :, 0]
        if horizon:
            ahead, _, decoded = predicted[horizon - 1]
            ahead = ahead * (decoded.invalid_logit < 0.0)  # blank where the sensor is expected to see nothing
        else:
            ahead, decoded = truth, world_model.decode(dynamic[start], windows.descriptor[start])
        for line, images in enumerate((truth, ahead, decoded.depth_m())):
            for sequence, image in enumerate(images):
                axis = axes[count * sequence + line, column]
                axis.imshow(image.cpu().numpy(), vmin=0.0, vmax=DEPTH_RANGE_M, cmap="viridis")
                axis.set(xticks=[], yticks=[])
        axes[0, column].set_title(
            f"{horizon} step{'s' if horizon > 1 else ''} ahead" if horizon else "seen last", fontsize=9
        )
    for row in range(count * len(shown)):
        axes[row, 0].set_ylabel(_LINES[row % count], fontsize=9)
    figure.savefig(path, dpi=100)
