"""An embodiment's descriptor as network input: fixed constants, not statistics of the robots seen so far."""

import torch
from torch import Tensor

from embodiments.spaces import CAMERA_FIELDS, CAMERA_SLICE, DESCRIPTOR_FIELDS

# Centre and scale per quantity [SI units], chosen from what bodies and depth cameras can be, so that an unseen body
# stays within about one unit; learned statistics of four robots would put it anywhere.
_CENTRE_AND_SCALE: dict[str, tuple[float, float]] = {
    "forward_mps": (0.6, 0.4),
    "lateral_mps": (0.15, 0.15),
    "yaw_rate_radps": (1.0, 0.5),
    "reverse_mps": (0.1, 0.1),
    "acceleration_mps2": (0.75, 0.75),
    "yaw_acceleration_radps2": (2.0, 2.0),
    "wheel_speed_mps": (0.75, 0.5),
    "half_track_m": (0.1, 0.1),
    "front_m": (0.3, 0.15),
    "rear_m": (0.3, 0.15),
    "half_width_m": (0.25, 0.15),
    "camera_x_m": (0.1, 0.2),
    "camera_z_m": (0.9, 0.5),
    "camera_pitch_rad": (0.4, 0.4),
    "camera_hfov_rad": (1.2, 0.4),
    "camera_vfov_rad": (1.0, 0.4),
    "camera_min_range_m": (0.25, 0.25),
    "camera_max_range_m": (8.0, 3.0),
}
CAMERA_SIZE = len(CAMERA_FIELDS)


def _constants(name: str) -> tuple[float, float]:
    key = name.split("_", 1)[1] if name.startswith("slab") else name
    return _CENTRE_AND_SCALE[key]


def normalise_descriptor(descriptor: Tensor) -> Tensor:
    """Return the descriptor in units of about one.

    Args:
        descriptor: (..., E), SI units.
    """
    constants = descriptor.new_tensor([_constants(name) for name in DESCRIPTOR_FIELDS])  # (E, 2)
    return ((descriptor - constants[:, 0]) / constants[:, 1]).clip(-4.0, 4.0)


def normalise_camera(descriptor: Tensor) -> Tensor:
    """Return the normalised camera parameters (..., 7) of a descriptor (..., E)."""
    camera: Tensor = normalise_descriptor(descriptor)[..., CAMERA_SLICE]
    return camera


def gaussian_log_std_bounds(log_std: Tensor, *, low: float = -4.0, high: float = 0.5) -> Tensor:
    """Keep a learned log standard deviation where a Gaussian neither collapses nor drowns the mean."""
    return torch.clamp(log_std, low, high)
