"""The base policy's command head, and the features that every head sees."""

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from embodiments.limits import command_to_action
from embodiments.spaces import COMMAND_SIZE, ROUTE_POINTS
from world_model.descriptor import gaussian_log_std_bounds
from world_model.residual_head import zero_last_layer

_ROUTE_SCALE_M = 5.0
_NEAR_M = 1.0
_NEAR_HEADING = 5.0
_GOAL_FEATURES = 10
_APART = 0.1
"""How far the modes begin on either side, in actions of the yaw rate"""


def base_feature_size(latent_size: int) -> int:
    """Return the length of ``base_features``."""
    return latent_size + ROUTE_POINTS * 2 + _GOAL_FEATURES


def policy_feature_size(latent_size: int) -> int:
    """Return the length F of ``policy_features``."""
    return base_feature_size(latent_size) + 3 * COMMAND_SIZE


def base_features(latent: Tensor, *, route_xy_b_m: Tensor, goal_b: Tensor) -> Tensor:
    """Return what the base head sees, (B, base_feature_size).

    Neither the body nor the speed: a head that is shown its last command learns to repeat it instead of looking
    (de Haan et al. 2019, "Causal Confusion in Imitation Learning").

    Args:
        latent: (B, L).
        route_xy_b_m: (B, 10, 2).
        goal_b: (B, 4).
    """
    position, heading = goal_b[..., :2], goal_b[..., 2:]
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
    return torch.cat([latent, route_xy_b_m.flatten(-2) / _ROUTE_SCALE_M, *goal, fine_heading], dim=-1)


def policy_features(
    latent: Tensor,
    *,
    velocity_b: Tensor,
    previous_command: Tensor,
    route_xy_b_m: Tensor,
    goal_b: Tensor,
    embodiment: Tensor,
    base_action: Tensor,
) -> Tensor:
    """Return what residual policies and the generalist see, (B, F).

    The base head's features, velocity and last command in actions of the robot's limits, and the base head's answer.

    Args:
        latent: (B, L).
        base_action: (B, 3) mean of the base head; the others as ``spaces.OBSERVATION_SHAPES``.
    """
    features = base_features(latent, route_xy_b_m=route_xy_b_m, goal_b=goal_b)
    speeds = [command_to_action(velocity_b, embodiment), command_to_action(previous_command, embodiment)]
    return torch.cat([features, *speeds, base_action], dim=-1)


@dataclass(frozen=True, kw_only=True)
class BaseHeadConfig:
    """Sizes of the base head."""

    latent_size: int
    hidden: tuple[int, ...] = (256, 256)
    modes: int = 3
    """Left of it, right of it, stop: a single Gaussian would answer with the average and hit the obstacle."""
    sharpness: float = 6.0
    """Inverse temperature of the mode choice at inference; finite, so that the answer stays continuous."""
    correction: float = 1.0
    """Share of what it has learned that it answers with: how much of it helps is decided in closed loop"""
    silent: bool = False
    """Answer 0 to everything: what is learned on top of it is learned from scratch"""


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
    """Features -> Gaussian over actions of the robot's limits; equal to the way's own action until it has learned."""

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
        with torch.no_grad():  # modes that begin alike would stay alike; their mean is the way's action all the same
            turn = torch.linspace(-_APART, _APART, config.modes)
            last.bias[config.modes :].unflatten(0, (config.modes, COMMAND_SIZE))[:, 2] = torch.atanh(turn)
        self.log_std = nn.Parameter(torch.full((COMMAND_SIZE,), -1.0))

    def silenced(self) -> "BaseHead":
        """Return a copy that answers 0."""
        return self._with(silent=True)

    def corrected(self, action: float) -> "BaseHead":
        """Return a copy that answers with the way and this action of what it has learned."""
        return self._with(correction=action)

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
