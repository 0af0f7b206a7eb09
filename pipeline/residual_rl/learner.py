"""PPO's learner for a zero-initialised residual: a DAgger warm-up, and a critic that learns before the actor."""

from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME

from pipeline.residual_rl.config import DaggerWarmUpConfig
from pipeline.residual_rl.dagger_warm_up import DaggerWarmUp
from pipeline.residual_rl.module import ResidualModule

DAGGER_LOSS = "dagger_loss"
"""Mean loss of the actor on the teacher's labels."""


class ResidualLearner(PPOTorchLearner):
    """PPO with separate optimisers for actor and critic; PPO leaves the actor alone during the critic's warm-up.

    Meanwhile the teacher's labels move it, where there are any.
    """

    _dagger: DaggerWarmUp | None = None

    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        """Register one Adam for the actor and one for the critic, so that neither's gradients clip the other's."""
        assert config is not None
        module = self.module[module_id].unwrapped()
        assert isinstance(module, ResidualModule)
        rates: dict[str, Any] = config.learner_config_dict
        for name, part in (("actor", module.actor), ("critic", module.critic)):
            parameters = [p for p in part.parameters() if p.requires_grad]
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=torch.optim.Adam(parameters, eps=1e-5),
                params=parameters,
                lr_or_lr_schedule=rates[name],
            )

    def update(
        self, *, training_data: TrainingData, timesteps: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Update critic and, after the warm-up, actor with PPO; the actor with the teacher's labels until then."""
        config: DaggerWarmUpConfig = self.config.learner_config_dict["dagger"]
        done = int((timesteps or {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        if done >= config.control_steps:
            self._dagger = None
            return super().update(training_data=training_data, timesteps=timesteps, **options)
        dagger = self._dagger = self._dagger or self._begin_dagger(config)
        assert training_data.episodes is not None
        dagger.remember(training_data.episodes)  # before RLlib lengthens the episodes
        result = super().update(training_data=training_data, timesteps=timesteps, **options)
        loss = dagger.teach(progress=done / config.control_steps)
        self.metrics.log_value((DEFAULT_MODULE_ID, DAGGER_LOSS), loss, window=1)
        return result

    def _begin_dagger(self, config: DaggerWarmUpConfig) -> DaggerWarmUp:
        module = self.module[DEFAULT_MODULE_ID].unwrapped()
        return DaggerWarmUp(config, module.actor, active=module.active, seed=self.config.seed or 0)

    def _update_module_kl_coeff(self, *, module_id: str, config: PPOConfig, kl_loss: float) -> None:
        # During the warm-up KL is exactly 0; the coefficient would halve every iteration and be gone when it is needed.
        if kl_loss > 0.0:
            super()._update_module_kl_coeff(module_id=module_id, config=config, kl_loss=kl_loss)
