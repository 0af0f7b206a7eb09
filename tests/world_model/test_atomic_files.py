"""A file is replaced whole, or what was there stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from world_model import atomic_files

ROOT = Path(__file__).parents[2]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    atomic_files.write_text(path, "grün")
    with atomic_files.replacing(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "grün"
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text("old")

    def fail(name: Path) -> None:
        name.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="full"), atomic_files.replacing(path) as temporary:
        fail(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "card.md"
    path.write_text("old")
    code = (
        "import os, pathlib\nfrom world_model import atomic_files\n"
        f"with atomic_files.replacing(pathlib.Path({str(path)!r})) as temporary:\n"
        "    temporary.write_text('ne')\n    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert path.read_text() == "old"
    atomic_files.write_text(path, "new")
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_without_a_name_gets_the_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    full = r"^\[Errno 28\] No space left on device: '.+/a\.txt'$"
    with pytest.raises(OSError, match=full), atomic_files.replacing(path):
        raise OSError(28, "No space left on device")
    with pytest.raises(FileNotFoundError, match=r"'b'$"), atomic_files.naming(path):
        raise FileNotFoundError(2, "No such file or directory", "b")
    with pytest.raises(FileNotFoundError, match=r"^there is no map b$"), atomic_files.naming(path):
        raise FileNotFoundError("there is no map b")
