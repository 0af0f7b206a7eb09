"""Read a robot file of the user's: a Python file anywhere that defines ``EMBODIMENT``."""

import importlib.util
import re
import traceback
from dataclasses import replace
from functools import cache
from pathlib import Path

from embodiments.embodiment import Embodiment, GaitDrive

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def load(path: Path) -> Embodiment:
    """Return the robot that a file defines; paths in it count from the file's folder.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: In one line, if the file raises or does not define a robot.
    """
    try:
        stamp = path.stat()
    except OSError:
        stamp = None
    if stamp is None or not path.is_file():
        raise FileNotFoundError(f"no robot file {path}: name a Python file that defines EMBODIMENT")
    return _load(path, stamp.st_mtime_ns, stamp.st_size)


@cache
def _load(path: Path, modified_ns: int, size: int) -> Embodiment:
    """Load a file once; one that has changed since is another one."""
    spec = importlib.util.spec_from_file_location(f"crossbody_robot_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"robot file {path} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(_raised(path, error)) from error
    robot = getattr(module, "EMBODIMENT", None)
    if not isinstance(robot, Embodiment):
        found = "defines no EMBODIMENT" if robot is None else f"defines EMBODIMENT as {type(robot).__name__}"
        raise ValueError(f"robot file {path} {found}; it must say EMBODIMENT = Embodiment(...)")
    if not _NAME.fullmatch(robot.name):
        raise ValueError(f"robot file {path}: the name '{robot.name}' must be lower case letters, digits and '_'")
    return _anchored(robot, path.parent)


def _raised(path: Path, error: BaseException) -> str:
    """Return where in the file the error arose, and what it was."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else (lines or [None])[-1]
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    where = f"line {line} of {path}" if line else str(path)
    return f"robot file: {where} raises {type(error).__name__}: {text}; mend that line"


def _anchored(robot: Embodiment, folder: Path) -> Embodiment:
    """Return the robot with absolute paths of its model and, if it lies there, its gait."""
    if robot.model.file:
        robot = replace(robot, model=replace(robot.model, file=folder / robot.model.file))
    if isinstance(robot.drive, GaitDrive) and (folder / robot.drive.weights).is_file():
        robot = replace(robot, drive=replace(robot.drive, weights=str(folder / robot.drive.weights)))
    return robot
