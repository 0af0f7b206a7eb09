"""Stage: draw the scenes that training and validation happen in, and measure how hard they are."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from embodiments import registry as robots
from pipeline.runs import presets
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun
from pipeline.runs.stage import Stage
from scenes import preview, registry
from scenes.scene import Scene
from scenes.storage import save_scenes

_SEED_STRIDE = 1_000_000
"""Scenes of different seeds are different ones: the seed chooses a block of indices."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which scenes, and how many."""

    kinds: tuple[str, ...] = field(default_factory=registry.names)
    """Scene kinds; by default all that exist"""
    train_scenes_per_kind: int = 32
    """With six kinds 192 rooms and halls: more than enough that none is learnt by heart"""
    val_scenes_per_kind: int = 8
    """For tuning; test scenes are drawn at evaluation and never stored"""
    hardness_episodes: int = 4
    """Per validation scene and robot, to measure how hard the scenes are"""
    seed: int = 0


def run(config: Config, run: StageRun) -> None:
    """Write ``scenes_{train,val}.npz``, ``hardness.json`` and ``scenes_{train,val}.png``."""
    kinds = config.kinds
    if not kinds:
        raise ValueError("make_scenes needs at least one of --kinds.")
    counts = {"train": config.train_scenes_per_kind, "val": config.val_scenes_per_kind}
    for split, count in counts.items():
        if count < 1:
            raise ValueError(f"{split}_scenes_per_kind is {count}; at least 1 is needed.")
    with progress(len(kinds) * sum(counts.values()), "make_scenes") as bar:
        for split, count in counts.items():
            scenes = []
            for kind in kinds:
                for number in range(count):
                    scenes.append(registry.generate(kind, split=split, index=config.seed * _SEED_STRIDE + number))
                    bar.advance(1)
            save_scenes(run.directory / f"scenes_{split}.npz", scenes)
            shown = [scenes[kind * count + number] for number in range(min(count, 3)) for kind in range(len(kinds))]
            preview.save(run.directory / f"scenes_{split}.png", shown, columns=len(kinds))
            run.metrics[f"{split}_scenes"] = len(scenes)
    _write_hardness(run, scenes, kinds, config)


def _write_hardness(run: StageRun, scenes: Sequence[Scene], kinds: Sequence[str], config: Config) -> None:
    """Measure the validation scenes for the robots of the line and say which kind is too easy."""
    # torch, which the command line's help does not need
    from pipeline.simulation.navigation import hardness
    from pipeline.simulation.navigation.episodes import scene_fields

    rows = []
    for kind in kinds:
        of_kind = [scene for scene in scenes if scene.kind == kind]
        fields = [scene_fields(scene) for scene in of_kind]
        for name in presets.DEFAULT_ROBOTS:
            figures = hardness.measure(
                robots.get(name), of_kind, fields, per_scene=config.hardness_episodes, seed=config.seed
            )
            rows.append(figures)
    (run.directory / "hardness.json").write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    for kind in kinds:
        shares = [row.blocked for row in rows if row.kind == kind]
        run.metrics[f"blocked_{kind}"] = round(sum(shares) / len(shares), 3)
    print(hardness.table(rows))


def _smoke(config: Config) -> Config:
    return replace(config, train_scenes_per_kind=2, val_scenes_per_kind=1, hardness_episodes=1)


def _workstation(config: Config) -> Config:
    return replace(config, train_scenes_per_kind=256, val_scenes_per_kind=32)


STAGE = Stage(
    config=Config,
    run=run,
    presets={"smoke": _smoke, "workstation": _workstation},
)
