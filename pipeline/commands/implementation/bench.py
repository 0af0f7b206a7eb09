"""Time physics, ray casts, encoder and learning of one robot in one process."""

import itertools
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from embodiments import registry
from embodiments.observation import Observation
from embodiments.spaces import COMMAND_SIZE, CONTROL_HZ, PHYSICS_HZ
from pipeline.commands.bench import Config
from pipeline.residual_rl.config import PpoConfig
from pipeline.runs.processes import spawned
from pipeline.runs.progress import progress
from pipeline.runs.provenance import describe
from pipeline.simulation.navigation import training_environment
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.config import TrainingEnvironmentConfig
from pipeline.simulation.navigation.environment import NavigationEnvironment
from scenes import registry as scene_registry
from scenes.scene import Scene
from world_model import atomic_files
from world_model.base_head import BaseHead, BaseHeadConfig
from world_model.base_policy import BasePolicy
from world_model.config import AnticipationConfig, CollisionRiskConfig, WorldModelConfig
from world_model.rssm import WorldModel

PHYSICS_STEPS = round(PHYSICS_HZ / CONTROL_HZ)
WARM_UP_TURNS = 3
COLUMNS = {
    "environment_hz": "env steps/s",
    "physics_hz": "bare physics",
    "casts_hz": "bare casts",
    "encoder_hz": "encoder",
    "efficiency": "efficiency",
    "training_hz": "RL steps/s",
    "memory_gb": "peak GB",
}


def main(config: Config) -> None:
    """Measure every robot at every size, one after the other, and print a table."""
    results: list[dict[str, Any]] = []
    spread: list[dict[str, Any]] = []
    pairs = list(itertools.product(config.embodiments, config.sizes))
    for robot, _ in pairs:
        registry.get(robot)  # an unknown name fails before the first measurement
    # One process per measurement, so that peak memory is its own.
    with spawned(1) as pool, progress(len(pairs), "bench") as bar:
        for robot, size in pairs:
            results.append(pool.submit(measure, config, robot, size).result())
            if config.env_runners:
                spread += pool.submit(measure_runners, config, robot, size).result()
            bar.advance(1, robot=robot, envs=size)
    _print_table(results)
    if spread:
        _print_runners(spread)
    if config.out is not None:
        document = {**describe(), "results": results, "env_runners": spread}
        config.out.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_text(config.out, json.dumps(document, indent=2, default=str))


