"""PPO of stable-baselines3 with the specialists' networks and rates."""

from typing import Any

import torch
from stable_baselines3 import PPO
from torch import nn

from pipeline.gymnasium_env.stable_baselines_adapter import StableBaselinesVecEnv
from pipeline.learners import networks
from pipeline.learners.features_environment import FeaturesVectorEnv
from pipeline.learners.learner import Settings
from pipeline.residual_rl.vector_environment import BatchedEnvironment, ResidualVectorEnvironment


class StableBaselinesLearner:
    """Its own rollouts, buffer and updates."""

    def __init__(self, environment: BatchedEnvironment, settings: Settings) -> None:
        ppo = settings.ppo
        envs = FeaturesVectorEnv(ResidualVectorEnvironment(environment, reward_scale=ppo.reward_scale))
        self._batch = settings.batch
        self.model = PPO(
            "MlpPolicy",
            StableBaselinesVecEnv(envs),
            n_steps=ppo.horizon,
            batch_size=settings.minibatch,
            n_epochs=ppo.epochs,
            gamma=settings.gamma,
            gae_lambda=ppo.gae_lambda,
            clip_range=ppo.clip,
            ent_coef=ppo.entropy,
            vf_coef=0.5,
            max_grad_norm=ppo.gradient_norm,
            policy_kwargs={
                "net_arch": {"pi": list(settings.hidden), "vf": list(settings.hidden)},
                "activation_fn": nn.ELU,
                "log_std_init": settings.initial_log_std,
            },
            seed=settings.seed,
            device=settings.device,
        )
        self._put_in_networks(settings, features=environment.feature_size, actions=len(environment.active))

    def _put_in_networks(self, settings: Settings, *, features: int, actions: int) -> None:
        policy: Any = self.model.policy
        made = networks.build(settings, features=features, actions=actions)
        policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net = made.actor[:-1], made.critic[:-1]
        policy.action_net, policy.value_net = nn.Sequential(made.actor[-1], nn.Tanh()), made.critic[-1]
        policy.to(settings.device)
        actor = [policy.log_std, *made.actor.parameters()]
        policy.optimizer = networks.optimizer(actor, made.critic.parameters(), settings=settings)
        # Stable-baselines3 knows one rate for all parameters and would set it before every update.
        self.model._update_learning_rate = lambda optimizers: None  # type: ignore[method-assign]

    def iterate(self, *, actor_rate: float) -> None:
        """Sample and learn."""
        networks.set_actor_rate(self.model.policy.optimizer, actor_rate)
        self.model.learn(self._batch, reset_num_timesteps=False)

    def mean_action(self, features: torch.Tensor) -> torch.Tensor:
        """Return the policy's mean actions (B, A)."""
        policy: Any = self.model.policy
        action: torch.Tensor = policy._predict(features.to(policy.device), deterministic=True)
        return action

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def make(environment: BatchedEnvironment, settings: Settings) -> StableBaselinesLearner:
    """Build the learner."""
    return StableBaselinesLearner(environment, settings)
