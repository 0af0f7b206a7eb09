"""A small batched environment with the latent environment's interface: reach a point with a wrong base policy."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from pipeline.residual_rl.vector_environment import OUTCOMES, ResidualVectorEnvironment
from pipeline.simulation.navigation.latent_step import LatentStep

FEATURES = 12


class PointEnvironment:
    """A point that moves by shares; the base policy drives to the goal but veers, which a residual can mend."""

    def __init__(
        self, *, num_envs: int, seed: int, privileged_size: int = 0, limit: int = 30, settles: bool = True
    ) -> None:
        self.num_envs, self.device, self._settles = num_envs, "cpu", settles
        self.feature_size, self.privileged_size, self.active = FEATURES, privileged_size, (0, 2)
        self.has_teacher = True
        self._generator = torch.Generator().manual_seed(seed)
        self._limit = limit
        self._goal = torch.zeros(num_envs, 2)
        self._age = torch.zeros(num_envs, dtype=torch.long)
        self._ended = torch.ones(num_envs, dtype=torch.bool)
        self._numbers: list[int] | None = None
        self._episode = torch.zeros(num_envs, dtype=torch.long)
        self._restart(self._ended)

    def reset(self) -> LatentStep:
        """Begin a new episode everywhere."""
        self._ended[:] = True
        return self.step(torch.zeros(self.num_envs, 3))

    def assign_validation(self, episodes: int) -> np.ndarray:
        """Let a reset begin episodes 0 to ``episodes`` - 1, each once."""
        self._generator.manual_seed(0)
        self._numbers = list(range(episodes))
        return np.arange(episodes)

    def outcome_episode(self) -> torch.Tensor:
        """Return the number (B,) of the running episode, -1 where none is left, 0 outside of a trial."""
        return self._episode

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Move by 0.2 x share, except where the last episode ended."""
        first = self._ended.clone()
        self._restart(first)
        last = self._goal.norm(dim=1)
        share = (self._base() + residual_action).clamp(-1.0, 1.0)
        moved = self._goal - 0.2 * share[:, [0, 2]]
        self._goal = torch.where(first[:, None], self._goal, moved)
        self._age += (~first).long()
        distance, idle = self._goal.norm(dim=1), self._episode < 0
        success, collision = (distance < 0.2) & ~first & ~idle, (distance > 4.0) & ~first & ~idle
        truncated = (self._age >= self._limit) & ~success & ~collision & ~idle
        self._ended = success | collision | truncated
        reward = ((last - distance) + 2.0 * success - 2.0 * collision) * ~first
        never = torch.zeros_like(first)
        ends = {"success": success, "collision": collision, "fall": never, "timeout": truncated, "broken": never}
        assert tuple(ends) == OUTCOMES
        features, privileged = self._features(), self._goal.repeat(1, 8)[:, : self.privileged_size]
        return LatentStep(
            observation=None,  # type: ignore[arg-type]
            features=features,
            privileged=privileged,
            teacher_action=self._teacher(),
            reward=reward,
            terminated=success | collision,
            truncated=truncated,
            first=first,
            outcome=SimpleNamespace(episode=self._episode, success_settled=success & self._settles, **ends),
        )

    def _teacher(self) -> torch.Tensor:
        """Return the shares of driving straight to the goal."""
        share = torch.zeros(self.num_envs, 3)
        share[:, [0, 2]] = (5.0 * self._goal).clamp(-0.7, 0.7)
        return share

    def _base(self) -> torch.Tensor:
        direction = self._goal / self._goal.norm(dim=1, keepdim=True).clamp(min=1e-6)
        veered = torch.stack([direction[:, 1], -direction[:, 0]], dim=1)
        share = torch.zeros(self.num_envs, 3)
        share[:, [0, 2]] = 0.1 * direction + 0.5 * veered
        return share

    def _features(self) -> torch.Tensor:
        base = self._base()
        return torch.cat([self._goal, self._goal.tanh(), torch.zeros(self.num_envs, FEATURES - 7), base], dim=1)

    def _restart(self, mask: torch.Tensor) -> None:
        angle = torch.rand(self.num_envs, generator=self._generator) * 6.2832
        fresh = 2.0 * torch.stack([angle.cos(), angle.sin()], dim=1)
        self._goal = torch.where(mask[:, None], fresh, self._goal)
        self._age = torch.where(mask, 0, self._age)
        if self._numbers is not None:
            for environment in mask.nonzero()[:, 0].tolist():
                self._episode[environment] = self._numbers.pop(0) if self._numbers else -1


def make(config: dict[str, Any]) -> ResidualVectorEnvironment:
    """Build the batch from RLlib's plain dict."""
    seed = config["seed"] + 1000 * config["worker_index"]
    environment = PointEnvironment(num_envs=config["num_envs"], seed=seed, privileged_size=config["privileged_size"])
    return ResidualVectorEnvironment(environment, reward_scale=config["reward_scale"])
