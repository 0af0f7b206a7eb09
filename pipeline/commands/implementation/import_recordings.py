"""Read, check, complete and write drives from elsewhere."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.import_recordings import Config
from pipeline.data_formats import bag_reading, lerobot_reading, shard_writing
from pipeline.data_formats.completing import completed, episodes_of
from pipeline.data_formats.drive import Drive
from pipeline.data_formats.import_options import bags_in
from pipeline.data_formats.planned import with_plan_features
from pipeline.runs import manifest, provenance
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import ADOPTED
from world_model.anticipation import Anticipation
from world_model.checkpoint import load_module

_STAGE = "collect_teacher"


def main(config: Config) -> None:
    """Write the folder of ``collect_teacher``, whole or not at all.

    Raises:
        ValueError: If a source cannot be used; one line with the mend.
        FileNotFoundError: If a source is not there.
    """
    target = config.run / _STAGE
    if target.exists():
        raise ValueError(f"{target} is there already; import into a new run: --run runs/NAME")
    if not config.source:
        raise ValueError("import_recordings needs --source PATH: a LeRobot folder, an .mcap file or a rosbag2 folder")
    if min(config.episode_s, config.sequence_steps, config.sequences_per_shard) <= 0 or not 0 < config.val_fraction < 1:
        raise ValueError("lengths and counts must be positive, and --val-fraction between 0 and 1")
    drives, has_splits = _read(config)
    robots = sorted({drive.embodiment for drive in drives})
    if len(robots) > 1:
        raise ValueError(f"the sources are of {' and '.join(robots)}; import each robot into a run of its own")
    network = load_module(Anticipation, config.anticipation, "anticipation")
    episodes = [completed(part) for drive in drives for part in episodes_of(drive, episode_s=config.episode_s)]
    episodes = episodes if has_splits else shard_writing.with_split(episodes, fraction=config.val_fraction)
    _publish(config, target, with_plan_features(episodes, network))


def _read(config: Config) -> tuple[list[Drive], bool]:
    """Return the drives of all sources, and whether those say which are held out."""
    drives: list[Drive] = []
    splits = []
    for source in config.source:
        if not source.exists():
            raise FileNotFoundError(f"no {source} to import")
        if bags := bags_in(source):
            found = _read_bags(bags, config)
            splits.append(any(drive.split == "val" for drive in found))
        else:
            found = lerobot_reading.read(source, config)
            splits.append(lerobot_reading.has_splits(source))
        drives += found
    return drives, all(splits)


def _read_bags(bags: Sequence[Path], config: Config) -> list[Drive]:
    found: list[Drive] = []
    with progress(len(bags), "read bags") as bar:
        for path in sorted(bags, key=lambda path: path.name.startswith("val_")):
            found += bag_reading.read(path, config)
            bar.advance(1)
    return found


def _publish(config: Config, target: Path, drives: Sequence[Drive]) -> None:
    """Write the folder of the stage as if the stage had made it; its manifest says that it did not."""
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    names = ", ".join(path.name for path in config.source)
    counts = shard_writing.write(
        new,
        drives,
        sequence_steps=config.sequence_steps,
        sequences_per_shard=config.sequences_per_shard,
        source=names,
    )
    body = {"stage": _STAGE, "robot": None, ADOPTED: {"file": names}, "key": "", "config": {}, "metrics": counts}
    manifest.write(new, {**body, **provenance.describe()})
    new.rename(target)
    print(f"{target} holds {counts['train']} rows to train on and {counts['val']} held out, of {len(drives)} episodes")
