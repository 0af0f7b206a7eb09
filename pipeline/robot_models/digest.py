"""The hash of a robot as it moves here: a stage is made anew when it changes."""

import hashlib
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

from embodiments import registry
from embodiments.embodiment import Embodiment, GaitDrive
from pipeline.robot_models import model_file


def digest(name: str) -> str:
    """Return the SHA-256 of a robot's definition, its gait's weights, and its model if that is the user's own file.

    Where files lie does not count. A model from a package is what the package's version says.

    Raises:
        ValueError: If there is no such robot, or its own model cannot be read.
    """
    robot = registry.get(name)
    content = hashlib.sha256(repr(_without_folder(robot)).encode())
    if isinstance(robot.drive, GaitDrive) and (registry.GAITS_FOLDER / robot.drive.weights).is_file():
        content.update((registry.GAITS_FOLDER / robot.drive.weights).read_bytes())
    if robot.model.xacro_arguments:
        content.update(json.dumps(robot.model.xacro_arguments, sort_keys=True).encode())
    if robot.model.file:
        content.update(_model_content(robot))
    return content.hexdigest()


def _without_folder(robot: Embodiment) -> Embodiment:
    """Return the robot with the bare name of a gait's file that lies beside the robot file."""
    if isinstance(robot.drive, GaitDrive) and Path(robot.drive.weights).is_absolute():
        return replace(robot, drive=replace(robot.drive, weights=Path(robot.drive.weights).name))
    return robot


def _model_content(robot: Embodiment) -> bytes:
    """Return the model's tree with every mesh's path replaced by the hash of its content."""
    path = model_file.model_path(robot.model)
    root = model_file.read(robot.model)
    for mesh in root.iter("mesh"):
        try:
            data = model_file.mesh_path(mesh.get("filename", ""), path).read_bytes()
        except OSError:  # a missing mesh is named where it is needed
            data = b""
        mesh.set("filename", hashlib.sha256(data).hexdigest())
    return ElementTree.tostring(root)
