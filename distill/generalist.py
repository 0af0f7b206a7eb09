"""The generalist: one network for all bodies; the descriptor is an input."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from embodiments.spaces import COMMAND_SIZE, DESCRIPTOR_SIZE
from world_model.descriptor import gaussian_log_std_bounds, normalise_descriptor
from world_model.residual_head import mlp, zero_last_layer


@dataclass(frozen=True, kw_only=True)
class GeneralistConfig:
    """Sizes of the generalist."""

    feature_size: int
    """Length F of ``world_model.base_head.policy_features``; their last three entries are the base action."""
    hidden: tuple[int, ...] = (384, 384, 256)
    """Wider than one residual head: it holds as many of them as there are bodies."""
    correction_scale: float = 1.0
    """Bound of the correction of the base action; that of the residual heads."""
    initial_log_std: float = -1.2
    one_hot: tuple[tuple[float, ...], ...] = ()
    """As an ablation: descriptors of bodies that are input as a one-hot number instead of by their quantities."""


class Generalist(nn.Module):
    """``policy_features`` and descriptor -> Gaussian over the full action; equal to the base policy at first."""

    Config = GeneralistConfig

    def __init__(self, config: GeneralistConfig) -> None:
        super().__init__()
        self.config = config
        body_size = len(config.one_hot) or DESCRIPTOR_SIZE
        self.layers = mlp(config.feature_size + body_size, config.hidden, COMMAND_SIZE)
        zero_last_layer(self.layers)
        self.log_std_layer = nn.Linear(body_size, COMMAND_SIZE)
        nn.init.zeros_(self.log_std_layer.weight)
        nn.init.constant_(self.log_std_layer.bias, config.initial_log_std)

    def forward(self, features: Tensor, descriptor: Tensor) -> tuple[Tensor, Tensor]:
        """Return the Gaussian over actions.

        Args:
            features: (B, F).
            descriptor: (B, E), SI units.

        Returns:
            mean (B, 3) = base action + bounded correction, not clipped; log_std (B, 3), which follows the body alone.
        """
        body = self._body(descriptor)
        correction = torch.tanh(self.layers(torch.cat([features, body], dim=-1))) * self.config.correction_scale
        log_std = gaussian_log_std_bounds(self.log_std_layer(body))
        return features[..., -COMMAND_SIZE:] + correction, log_std

    def _body(self, descriptor: Tensor) -> Tensor:
        normalised = normalise_descriptor(descriptor)
        if not self.config.one_hot:
            return normalised
        known = normalise_descriptor(descriptor.new_tensor(self.config.one_hot))  # (K, E)
        nearest = (normalised[:, None] - known).square().sum(dim=-1).argmin(dim=1)
        return functional.one_hot(nearest, len(known)).to(normalised.dtype)
