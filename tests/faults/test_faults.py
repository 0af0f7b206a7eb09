"""The faults of ``make faults``, few of each: nothing is lost, silent or a traceback."""

import shutil
import subprocess
import sys

import pytest

from pipeline.runs.provenance import ROOT


@pytest.mark.skipif(shutil.which("cc") is None, reason="the faults are made by a small C library")
def test_a_few_faults_of_every_kind_lose_nothing() -> None:
    command = [sys.executable, "-m", "tests.faults", "--small"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    table = [line.split("|")[1:-1] for line in finished.stdout.splitlines() if line.startswith("|")][2:]
    tests = {row[0].strip().strip("*") for row in table}
    assert tests >= {"kill -9", "I/O error", "bit flip, finished folder", "robot", "hostile input"}
    assert all(count.strip() == "0" for row in table for count in row[3:6])
