"""Train every learner in a process of its own on the specialists' environment, and print a table."""

import json
from dataclasses import asdict
from typing import Any

import torch

from embodiments import registry
from embodiments.embodiment import Embodiment
from pipeline.commands.bench_learners import Config
from pipeline.learners import comparison, learner
from pipeline.learners.learner import Settings
from pipeline.residual_rl.config import PpoConfig
from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from pipeline.runs.processes import spawned
from pipeline.runs.progress import progress
from pipeline.runs.provenance import ROOT, describe
from pipeline.simulation.navigation import training_environment
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment, load_base
from pipeline.simulation.navigation.config import TrainingEnvironmentConfig
from pipeline.simulation.navigation.task import build_task
from scenes import registry as scene_registry
from scenes.scene import Scene
from world_model import atomic_files
from world_model.base_policy import BasePolicy

SHIPPED_BASE = ROOT / "export" / "pretrained" / "base.onnx"
MEND = ".venv/bin/pip install -r requirements-learners.txt"
COLUMNS = {
    "environment_hz": "env steps/s",
    "training_hz": "RL steps/s",
    "learner_s": "learner s/M",
    "learner_ratio": "to rllib",
    "learner_cpu_s": "CPU s/M",
    "training_success": "with noise",
    "success": "success",
    "settled": "settled",
}


def main(config: Config) -> None:
    """Measure every learner that is installed, one after the other, and print a table.

    Raises:
        ValueError: If an option does not fit, or none of the learners is installed.
    """
    _check(config)
    chosen = _installed(config.learners)
    results: list[dict[str, Any]] = []
    with spawned(1) as pool, progress(len(chosen), "bench_learners") as bar:
        for name in chosen:
            # All would validate the same base policy in the same episodes: the first one does.
            results.append(pool.submit(measure, config, name, validates_base=not results).result())
            bar.advance(1, learner=name)
    base = results[0].pop("base", None)
    results = comparison.with_ratios(results)
    _print_table(results, base)
    for line in comparison.verdicts(results):
        print(line)
    if config.out is not None:
        found = {**describe(), "config": asdict(config), "base": base, "results": results}
        config.out.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_text(config.out, json.dumps(found, indent=2, default=str))


def _check(config: Config) -> None:
    registry.get(config.embodiment)
    if not config.learners:
        raise ValueError("bench_learners needs at least one of --learners")
    if config.num_envs < 2:
        raise ValueError(f"num_envs is {config.num_envs}; at least 2 are needed, skrl resets a single one itself")
    if settings(config).batch % settings(config).minibatch:
        raise ValueError(
            f"horizon x num_envs is {settings(config).batch}, no multiple of the minibatch {config.minibatch}; "
            "learners would treat the rest differently"
        )


def _installed(names: tuple[str, ...]) -> list[str]:
    """Return those learners whose package is there; name the others.

    Raises:
        ValueError: If none is left.
    """
    found = []
    for name in dict.fromkeys(names):
        if package := learner.missing(name):
            print(f"{name} is left out: the package {package} is not installed; {MEND}")
        else:
            found.append(name)
    if not found:
        raise ValueError(f"none of the learners is installed; {MEND}")
    return found


def settings(config: Config) -> Settings:
    """Return what is the same for all learners."""
    ppo = PpoConfig(
        control_steps=config.control_steps,
        num_envs=config.num_envs,
        horizon=config.horizon,
        minibatch=config.minibatch,
        epochs=config.epochs,
        critic_warmup_steps=config.critic_warmup_steps,
    )
    return Settings(
        ppo=ppo,
        gamma=config.discount_at_1_mps ** registry.get(config.embodiment).limits.forward_mps,
        hidden=config.hidden,
        initial_log_std=config.initial_log_std,
        seed=config.seed,
        device=config.device,
    )


def measure(config: Config, name: str, *, validates_base: bool) -> dict[str, Any]:
    """Train one learner and try what it learned; ``base`` holds the same of the policy without it."""
    torch.set_num_threads(config.threads)
    environment = _environment(config)
    with comparison.trained(name, environment, settings(config)) as (made, figures):
        if config.validation_episodes == 0:
            return figures
        vector = ResidualVectorEnvironment(environment, reward_scale=1.0)
        environment.environment.enter(_validation_task(config))
        figures |= _validate(vector, made.mean_action, config)
    if validates_base:
        still = torch.zeros(config.num_envs, len(environment.active))
        figures["base"] = _validate(vector, lambda features: still, config)
    return figures


def _validate(vector: ResidualVectorEnvironment, action: Any, config: Config) -> dict[str, Any]:
    counts = vector.validate_actions(action, episodes=config.validation_episodes)
    return {
        "success": round(float(counts.success.mean()), 4),
        "settled": round(counts.rate, 4),
        "validation_episodes": len(counts.success),
    }


def _environment(config: Config) -> LatentEnvironment:
    return training_environment.build(
        TrainingEnvironmentConfig(),
        registry.get(config.embodiment),
        scenes=_scenes("train", config.train_scenes_per_kind),
        base=_base(config),
        num_envs=config.num_envs,
        seed=config.seed,
        device=config.device,
    )


def _validation_task(config: Config) -> Any:
    """Return episodes as in training, in scenes that nobody trained in."""
    settings = TrainingEnvironmentConfig()
    embodiment: Embodiment = registry.get(config.embodiment)
    return build_task(
        embodiment,
        _scenes("val", config.val_scenes_per_kind),
        protocol="compass",
        per_scene=settings.goals_per_scene * settings.starts_per_goal,
        starts_per_goal=settings.starts_per_goal,
        route="mixed",
        seed=settings.episode_seed,
    )


def _scenes(split: Any, per_kind: int) -> list[Scene]:
    scenes: list[Scene] = []
    for kind in scene_registry.names():
        scenes += [scene_registry.generate(kind, split=split, index=number) for number in range(per_kind)]
    return scenes


def _base(config: Config) -> BasePolicy:
    if config.base is not None:
        return load_base(config.base, device=config.device)
    from export import networks

    graph = networks.read(SHIPPED_BASE.read_bytes(), where=str(SHIPPED_BASE)).graph
    for part in (graph.world_model, graph.base_head):
        part.to(config.device).requires_grad_(False)
    return BasePolicy(world_model=graph.world_model, head=graph.base_head)


def _print_table(results: list[dict[str, Any]], base: dict[str, Any] | None) -> None:
    rows = [*results, *([{"learner": "base", **base}] if base else [])]
    width = max(len(row["learner"]) for row in rows)
    print(f"{'learner':<{width}} " + " ".join(f"{title:>12}" for title in COLUMNS.values()))
    for row in rows:
        print(f"{row['learner']:<{width}} " + " ".join(f"{_cell(row, name):>12}" for name in COLUMNS))
    print(
        "rates: control steps per second of the whole batch; s/M: seconds outside of the environment's step per million"
    )
    print("control steps; medians of the iterations after the first. success, settled: without noise, on val scenes")


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return "-" if value is None else str(value)
