"""The scenes that exist: kinds, one file each in this folder, discovered, never listed; and maps and meshes by path."""

import difflib
import hashlib
import importlib
import pkgutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from scenes import mesh_file, nav2_map
from scenes.scene import Scene

SPLITS = ("train", "val", "test")
MAP_SUFFIXES = (".yaml", ".yml")
_OTHER_MESHES = (".stl", ".dae", ".fbx", ".usd", ".usdz", ".3ds", ".step", ".off", ".3mf", ".blend", ".x3d", ".wrl")
_FILES = f"give the path of a map's {' or '.join(MAP_SUFFIXES)} or of a mesh ({', '.join(mesh_file.SUFFIXES)})"
_NOT_KINDS = {
    "box_tree",
    "changes",
    "fields",
    "furniture",
    "grid",
    "layout",
    "map_image",
    "map_turn",
    "map_yaml",
    "mesh",
    "mesh_file",
    "mesh_occupancy",
    "mesh_up",
    "nav2_map",
    "occupancy",
    "path",
    "preview",
    "raycasting",
    "registry",
    "rooms",
    "scene",
    "shelving",
    "storage",
}


def names() -> tuple[str, ...]:
    """Return every scene kind that has a file in this folder, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(sorted(m.name for m in modules if not m.ispkg and m.name not in _NOT_KINDS))


def random_key(*words: str | int) -> np.random.Generator:
    """Return the random generator that belongs to a key, the same on every machine.

    The split is part of every key, so that no scene or episode is shared between train, val and test.
    """
    digest = hashlib.blake2b("/".join(str(word) for word in words).encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def generate(kind: str, *, split: str, index: int) -> Scene:
    """Return one scene; the same arguments give the same scene.

    Raises:
        ValueError: If no file ``scenes/<kind>.py`` exists, the split is unknown or the index negative.
    """
    if kind not in names():
        raise ValueError(f"no scene kind '{kind}'{_hint(kind, names())} Known kinds: {', '.join(names())}.")
    if split not in SPLITS:
        raise ValueError(f"no split '{split}'{_hint(split, SPLITS)} Splits: {', '.join(SPLITS)}.")
    if index < 0:
        raise ValueError(f"scene index {index} is negative; use 0, 1, 2, ...")
    module = importlib.import_module(f"scenes.{kind}")
    scene: Scene = module.generate(random_key(kind, split, index), name=f"{kind}/{split}/{index}")
    return scene


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How scenes are read from files."""

    map_wall_height_m: float = 2.0
    """Height of a map's walls: above the tallest robot's camera, below most ceilings"""
    map_unknown: Literal["closed", "open"] = "closed"
    """Whether a map's unknown cells are walls, as a planner that keeps off them has it, or free"""
    mesh_up: Literal["auto", "y", "z"] = "auto"
    """Which axis of a mesh points up; auto: the one with clearly more free floor"""
    mesh_scale: float = 1.0
    """Metres per unit of a mesh"""


def file_options(config: FileOptions) -> FileOptions:
    """Return the part of a configuration that says how files are read."""
    return FileOptions(**{field.name: getattr(config, field.name) for field in fields(FileOptions)})


def load(name_or_path: str | Path, *, split: str = "test", index: int = 0, options: FileOptions | None = None) -> Scene:
    """Return a scene by the name of its kind, or the scene of a Nav2 map or of a mesh by its path.

    Raises:
        ValueError: If it is neither a known kind nor a readable map or mesh.
        FileNotFoundError: If the file does not exist.
    """
    text = str(name_or_path)
    if text in names():
        return generate(text, split=split, index=index)
    if not is_map(text):
        raise ValueError(
            f"no scene kind '{text}'{_hint(text, names())} Known kinds: {', '.join(names())}; or {_FILES}."
        )
    options = options or FileOptions()
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix in mesh_file.SUFFIXES:
        return mesh_file.load_scene(path, up=options.mesh_up, scale=options.mesh_scale)
    if suffix in MAP_SUFFIXES:
        return nav2_map.load_scene(
            path, wall_height_m=options.map_wall_height_m, unknown_is_occupied=options.map_unknown == "closed"
        )
    mend = f"convert it to {mesh_file.SUFFIXES[0]}" if suffix in _OTHER_MESHES else "an image needs its yaml"
    raise ValueError(f"'{text}' is no scene file ({mend}): {_FILES}.")


def is_map(name_or_path: str | Path) -> bool:
    """Tell whether a scene's name means a file rather than a kind."""
    return Path(name_or_path).suffix != "" or "/" in str(name_or_path)


def _hint(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else "."
