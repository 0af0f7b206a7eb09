"""The point environment with a tape of what really happened."""

from typing import Any

import numpy as np
import torch

from pipeline.learners.learner import Settings
from pipeline.residual_rl.config import PpoConfig
from pipeline.simulation.navigation.latent_step import LatentStep
from tests.pipeline.residual_rl.residual_dummy import PointEnvironment

ENVS, HORIZON, LIMIT = 4, 24, 7
PPO = PpoConfig(
    num_envs=ENVS,
    horizon=HORIZON,
    minibatch=32,
    epochs=2,
    control_steps=6 * ENVS * HORIZON,
    critic_warmup_steps=ENVS * HORIZON,
    actor_learning_rate=1e-2,
    reward_scale=0.5,
)
SETTINGS = Settings(ppo=PPO, gamma=0.9, hidden=(16, 16), initial_log_std=-1.0, seed=0)


class TapedEnvironment(PointEnvironment):
    """Remembers every step; its episodes are short, and most end by the time limit."""

    tape: list[LatentStep]

    def __init__(self, *, num_envs: int = ENVS, limit: int = LIMIT) -> None:
        self.tape = []
        super().__init__(num_envs=num_envs, seed=0, limit=limit)
        self.has_teacher = False  # the learners of other libraries see no labels

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Step, and remember."""
        step = super().step(residual_action)
        self.tape.append(step)
        return step

    def taped(self, name: str) -> np.ndarray:
        """Return (T, B, ...) of all steps; the first one was the reset."""
        return np.stack([_array(getattr(step, name)) for step in self.tape])

    def ended(self) -> np.ndarray:
        """Return (T, B) bool: an episode ended."""
        return self.taped("terminated") | self.taped("truncated")


def _array(value: Any) -> np.ndarray:
    array: np.ndarray = value.numpy().copy()
    return array
