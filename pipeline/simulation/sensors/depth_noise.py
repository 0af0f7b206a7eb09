"""Noise of a stereo or structured-light depth sensor: error that grows with range, lost edges, holes."""

from dataclasses import dataclass

import torch

from embodiments.spaces import DEPTH_RANGE_M
from world_model.local_planner.stand_in import kernel

NEAREST_M = 1e-3
"""Noise makes no depth smaller than this: 0 is invalid"""
FLYING_STEP = 0.1
"""Least step of the depth between neighbouring pixels, in parts of the nearer one, at which a pixel can fly"""


@dataclass(frozen=True, kw_only=True)
class DepthNoise:
    """Nominal noise; evaluation uses these values whatever the preset."""

    sigma_per_m: float = 0.0025
    """Standard deviation at 1 m; it grows with the square of the range (RealSense D435: below 2 % at 2 m is specified,
    0.5 % is what a well lit, textured wall gives)."""
    sigma_limit_m: float = 0.15
    """Cap of the standard deviation: beyond 7.7 m the sensor's own filters drop worse pixels."""
    edge_step_ratio: float = 0.25
    """A pixel lies at an edge if the second difference of the inverse depth exceeds this ratio to its value."""
    edge_dropout: float = 0.25
    """Probability that a pixel at such an edge is lost (the driver filters flying pixels)."""
    hole_rate: float = 0.003
    """Probability that any pixel is lost."""


def add_noise(
    depth_m: torch.Tensor, *, noise: DepthNoise, generator: torch.Generator, scale: float | torch.Tensor = 1.0
) -> torch.Tensor:
    """Return a noisy copy of depth images.

    Args:
        depth_m: (..., H, W) planar depth [m]; 0 = invalid, ``DEPTH_RANGE_M`` = nothing within range. Both stay
            unchanged, except that a far pixel can be lost too.
        generator: On the device of ``depth_m``.
        scale: Factor on standard deviations and probabilities, one or (..., 1, 1) per image; 0 gives no noise.
    """
    normal = torch.randn(depth_m.shape, generator=generator, device=depth_m.device)
    chance = torch.rand(depth_m.shape, generator=generator, device=depth_m.device)
    return spoiled(depth_m, normal, chance, noise=noise, scale=scale)


@kernel("pipeline.simulation.sensors.depth_noise_kernel")
def spoiled(
    depth_m: torch.Tensor,
    normal: torch.Tensor,
    chance: torch.Tensor,
    *,
    noise: DepthNoise,
    scale: float | torch.Tensor,
) -> torch.Tensor:
    """Return what ``add_noise`` does, for standard normal and uniform random numbers of the shape of the images."""
    sigma = scale * (noise.sigma_per_m * depth_m**2).clamp(max=noise.sigma_limit_m)
    noisy = (depth_m + sigma * normal).clamp(NEAREST_M, DEPTH_RANGE_M)
    loss_rate = torch.where(_edges(depth_m, noise.edge_step_ratio), noise.edge_dropout, noise.hole_rate)
    lost = chance < scale * loss_rate
    measured = torch.where(depth_m < DEPTH_RANGE_M, noisy, depth_m)
    return torch.where(lost | (depth_m == 0.0), 0.0, measured)


def add_flying_pixels(depth_m: torch.Tensor, *, rate: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return depth images with pixels at edges that read a mixture of the near and the far side.

    A pixel whose footprint covers both sides of a step measures neither. Source: Sabov and Krueger 2008,
    "Identification and correction of flying pixels in range camera data".

    Args:
        depth_m: (B, H, W) planar depth [m]; 0 = invalid.
        rate: (B, 1, 1) fraction of the edge pixels that fly.
        generator: On the device of ``depth_m``.
    """
    beside = torch.roll(depth_m, 1, dims=-1)
    beside[..., 0] = depth_m[..., 0]
    step = (beside - depth_m).abs() > FLYING_STEP * torch.minimum(beside, depth_m)
    mix, chance = (torch.rand(depth_m.shape, generator=generator, device=depth_m.device) for _ in range(2))
    flies = step & (beside > 0.0) & (depth_m > 0.0) & (chance < rate)
    return torch.where(flies, torch.lerp(depth_m, beside, mix), depth_m)


def _edges(depth_m: torch.Tensor, step_ratio: float) -> torch.Tensor:
    """Return (..., H, W) bool: pixels at a depth step to a neighbour.

    The inverse depth of a plane is linear in the image at any viewing angle, so its second difference shows steps.
    """
    inverse = torch.where(depth_m > 0.0, 1.0 / depth_m, torch.nan)  # comparisons with NaN are false
    edge = torch.zeros_like(depth_m, dtype=torch.bool)
    for axis in (-2, -1):
        count = depth_m.shape[axis] - 2
        before, centre, after = (inverse.narrow(axis, start, count) for start in range(3))
        bend = (before + after - 2.0 * centre).abs()
        edge.narrow(axis, 1, count).logical_or_(bend > step_ratio * centre)
    return edge
