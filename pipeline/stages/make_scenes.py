"""Stage: draw the scenes that training and validation happen in, and measure how hard they are."""

from dataclasses import dataclass, field, replace

from pipeline.runs.stage import Later, Stage
from scenes import registry


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which scenes, and how many."""

    kinds: tuple[str, ...] = field(default_factory=registry.names)
    """Scene kinds; by default all that exist"""
    train_scenes_per_kind: int = 32
    """With five kinds 160 rooms and halls: more than enough that none is learnt by heart"""
    val_scenes_per_kind: int = 8
    """For tuning; test scenes are drawn at evaluation and never stored"""
    hardness_episodes: int = 4
    """Per validation scene and robot, to measure how hard the scenes are"""
    seed: int = 0


def _smoke(config: Config) -> Config:
    return replace(config, train_scenes_per_kind=2, val_scenes_per_kind=1, hardness_episodes=1)


def _workstation(config: Config) -> Config:
    return replace(config, train_scenes_per_kind=256, val_scenes_per_kind=32)


STAGE = Stage(
    config=Config,
    run=Later("pipeline.stages.implementation.make_scenes", "run"),
    presets={"smoke": _smoke, "workstation": _workstation},
)
