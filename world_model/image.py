"""Depth image in, depth and semantic class out."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from embodiments.spaces import DEPTH_HEIGHT_PX, DEPTH_RANGE_M, DEPTH_WIDTH_PX

SEMANTIC_CLASS_COUNT = 7
"""Length of ``scenes.scene.SEMANTIC_CLASSES``; this layer may not import that one, a test compares the two."""
_GRID_PX = (DEPTH_HEIGHT_PX // 8, DEPTH_WIDTH_PX // 8)
_LOG_RANGE = math.log1p(DEPTH_RANGE_M)
_FILL_ROUNDS = 2
_FILL_COUNT = 4.5
"""A pixel on the image's edge has three neighbours outside, which count as invalid."""


def log_depth(depth_m: Tensor) -> Tensor:
    """Return log(1 + depth) scaled to [0, 1], so that one centimetre counts more near the robot than far from it."""
    return torch.log1p(depth_m) / _LOG_RANGE


def depth_from_log(value: Tensor) -> Tensor:
    """Invert ``log_depth``; the result lies in [0, range] metres."""
    return torch.expm1(value.clip(0.0, 1.0) * _LOG_RANGE)


def without_holes(depth_m: Tensor) -> Tensor:
    """Fill scattered invalid pixels of images (N, 1, 40, 64) with the mean of their valid neighbours.

    A pixel is filled where most of its eight neighbours are valid; what is invalid as a whole, such as a thing too near
    for the sensor, stays so.
    """
    for _ in range(_FILL_ROUNDS):
        valid = (depth_m > 0.0).to(depth_m.dtype)
        # The pixel itself adds nothing where it is invalid.
        total, count = _sum_around(torch.cat([depth_m, valid], dim=1)).split(1, dim=1)
        depth_m = torch.where((valid == 0.0) & (count > _FILL_COUNT), total / count.clip(min=1.0), depth_m)
    return depth_m


def _sum_around(images: Tensor) -> Tensor:
    """Return the sum over every pixel's 3 x 3 neighbourhood, zeros outside; average pooling takes twice as long."""
    padded = functional.pad(images, (1, 1, 1, 1))
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]


class ImageEncoder(nn.Module):
    """Three stride-2 convolutions, 40x64 -> 5x8, and one linear layer."""

    def __init__(self, *, channels: tuple[int, int, int], output_size: int) -> None:
        super().__init__()
        first, second, third = channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, first, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(second, third, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.Linear(third * _GRID_PX[0] * _GRID_PX[1], output_size)
        self.norm = nn.LayerNorm(output_size)

    def forward(self, depth_m: Tensor) -> Tensor:
        """Encode images (N, 1, 40, 64) [m], 0 = invalid, to (N, output_size)."""
        depth = without_holes(depth_m.clip(0.0, DEPTH_RANGE_M))
        invalid = (depth <= 0.0).to(depth.dtype)
        image = torch.cat([depth / DEPTH_RANGE_M, log_depth(depth), invalid], dim=1)  # (N, 3, 40, 64)
        # oneDNN is four times faster on few channels when they come last
        features = self.convolutions(image.contiguous(memory_format=torch.channels_last)).flatten(1)
        return functional.silu(self.norm(self.linear(features)))


class ImageDecoder(nn.Module):
    """Linear layer to 5x8, then three convolutions that double the resolution by pixel shuffle."""

    def __init__(self, *, input_size: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = channels
        self.grid_channels = first
        self.linear = nn.Linear(input_size, first * _GRID_PX[0] * _GRID_PX[1])
        outputs = 2 + SEMANTIC_CLASS_COUNT
        self.convolutions = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(first, second * 4, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(second, third * 4, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(third, outputs * 4, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Decode (N, input_size).

        Returns:
            ``log_depth`` (N, 40, 64), logit that the pixel is invalid (N, 40, 64), class logits (N, 7, 40, 64).
        """
        grid = self.linear(latent).unflatten(1, (self.grid_channels, *_GRID_PX))
        image = self.convolutions(grid)  # (N, 9, 40, 64)
        return image[:, 0], image[:, 1], image[:, 2:]
