"""Actor and critic as the specialists have them, for libraries that bring networks of their own."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from pipeline.learners.learner import Settings
from world_model.residual_head import mlp, zero_last_layer

ADAM_EPSILON = 1e-5
"""As in ``residual_rl.learner``"""


class Networks(NamedTuple):
    """Three linear layers each, with ELU in between."""

    actor: nn.Sequential
    """(B, F) -> (B, A); its mean action is the tanh of it, 0 at first"""
    critic: nn.Sequential
    """(B, F) -> (B, 1)"""


def build(settings: Settings, *, features: int, actions: int) -> Networks:
    """Return networks with the initial weights of ``ResidualHead`` and ``Critic``; a seed gives the same ones."""
    torch.manual_seed(settings.seed)
    networks = Networks(mlp(features, settings.hidden, actions), mlp(features, settings.hidden, 1))
    zero_last_layer(networks.actor)
    return networks


def optimizer(
    actor: Iterable[nn.Parameter], critic: Iterable[nn.Parameter], *, settings: Settings
) -> torch.optim.Optimizer:
    """Return Adam with a learning rate each for actor and critic; ``set_actor_rate`` sets the actor's."""
    groups = [{"params": list(actor), "lr": 0.0}, {"params": list(critic), "lr": settings.ppo.critic_learning_rate}]
    return torch.optim.Adam(groups, eps=ADAM_EPSILON)


def set_actor_rate(adam: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the actor and its log std."""
    adam.param_groups[0]["lr"] = rate
