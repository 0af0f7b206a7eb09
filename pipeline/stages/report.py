"""Stage: one self-contained page about a run, ``report.html``, and its tables for the README, ``tables.md``.

Whatever of the run is not finished yet is left out and named. Also about an evaluation by itself:
``python -m pipeline report --evaluation DIR --out DIR``.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.runs.stage import Later, Stage
from pipeline.simulation.navigation.config import Conditions

ROBUSTNESS = "evaluate_robustness/robustness.json"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the page is called, and what is filmed."""

    title: str = "One navigation policy for many bodies"
    evaluation: Path | None = None
    """A finished evaluation to show, instead of the run's own or without a run"""
    films: bool = True
    """A short film of each robot: about half a minute of one core each, made once per policy"""
    film_robots: tuple[str, ...] = ()
    """Robots that are filmed; none: all that were evaluated"""
    film_scene: str = "office"
    """Scene kind or path of a Nav2 map"""
    film_route: Literal["straight", "planned"] = "planned"
    """Planned is what a robot with a map is given"""
    film_conditions: Conditions | None = None
    """In ``field`` people walk there; by default as in the evaluation"""
    seed: int = 0
    """Which scene and episode is filmed"""


def _smoke(config: Config) -> Config:
    return replace(config, film_robots=("tiago",))  # one film shows that filming works; each is a simulated scene


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.report", "run"),
    reads_if_there=(
        "make_scenes",
        "record_surroundings",
        "train_anticipation",
        "record_drives",
        "train_collision_risk",
        "collect_teacher",
        "pretrain_world_model",
        "train_specialist",
        "record_specialist",
        "distill_generalist",
        "export_policy",
        "evaluate_policy",
    ),
    reads_files_if_there=(ROBUSTNESS,),
    presets={"smoke": _smoke},
)
