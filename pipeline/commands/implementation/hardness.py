"""Measure kinds of scenes for robots and print a table."""

from embodiments import registry as robots
from pipeline.commands.hardness import Config
from pipeline.simulation.navigation.episodes import scene_fields
from pipeline.simulation.navigation.hardness import measure, table
from scenes import registry

_PER_SCENE = 4


def main(config: Config) -> None:
    """Print a table, one line per kind of scene and robot."""
    rows = []
    for kind in config.scenes or registry.names():
        count = max(1, config.episodes // _PER_SCENE)
        scenes = [registry.generate(kind, split=config.split, index=index) for index in range(count)]
        fields = [scene_fields(scene) for scene in scenes]
        for name in config.embodiments:
            rows.append(measure(robots.get(name), scenes, fields, per_scene=_PER_SCENE, seed=config.seed))
    print(table(rows))
