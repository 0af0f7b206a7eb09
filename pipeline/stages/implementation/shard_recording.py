"""What stages that record a robot shard by shard have in common: held-out environments, and going on after a kill."""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from distill.recordings import write_shard
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun

Rows = dict[str, np.ndarray]
"""Field of ``distill.recordings.FIELDS[kind]`` -> (T, B, ...)"""


class Settings(Protocol):
    """What a stage's configuration says about its shards."""

    @property
    def embodiment(self) -> str: ...
    @property
    def num_envs(self) -> int: ...
    @property
    def shards(self) -> int: ...
    @property
    def shard_steps(self) -> int: ...
    @property
    def seed(self) -> int: ...


def record_shards(
    config: Settings, run: StageRun, *, kind: str, begin: Callable[[int, int], Callable[[], Rows]]
) -> Iterator[Rows]:
    """Write shards ``train_NNN.h5`` and ``val_NNN.h5``, and yield the rows of both parts of each that is new.

    Args:
        config: How many there are, and how long.
        run: Gets the files.
        kind: Of the recordings.
        begin: Given the number of the first environment that drives in held-out scenes, and a seed, returns what
            records a shard.
    """
    border = config.num_envs - max(1, config.num_envs // 8)
    record: Callable[[], Rows] | None = None
    with progress(config.shards * config.shard_steps * config.num_envs, f"record {config.embodiment}") as bar:
        for shard in range(config.shards):
            paths = {part: run.work / f"{part}_{shard:03d}.h5" for part in ("train", "val")}
            if not all(path.exists() for path in paths.values()):
                # After a kill other episodes follow, by the first new shard's seed.
                record = record or begin(border, config.seed + shard)
                rows = record()
                for part, columns in (("train", slice(0, border)), ("val", slice(border, config.num_envs))):
                    chosen = {name: value[:, columns] for name, value in rows.items()}
                    attributes = {"embodiment": config.embodiment, "seed": config.seed, "shard": shard}
                    write_shard(paths[part], chosen, kind=kind, attributes=attributes)
                yield rows
            bar.advance(config.shard_steps * config.num_envs)
    for part in ("train", "val"):
        for shard in range(config.shards):
            run.hand_over(run.work / f"{part}_{shard:03d}.h5")