def measure(config: Config, robot: str, size: int) -> dict[str, Any]:
    """Build one batch and measure it; rates are control steps per second of the whole batch."""
    if config.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: config.cores])
    threads = config.cores or os.cpu_count() or 1
    torch.set_num_threads(threads)
    began_s = time.perf_counter()
    environment = build(config, robot, size)
    built_s = time.perf_counter() - began_s
    spent = _simulation_seconds(environment, steps=config.control_steps)
    figures = {f"{name}_hz": round(size / value, 1) for name, value in spent.items()}
    figures["efficiency"] = round((spent["physics"] + spent["casts"]) / spent["environment"], 3)
    if config.iterations:
        figures["training_hz"] = round(_training_hz(environment, config), 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux
    return {
        "embodiment": robot,
        "num_envs": size,
        "cores": threads,
        **figures,
        "memory_gb": round(peak, 2),
        "build_s": round(built_s, 1),
    }


def measure_runners(config: Config, robot: str, size: int) -> list[dict[str, Any]]:
    """Time PPO with environment runners against simulation in the training process; every process has a thread."""
    from pipeline.residual_rl import throughput

    torch.set_num_threads(1)
    found = throughput.runners_hz(
        build(config, robot, size),
        replace(PpoConfig(), num_envs=size),
        make=partial(build, config, robot, size),
        counts=config.env_runners,
        iterations=max(1, config.iterations),
        device=config.device,
    )
    about = {"embodiment": robot, "num_envs": size}
    return [
        {**about, "env_runners": count, "training_hz": round(rate, 1), "ratio": round(rate / found[0], 2)}
        for count, rate in found.items()
    ]


def build(config: Config, robot: str, size: int, seed: int = 0) -> LatentEnvironment:
    """Build the environment that specialists train in, behind an untrained base policy of the default size."""
    torch.manual_seed(0)
    sizes = WorldModelConfig(anticipation=AnticipationConfig().channels, collision_risk=CollisionRiskConfig().channels)
    world_model = WorldModel(sizes).eval().requires_grad_(False)
    head = BaseHead(BaseHeadConfig(latent_size=world_model.latent_size)).eval().requires_grad_(False)
    scenes: list[Scene] = []
    for kind in scene_registry.names():
        scenes += [scene_registry.generate(kind, split="train", index=n) for n in range(config.scenes_per_kind)]
    return training_environment.build(
        TrainingEnvironmentConfig(goals_per_scene=2),
        registry.get(robot),
        scenes=scenes,
        base=BasePolicy(world_model=world_model.to(config.device), head=head.to(config.device)),
        num_envs=size,
        seed=seed,
        privileged=True,
        device=config.device,
    )


def _simulation_seconds(environment: LatentEnvironment, *, steps: int) -> dict[str, float]:
    """Return seconds per control step of the batch: the whole step, without the encoder, and its parts."""
    navigation = environment.environment
    casts = Casts(navigation)
    observation = environment.reset().observation
    still = torch.zeros(environment.num_envs, COMMAND_SIZE, device=environment.device)
    action = environment.last.base_action.clamp(-1.0, 1.0)
    return seconds(
        {
            "environment": lambda: environment.step(still),
            "simulation": lambda: navigation.step(action),
            "physics": lambda: navigation.physics.step(PHYSICS_STEPS),
            "depth": lambda: navigation.render(),
            "casts": casts.repeat,
            "encoder": lambda: _encode(environment, observation),
        },
        times=steps,
    )


class Casts:
    """Records the ray caster's calls, to repeat the last one alone."""

    def __init__(self, navigation: NavigationEnvironment) -> None:
        caster = navigation.camera._raycaster
        self._cast = caster.cast
        caster.cast = self._record  # type: ignore[method-assign,assignment]

    def _record(self, *arguments: Any) -> Any:
        self._arguments = arguments
        return self._cast(*arguments)

    def repeat(self) -> None:
        """Cast the last rays again."""
        self._cast(*self._arguments)


@torch.no_grad()
def _encode(environment: LatentEnvironment, observation: Observation[torch.Tensor]) -> None:
    environment.base.world_model.observe_step(observation, environment.base.initial_state(environment.num_envs))


def seconds(calls: dict[str, Callable[[], object]], *, times: int) -> dict[str, float]:
    """Return the median seconds of each call; they take turns, so that other load on the machine affects all alike."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-WARM_UP_TURNS, times):
        for name, call in calls.items():
            began_s = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= 0:
                spent[name].append(time.perf_counter() - began_s)
    return {name: statistics.median(values) for name, values in spent.items()}


def _training_hz(environment: LatentEnvironment, config: Config) -> float:
    """Return control steps per second of PPO, sampling and learning together."""
    from pipeline.residual_rl import throughput

    ppo = replace(PpoConfig(), num_envs=environment.num_envs)
    return throughput.training_hz(environment, ppo, iterations=config.iterations, device=config.device)


def _print_table(results: list[dict[str, Any]]) -> None:
    head = f"{'robot':<10} {'envs':>5} " + " ".join(f"{title:>12}" for title in COLUMNS.values())
    print(head)
    for row in results:
        cells = " ".join(f"{row.get(name, '-'):>12}" for name in COLUMNS)
        print(f"{row['embodiment']:<10} {row['num_envs']:>5} {cells}")
    print("rates: control steps per second of the whole batch; efficiency: bare physics and casts / environment step")


def _print_runners(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'robot':<10} {'envs':>5} {'runners':>8} {'RL steps/s':>12} {'ratio':>6}")
    for row in rows:
        figures = f"{row['env_runners']:>8} {row['training_hz']:>12} {row['ratio']:>6.2f}"
        print(f"{row['embodiment']:<10} {row['num_envs']:>5} {figures}")
    print(
        "runners: environment runners of one specialist, one process each; ratio: to simulation in its own process (0)"
    )
