"""PPO of skrl with the specialists' networks and rates."""

import logging
import tempfile
from typing import Any

import torch
from skrl import logger
from skrl.agents.torch.ppo import PPO, PPO_CFG
from skrl.envs.wrappers.torch import Wrapper
from skrl.memories.torch import RandomMemory
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from skrl.trainers.torch import StepTrainer
from torch import nn

from pipeline.learners import networks
from pipeline.learners.features_environment import BlankedEnvironment
from pipeline.learners.learner import Settings
from pipeline.residual_rl.vector_environment import BatchedEnvironment, ResidualVectorEnvironment
from world_model.descriptor import gaussian_log_std_bounds


class SkrlEnvironment(Wrapper):
    """skrl's contract; every end is a termination, because skrl bootstraps or goes on over what is truncated."""

    def __init__(self, environment: BlankedEnvironment) -> None:
        super().__init__(environment.environment)
        self._blanked = environment
        self._device = torch.device(environment.device)

    def reset(self) -> tuple[torch.Tensor, dict[str, Any]]:
        """Begin a new episode everywhere; return features (B, F)."""
        return self._blanked.reset(), {}

    def step(self, actions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Any]:
        """Step with residual actions (B, A); rewards and ends are (B, 1)."""
        features, reward, ended = self._blanked.step(actions)
        ended = ended[:, None]
        return features, reward[:, None], ended, torch.zeros_like(ended), {}

    def state(self) -> None:
        """Return no privileged state."""

    def render(self, *args: Any, **kwargs: Any) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave the simulation, which ends with its process."""

    @property
    def observation_space(self) -> Any:
        """Space of one environment's features, (F,)."""
        return self._blanked.environment.single_observation_space

    @property
    def action_space(self) -> Any:
        """Space of one environment's actions, (A,)."""
        return self._blanked.environment.single_action_space


class Actor(GaussianMixin, Model):
    """The residual head in skrl's form."""

    def __init__(self, layers: nn.Module, *, initial_log_std: float, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self, clip_log_std=False)
        self.layers = layers
        self.log_std = nn.Parameter(torch.full((self.num_actions,), initial_log_std))

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[torch.Tensor, dict[str, Any]]:
        """Return mean actions (B, A) within ±1 and their log std."""
        mean = torch.tanh(self.layers(inputs["observations"]))
        return mean, {"log_std": gaussian_log_std_bounds(self.log_std)}


class Value(DeterministicMixin, Model):
    """The critic in skrl's form."""

    def __init__(self, layers: nn.Module, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.layers = layers

    def compute(self, inputs: dict[str, Any], role: str = "") -> tuple[torch.Tensor, dict[str, Any]]:
        """Return values (B, 1)."""
        return self.layers(inputs["observations"]), {}


class SkrlLearner:
    """Its own agent, memory and step-by-step trainer; nothing is logged."""

    def __init__(self, environment: BatchedEnvironment, settings: Settings) -> None:
        logger.setLevel(logging.WARNING)
        ppo = settings.ppo
        vector = ResidualVectorEnvironment(environment, reward_scale=ppo.reward_scale)
        blanked = BlankedEnvironment(vector, device=settings.device)
        env = SkrlEnvironment(blanked)
        made = networks.build(settings, features=blanked.feature_size, actions=blanked.action_size)
        spaces = {
            "observation_space": env.observation_space,
            "action_space": env.action_space,
            "device": settings.device,
        }
        self._actor = Actor(made.actor, initial_log_std=settings.initial_log_std, **spaces)
        critic = Value(made.critic, **spaces)
        self._horizon = ppo.horizon
        self.agent = PPO(
            models={"policy": self._actor, "value": critic},
            memory=RandomMemory(memory_size=ppo.horizon, num_envs=env.num_envs, device=settings.device),
            cfg=_config(settings),
            **spaces,
        )
        self.agent.optimizer = networks.optimizer(self._actor.parameters(), critic.parameters(), settings=settings)
        quiet = {"headless": True, "disable_progressbar": True, "close_environment_at_exit": False}
        self._trainer = StepTrainer(env=env, agents=self.agent, cfg=quiet)

    def iterate(self, *, actor_rate: float) -> None:
        """Sample and learn."""
        networks.set_actor_rate(self.agent.optimizer, actor_rate)
        for _ in range(self._horizon):
            self._trainer.train()

    def mean_action(self, features: torch.Tensor) -> torch.Tensor:
        """Return the actor's mean actions (B, A)."""
        mean, _ = self._actor.compute({"observations": features.to(self._actor.device)})
        return mean

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def _config(settings: Settings) -> PPO_CFG:
    ppo = settings.ppo
    nowhere = {"directory": tempfile.gettempdir(), "write_interval": 0, "checkpoint_interval": 0}
    return PPO_CFG(
        rollouts=ppo.horizon,
        learning_epochs=ppo.epochs,
        mini_batches=settings.batch // settings.minibatch,
        discount_factor=settings.gamma,
        gae_lambda=ppo.gae_lambda,
        learning_rate=ppo.critic_learning_rate,
        grad_norm_clip=ppo.gradient_norm,
        ratio_clip=ppo.clip,
        value_clip=0.0,
        entropy_loss_scale=ppo.entropy,
        value_loss_scale=0.5,
        experiment=nowhere,
    )


def make(environment: BatchedEnvironment, settings: Settings) -> SkrlLearner:
    """Build the learner."""
    return SkrlLearner(environment, settings)
