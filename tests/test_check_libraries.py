"""Which system libraries the installed packages need: read from compiled files, loaded on this machine."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pipeline.runs.processes import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's format of compiled files")
SCRIPT = ROOT / ".ci" / "check_libraries.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_libraries", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of packages that holds one compiled file, which needs libm."""
    [compiled] = Path(np.__file__).parent.glob("_core/_multiarray_umath*.so")
    (tmp_path / "numpy").mkdir()
    shutil.copy(compiled, tmp_path / "numpy" / "math.so")
    return tmp_path


def replace_name(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert len(old) == len(new) and old in content
    file.write_bytes(content.replace(old, new))


def test_a_compiled_file_names_its_libraries(check: ModuleType, packages: Path) -> None:
    assert {"libc.so.6", "libm.so.6"} <= set(check.needed(packages / "numpy" / "math.so"))


def test_other_files_name_none(check: ModuleType, tmp_path: Path) -> None:
    for content in (b"", b"\x7fELF", b"INPUT(-lm)\n", b"\x7fELF\x01\x01" + bytes(64)):
        (tmp_path / "other.so").write_bytes(content)
        assert check.needed(tmp_path / "other.so") == []


def test_a_library_that_is_nowhere_is_missing(check: ModuleType, packages: Path) -> None:
    replace_name(packages / "numpy" / "math.so", b"libm.so.6\0", b"libq.so.6\0")
    assert check.missing(packages)["libq.so.6"] == "numpy/math.so"
    assert "libc.so.6" not in check.missing(packages)


def test_a_library_that_a_package_brings_along_is_not_missing(check: ModuleType, packages: Path) -> None:
    replace_name(packages / "numpy" / "math.so", b"libm.so.6\0", b"libq.so.6\0")
    shutil.copy(packages / "numpy" / "math.so", packages / "libq.so.6")
    assert "libq.so.6" not in check.missing(packages)


def test_libraries_that_are_opened_by_name_count_where_their_package_is(check: ModuleType, packages: Path) -> None:
    assert "libGL.so.1" not in check.missing(packages, loads=lambda library: False)
    (packages / "OpenGL").mkdir()
    assert check.missing(packages, loads=lambda library: False)["libGL.so.1"] == "OpenGL"


def test_the_script_prints_debian_packages_or_one_line_per_library(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "missing", lambda folder: {"libEGL.so.1": "a.so", "libq.so.6": "b.so"})
    assert check.main(["--packages"]) == 0
    assert capsys.readouterr().out == "libegl1\n"
    assert check.main([]) == 1
    assert "missing: libq.so.6 (needed by b.so; Debian's package: unknown)" in capsys.readouterr().out
    monkeypatch.setattr(check, "missing", lambda folder: {})
    assert check.main([]) == 0


def test_setup_and_continuous_integration_call_the_script() -> None:
    for name in ("setup", "run"):
        assert f".ci/{SCRIPT.name}" in (ROOT / ".ci" / name).read_text(encoding="utf-8")
