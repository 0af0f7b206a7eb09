"""The log of a drive never exceeds its size limit, keeps the newest cycles, and never overwrites another log."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from export.runtime.__main__ import REFUSED, main
from export.runtime.driver.cycle_log import CycleLog, old_part, read
from tests.export.runtime.runtime_rig import Rig


def test_a_full_log_moves_on_keeps_the_newest_cycles_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, path = Rig().run(0.2).reports[0], tmp_path / "drive.jsonl"
    log = CycleLog(path, header={"robot": "fake"}, max_bytes=20_000)
    sizes = []
    for number in range(200):
        report = type(report)(**{**vars(report), "sequence": number})
        log.write(report, asked=np.zeros(3))
        sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))
    log.close()
    assert 10_000 < max(sizes) <= 20_000
    header, cycles = read(path)
    old_header, old_cycles = read(old_part(path))
    assert header == old_header == {"robot": "fake"}
    numbers = [cycle["sequence"] for cycle in (*old_cycles, *cycles)]
    assert numbers == list(range(numbers[0], 200)) and numbers[0] > 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the log reached its limit" in said


def test_a_short_log_is_one_file(tmp_path: Path) -> None:
    log = CycleLog(tmp_path / "drive.jsonl", header={})
    log.write(Rig().run(0.2).reports[0], asked=np.zeros(3))
    log.close()
    assert [file.name for file in tmp_path.iterdir()] == ["drive.jsonl"]


@pytest.mark.parametrize("name", ["drive.jsonl", "drive.old.jsonl"])
def test_an_existing_log_is_refused_at_once_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(json.dumps({"header": {}}))
    began_s = time.monotonic()
    options = ["--policy", "missing.onnx", "--robot", "fake", "--goal", "1", "0", "0"]
    assert main([*options, "--log", str(tmp_path / "drive.jsonl")]) == REFUSED
    assert time.monotonic() - began_s < 5.0
    said = capsys.readouterr().err
    assert said == f"error: --log {tmp_path / name} exists already; choose another name or remove it\n"
    assert (tmp_path / name).read_text() == json.dumps({"header": {}})
