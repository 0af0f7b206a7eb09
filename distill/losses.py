"""Distance of the generalist from its specialists, over the dimensions that a robot can command."""

import torch
from torch import Tensor


def gaussian_kl(
    teacher_mean: Tensor, teacher_log_std: Tensor, student_mean: Tensor, student_log_std: Tensor, *, active: Tensor
) -> Tensor:
    """Return KL(teacher || student) of diagonal Gaussians, summed over active dimensions, averaged over the batch.

    Args:
        teacher_mean: (..., 3) actions; the other three alike (log_std of the standard deviation).
        active: (..., 3) bool, ``embodiments.limits.active_dimensions``.

    Source: closed form; e.g. Kullback 1959. COMPASS (arXiv 2502.16372) section III-D distils with it.
    """
    variance_ratio = torch.exp(2.0 * (teacher_log_std - student_log_std))
    shift = (teacher_mean - student_mean).square() * torch.exp(-2.0 * student_log_std)
    each = 0.5 * (variance_ratio + shift - 1.0) + student_log_std - teacher_log_std
    return (each * active).sum(dim=-1).mean()


def mean_squared_error(teacher_mean: Tensor, student_mean: Tensor, *, active: Tensor) -> Tensor:
    """Return the squared difference of means (..., 3), summed over active dimensions, averaged over the batch."""
    return ((teacher_mean - student_mean).square() * active).sum(dim=-1).mean()
