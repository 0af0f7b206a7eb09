"""Measure how hard scenes are: how often the straight way to the goal is blocked, how much longer the real one is."""

from dataclasses import dataclass

from pipeline.runs import presets
from pipeline.runs.stage import Command

_PER_SCENE = 4


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to measure."""

    scenes: tuple[str, ...] = ()
    """Scene kinds; empty: all"""
    embodiments: tuple[str, ...] = presets.DEFAULT_ROBOTS
    """A low, a narrow, a round and a tall body see different obstacles"""
    episodes: int = 64
    """Per kind and robot: a standard error of 6 points"""
    split: str = "val"
    """Tune on val, never on test"""
    seed: int = 0


def main(config: Config) -> None:
    """Print a table, one line per kind of scene and robot."""
    # the simulation, which the command line's help does not need
    from embodiments import registry as robots
    from pipeline.simulation.navigation.episodes import scene_fields
    from pipeline.simulation.navigation.hardness import measure, table
    from scenes import registry

    rows = []
    for kind in config.scenes or registry.names():
        count = max(1, config.episodes // _PER_SCENE)
        scenes = [registry.generate(kind, split=config.split, index=index) for index in range(count)]
        fields = [scene_fields(scene) for scene in scenes]
        for name in config.embodiments:
            rows.append(measure(robots.get(name), scenes, fields, per_scene=_PER_SCENE, seed=config.seed))
    print(table(rows))


COMMAND = Command(config=Config, main=main)
