"""A robot's model file: where it lies, and its content as a URDF tree, whatever of the three formats it has.

A file is a URDF (root ``<robot>``), a xacro that expands to one, or an MJCF (root ``<mujoco>``).
"""

import importlib.metadata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from embodiments.embodiment import RobotModel
from pipeline.robot_models import xacro_file
from pipeline.robot_models.packages import folder_of


def model_path(model: RobotModel) -> Path:
    """Return the model's file: the user's own, or the one inside an installed PyPI package.

    Raises:
        FileNotFoundError: If it is not there; the message names the mend.
    """
    if model.file:
        path = Path(model.file)
        if not path.is_file():
            raise FileNotFoundError(f"no model file {path}: RobotModel(file=...) counts from the robot file's folder")
        return path.resolve()
    try:
        files = importlib.metadata.files(model.package) or []
    except importlib.metadata.PackageNotFoundError:
        raise FileNotFoundError(
            f"robot model '{model.path}' needs the package '{model.package}': pip install {model.package}"
        ) from None
    matches = [file for file in files if str(file).endswith(model.path)]
    if not matches:
        raise FileNotFoundError(
            f"package '{model.package}' is installed but has no file '{model.path}': pip install -U {model.package}"
        )
    return Path(str(matches[0].locate())).resolve()


def read(model: RobotModel) -> ElementTree.Element:
    """Return the model as a URDF tree. Its mesh paths are as in the file, see ``mesh_path``.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: In one line with the mend, if it cannot be read.
    """
    path = model_path(model)
    root = _parse(path)
    if path.suffix == ".xacro" or _uses_xacro(path):
        root = xacro_file.expand(path, model.xacro_arguments)
    elif root.tag == "mujoco":
        from pipeline.robot_models import mjcf  # geometry, which a robot without an MJCF does not need

        root = mjcf.to_urdf(path)
    if root.tag != "robot":
        raise ValueError(
            f"{path} is no robot model: its root is <{root.tag}>, expected <robot> (URDF, xacro) or <mujoco>"
        )
    _check_tree(root, path)
    return root


def mesh_path(filename: str, model_file: Path) -> Path:
    """Return the file of a mesh that a model names, whether it is there or not.

    ``package://NAME/rest`` counts from the folder NAME above the model, a relative path from the model's folder.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not filename.startswith("package://"):
        return (model_file.parent / filename.removeprefix("file://")).resolve()
    package, _, rest = filename.removeprefix("package://").lstrip("/").partition("/")
    folder = folder_of(package, model_file)
    if folder is None:
        raise FileNotFoundError(
            f"mesh '{filename}' of {model_file.name} not found: no folder '{package}' above the model; put the model "
            "into its package's folder, or write the path relative to the model"
        )
    return folder / rest


def missing_meshes(root: ElementTree.Element, model_file: Path) -> list[str]:
    """Return one line with the mend for every mesh of a tree that is not there."""
    lines = []
    for filename in dict.fromkeys(mesh.get("filename", "") for mesh in root.iter("mesh")):
        try:
            path = mesh_path(filename, model_file)
        except FileNotFoundError as error:
            lines.append(str(error))
            continue
        if not path.is_file():
            lines.append(f"mesh '{filename}' of {model_file.name} is not there: put it at {path}, or mend its path")
    return lines


def _parse(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is broken XML ({error}); mend that line") from None


def _uses_xacro(path: Path) -> bool:
    """Return whether a file declares xacro's namespace, which the parsed tree no longer shows."""
    return "xmlns:xacro" in path.read_text(encoding="utf-8", errors="replace")


def _check_tree(root: ElementTree.Element, path: Path) -> None:
    """Refuse a model whose joints and links do not make one tree.

    Raises:
        ValueError: If a name is missing or taken twice, or if there is not exactly one root.
    """
    links = [link.get("name", "") for link in root.findall("link")]
    children = []
    for joint in root.findall("joint"):
        ends = [joint.find(end) for end in ("parent", "child")]
        names = ["" if end is None else end.get("link", "") for end in ends]
        if unknown := [name for name in names if name not in links]:
            raise ValueError(f"{path}: joint '{joint.get('name')}' names link '{unknown[0]}', which there is not")
        children.append(names[1])
    for name in links:
        if not name or links.count(name) > 1 or children.count(name) > 1:
            raise ValueError(f"{path}: link '{name}' has no name, one that is taken, or two parents; mend it")
    roots = [name for name in links if name not in children]
    if len(roots) != 1:
        raise ValueError(f"{path} has {len(roots)} root links ({', '.join(roots) or 'none'}); join them by a joint")
