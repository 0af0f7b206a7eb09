"""What both environments are made of: an evaluation's job, from options of the same names as ``evaluate_policy``'s."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from embodiments import registry as robots
from pipeline.evaluation.episodes.plan import Job
from pipeline.runs.discovery import unknown
from pipeline.simulation.navigation.base_policy_environment import load_base
from pipeline.simulation.navigation.config import Conditions, Protocol
from scenes import registry as scene_kinds
from world_model.base_policy import BasePolicy


def make_job(
    *,
    embodiment: str,
    scenes: Sequence[str],
    split: str,
    episodes: int,
    routes: Sequence[str],
    protocol: Protocol,
    conditions: Conditions,
    seed: int,
    num_envs: int,
    device: str,
) -> Job:
    """Return the job whose plan has the episodes.

    Raises:
        ValueError: If a robot, a scene or a value does not exist; the line says what does.
    """
    robots.get(embodiment)
    if isinstance(scenes, str) or not scenes:
        raise ValueError(f"scenes is {scenes!r}; give a tuple of scene kinds or paths, such as ('office',).")
    for name in scenes:
        if not scene_kinds.is_map(name):
            scene_kinds.generate(name, split=split, index=0)
    known: dict[str, tuple[str, tuple[str, ...]]] = {
        "split": (split, scene_kinds.SPLITS),
        "protocol": (protocol, get_args(Protocol)),
        "conditions": (conditions, get_args(Conditions)),
    }
    for option, (value, values) in known.items():
        if value not in values:
            raise ValueError(unknown(option, value, values))
    for option, count in (("episodes", episodes), ("num_envs", num_envs)):
        if count < 1:
            raise ValueError(f"{option} is {count}; at least 1 is needed.")
    return Job(
        embodiment=embodiment,
        agents=(),
        policies={},
        scenes=tuple(scenes),
        split=split,
        episodes=episodes,
        routes=tuple(routes),
        protocol=protocol,
        conditions=conditions,
        seed=seed,
        num_envs=num_envs,
        device=device,
        folder="",
    )


def base_policy(folder: str | Path | None, *, device: str) -> BasePolicy | None:
    """Return the base policy in a folder that ``pretrain_world_model`` published; None without a folder.

    Raises:
        FileNotFoundError: If there is none.
    """
    return None if folder is None else load_base(Path(folder), device=device)
