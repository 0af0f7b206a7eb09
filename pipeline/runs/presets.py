"""Sizes of a run: ``smoke`` (minutes, CI), ``laptop`` (the defaults of every ``Config``), ``workstation`` (one GPU)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.runs.discovery import unknown

DEFAULT_ROBOTS = ("tiago", "stretch3", "go2", "g1")
"""The robots of ``make all``; others are named with ``--embodiments``."""
EVALUATED_ROBOTS = (*DEFAULT_ROBOTS, "anymal_c")
"""The robots of the results: the last one is an unseen body, on which nothing was trained."""

SUMMARIES = {
    "smoke": "Every stage and robot at the smallest size that still runs every line; minutes.",
    "laptop": "Two cores, no GPU, sized for two hours. The default, and the defaults of every stage.",
    "workstation": "One GPU, budgets of COMPASS's size.",
}

# The same batch everywhere, so that the simulator compiles its kernels once per robot.
_SMOKE_ENVS = 8
_SMOKE_GROUND = {"goals_per_scene": 1, "starts_per_goal": 1}

_SMOKE: Mapping[str, Mapping[str, Any]] = {
    "make_scenes": {"train_scenes_per_kind": 2, "val_scenes_per_kind": 1, "hardness_episodes": 1},
    "collect_teacher": {
        "num_envs": _SMOKE_ENVS,
        "steps": 64,
        "shard_steps": 32,
        "mounts": 1,
        "goals_per_scene": 1,
        "starts_per_goal": 1,
    },
    "pretrain_world_model": {
        "steps": 12,
        "batch_sequences": 4,
        "val_sequences": 4,
        "warmup_steps": 4,
        "judge_every_steps": 6,
        "validation_envs": _SMOKE_ENVS,
        "validation_episodes": _SMOKE_ENVS,
    },
    "train_specialist": {
        "ppo": {
            "control_steps": 3 * 32 * _SMOKE_ENVS,
            "num_envs": _SMOKE_ENVS,
            "horizon": 32,
            "minibatch": 128,
            "epochs": 2,
            "critic_warmup_steps": 32 * _SMOKE_ENVS,
            "validation_episodes": _SMOKE_ENVS,
            "dagger": {"control_steps": 32 * _SMOKE_ENVS, "updates": 8, "batch": 64},
        },
        "environment": _SMOKE_GROUND,
    },
    "record_specialist": {"num_envs": _SMOKE_ENVS, "shards": 1, "shard_steps": 32, "environment": _SMOKE_GROUND},
    "distill_generalist": {
        "offline_updates": 20,
        "rounds": 1,
        "round_updates": 10,
        "round_steps": 32,
        "num_envs": _SMOKE_ENVS,
        "fit": {"batch": 128, "warmup_updates": 5},
        "environment": _SMOKE_GROUND,
    },
    "export_policy": {"parity_steps": 20},
    # One agent per kind: without a file, with one of its own robot, and the one for all.
    "evaluate_policy": {
        "episodes": 2,
        "scenes": ("office",),
        "route": ("planned",),
        "agents": ("go_straight", "specialist", "generalist"),
        "embodiments": DEFAULT_ROBOTS,
        "num_envs": _SMOKE_ENVS,
    },
    # Every film is a simulated scene of its own: one shows that filming works.
    "report": {"film_robots": ("tiago",)},
}

_WORKSTATION: Mapping[str, Mapping[str, Any]] = {
    "make_scenes": {"train_scenes_per_kind": 256, "val_scenes_per_kind": 32},
    "collect_teacher": {"num_envs": 512},
    "pretrain_world_model": {
        "steps": 40_000,
        "max_minutes": 480.0,
        "batch_sequences": 64,
        "warmup_steps": 1000,
        "judge_every_steps": 5000,
        "pool_frames": 1_500_000,
        "device": "cuda",
    },
    # COMPASS: 32 environments x 256 steps x 1000 iterations per specialist.
    "train_specialist": {
        "ppo": {
            "control_steps": 8_192_000,
            "num_envs": 1024,
            "horizon": 32,
            "minibatch": 8192,
        },
        "device": "cuda",
    },
    "record_specialist": {"num_envs": 512, "shards": 4, "device": "cuda"},
    "distill_generalist": {
        "offline_updates": 20_000,
        "rounds": 5,
        "round_updates": 5000,
        "num_envs": 512,
        "workers": 1,
        "device": "cuda",
    },
    "evaluate_policy": {"episodes": 640, "num_envs": 640, "workers": 1, "device": "cuda"},
}


def smoke(stage: str, config: Any) -> Any:
    """Return ``config`` with the smallest sizes that still run every line of a stage."""
    return _replace(config, _SMOKE.get(stage, {}))


def laptop(stage: str, config: Any) -> Any:
    """Return ``config`` unchanged: its defaults are this preset, and the reasons for them stand beside them."""
    return config


def workstation(stage: str, config: Any) -> Any:
    """Return ``config`` with budgets of COMPASS's size for one GPU."""
    return _replace(config, _WORKSTATION.get(stage, {}))


PRESETS: Mapping[str, Callable[[str, Any], Any]] = {"smoke": smoke, "laptop": laptop, "workstation": workstation}


def apply(preset: str, stage: str, config: Any) -> Any:
    """Return ``config`` in the sizes of a preset.

    Raises:
        ValueError: If there is no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(unknown("preset", preset, tuple(PRESETS)))
    return PRESETS[preset](stage, config)


def _replace(config: Any, sizes: Mapping[str, Any]) -> Any:
    """Replace fields; a mapping replaces fields of the dataclass that lies there."""
    values = {
        name: _replace(getattr(config, name), value) if isinstance(value, Mapping) else value
        for name, value in sizes.items()
    }
    return dataclasses.replace(config, **values)
