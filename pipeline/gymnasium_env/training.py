"""``crossbody/Navigation-v0``: episodes sampled at random, to train in."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from embodiments import registry as robots
from pipeline.evaluation.episodes.plan import Plan, draw
from pipeline.evaluation.episodes.runner import config_of, enter
from pipeline.gymnasium_env.options import base_policy, make_job
from pipeline.gymnasium_env.vector_environment import NavigationVectorEnv
from pipeline.runs.discovery import unknown
from pipeline.simulation.navigation.config import Conditions, Protocol
from pipeline.simulation.navigation.environment import NavigationEnvironment
from pipeline.simulation.physics.randomisation import nominal, training

ROUTES = {"straight": ("straight",), "planned": ("planned",), "mixed": ("straight", "planned")}
"""Value of ``route`` -> the routes that the episodes get; mixed: every episode is there with either."""


def make(
    *,
    num_envs: int = 1,
    embodiment: str = "tiago",
    scenes: Sequence[str] = ("office",),
    split: str = "train",
    episodes: int = 64,
    route: str = "mixed",
    protocol: Protocol = "compass",
    conditions: Conditions = "nominal",
    randomise: bool = True,
    base: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> NavigationVectorEnv:
    """Draw the episodes and build the simulation, one per process. Takes about 0.2 s per episode, and the build.

    Args:
        num_envs: Environments in the batch.
        embodiment: The robot.
        scenes: Scene kinds, or paths of Nav2 maps or meshes.
        split: No scene and no episode is in two splits.
        episodes: Different start and goal pairs per scene kind or file, in up to 64 scenes; they are sampled again
            and again.
        route: straight, planned, or mixed.
        protocol: compass or pointnav.
        conditions: nominal, or field with people, sensor errors, narrow doors and moved furniture.
        randomise: Vary friction, mass, motors, latency, camera, odometry and the descriptor as in training.
        base: Folder of a base policy: its features are the observations, and actions are added to its own.
        seed: Of the episodes, and of everything random until ``reset`` gets another.
        device: Where the simulation runs.

    Raises:
        ValueError: If an option does not fit, or the process already holds a simulation.
        FileNotFoundError: If a map, mesh or base policy does not exist.
    """
    if route not in ROUTES:
        raise ValueError(unknown("route", route, tuple(ROUTES)))
    job = make_job(
        embodiment=embodiment,
        scenes=scenes,
        split=split,
        episodes=episodes,
        routes=ROUTES[route],
        protocol=protocol,
        conditions=conditions,
        seed=seed,
        num_envs=num_envs,
        device=device,
    )
    policy = base_policy(base, device=device)
    plan = draw(job, robots.get(embodiment))
    block = training() if randomise else nominal()
    config = replace(config_of(job), randomisation=block, settle_s=0.0, measures_energy=False)
    navigation = enter(None, plan, job, config=config)

    def begin(navigation: NavigationEnvironment, seed: int | None, options: Mapping[str, Any]) -> Plan:
        if options:
            raise ValueError(f"reset of crossbody/Navigation-v0 takes no options; found {', '.join(options)}.")
        if seed is not None:
            navigation.reseed(seed)
        return plan

    return NavigationVectorEnv(navigation, plan, begin=begin, base=policy)
