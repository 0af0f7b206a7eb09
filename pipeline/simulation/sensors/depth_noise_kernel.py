"""Compiled ``depth_noise.spoiled``: the same arithmetic in the same order, one pixel after the other.

It calls no compiled function of another file and gets constants as arguments, see
``world_model.local_planner.kernels.obstacles``.
"""

import numpy as np
import torch
from numba import njit

from embodiments.spaces import DEPTH_RANGE_M
from pipeline.simulation.sensors import depth_noise as graph

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)


def spoiled(
    depth_m: torch.Tensor,
    normal: torch.Tensor,
    chance: torch.Tensor,
    *,
    noise: graph.DepthNoise,
    scale: float | torch.Tensor,
) -> torch.Tensor:
    """Stand in for ``depth_noise.spoiled``."""
    images = depth_m.reshape(-1, *depth_m.shape[-2:])
    factor = torch.as_tensor(scale, dtype=torch.float32).broadcast_to((*depth_m.shape[:-2], 1, 1))
    found = torch.empty(images.shape)
    _spoil(
        images.contiguous().numpy(),
        normal.reshape(images.shape).contiguous().numpy(),
        chance.reshape(images.shape).contiguous().numpy(),
        factor.reshape(-1).contiguous().numpy(),
        np.asarray(
            [noise.sigma_per_m, noise.sigma_limit_m, noise.edge_step_ratio, noise.edge_dropout, noise.hole_rate],
            dtype=np.float32,
        ),
        np.float32(graph.NEAREST_M),
        np.float32(DEPTH_RANGE_M),
        found.numpy(),
    )
    return found.view(depth_m.shape)


@njit(cache=True, error_model="numpy")
def _spoil(depth_m, normal, chance, scale, values, nearest_m, range_m, found):  # type: ignore[no-untyped-def]
    count, height, width = depth_m.shape
    sigma_per_m, sigma_limit_m, ratio, edge_dropout, hole_rate = values
    inverse = np.empty((height, width), np.float32)
    for image in range(count):
        for row in range(height):
            for column in range(width):
                depth = depth_m[image, row, column]
                inverse[row, column] = _ONE / depth if depth > _ZERO else np.float32(np.nan)
        for row in range(height):
            for column in range(width):
                depth = depth_m[image, row, column]
                centre = inverse[row, column]
                edge = False
                if 0 < row < height - 1:
                    bend = abs((inverse[row - 1, column] + inverse[row + 1, column]) - _TWO * centre)
                    edge = bend > ratio * centre
                if 0 < column < width - 1:
                    bend = abs((inverse[row, column - 1] + inverse[row, column + 1]) - _TWO * centre)
                    edge = edge or bend > ratio * centre
                rate = edge_dropout if edge else hole_rate
                if depth == _ZERO or chance[image, row, column] < scale[image] * rate:
                    found[image, row, column] = _ZERO
                elif depth < range_m:
                    sigma = scale[image] * min(sigma_per_m * (depth * depth), sigma_limit_m)
                    noisy = depth + sigma * normal[image, row, column]
                    found[image, row, column] = min(max(noisy, nearest_m), range_m)
                else:
                    found[image, row, column] = depth
