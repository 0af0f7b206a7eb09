"""The base policy's command head, and the features that every head sees."""

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from embodiments.limits import command_to_action
from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE, ROUTE_POINTS
from world_model.descriptor import gaussian_log_std_bounds
from world_model.residual_head import zero_last_layer

_ROUTE_SCALE_M = 5.0
_NEAR_M = 1.0
_NEAR_HEADING = 5.0
_GOAL_FEATURES = 10
_APART = 0.1
"""Initial yaw action of the outer modes."""


def base_feature_size(latent_size: int) -> int:
    """Return the length of ``base_features``."""
    return latent_size + ROUTE_POINTS * 2 + _GOAL_FEATURES


def policy_feature_size(latent_size: int) -> int:
    """Return the length F of ``policy_features``."""
    return base_feature_size(latent_size) + 3 * COMMAND_SIZE


def base_features(latent: Tensor, observation: Observation[Tensor]) -> Tensor:
    """Return the base head's input (..., base_feature_size): latent (..., L), route and goal.

    Neither the body nor the speed is in it: a head that sees its last command learns to repeat it and ignores the rest
    (de Haan et al. 2019, "Causal Confusion in Imitation Learning").
    """
    position, heading = observation.goal_b[..., :2], observation.goal_b[..., 2:]
    distance = (position.square().sum(dim=-1, keepdim=True) + 1e-6).sqrt()
    goal = [
        position / _ROUTE_SCALE_M,
        (position / _NEAR_M).clip(-1.0, 1.0),  # centimetres count when the goal is near
        torch.log1p(distance),
        position / (distance + 0.1),  # bearing; fades out where it means nothing
        heading,
    ]
    # sin of the heading error, magnified: 0.1 rad decides on success
    fine_heading = (heading[..., 1:] * _NEAR_HEADING).clip(-1.0, 1.0) * (heading[..., :1] > 0.0)
    route = observation.route_xy_b_m.flatten(-2) / _ROUTE_SCALE_M
    return torch.cat([latent, route, *goal, fine_heading], dim=-1)


def policy_features(latent: Tensor, observation: Observation[Tensor], *, base_action: Tensor) -> Tensor:
    """Return the input (B, F) of residual policies and the generalist.

    The base head's features; velocity and last command as normalised actions; and, last, the base action.

    Args:
        latent: (B, L).
        observation: The one that the latent comes from.
        base_action: (B, 3) mean of the base head.
    """
    features = base_features(latent, observation)
    velocity, last = (
        command_to_action(command, observation.descriptor)
        for command in (observation.velocity_b, observation.previous_command)
    )
    return torch.cat([features, velocity, last, base_action], dim=-1)


def base_action_of(features: Tensor) -> Tensor:
    """Return the base action (..., 3) in ``policy_features`` (..., F)."""
    return features[..., -COMMAND_SIZE:]


@dataclass(frozen=True, kw_only=True)
class BaseHeadConfig:
    """Sizes of the base head."""

    latent_size: int
    hidden: tuple[int, ...] = (256, 256)
    modes: int = 3
    """Pass on the left, on the right, or stop: a single Gaussian would answer with the mean and hit the obstacle."""
    sharpness: float = 6.0
    """Inverse temperature of the mode choice at inference; finite, so that the action stays continuous."""
    correction: float = 1.0
    """Scale of the learned correction; closed-loop validation chooses it."""
    silent: bool = False
    """The base action is always 0, for a residual that learns from scratch."""


class Mixture(NamedTuple):
    """Mixture of Gaussians over actions."""

    logits: Tensor
    """(..., K)"""
    means: Tensor
    """(..., K, 3) in (-1, 1)"""
    log_std: Tensor
    """(3,)"""

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the log density (...) of actions (..., 3)."""
        normalised = (action.unsqueeze(-2) - self.means) / self.log_std.exp()
        each = -0.5 * (normalised.square() + math.log(2.0 * math.pi)) - self.log_std
        return torch.logsumexp(each.sum(dim=-1) + self.logits.log_softmax(dim=-1), dim=-1)


class BaseHead(nn.Module):
    """Features -> mixture of Gaussians over normalised actions; its mean is the local plan's action at first."""

    Config = BaseHeadConfig

    def __init__(self, config: BaseHeadConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        size = base_feature_size(config.latent_size)
        for width in config.hidden:
            layers += [nn.Linear(size, width), nn.SiLU()]
            size = width
        last = nn.Linear(size, config.modes * (COMMAND_SIZE + 1))
        self.layers = nn.Sequential(*layers, last)
        zero_last_layer(self.layers)
        with torch.no_grad():  # equal modes would stay equal; their mean is still the local plan's action
            turn = torch.linspace(-_APART, _APART, config.modes)
            last.bias[config.modes :].unflatten(0, (config.modes, COMMAND_SIZE))[:, 2] = torch.atanh(turn)
        self.log_std = nn.Parameter(torch.full((COMMAND_SIZE,), -1.0))

    def silenced(self) -> "BaseHead":
        """Return a copy whose action is always 0."""
        return self._with(silent=True)

    def corrected(self, scale: float) -> "BaseHead":
        """Return a copy that adds its learned correction to the local plan's action by this factor."""
        return self._with(correction=scale)

    def _with(self, **changes: float) -> "BaseHead":
        copied = copy.deepcopy(self)
        copied.config = dataclasses.replace(self.config, **changes)  # type: ignore[arg-type]
        return copied

    def mixture(self, features: Tensor) -> Mixture:
        """Return the mixture over actions for ``base_features`` (..., D)."""
        output = self.layers(features).float()
        logits, means = output.split([self.config.modes, self.config.modes * COMMAND_SIZE], dim=-1)
        corrections = torch.tanh(means.unflatten(-1, (self.config.modes, COMMAND_SIZE)))
        planner_action = features[..., self.config.latent_size - COMMAND_SIZE : self.config.latent_size]
        means = (planner_action.unsqueeze(-2) + self.config.correction * corrections).clip(-1.0, 1.0)
        return Mixture(logits, means, gaussian_log_std_bounds(self.log_std, low=-3.0))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (..., 3), that of the most likely mode, and log_std (3,) for ``base_features`` (..., D)."""
        mixture = self.mixture(features)
        if self.config.silent:
            return torch.zeros_like(mixture.means[..., 0, :]), mixture.log_std
        weights = torch.softmax(mixture.logits * self.config.sharpness, dim=-1)
        return (weights.unsqueeze(-1) * mixture.means).sum(dim=-2), mixture.log_std
