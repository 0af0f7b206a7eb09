"""What a PPO learner of any library is to the bench: its settings, its name, and what it can do."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Protocol

import torch

from pipeline.residual_rl.config import PpoConfig
from pipeline.residual_rl.vector_environment import BatchedEnvironment

BASELINE = "rllib"
"""The learner that specialists are trained with."""
_MODULES = {
    BASELINE: ("pipeline.learners.rllib_learner", "ray"),
    "stable_baselines3": ("pipeline.learners.stable_baselines_learner", "stable_baselines3"),
    "rsl_rl": ("pipeline.learners.rsl_learner", "rsl_rl"),
    "skrl": ("pipeline.learners.skrl_learner", "skrl"),
}
NAMES = tuple(_MODULES)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is the same for all learners."""

    ppo: PpoConfig
    gamma: float
    """Discount per control step"""
    hidden: tuple[int, ...]
    """Of actor and critic"""
    initial_log_std: float
    seed: int
    device: str = "cpu"

    @property
    def batch(self) -> int:
        """Control steps of one iteration, all environments together."""
        return self.ppo.horizon * self.ppo.num_envs

    @property
    def minibatch(self) -> int:
        """Transitions of one gradient step."""
        return min(self.ppo.minibatch, self.batch)


class Learner(Protocol):
    """PPO of one library on one batch of environments."""

    def iterate(self, *, actor_rate: float) -> None:
        """Sample one rollout and learn from it.

        Args:
            actor_rate: The actor's learning rate. RLlib keeps the same schedule by itself.
        """
        ...

    def mean_action(self, features: torch.Tensor) -> torch.Tensor:
        """Return the actions (B, A) without exploration for features (B, F)."""
        ...

    def close(self) -> None:
        """Give back what the library holds."""
        ...


def missing(name: str) -> str | None:
    """Return the package that a learner lacks, or None.

    Raises:
        ValueError: If there is no such learner.
    """
    if name not in _MODULES:
        raise ValueError(f"no learner '{name}'; there are {', '.join(NAMES)}")
    package = _MODULES[name][1]
    return None if importlib.util.find_spec(package) else package


def make(name: str, environment: BatchedEnvironment, settings: Settings) -> Learner:
    """Build a learner on an environment; its library is imported here."""
    learner: Learner = importlib.import_module(_MODULES[name][0]).make(environment, settings)
    return learner
