"""A picture of what the world model predicts: depth as it came and as it was imagined, step by step."""

from pathlib import Path

import torch

from distill.pretraining import HORIZONS, imagine_from, observe
from distill.sequences import Windows
from embodiments.spaces import DEPTH_RANGE_M
from world_model.network import WorldModel

_ROWS = 4


@torch.no_grad()
def draw(path: Path, world_model: WorldModel, windows: Windows, *, start: int) -> None:
    """Write a PNG: per sequence one row of true and one of predicted depth, from ``start`` on without observations."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    dynamic = observe(world_model, windows).dynamic
    future = imagine_from(world_model, windows, dynamic, start)
    columns = (0, *HORIZONS)
    moving = windows.previous_command[start + 1 : start + max(HORIZONS) + 1].abs().sum(dim=(0, 2))  # (B,)
    broken = windows.first[start + 1 : start + max(HORIZONS) + 1].any(dim=0)
    shown = torch.argsort(moving.masked_fill(broken, -1.0), descending=True)[:_ROWS]
    figure = Figure(figsize=(2.2 * len(columns), 2.7 * len(shown)), layout="constrained")
    axes = figure.subplots(2 * len(shown), len(columns), squeeze=False)
    for column, horizon in enumerate(columns):
        state = dynamic[start] if horizon == 0 else future[horizon - 1]
        predicted = world_model.decode(state[shown], windows.embodiment[start][shown]).depth_m()
        truth = windows.depth_m[start + horizon][shown, 0]
        for row in range(len(shown)):
            for line, image in ((2 * row, truth[row]), (2 * row + 1, predicted[row])):
                axes[line, column].imshow(image.cpu().numpy(), vmin=0.0, vmax=DEPTH_RANGE_M, cmap="viridis")
                axes[line, column].set(xticks=[], yticks=[])
        title = "seen / reconstructed" if horizon == 0 else f"{horizon} steps ahead"
        axes[0, column].set_title(title, fontsize=9)
    for row in range(len(shown)):
        axes[2 * row, 0].set_ylabel("true", fontsize=9)
        axes[2 * row + 1, 0].set_ylabel("predicted", fontsize=9)
    figure.savefig(path, dpi=100)
