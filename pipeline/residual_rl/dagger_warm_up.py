"""DAgger warm-up: the privileged teacher labels the states that the actor drives to, and the actor imitates it.

Source: Ross et al. 2011, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning".
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from embodiments.spaces import COMMAND_SIZE
from pipeline.residual_rl.config import DaggerWarmUpConfig
from pipeline.residual_rl.vector_environment import FEATURES, TEACHER_ACTION
from world_model.base_head import base_action_of
from world_model.residual_head import ResidualHead

_SCALE = 0.25
"""Of the Cauchy likelihood of the error, in normalised actions. Where the teacher may go left or right, mean and median
lie between them, and such a policy stops before the obstacle. Beyond this scale the loss is concave: a point between
two labels costs most, and the actor settles on one of them."""


class DaggerWarmUp:
    """Remembers the features that the actor saw and the teacher's actions there, and fits the actor to them."""

    def __init__(self, config: DaggerWarmUpConfig, actor: ResidualHead, *, active: Sequence[int], seed: int) -> None:
        """Start with nothing; after a resume the transitions are collected anew."""
        self._config, self._actor, self._active = config, actor, list(active)
        self._device = next(actor.parameters()).device
        self._features = torch.zeros(config.rows, actor.config.feature_size)
        self._teacher_action = torch.zeros(config.rows, COMMAND_SIZE)
        self._count = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._optimiser = torch.optim.Adam(actor.layers.parameters(), lr=config.learning_rate)

    def remember(self, episodes: Sequence[Any]) -> None:
        """Keep the transitions of RLlib's episodes; the oldest give way."""
        seen = [episode.get_observations() for episode in episodes]
        features, teacher_action = (
            torch.cat([torch.as_tensor(each[name][:-1]) for each in seen])[-self._config.rows :]  # no action follows
            for name in (FEATURES, TEACHER_ACTION)
        )
        place = (self._count + torch.arange(len(features))) % self._config.rows
        self._features[place], self._teacher_action[place] = features, teacher_action
        self._count += len(features)

    def teach(self, *, progress: float) -> float:
        """Fit the actor to the transitions; return the mean loss.

        Args:
            progress: Fraction of the warm-up that is done; the learning rate falls to a tenth by the end.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * (1.0 - 0.9 * min(1.0, progress))
        known, total = min(self._count, self._config.rows), 0.0
        for _ in range(self._config.updates):
            index = torch.randint(known, (min(self._config.batch, known),), generator=self._generator)
            loss = self._loss(self._features[index].to(self._device), self._teacher_action[index].to(self._device))
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._actor.layers.parameters(), 1.0)
            self._optimiser.step()
            total += float(loss.detach())
        return total / self._config.updates

    def _loss(self, features: Tensor, teacher_action: Tensor) -> Tensor:
        residual, _ = self._actor(features)
        error = base_action_of(features) + residual - teacher_action  # (N, 3)
        squared = error[:, self._active].square().sum(dim=1)  # of all dimensions: they are chosen together
        return torch.log1p(squared / _SCALE**2).mean()
