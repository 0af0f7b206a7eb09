"""Our own learner: RLlib's PPO as specialists are trained with it, without privileged inputs and labels."""

from contextlib import ExitStack

import torch

from pipeline.learners.learner import Settings
from pipeline.residual_rl import throughput
from pipeline.residual_rl.module import ResidualModule
from pipeline.residual_rl.vector_environment import BatchedEnvironment
from world_model.residual_head import ResidualHeadConfig


class RllibLearner:
    """``residual_rl.algorithm`` on an environment that is already there."""

    def __init__(self, environment: BatchedEnvironment, settings: Settings) -> None:
        self._stack = ExitStack()
        self._algorithm = self._stack.enter_context(
            throughput.algorithm_on(
                environment,
                settings.ppo,
                gamma=settings.gamma,
                seed=settings.seed,
                actor=ResidualHeadConfig(
                    feature_size=environment.feature_size,
                    hidden=settings.hidden,
                    initial_log_std=settings.initial_log_std,
                ),
                device=settings.device,
            )
        )

    def iterate(self, *, actor_rate: float) -> None:
        """Sample and learn; RLlib follows the schedule of the actor's rate by itself."""
        del actor_rate
        self._algorithm.train()

    def mean_action(self, features: torch.Tensor) -> torch.Tensor:
        """Return the residual head's mean actions (B, A)."""
        module = self._algorithm.get_module()
        assert isinstance(module, ResidualModule)
        mean, _ = module.actor(features.to(next(module.actor.parameters()).device))
        return mean[:, module.active]

    def close(self) -> None:
        """Stop RLlib and Ray."""
        self._stack.close()


def make(environment: BatchedEnvironment, settings: Settings) -> RllibLearner:
    """Build the learner; Ray runs until it is closed."""
    return RllibLearner(environment, settings)
