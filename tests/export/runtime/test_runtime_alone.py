"""The robot's side in an environment that holds numpy and onnxruntime alone, as on the robot's computer."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
POLICY = ROOT / "export" / "pretrained" / "generalist.onnx"
REQUIREMENTS = ("numpy", "onnxruntime==1.23.2")
"""The newest onnxruntime for the Python 3.10 of a Stretch 3."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a fresh environment, of Python 3.10 where the machine has one."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    beside = sorted(Path(sys.base_prefix).parent.glob("3.10*/bin/python3.10"))  # as pyenv keeps them
    found = [*map(str, beside), *filter(None, (shutil.which("python3.10"), sys.executable))]
    made = next((path for path in found if _ran([path, "-m", "venv", str(folder)], check=False).returncode == 0), None)
    assert made is not None, "no interpreter could make a virtual environment"
    python = folder / "bin" / "python"
    _ran([str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS])
    return python


def _ran(command: list[str], *, folder: Path = ROOT, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run from a folder where what it writes, such as the log of a drive, is in nobody's way."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONPATH"] = str(ROOT)
    return subprocess.run(
        command, cwd=folder, env=environment, check=check, capture_output=True, text=True, timeout=300.0
    )


def test_it_drives_without_anything_else_installed(python: Path, tmp_path: Path) -> None:
    listed = _ran([str(python), "-m", "pip", "list", "--format=freeze"]).stdout.lower()
    assert "torch" not in listed and "genesis" not in listed
    command = [
        str(python),
        "-m",
        "export.runtime",
        "--policy",
        str(POLICY),
        "--robot",
        "fake",
        "--goal",
        "1.2",
        "0",
        "0",
    ]
    drive = _ran([*command, "--max-speed", "0.3", "--max-seconds", "60"], folder=tmp_path, check=False)
    assert drive.returncode == 0, drive.stdout + drive.stderr
    assert "reached" in drive.stdout
    assert len(list((tmp_path / "runs" / "runtime").glob("*.jsonl"))) == 1, "a drive leaves its log where it began"


def test_what_is_wrong_before_the_first_command_is_one_line(python: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(POLICY.read_bytes()[:-1] + b"\x00")
    goal = ["--goal", "1", "0", "0"]
    for arguments, message in (
        (["--policy", str(damaged), "--robot", "fake", *goal], "damaged"),
        (["--policy", str(tmp_path / "nothing.onnx"), "--robot", "fake", *goal], "no policy"),
        (["--policy", str(POLICY), "--robot", "fake", "--goal", "nan", "0", "0"], "--goal must be finite"),
        (["--policy", str(POLICY), "--robot", "fake", *goal, "--max-speed", "-1"], "--max-speed"),
        (["--policy", str(POLICY), "--robot", "fake", *goal, "--map", "m.yaml"], "--start"),
        (["--policy", str(POLICY), "--robot", "stretch3", *goal], "stretch_body"),
    ):
        refused = _ran([str(python), "-m", "export.runtime", *arguments], folder=tmp_path, check=False)
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert message in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr
