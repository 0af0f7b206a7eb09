"""Film one robot through one episode, small enough for a page; ``report`` and ``demo`` start it once per robot."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from embodiments import registry as robots
from pipeline.runs import manifest
from pipeline.runs.stage import Command
from pipeline.simulation.navigation.config import Conditions
from world_model import atomic_files


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is filmed."""

    policy: Path
    """Exported policy that drives"""
    embodiment: Annotated[str, arg(name="embodiments")]
    out: Path
    """The film, FILE.mp4; beside it FILE.jpg, one frame of it, and FILE.json, what it shows"""
    scene: str = "office"
    """Scene kind or path of a Nav2 map"""
    route: Literal["straight", "planned"] = "planned"
    split: Literal["train", "val", "test"] = "val"
    """The test split is for the table"""
    seed: int = 0
    """Number of the scene in its split, and seed of the episodes"""
    conditions: Conditions = "nominal"
    """In ``field`` people walk there, and sensors err"""
    candidates: int = 1
    """Episodes that are drawn; the one with the longest path is filmed, whatever its ending"""
    key: str = ""
    """Written beside the film: hash of what it was made from"""


def main(config: Config) -> None:
    """Write the film and what it shows.

    Raises:
        FileNotFoundError: If the policy does not exist.
        ValueError: If there is no episode to draw.
    """
    # the simulator, which the command line's help does not need
    from pipeline.evaluation.video.robot_film import film

    if not config.policy.is_file():
        raise FileNotFoundError(f"no exported policy {config.policy}; make it with: python -m pipeline export_policy")
    if config.candidates < 1:
        raise ValueError(f"--candidates must be at least 1, found {config.candidates}")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    shown = film(
        robots.get(config.embodiment),
        config.out,
        policy=config.policy,
        scene=config.scene,
        route=config.route,
        split=config.split,
        seed=config.seed,
        candidates=config.candidates,
        conditions=config.conditions,
    )
    shown |= {"embodiment": config.embodiment, "scene": config.scene, "route": config.route, "split": config.split}
    shown |= {"agent": config.policy.stem.partition("_")[0], "policy_sha256": manifest.hash_file(config.policy)}
    shown |= {
        "conditions": config.conditions,
        "policy": config.policy.name,
        "candidates": config.candidates,
        "seed": config.seed,
    }
    shown |= {"key": config.key, "wall_s": round(time.monotonic() - started_s, 1)}
    shown |= {"cpu_s": round(time.process_time(), 1)}
    atomic_files.write_text(config.out.with_suffix(".json"), json.dumps(shown))
    print(f"wrote {config.out}: {shown['ending']} after {shown['time_s']} s, filmed in {shown['wall_s']} s")


COMMAND = Command(config=Config, main=main, is_internal=True)
