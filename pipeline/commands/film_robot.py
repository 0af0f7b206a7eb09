"""Film one robot through one episode, small enough for a page; ``report`` starts it once per robot."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from embodiments import registry as robots
from pipeline.runs import atomic_files
from pipeline.runs.stage import Command


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
    camera: Literal["simulator", "rays"] = "simulator"
    """The simulator's own camera needs OpenGL (EGL); rays need nothing and take a few times longer"""
    seed: int = 0
    key: str = ""
    """Kept beside the film: what it was made from"""


def main(config: Config) -> None:
    """Write the film and what it shows.

    Raises:
        FileNotFoundError: If the policy does not exist.
    """
    from pipeline.evaluation.video.robot_film import (  # the simulator, which the command line's help does not need
        Shot,
        film,
    )

    if not config.policy.is_file():
        raise FileNotFoundError(f"no exported policy {config.policy}; make it with: python -m pipeline export_policy")
    config.out.parent.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    shot = Shot(
        embodiment=robots.get(config.embodiment),
        policy=config.policy,
        scene=config.scene,
        route=config.route,
        split=config.split,
        seed=config.seed,
        camera=config.camera,
    )
    facts = film(shot, config.out)
    facts |= {"embodiment": config.embodiment, "scene": config.scene, "route": config.route, "split": config.split}
    facts |= {"agent": config.policy.stem.partition("_")[0], "camera": config.camera}
    facts |= {"key": config.key, "wall_s": round(time.monotonic() - started_s, 1)}
    atomic_files.write_text(config.out.with_suffix(".json"), json.dumps(facts))
    print(f"wrote {config.out}: {facts['ending']} after {facts['time_s']} s, filmed in {facts['wall_s']} s")


COMMAND = Command(config=Config, main=main, is_internal=True)
