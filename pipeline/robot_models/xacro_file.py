"""Expand a xacro file to a URDF tree with the PyPI package xacro, without ROS."""

import contextlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.robot_models.packages import folder_of


def expand(path: Path, arguments: Mapping[str, str]) -> ElementTree.Element:
    """Return the URDF tree that a xacro file makes.

    Args:
        path: The file.
        arguments: Values of its ``xacro:arg``, as ``NAME:=VALUE`` on xacro's command line.

    Raises:
        ValueError: In one line, if xacro is not installed or the file has an error.
    """
    try:
        import xacro
    except ImportError:
        raise ValueError(f"{path} is a xacro file, which needs the package xacro: pip install xacro") from None
    try:
        with _packages_above(path), contextlib.redirect_stderr(None):
            document = xacro.process_file(str(path), mappings=dict(arguments))
        return ElementTree.fromstring(document.toxml())
    except Exception as error:  # of xacro's own, of expat's, or what an expression in the file raises
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"xacro cannot expand {path} ({text}); mend it, or give RobotModel(xacro_arguments=...) what it asks for"
        ) from None


@contextlib.contextmanager
def _packages_above(path: Path) -> Iterator[None]:
    """Let ``$(find NAME)`` mean the folder NAME above the file; without ROS xacro cannot ask its index."""
    from xacro import substitution_args

    def find(package: str) -> str:
        folder = folder_of(package, path)
        if folder is None:
            raise ValueError(f"$(find {package}): no folder '{package}' above the file")
        return str(folder)

    original = substitution_args._eval_find
    substitution_args._eval_find = substitution_args._eval_dict["find"] = find
    try:
        yield
    finally:
        substitution_args._eval_find = substitution_args._eval_dict["find"] = original
