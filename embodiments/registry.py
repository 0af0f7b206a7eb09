"""The robots that exist: one file per robot in this folder, discovered, never listed, and the user's own robot files.

A robot file of the user's may lie anywhere. ``add_files`` writes its path into an environment variable, which every
process that is started from here inherits.
"""

import difflib
import importlib
import os
import pkgutil
from collections.abc import Iterable
from pathlib import Path

from embodiments import robot_file
from embodiments.embodiment import Embodiment

GAITS_FOLDER = Path(__file__).parent / "gaits"
"""Where ``GaitDrive.weights`` lie."""
ROBOT_FILES = "CROSSBODY_ROBOT_FILES"
"""Environment variable: absolute paths of the user's robot files, separated as those of PATH."""
_NOT_ROBOTS = {"embodiment", "limits", "observation", "registry", "robot_file", "spaces"}


def names() -> tuple[str, ...]:
    """Return every robot that has a file in this folder or was added, sorted."""
    return tuple(sorted([*_shipped(), *_added()]))


def get(name: str) -> Embodiment:
    """Return one robot.

    Raises:
        ValueError: If neither ``embodiments/<name>.py`` nor an added file defines it, or an added file is ill.
    """
    if name in _shipped():
        robot: Embodiment = importlib.import_module(f"embodiments.{name}").EMBODIMENT
        return robot
    added = _added()
    if name in added:
        return added[name]
    raise ValueError(unknown(name))


def unknown(name: str) -> str:
    """Return one line about a robot that does not exist: what is close to it, what exists, how to add one."""
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return f"no robot '{name}'{hint} Known: {', '.join(names())}; a robot of your own: --robot-file FILE.py."


def add_files(files: Iterable[str | Path]) -> None:
    """Let robot files from outside of this folder count, here and in all processes that are started from here.

    Raises:
        FileNotFoundError: If one is not there.
        ValueError: If one is ill, or a robot of its name exists already.
    """
    paths = [*_files(), *(Path(file).expanduser().resolve() for file in files)]
    for path in paths:
        if os.pathsep in str(path):
            raise ValueError(f"robot file {path}: its path must not hold '{os.pathsep}'; rename the folder")
    before = os.environ.get(ROBOT_FILES)
    os.environ[ROBOT_FILES] = os.pathsep.join(dict.fromkeys(map(str, paths)))
    try:
        _added()
    except (OSError, ValueError):
        os.environ.pop(ROBOT_FILES)
        if before is not None:
            os.environ[ROBOT_FILES] = before
        raise


def _shipped() -> tuple[str, ...]:
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(m.name for m in modules if not m.ispkg and m.name not in _NOT_ROBOTS)


def _files() -> list[Path]:
    return [Path(path) for path in os.environ.get(ROBOT_FILES, "").split(os.pathsep) if path]


def _added() -> dict[str, Embodiment]:
    """Return the robots of the user's files by name."""
    found: dict[str, Embodiment] = {}
    for path in _files():
        robot = robot_file.load(path)
        if robot.name in found or robot.name in _shipped():
            taken = "another robot file" if robot.name in found else f"embodiments/{robot.name}.py"
            raise ValueError(f"robot file {path}: {taken} defines '{robot.name}' already; give it another name")
        found[robot.name] = robot
    return found
