"""The residual's first lessons: on its own way it is told what the privileged teacher would do (DAgger).

Source: Ross et al. 2011, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning".
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from embodiments.spaces import COMMAND_SIZE
from pipeline.residual_rl.config import DaggerWarmUpConfig
from world_model.residual_head import ResidualHead

_SCALE = 0.25
"""Of the Cauchy likelihood of the error, in shares. Where the teacher may go left or right, mean and median lie between
them, and a policy that answers so stands still before the obstacle. Beyond this scale the loss is concave: between two
answers is the worst place, and one of them is chosen."""


class DaggerWarmUp:
    """Remembers where the actor went and what the teacher would have done there, and fits the actor to it."""

    def __init__(self, config: DaggerWarmUpConfig, actor: ResidualHead, *, active: Sequence[int], seed: int) -> None:
        """Start with nothing; after a resume the rows are collected anew."""
        self._config, self._actor, self._active = config, actor, list(active)
        self._device = next(actor.parameters()).device
        self._features = torch.zeros(config.rows, actor.config.feature_size)
        self._share = torch.zeros(config.rows, COMMAND_SIZE)
        self._count = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._optimiser = torch.optim.Adam(actor.layers.parameters(), lr=config.learning_rate)

    def remember(self, episodes: Sequence[Any]) -> None:
        """Keep the rows of RLlib's episodes; an observation ends with the teacher's share."""
        observations = [torch.as_tensor(episode.get_observations()[:-1]) for episode in episodes]  # the last: no action
        rows = torch.cat(observations)[-self._config.rows :]
        place = (self._count + torch.arange(len(rows))) % self._config.rows
        self._features[place] = rows[:, : self._features.shape[1]]
        self._share[place] = rows[:, -COMMAND_SIZE:]
        self._count += len(rows)

    def teach(self, *, progress: float) -> float:
        """Fit the actor to the rows; return the mean loss.

        Args:
            progress: Share of the guided steps that is done; the learning rate falls to a tenth by the end.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate * (1.0 - 0.9 * min(1.0, progress))
        known, total = min(self._count, self._config.rows), 0.0
        for _ in range(self._config.updates):
            index = torch.randint(known, (min(self._config.batch, known),), generator=self._generator)
            loss = self._loss(self._features[index].to(self._device), self._share[index].to(self._device))
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._actor.layers.parameters(), 1.0)
            self._optimiser.step()
            total += float(loss.detach())
        return total / self._config.updates

    def _loss(self, features: Tensor, share: Tensor) -> Tensor:
        residual, _ = self._actor(features)
        answered = features[:, -COMMAND_SIZE:] + residual  # (N, 3)
        squared = (answered - share)[:, self._active].square().sum(dim=1)  # of all dimensions: they are chosen together
        return torch.log1p(squared / _SCALE**2).mean()
