"""What the world model and the base head learn from."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from embodiments.spaces import DEPTH_RANGE_M
from world_model.base_head import Mixture
from world_model.config import LossWeights
from world_model.image import SEMANTIC_CLASS_COUNT, log_depth
from world_model.rssm import Gaussians, Prediction


class WorldModelLosses(NamedTuple):
    """Unweighted terms, scalars."""

    depth: Tensor
    invalid: Tensor
    semantic: Tensor
    velocity: Tensor
    kl: Tensor

    def total(self, weights: LossWeights) -> Tensor:
        """Return the weighted sum."""
        total: Tensor = sum(  # type: ignore[assignment]
            getattr(weights, name) * getattr(self, name) for name in self._fields
        )
        return total


def reconstruction(
    prediction: Prediction,
    expected_velocity_b: Tensor,
    *,
    depth_m: Tensor,
    semantic: Tensor,
    velocity_b: Tensor,
    weights: LossWeights,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the depth, invalid, semantic and velocity terms.

    Args:
        expected_velocity_b: (N, 3) foretold before it was measured: it teaches what a command does to this body.
        depth_m: (N, 40, 64), 0 = invalid; invalid pixels count in the second term only.
        semantic: (N, 40, 64) uint8; a value that is no class is ignored.
        velocity_b: (N, 3) the velocity after the command, of the same observation.
    """
    valid = depth_m > 0.0
    count = valid.sum().clip(min=1)
    error = (prediction.depth_log.float() - log_depth(depth_m)).abs()
    depth = (error * valid).sum() / count
    invalid = functional.binary_cross_entropy_with_logits(prediction.invalid_logit.float(), (~valid).float())
    target = torch.where(valid & (semantic < SEMANTIC_CLASS_COUNT), semantic.long(), -1)
    class_weights = depth_m.new_tensor(weights.semantic_classes)
    each = functional.cross_entropy(
        prediction.semantic_logits.float(), target, weight=class_weights, ignore_index=-1, reduction="none"
    )
    semantic_loss = each.sum() / count
    velocity = sum(
        functional.smooth_l1_loss(answer.float(), velocity_b, beta=0.1)
        for answer in (prediction.velocity_b, expected_velocity_b)
    )
    assert isinstance(velocity, Tensor)
    return depth, invalid, semantic_loss, velocity


def balanced_kl(posterior: Gaussians, prior: Gaussians, *, balance: float, free_nats: float) -> Tensor:
    """Return the KL of posterior from prior in nats, averaged over time and batch.

    Args:
        balance: Share whose gradient goes to the prior.
        free_nats: KL below which nothing is learned from it.

    Source: Hafner et al. 2021 (DreamerV2), section 2; closed form for diagonal Gaussians.
    """
    to_prior = _kl(Gaussians(posterior.mean.detach(), posterior.std.detach()), prior).mean()
    to_posterior = _kl(posterior, Gaussians(prior.mean.detach(), prior.std.detach())).mean()
    return balance * to_prior.clip(min=free_nats) + (1.0 - balance) * to_posterior.clip(min=free_nats)


def _kl(left: Gaussians, right: Gaussians) -> Tensor:
    ratio = (left.std / right.std).square()
    shift = ((left.mean - right.mean) / right.std).square()
    return 0.5 * (ratio + shift - 1.0 - ratio.log()).sum(dim=-1)


def behaviour_cloning(mixture: Mixture, teacher_action: Tensor, *, labelled: Tensor) -> Tensor:
    """Return the negative log likelihood of the teacher's action, averaged over labelled steps.

    A dimension that the teacher's body lacks has action 0 and is learned as 0: a body that has it is not sent sideways.

    Args:
        teacher_action: (..., 3) in [-1, 1].
        labelled: (...) bool.
    """
    nll = -mixture.log_prob(teacher_action)
    return (nll * labelled).sum() / labelled.sum().clip(min=1)


def depth_error_m(prediction: Tensor, depth_m: Tensor) -> Tensor:
    """Return the mean absolute error [m] of depth (..., 40, 64) over pixels that are valid in truth."""
    valid = depth_m > 0.0
    error = (prediction.clip(0.0, DEPTH_RANGE_M) - depth_m).abs() * valid
    return error.sum() / valid.sum().clip(min=1)
