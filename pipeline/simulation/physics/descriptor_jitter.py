"""Sample jittered descriptors and camera errors from a block of domain randomisation."""

import torch

from embodiments.spaces import CAMERA_FIELDS, CAMERA_SLICE, FOOTPRINT_SLICE, LIMIT_FIELDS
from pipeline.simulation.physics.randomisation import Randomisation


def sample_descriptor(
    nominal_descriptor: torch.Tensor, block: Randomisation, *, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample jittered descriptors.

    Args:
        nominal_descriptor: (E,)

    Returns:
        (count, E) descriptors and (count,) the factor on the footprint they contain.
    """
    device = nominal_descriptor.device

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    sampled = nominal_descriptor.repeat(count, 1)
    speed, acceleration = uniform(*block.jitter_limits), uniform(*block.jitter_limits)
    for name in ("forward_mps", "lateral_mps", "yaw_rate_radps", "wheel_speed_mps"):
        sampled[:, LIMIT_FIELDS.index(name)] *= speed
    for name in ("acceleration_mps2", "yaw_acceleration_radps2"):
        sampled[:, LIMIT_FIELDS.index(name)] *= acceleration
    footprint = uniform(*block.jitter_footprint)
    sampled[:, FOOTPRINT_SLICE] *= footprint[:, None]
    shift = block.jitter_camera_m
    start = CAMERA_SLICE.start
    for name, width in (
        ("camera_x_m", shift),
        ("camera_z_m", shift),
        ("camera_pitch_rad", block.jitter_camera_pitch_rad),
    ):
        sampled[:, start + CAMERA_FIELDS.index(name)] += uniform(-width, width)
    return sampled, footprint


def sample_camera_error(
    block: Randomisation, *, count: int, generator: torch.Generator, device: torch.device
) -> torch.Tensor:
    """Sample the (count, 7) deviation of the real mount from the descriptor, laid out as ``CAMERA_FIELDS``."""
    error = torch.zeros(count, len(CAMERA_FIELDS), device=device)
    for name, deviation in (
        ("camera_x_m", block.camera_shift_m),
        ("camera_z_m", block.camera_shift_m),
        ("camera_pitch_rad", block.camera_pitch_rad),
    ):
        column = CAMERA_FIELDS.index(name)
        error[:, column] = deviation * torch.randn(count, generator=generator, device=device)
    return error
