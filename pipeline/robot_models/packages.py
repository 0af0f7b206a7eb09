"""ROS packages without ROS: a package is a folder of its name above the file that asks for it."""

from pathlib import Path


def folder_of(package: str, file: Path) -> Path | None:
    """Return the folder of a package, None if there is none in any folder above ``file``."""
    for parent in file.resolve().parents:
        if parent.name == package and (parent / "package.xml").is_file():
            return parent
        if (parent / package).is_dir():
            return parent / package
    return None
