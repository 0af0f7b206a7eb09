"""PPO of rsl_rl with the specialists' networks and rates."""

import contextlib
import math
import os
from pathlib import Path
from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict
from torch import nn

from pipeline.learners import networks
from pipeline.learners.features_environment import BlankedEnvironment
from pipeline.learners.learner import Settings
from pipeline.residual_rl.vector_environment import BatchedEnvironment, ResidualVectorEnvironment

_GROUP = "features"
_LOG_STD_RANGE = (-4.0, 0.5)
"""As in ``world_model.descriptor.gaussian_log_std_bounds``"""


class RslVecEnv(VecEnv):
    """rsl_rl's contract; ``time_outs`` stay out of the extras, so running out of time is not bootstrapped."""

    def __init__(self, environment: BlankedEnvironment) -> None:
        self._environment = environment
        self.num_envs, self.num_actions, self.device = environment.num_envs, environment.action_size, environment.device
        self.max_episode_length = 0  # ends come from the environment
        self.episode_length_buf = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        self.cfg: dict[str, Any] = {}
        self._features = environment.reset()

    def get_observations(self) -> TensorDict:
        """Return the features (B, F) of the last step."""
        return TensorDict({_GROUP: self._features}, batch_size=[self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Step with residual actions (B, A)."""
        self._features, reward, ended = self._environment.step(actions)
        return self.get_observations(), reward, ended, {}


class RslLearner:
    """Its own runner, storage and updates; nothing is logged."""

    def __init__(self, environment: BatchedEnvironment, settings: Settings) -> None:
        vector = ResidualVectorEnvironment(environment, reward_scale=settings.ppo.reward_scale)
        env = RslVecEnv(BlankedEnvironment(vector, device=settings.device))
        torch.manual_seed(settings.seed)
        with _silent():
            self.runner = OnPolicyRunner(env, _runner_settings(settings), log_dir=None, device=settings.device)
        self._put_in_networks(settings, features=environment.feature_size, actions=env.num_actions)

    def _put_in_networks(self, settings: Settings, *, features: int, actions: int) -> None:
        algorithm = self.runner.alg
        made = networks.build(settings, features=features, actions=actions)
        algorithm.actor.mlp.load_state_dict(made.actor.state_dict())
        algorithm.critic.mlp.load_state_dict(made.critic.state_dict())
        algorithm.actor.mlp.append(nn.Tanh())
        algorithm.optimizer = networks.optimizer(
            algorithm.actor.parameters(), algorithm.critic.parameters(), settings=settings
        )

    def iterate(self, *, actor_rate: float) -> None:
        """Sample and learn."""
        networks.set_actor_rate(self.runner.alg.optimizer, actor_rate)
        with _silent():
            self.runner.learn(1)

    def mean_action(self, features: torch.Tensor) -> torch.Tensor:
        """Return the actor's mean actions (B, A)."""
        seen = TensorDict({_GROUP: features.to(self.runner.device)}, batch_size=[len(features)])
        action: torch.Tensor = self.runner.alg.actor(seen)
        return action

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def _runner_settings(settings: Settings) -> dict[str, Any]:
    ppo = settings.ppo
    network = {"class_name": "MLPModel", "hidden_dims": list(settings.hidden), "activation": "elu"}
    low, high = _LOG_STD_RANGE
    noise = {
        "class_name": "GaussianDistribution",
        "init_std": math.exp(settings.initial_log_std),
        "std_type": "log",
        "std_range": (math.exp(low), math.exp(high)),
    }
    return {
        "seed": settings.seed,
        "num_steps_per_env": ppo.horizon,
        "save_interval": 1_000_000,  # required, but without effect
        "obs_groups": {"actor": [_GROUP], "critic": [_GROUP]},
        "actor": {**network, "distribution_cfg": noise},
        "critic": dict(network),
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": ppo.epochs,
            "num_mini_batches": settings.batch // settings.minibatch,
            "clip_param": ppo.clip,
            "gamma": settings.gamma,
            "lam": ppo.gae_lambda,
            "value_loss_coef": 0.5,
            "entropy_coef": ppo.entropy,
            "max_grad_norm": ppo.gradient_norm,
            "use_clipped_value_loss": False,
            "schedule": "fixed",
        },
    }


@contextlib.contextmanager
def _silent() -> Any:
    """Drop what rsl_rl prints."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def make(environment: BatchedEnvironment, settings: Settings) -> RslLearner:
    """Build the learner."""
    return RslLearner(environment, settings)
