"""RLlib's PPO on an environment that is already there, and how fast it runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from ray.rllib.algorithms.ppo import PPO

from pipeline.residual_rl import algorithm
from pipeline.residual_rl.cluster import connected
from pipeline.residual_rl.config import DaggerWarmUpConfig, PpoConfig
from pipeline.residual_rl.training import dispose
from pipeline.residual_rl.vector_environment import BatchedEnvironment, ResidualVectorEnvironment
from world_model.residual_head import CriticConfig, ResidualHeadConfig

_built: list[BatchedEnvironment] = []
"""RLlib makes its environment itself, from plain values; this is how it finds the one that is there."""


@contextmanager
def algorithm_on(
    environment: BatchedEnvironment,
    ppo: PpoConfig,
    *,
    gamma: float,
    seed: int,
    actor: ResidualHeadConfig,
    device: str,
) -> Iterator[PPO]:
    """Yield the algorithm in this process, without DAgger warm-up; Ray runs meanwhile.

    Args:
        actor: The residual head; the critic's hidden layers are as wide.
    """
    critic = CriticConfig(
        feature_size=environment.feature_size, privileged_size=environment.privileged_size, hidden=actor.hidden
    )
    module_config = {"actor": asdict(actor), "critic": asdict(critic), "active": list(environment.active)}
    _built[:] = [environment]
    with connected():
        learner = algorithm.build(
            replace(ppo, env_runners=0, dagger=DaggerWarmUpConfig(control_steps=0)),
            gamma=gamma,
            seed=seed,
            environment=_take,
            environment_config={"reward_scale": ppo.reward_scale},
            module_config=module_config,
            device=device,
        )
        try:
            yield learner
        finally:
            dispose(learner)
            _built.clear()


def training_hz(environment: BatchedEnvironment, ppo: PpoConfig, *, iterations: int, device: str) -> float:
    """Return control steps per second, sampling and learning together, after one iteration that does not count."""
    ppo = replace(ppo, critic_warmup_steps=1)
    actor = ResidualHeadConfig(feature_size=environment.feature_size)
    with algorithm_on(environment, ppo, gamma=0.99, seed=0, actor=actor, device=device) as learner:
        learner.train()
        began_s = time.perf_counter()
        for _ in range(iterations):
            learner.train()
        return iterations * ppo.num_envs * ppo.horizon / (time.perf_counter() - began_s)


def _take(settings: dict[str, Any]) -> ResidualVectorEnvironment:
    return ResidualVectorEnvironment(_built[0], reward_scale=settings["reward_scale"])
