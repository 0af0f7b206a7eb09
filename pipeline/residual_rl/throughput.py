"""How fast PPO runs on an environment that is already there."""

import time
from dataclasses import asdict, replace
from typing import Any

from pipeline.residual_rl import algorithm
from pipeline.residual_rl.config import DaggerWarmUpConfig, PpoConfig
from pipeline.residual_rl.side_by_side import connected
from pipeline.residual_rl.training import dispose
from pipeline.residual_rl.vector_environment import BatchedEnvironment, ResidualVectorEnvironment
from world_model.residual_head import CriticConfig, ResidualHeadConfig

_built: list[BatchedEnvironment] = []
"""RLlib makes its environment itself, from plain values; this is how it finds the one that is measured."""


def training_hz(environment: BatchedEnvironment, ppo: PpoConfig, *, iterations: int, device: str) -> float:
    """Return control steps per second, sampling and learning together, after one iteration that does not count."""
    module_config = {
        "actor": asdict(ResidualHeadConfig(feature_size=environment.feature_size)),
        "critic": asdict(
            CriticConfig(feature_size=environment.feature_size, privileged_size=environment.privileged_size)
        ),
        "active": list(environment.active),
    }
    _built[:] = [environment]
    with connected():
        learner = algorithm.build(
            replace(ppo, env_runners=0, critic_warmup_steps=1, dagger=DaggerWarmUpConfig(control_steps=0)),
            gamma=0.99,
            seed=0,
            environment=_take,
            environment_config={"reward_scale": ppo.reward_scale},
            module_config=module_config,
            device=device,
        )
        try:
            learner.train()
            began_s = time.perf_counter()
            for _ in range(iterations):
                learner.train()
            return iterations * ppo.num_envs * ppo.horizon / (time.perf_counter() - began_s)
        finally:
            dispose(learner)
            _built.clear()


def _take(settings: dict[str, Any]) -> ResidualVectorEnvironment:
    return ResidualVectorEnvironment(_built[0], reward_scale=settings["reward_scale"])
