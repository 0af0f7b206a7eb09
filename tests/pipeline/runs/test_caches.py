"""Compiled kernels go to the user's cache folder, or to a temporary one where that cannot be written."""

import os
import tempfile
from pathlib import Path

import pytest

from pipeline.runs import caches


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; nothing below ``tmp_path/"locked"`` can be written, also not by root."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and access(path, mode))
    (tmp_path / "locked").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_a_home_that_can_be_written_changes_nothing(tmp_path: Path, temporary: Path) -> None:
    environment = {"HOME": str(tmp_path)}
    assert caches.prepare(environment) is None
    assert environment == {"HOME": str(tmp_path)}
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_without_a_writable_cache_folder_a_temporary_one_serves(variable: str, tmp_path: Path, temporary: Path) -> None:
    environment = {variable: str(tmp_path / "locked" / "nobody")}
    line = caches.prepare(environment)
    folder = temporary / f"crossbody-cache-{os.getuid()}"
    assert environment["XDG_CACHE_HOME"] == str(folder)
    assert environment["NUMBA_CACHE_DIR"] == str(folder / "numba")
    assert environment["MPLCONFIGDIR"] == str(folder / "matplotlib")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert line is not None and "\n" not in line and "set XDG_CACHE_HOME" in line
    assert caches.prepare(environment) is None, "a process that inherits the folder says nothing"


def test_one_library_whose_folder_cannot_be_written_is_noticed(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / ".cache" / "genesis").mkdir(parents=True)
    assert caches.prepare({"HOME": str(tmp_path)}) is None
    (tmp_path / ".cache" / "quadrants").write_text("a file")
    assert caches.prepare({"HOME": str(tmp_path)}) is not None


def test_a_temporary_folder_that_others_may_write_is_refused(tmp_path: Path, temporary: Path) -> None:
    folder = temporary / f"crossbody-cache-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ValueError, match="set XDG_CACHE_HOME"):
        caches.prepare({"HOME": str(tmp_path / "locked")})
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not this user's own folder"):
        caches.prepare({"HOME": str(tmp_path / "locked")})


def test_no_folder_for_temporary_files_is_one_line(tmp_path: Path, temporary: Path) -> None:
    temporary.rmdir()
    with pytest.raises(ValueError, match=r"no folder for compiled kernels.*set XDG_CACHE_HOME"):
        caches.prepare({"HOME": str(tmp_path / "locked")})
