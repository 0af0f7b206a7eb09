"""Read, check, complete and write drives from elsewhere."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.import_recordings import Config
from pipeline.data_formats import bag_reading, lerobot_reading, shard_writing
from pipeline.data_formats.completing import completed, episodes_of
from pipeline.data_formats.drive import Drive
from pipeline.data_formats.import_options import bags_in
from pipeline.data_formats.stepping import with_plan_features, with_specialist_rows
from pipeline.runs import manifest, provenance
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import ADOPTED
from world_model.anticipation import Anticipation
from world_model.base_head import BaseHead
from world_model.base_policy import BasePolicy
from world_model.checkpoint import load_module
from world_model.collision_risk import CollisionRisk
from world_model.rssm import WorldModel

_TEACHER, _SPECIALIST = "collect_teacher", "record_specialist"


def main(config: Config) -> None:
    """Write the folder of ``collect_teacher``, or with a base policy of ``record_specialist``, whole or not at all.

    Raises:
        ValueError: If a source cannot be used; one line with the mend.
        FileNotFoundError: If a source is not there.
    """
    if config.base is None:
        _refuse(config.run / _TEACHER)
    if not config.source:
        raise ValueError("import_recordings needs --source PATH: a LeRobot folder, an .mcap file or a rosbag2 folder")
    if min(config.episode_s, config.sequence_steps, config.sequences_per_shard) <= 0 or not 0 < config.val_fraction < 1:
        raise ValueError("lengths and counts must be positive, and --val-fraction between 0 and 1")
    drives, has_splits = _read(config)
    robots = sorted({drive.embodiment for drive in drives})
    if len(robots) > 1:
        raise ValueError(f"the sources are of {' and '.join(robots)}; import each robot into a run of its own")
    episodes = [completed(part) for drive in drives for part in episodes_of(drive, episode_s=config.episode_s)]
    episodes = episodes if has_splits else shard_writing.with_split(episodes, fraction=config.val_fraction)
    if config.base is None:
        network = load_module(Anticipation, config.anticipation, "anticipation")
        risk = load_module(CollisionRisk, config.collision_risk, "collision_risk")
        _publish(config, config.run / _TEACHER, with_plan_features(episodes, network, risk), robot=None)
    else:
        target = config.run / _SPECIALIST / robots[0]
        _refuse(target)
        _publish(config, target, with_specialist_rows(episodes, _base(config.base)), robot=robots[0])


def _base(folder: Path) -> BasePolicy:
    parts = load_module(WorldModel, folder, "world_model"), load_module(BaseHead, folder, "base_head")
    return BasePolicy(world_model=parts[0], head=parts[1])


def _refuse(target: Path) -> None:
    if target.exists():
        raise ValueError(f"{target} is there already; import into a new run: --run runs/NAME")


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
            found += bag_reading.read(path, config, report=lambda count: bar.advance(0, messages=count))
            bar.advance(1)
    return found


def _publish(config: Config, target: Path, drives: Sequence[Drive], *, robot: str | None) -> None:
    """Write the folder of the stage as if the stage had made it; its manifest says that it did not."""
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        counts = _fill(new, config, drives, robot=robot)
        new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    print(f"{target} holds {counts['train']} rows to train on and {counts['val']} held out, of {len(drives)} episodes")


def _fill(new: Path, config: Config, drives: Sequence[Drive], *, robot: str | None) -> dict[str, int]:
    """Write shards and manifest; return the rows of each split."""
    names = ", ".join(path.name for path in config.source)
    counts = shard_writing.write(
        new,
        drives,
        sequence_steps=config.sequence_steps,
        sequences_per_shard=config.sequences_per_shard,
        source=names,
        kind="specialist" if robot else "teacher",
    )
    stage = _SPECIALIST if robot else _TEACHER
    adopted = {"file": names, "sha256": _digest(config.source)}
    body = {"stage": stage, "robot": robot, ADOPTED: adopted, "key": "", "config": {}, "metrics": counts}
    manifest.write(new, {**body, **provenance.describe()})
    return counts


def _digest(sources: Sequence[Path]) -> str:
    """Return the hash of everything in the sources, wherever they lie."""
    found = []
    for source in sources:
        files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
        found += [(str(file.relative_to(source.parent)), manifest.hash_file(file)) for file in files]
    return manifest.hash_of(found)
