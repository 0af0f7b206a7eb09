"""PPO's learner with what a zero-initialised residual needs: a critic that learns first, and on its own optimiser."""

from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner

from pipeline.residual_rl.module import ResidualModule

Schedule = list[list[float]]


def actor_schedule(*, learning_rate: float, warmup_steps: int, control_steps: int) -> Schedule:
    """Return RLlib's piecewise-linear schedule: 0 while only the critic learns, then down to a tenth at the end."""
    end = max(control_steps, warmup_steps + 2)
    return [[0, 0.0], [warmup_steps, 0.0], [warmup_steps + 1, learning_rate], [end, 0.1 * learning_rate]]


class ResidualLearner(PPOTorchLearner):
    """PPO with separate optimisers for actor and critic; the actor stands still during the critic's warm-up."""

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

    def _update_module_kl_coeff(self, *, module_id: str, config: PPOConfig, kl_loss: float) -> None:
        # During the warm-up KL is exactly 0; the coefficient would halve every iteration and be gone when it is needed.
        if kl_loss > 0.0:
            super()._update_module_kl_coeff(module_id=module_id, config=config, kl_loss=kl_loss)
