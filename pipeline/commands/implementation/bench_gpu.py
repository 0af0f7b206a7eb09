"""Environment steps with their parts, a short specialist's training and a short distillation, each on its own."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from distill.config import FitConfig
from distill.fitting import Transitions, fit
from distill.generalist import Generalist, GeneralistConfig
from embodiments import registry
from embodiments.spaces import COMMAND_SIZE
from pipeline.commands.bench import Config as BenchConfig
from pipeline.commands.bench_gpu import Config
from pipeline.commands.implementation import bench
from pipeline.residual_rl.config import PpoConfig
from pipeline.runs import time_limit
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.runs.progress import progress
from pipeline.runs.provenance import describe
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from world_model import anticipation, atomic_files
from world_model.anticipation import Anticipation
from world_model.base_head import policy_feature_size
from world_model.config import WorldModelConfig
from world_model.fixed_batches import ROWS_AT_ONCE, by_rows
from world_model.rssm import WorldModel

LEAST_S = 1.0
"""With less time left a part is not begun."""
TRANSITIONS = 20_000
"""Rows per robot that are distilled"""
PARTS_MS = ("physics_ms", "rays_ms", "graph_ms", "network_ms", "rest_ms")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One measurement."""

    name: str
    limit_s: float
    measure: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]


def main(config: Config) -> None:
    """Measure part by part; write and print what was found.

    Raises:
        ValueError: If no part was finished.
    """
    results: dict[str, dict[str, Any]] = {}
    ends_s = time.monotonic() + config.limit_s
    parts = plan(config)
    with progress(len(parts), "bench_gpu") as bar:
        for part in parts:
            left_s = ends_s - time.monotonic()
            if left_s < LEAST_S:
                results[part.name] = {time_limit.FAILED: f"not begun: {config.limit_s:.0f} s were over"}
            else:
                results[part.name] = time_limit.within(min(part.limit_s, left_s), part.measure, *part.arguments)
            _write(config, results)
            bar.advance(1)
    for name, figures in results.items():
        print(f"{name:<20} " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    if all(time_limit.FAILED in figures for figures in results.values()):
        raise ValueError(f"bench_gpu: no part was finished; the first: {next(iter(results.values()))}")


def plan(config: Config) -> list[Part]:
    """Return the parts; the smallest size, training and distillation come first, for time may run out."""

    def environments(size: int) -> Part:
        return Part(
            name=f"environments {size}", limit_s=config.environment_s, measure=measure, arguments=(config, size)
        )

    sizes = sorted(config.envs)
    size = sizes[min(1, len(sizes) - 1)]
    return [
        environments(sizes[0]),
        Part(name="training", limit_s=config.training_s, measure=train, arguments=(config, size)),
        Part(name="distillation", limit_s=config.distillation_s, measure=distill, arguments=(config,)),
        *map(environments, sizes[1:]),
    ]


def measure(config: Config, size: int) -> dict[str, Any]:
    """Return control steps per second of a batch, and the milliseconds of a step by part.

    ``physics`` and ``rays`` are the simulator's steps and the ray casts alone; ``graph`` is the policy's step from
    depth to plan and features, without ``network``, the anticipation network; ``rest`` is what is left of the step.
    """
    began_s = time.perf_counter()
    environment = _environment(config, size)
    built_s = time.perf_counter() - began_s
    spent = bench.seconds(_calls(environment), times=config.control_steps)
    policy = {"graph": spent["policy"] - spent["network"], "network": spent["network"]}
    parts = {"physics": spent["physics"], "rays": spent["rays"], **policy}
    parts["rest"] = spent["step"] - sum(parts.values())
    milliseconds = {f"{name}_ms": round(1e3 * value, 3) for name, value in {"step": spent["step"], **parts}.items()}
    return {
        "num_envs": size,
        "steps_hz": round(size / spent["step"], 1),
        **milliseconds,
        **_memory(config.device),
        "build_s": round(built_s, 1),
    }


def train(config: Config, size: int) -> dict[str, Any]:
    """Return control steps per second of PPO on a batch, sampling and learning together."""
    from pipeline.residual_rl import throughput

    environment = _environment(config, size)
    ppo = replace(PpoConfig(), num_envs=size, horizon=config.horizon)
    rate = throughput.training_hz(environment, ppo, iterations=config.iterations, device=config.device)
    return {"num_envs": size, "horizon": config.horizon, "steps_hz": round(rate, 1), **_memory(config.device)}


def distill(config: Config) -> dict[str, Any]:
    """Return updates per second of the distillation, on random transitions of the default robots."""
    torch.manual_seed(0)
    sizes = WorldModelConfig()
    feature_size = policy_feature_size(WorldModel(sizes).latent_size)
    student = Generalist(GeneralistConfig(feature_size=feature_size)).to(config.device)
    robots = {name: _transitions(name, feature_size) for name in DEFAULT_ROBOTS}
    times_s: list[float] = []
    settings = FitConfig()
    # The loss that ``fit`` reports is a number, so the device has finished.
    fit(
        student,
        robots,
        settings,
        updates=config.updates + 1,
        seed=0,
        report=lambda *_: times_s.append(time.perf_counter()),
    )
    rate = config.updates / (times_s[-1] - times_s[0])
    return {"batch": settings.batch, "updates_hz": round(rate, 2), "transitions_hz": round(rate * settings.batch, 1)}


def _environment(config: Config, size: int) -> LatentEnvironment:
    sizes = BenchConfig(device=config.device, scenes_per_kind=config.scenes_per_kind)
    return bench.build(sizes, config.robot, size)


def _calls(environment: LatentEnvironment) -> dict[str, Callable[[], object]]:
    """Return the step of the training environment and its parts."""
    navigation, base = environment.environment, environment.base
    casts = bench.Casts(navigation)
    observation = environment.reset().observation
    count, device = environment.num_envs, environment.device
    still = torch.zeros(count, COMMAND_SIZE, device=device)
    state = base.initial_state(count)
    network = base.world_model.anticipation
    assert network is not None
    square = torch.rand(count, anticipation.INPUTS, anticipation.SIDE, anticipation.SIDE, device=device)
    rows = ROWS_AT_ONCE if device == "cpu" else count
    return {
        "step": lambda: environment.step(still),
        "physics": lambda: navigation.physics.step(bench.PHYSICS_STEPS),
        "rays": casts.repeat,
        "policy": torch.no_grad()(lambda: by_rows(base.step, observation, state)),
        "network": lambda: _answers(network, square, rows),
    }


@torch.no_grad()
def _answers(network: Anticipation, square: Tensor, rows: int) -> list[Tensor]:
    return [network(part) for part in square.split(rows)]


def _transitions(robot: str, feature_size: int) -> Transitions:
    """Return random rows of one robot."""
    descriptor = torch.from_numpy(registry.get(robot).descriptor())
    return Transitions(
        features=torch.randn(TRANSITIONS, feature_size),
        descriptor=descriptor.repeat(TRANSITIONS, 1),
        mean=torch.rand(TRANSITIONS, COMMAND_SIZE) * 2.0 - 1.0,
        log_std=torch.full((TRANSITIONS, COMMAND_SIZE), -1.0),
    )


def _memory(device: str) -> dict[str, float]:
    """Return what is taken of the GPU's memory by everything that runs on it."""
    if not device.startswith("cuda"):
        return {}
    free, total = torch.cuda.mem_get_info()
    return {"gpu_memory_gb": round((total - free) / 1e9, 2)}


def _write(config: Config, results: dict[str, dict[str, Any]]) -> None:
    """Write what is known so far."""
    machine = describe()
    machine["machine"]["load"] = os.getloadavg()[0]
    if config.device.startswith("cuda"):
        machine["machine"]["gpu"] = torch.cuda.get_device_name()
    settings = {name: value for name, value in vars(config).items() if name != "out"}
    config.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**machine, "config": settings, "results": results}, indent=2, default=str)
    atomic_files.write_text(config.out, text + "\n")
