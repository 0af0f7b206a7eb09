"""RLlib's PPO on an environment that is already there, and how fast it runs."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from ray.rllib.algorithms.ppo import PPO

from pipeline.residual_rl import algorithm
from pipeline.residual_rl.cluster import connected
from pipeline.residual_rl.config import DaggerWarmUpConfig, PpoConfig
from pipeline.residual_rl.training import dispose
from pipeline.residual_rl.vector_environment import BatchedEnvironment, ResidualVectorEnvironment
from world_model.residual_head import CriticConfig, ResidualHeadConfig

MakeBatch = Callable[[int], BatchedEnvironment]

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
    with connected():
        learner = _build(environment, ppo, gamma=gamma, seed=seed, actor=actor, device=device)
        try:
            yield learner
        finally:
            dispose(learner)
            _built.clear()


def _build(
    environment: BatchedEnvironment,
    ppo: PpoConfig,
    *,
    gamma: float,
    seed: int,
    actor: ResidualHeadConfig,
    device: str,
    make: MakeBatch | None = None,
) -> PPO:
    """Build the algorithm on the environment, or, with ``make``, on others like it in ``ppo.env_runners`` processes."""
    critic = CriticConfig(
        feature_size=environment.feature_size, privileged_size=environment.privileged_size, hidden=actor.hidden
    )
    _built[:] = [environment]
    return algorithm.build(
        replace(ppo, env_runners=ppo.env_runners if make else 0, dagger=DaggerWarmUpConfig(control_steps=0)),
        gamma=gamma,
        seed=seed,
        environment=partial(_make, make) if make else _take,
        environment_config={"reward_scale": ppo.reward_scale},
        module_config={"actor": asdict(actor), "critic": asdict(critic), "active": list(environment.active)},
        device=device,
    )


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


def runners_hz(
    environment: BatchedEnvironment,
    ppo: PpoConfig,
    *,
    make: MakeBatch,
    counts: Sequence[int],
    iterations: int,
    device: str,
) -> dict[int, float]:
    """Return control steps per second with 0 environment runners, in this process, and with each of ``counts``.

    One batch is as large with all of them. All algorithms are built first and then take turns, so that other load on
    the machine affects all alike; the median of the iterations counts.

    Args:
        environment: For 0 runners; the others' are like it.
        make: Makes a runner's environment from the runner's index; picklable.
    """
    ppo, actor = replace(ppo, critic_warmup_steps=1), ResidualHeadConfig(feature_size=environment.feature_size)
    seconds: dict[int, list[float]] = {count: [] for count in (0, *counts)}
    with connected(slots=sum(counts)), ExitStack() as stack:
        learners = {}
        for count in seconds:
            learners[count] = _build(
                environment,
                replace(ppo, env_runners=count),
                gamma=0.99,
                seed=0,
                actor=actor,
                device=device,
                make=make if count else None,
            )
            stack.callback(dispose, learners[count])
        for turn in range(-1, iterations):  # the first does not count
            for count, learner in learners.items():
                began_s = time.perf_counter()
                learner.train()
                if turn >= 0:
                    seconds[count].append(time.perf_counter() - began_s)
        batches = {count: int(learner.config.total_train_batch_size) for count, learner in learners.items()}
    _built.clear()
    return {count: batches[count] / statistics.median(values) for count, values in seconds.items()}


def _take(settings: dict[str, Any]) -> ResidualVectorEnvironment:
    return ResidualVectorEnvironment(_built[0], reward_scale=settings["reward_scale"])


def _make(make: MakeBatch, settings: dict[str, Any]) -> ResidualVectorEnvironment:
    return ResidualVectorEnvironment(make(int(settings["worker_index"])), reward_scale=settings["reward_scale"])
