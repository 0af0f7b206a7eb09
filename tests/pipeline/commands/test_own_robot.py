"""The example of docs/add_a_robot.md runs as it stands there, in a folder outside of the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT
from tests import own_robot


def commands() -> list[list[str]]:
    """Return the page's commands, as far as they are the example's own: up to the drive of ``go_straight``."""
    text = own_robot.PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if not language for line in block.splitlines() if "path/to/" in line]
    last = next(index for index, line in enumerate(lines) if "--agents go_straight " in line)
    return [shlex.split(line, comments=True) for line in lines[: last + 1]]


def run(words: list[str], folder: Path) -> str:
    """Run one command of the page from the folder, with its ``path/to`` meaning this folder."""
    words = [word.replace("path/to", str(folder)) for word in words]
    if words[0] == "mv":
        shutil.move(*words[1:])
        return ""
    assert words[0] == ".venv/bin/python"
    words = [word if not word.startswith("export/") else str(ROOT / word) for word in words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_drives(tmp_path: Path) -> None:
    (tmp_path / "cart.urdf").write_text(own_robot.urdf(), encoding="utf-8")
    *before, last = commands()
    outputs = [run(words, tmp_path) for words in before]
    assert "nothing missing or wrong" in outputs[0] and "0 wrong" in outputs[-1]
    run(last, tmp_path)
    rows = pd.read_parquet(tmp_path / "driven" / "episodes.parquet")
    assert set(rows["embodiment"]) == {"cart"} and len(rows) == 2
    assert (rows["path_m"] > 0.3).all() and not rows["fall"].any()
    inputs = manifest.read(tmp_path / "driven").body["inputs"]
    assert "robot:cart" in inputs
