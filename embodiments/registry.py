"""The robots that exist: one file per robot in this folder, discovered, never listed."""

import difflib
import hashlib
import importlib
import pkgutil
from pathlib import Path

from embodiments.embodiment import Embodiment, GaitDrive

GAITS_FOLDER = Path(__file__).parent / "gaits"
"""Where ``GaitDrive.weights`` lie."""
_NOT_ROBOTS = {"embodiment", "limits", "observation", "registry", "spaces"}


def names() -> tuple[str, ...]:
    """Return every robot that has a file in this folder, sorted."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return tuple(sorted(m.name for m in modules if not m.ispkg and m.name not in _NOT_ROBOTS))


def get(name: str) -> Embodiment:
    """Return one robot.

    Raises:
        ValueError: If no file ``embodiments/<name>.py`` exists.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        raise ValueError(f"no robot '{name}'{hint} Known robots: {', '.join(names())}.")
    robot: Embodiment = importlib.import_module(f"embodiments.{name}").EMBODIMENT
    return robot


def digest(name: str) -> str:
    """Return the SHA-256 of a robot as it moves here: its definition and, if it walks, its gait's weights.

    Raises:
        ValueError: If there is no such robot.
    """
    robot = get(name)
    content = hashlib.sha256(repr(robot).encode())
    if isinstance(robot.drive, GaitDrive) and (GAITS_FOLDER / robot.drive.weights).is_file():
        content.update((GAITS_FOLDER / robot.drive.weights).read_bytes())
    return content.hexdigest()
