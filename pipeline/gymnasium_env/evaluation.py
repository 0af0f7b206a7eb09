"""``crossbody/NavigationEvaluation-v0``: exactly the episodes of ``evaluate_policy``, each once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embodiments import registry as robots
from pipeline.evaluation.episodes.plan import Job, Plan, draw, shards
from pipeline.evaluation.episodes.runner import begin_rollout, config_of, enter
from pipeline.gymnasium_env.options import base_policy, make_job
from pipeline.gymnasium_env.vector_environment import NavigationVectorEnv
from pipeline.runs.discovery import unknown
from pipeline.simulation.navigation.config import Conditions, Protocol
from pipeline.simulation.navigation.environment import NavigationEnvironment

ROUTES = ("straight", "planned")


def make(
    *,
    num_envs: int = 64,
    embodiment: str = "tiago",
    scenes: Sequence[str] = ("office",),
    split: str = "test",
    episodes: int = 64,
    route: Sequence[str] = ROUTES,
    protocol: Protocol = "compass",
    conditions: Conditions = "nominal",
    base: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> NavigationVectorEnv:
    """Draw an evaluation's episodes and build its simulation, one per process.

    The same options as ``evaluate_policy``'s give the same episodes, seeds and order. ``num_envs`` counts: an
    evaluation is cut into shards by it. A reset begins one rollout, the episodes of one shard on one route, the longest
    first; an environment without an episode left stands idle, with reward 0. ``rollouts`` has the ``options`` of all
    resets, such as ``{"route": "straight", "shard": 0}``; without options the first one runs.

    Args: As ``training.make``, with a tuple for ``route``; dynamics and sensor noise are nominal.

    Raises:
        ValueError: If an option does not fit, or the process already holds a simulation.
        FileNotFoundError: If a map, mesh or base policy does not exist.
    """
    if isinstance(route, str) or not route:
        raise ValueError(f"route is {route!r}; give a tuple of routes, such as {ROUTES}.")
    for name in route:
        if name not in ROUTES:
            raise ValueError(unknown("route", name, ROUTES))
    job = make_job(
        embodiment=embodiment,
        scenes=scenes,
        split=split,
        episodes=episodes,
        routes=route,
        protocol=protocol,
        conditions=conditions,
        seed=seed,
        num_envs=num_envs,
        device=device,
    )
    policy = base_policy(base, device=device)
    rollouts = _Rollouts(job)
    navigation = enter(None, rollouts.plan, job, config=config_of(job))
    return NavigationVectorEnv(
        navigation, rollouts.plan, begin=rollouts.begin, base=policy, rollouts=rollouts.every_options()
    )


class _Rollouts:
    """The rollouts of an evaluation; ``plan`` is that of the present shard."""

    def __init__(self, job: Job) -> None:
        self._job, self._shard = job, 0
        self.plan = self._draw()

    def every_options(self) -> list[dict[str, Any]]:
        count = len(shards(self._job))
        return [{"route": route, "shard": shard} for shard in range(count) for route in self._job.routes]

    def begin(self, navigation: NavigationEnvironment, seed: int | None, options: Mapping[str, Any]) -> Plan:
        """Enter the shard's scenes, if another one was there, and prepare the rollout."""
        job, rollouts = self._job, self.every_options()
        rollout = rollouts[0] | dict(options)
        if rollout not in rollouts:
            raise ValueError(
                f"no rollout {rollout} in this evaluation; `rollouts` has all, the last is {rollouts[-1]}."
            )
        if seed not in (None, job.seed):
            raise ValueError(f"reset(seed={seed}): an evaluation has one seed, {job.seed}; give make_vec another.")
        if rollout["shard"] != self._shard:
            self._shard = rollout["shard"]
            self.plan = self._draw()
            enter(navigation, self.plan, job, config=navigation.config)
        begin_rollout(navigation, self.plan, job, route=rollout["route"], shard=self._shard)
        return self.plan

    def _draw(self) -> Plan:
        return draw(self._job, robots.get(self._job.embodiment), shard=self._shard)
