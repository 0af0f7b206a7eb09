"""PPO of RLlib's new API stack, configured for a residual policy over a natively batched environment."""

import logging
from collections.abc import Callable
from typing import Any

from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.tune.registry import register_env

from pipeline.residual_rl.config import RUNNER_CPUS, PpoConfig, actor_rates
from pipeline.residual_rl.env_runner import BatchedEnvRunner
from pipeline.residual_rl.learner import ResidualLearner
from pipeline.residual_rl.module import ResidualModule
from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment

ENVIRONMENT = "crossbody-residual"
RESTARTS = 4
"""Of each environment runner"""


def build(
    config: PpoConfig,
    *,
    gamma: float,
    seed: int,
    environment: Callable[[dict[str, Any]], ResidualVectorEnvironment],
    environment_config: dict[str, Any],
    module_config: dict[str, Any],
    device: str,
    env_runner: type[SingleAgentEnvRunner] = BatchedEnvRunner,
) -> PPO:
    """Build the algorithm, environments included.

    Args:
        config: PPO's settings.
        gamma: Discount per control step.
        seed: Of sampling, learning and (plus the worker's index) the environments.
        environment: Makes the batch from ``environment_config`` and ``num_envs``, ``worker_index``; must be picklable.
        environment_config: Plain values only.
        module_config: See ``ResidualModule``.
        device: Torch device of the learner.
        env_runner: RLlib's own class works too, slower; it is the oracle in the tests.
    """
    logging.getLogger("ray.rllib").setLevel(logging.ERROR)  # it announces its own API on every start
    register_env(ENVIRONMENT, environment)
    runners = config.env_runners
    horizon = max(8, config.horizon // max(1, runners))
    batch = horizon * config.num_envs * max(1, runners)
    algorithm = (
        PPOConfig()
        .environment(
            ENVIRONMENT,
            env_config=dict(environment_config),
            disable_env_checking=True,
            normalize_actions=False,  # actions are clipped in one place: the environment, and later the exported graph
            clip_actions=False,
        )
        .env_runners(
            env_runner_cls=env_runner,
            num_env_runners=runners,
            num_cpus_per_env_runner=RUNNER_CPUS,
            num_envs_per_env_runner=config.num_envs,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=horizon,
            sample_timeout_s=1800.0,  # the first sample includes the simulator's compilation
        )
        .training(**_learning(config, gamma=gamma, batch=batch))
        .rl_module(rl_module_spec=RLModuleSpec(module_class=ResidualModule, model_config=module_config))
        .learners(num_learners=0, num_gpus_per_learner=1 if device.startswith("cuda") else 0)
        .debugging(seed=seed, log_level="ERROR")
    )
    return _fault_tolerant(algorithm).build_algo()


def _learning(config: PpoConfig, *, gamma: float, batch: int) -> dict[str, Any]:
    """Return RLlib's options of one update on ``batch`` control steps."""
    return {
        "train_batch_size_per_learner": batch,
        "minibatch_size": min(config.minibatch, batch),
        "num_epochs": config.epochs,
        "gamma": gamma,
        "lambda_": config.gae_lambda,
        "clip_param": config.clip,
        "vf_clip_param": float("inf"),
        "vf_loss_coeff": 0.5,
        "entropy_coeff": config.entropy,
        "use_kl_loss": True,
        "kl_coeff": 0.2,
        "kl_target": config.kl_target,
        "grad_clip": config.gradient_norm,
        "grad_clip_by": "norm",
        "learner_class": ResidualLearner,
        "learner_config_dict": {
            "actor": actor_rates(config),
            "critic": config.critic_learning_rate,
            "dagger": config.dagger,
        },
    }


def _fault_tolerant(algorithm: PPOConfig) -> PPOConfig:
    """Bound every retry: RLlib's defaults would hide a deterministic crash for hours."""
    return algorithm.fault_tolerance(
        restart_failed_env_runners=algorithm.num_env_runners > 0,
        max_num_env_runner_restarts=RESTARTS,
        delay_between_env_runner_restarts_s=2.0,
        num_consecutive_env_runner_failures_tolerance=3,
        restart_failed_sub_environments=False,  # would rebuild the simulator inside the same process
        env_runner_health_probe_timeout_s=120.0,
    )
