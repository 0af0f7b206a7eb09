"""What a stage reads: finished folders of other stages, the files and the robots that its configuration names."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.robot_models.digest import digest
from pipeline.runs import discovery, manifest
from pipeline.runs.manifest import ManifestError
from pipeline.runs.stage import Stage
from scenes import nav2_map


def published_folders(reader: Stage[Any], root: Path, config: Any) -> dict[str, Path]:
    """Return where a stage's inputs lie, "STAGE" or "STAGE/ROBOT" -> folder with a readable manifest.

    A stage with one folder per robot reads its own robot's folder of other such stages. Any other stage reads those of
    the robots in its ``Config.embodiments`` where it has this field, else all that are finished.

    Raises:
        ValueError: If a needed stage has no finished folder.
    """
    found: dict[str, Path] = {}
    does_without = getattr(config, "does_without", ())
    for name in reader.needs:
        if name in does_without:
            continue
        if not discovery.stage(name).per_robot:
            found[name] = _published(root / name, name, root, None)
            continue
        for robot in _robots_to_read(reader, root / name, config):
            found[f"{name}/{robot}"] = _published(root / name / robot, name, root, robot)
    for name in reader.reads_if_there:
        robots = _finished_robots(root / name) if discovery.stage(name).per_robot else [""]
        found |= {
            f"{name}/{robot}".rstrip("/"): root / name / robot for robot in robots if _is_there(root, name, robot)
        }
    return found


def digests(reader: Stage[Any], folders: Mapping[str, Path], config: Any, *, root: Path | None) -> dict[str, str]:
    """Return the hash of everything that a stage reads, by name: with one of them changed it is made again."""
    found = {where: manifest.read(folder, stage=where.partition("/")[0]).digest() for where, folder in folders.items()}
    found |= {f"file:{path}": manifest.hash_file(path) for path in _files_in(config)}
    if root is not None:
        paths = {name: root / name for name in reader.reads_files_if_there}
        found |= {f"file:{name}": manifest.hash_file(path) for name, path in paths.items() if path.is_file()}
    found |= {f"robot:{name}": digest(name) for name in _robots_in(config)}
    return found | (dict(reader.digests(config)) if reader.digests else {})


def verify(folders: Mapping[str, Path]) -> None:
    """Check every file of the folders against its manifest.

    Raises:
        ValueError: If one is not what was written; the message names the command that makes it.
    """
    for where, folder in folders.items():
        name, _, robot = where.partition("/")
        try:
            manifest.verify(folder, stage=name)
        except ManifestError as error:
            root = folder.parents[1] if robot else folder.parent
            raise ValueError(_missing(name, root, robot or None, str(error))) from None


def _is_there(root: Path, name: str, robot: str) -> bool:
    try:
        manifest.verify(root / name / robot, stage=name)
    except ManifestError:
        return False
    return True


def _robots_to_read(reader: Stage[Any], folder: Path, config: Any) -> Sequence[str]:
    if reader.per_robot:
        return [str(config.embodiment)]
    if getattr(config, "embodiments", ()):
        return tuple(config.embodiments)
    found = _finished_robots(folder)
    if not found:
        raise ValueError(_missing(folder.name, folder.parent, None, f"{folder} has no finished robot"))
    return found


def _finished_robots(folder: Path) -> list[str]:
    return [path.name for path in sorted(folder.glob("[!.]*")) if (path / manifest.NAME).exists()]


def _published(folder: Path, name: str, root: Path, robot: str | None) -> Path:
    try:
        manifest.read(folder, stage=name)
    except ManifestError as error:
        raise ValueError(_missing(name, root, robot, str(error))) from None
    return folder


def _missing(name: str, root: Path, robot: str | None, problem: str) -> str:
    robots = f" --embodiments {robot}" if robot else ""
    return f"{problem}. Make it with: python -m pipeline {name} --run {root}{robots} (same --preset)."


def _files_in(config: Any) -> list[Path]:
    """Return the existing files that a configuration names: their content counts as an input."""
    values = [
        v for value in dataclasses.asdict(config).values() for v in (value if isinstance(value, tuple) else (value,))
    ]
    paths = [Path(value) for value in values if isinstance(value, str | Path) and 0 < len(str(value)) < 1000]
    found = [path for path in paths if path.is_file()]
    if getattr(config, "agents", ()):  # an agent's file may lie beside the one that is named
        policies = [path for path in found if path.suffix == ".onnx"]
        found += sorted({other for path in policies for other in path.parent.glob("*.onnx")} - set(found))
    for folder in _folders_in(config):  # manifests and cards have the hashes of the other files
        found += sorted(path for path in (*folder.glob("*.json"), *folder.glob(f"*/{manifest.NAME}")) if path.is_file())
    return [*found, *_images_of(found)]


def _folders_in(config: Any) -> list[Path]:
    """Return the folders of results outside of the run that a configuration names."""
    alone = [getattr(config, name, None) for name in ("evaluation", "weights", "start_from")]
    return [folder for folder in (*alone, *getattr(config, "more", ())) if folder is not None]


def scene_files(names: Sequence[str]) -> list[Path]:
    """Return the files of the scenes that are maps or meshes, a map's image included."""
    found = [Path(name) for name in dict.fromkeys(names) if Path(name).is_file()]
    return [*found, *_images_of(found)]


def _images_of(files: Sequence[Path]) -> list[Path]:
    images = [nav2_map.image_file(path) for path in files if path.suffix in (".yaml", ".yml")]
    return [path for path in images if path.is_file()]


def _robots_in(config: Any) -> Sequence[str]:
    """Return the robots that a configuration names: their definitions and gaits count as inputs."""
    alone = getattr(config, "embodiment", "")
    return (alone,) if alone else tuple(getattr(config, "embodiments", ()))
