"""The log of a drive, read and drawn."""

import json
from pathlib import Path

import numpy as np
import pytest

from export.runtime.driver import cycle_log
from export.runtime.driver.cycle_log import CycleLog
from pipeline.commands import plot_drive
from tests.export.runtime.runtime_rig import Rig


def written(path: Path) -> Path:
    rig = Rig()
    log = CycleLog(path, header={"robot": "fake", "goal": [4.0, 0.0, 0.0]})
    rig.driver._log = log
    rig.run(2.0)
    rig.robot.run_stop()
    rig.run(0.5)
    log.close()
    return path


def test_a_log_is_drawn_even_if_its_last_line_was_cut(tmp_path: Path) -> None:
    path = written(tmp_path / "drive.jsonl")
    with path.open("a") as file:
        file.write('{"sequence": 99, "time')
    header, cycles = cycle_log.read(path)
    assert header["goal"] == [4.0, 0.0, 0.0]
    assert cycles[-1]["latched"] == "run_stop"
    plot_drive.main(plot_drive.Config(log=path))
    assert path.with_suffix(".png").stat().st_size > 10_000


def test_a_log_is_never_overwritten_and_foreign_files_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "drive.jsonl")
    with pytest.raises(FileExistsError):
        CycleLog(path, header={})
    foreign = tmp_path / "notes.txt"
    foreign.write_text("hello\nworld\n")
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        cycle_log.read(foreign)
    foreign.write_text(json.dumps({"header": {}}) + "\n")
    with pytest.raises(ValueError, match="no cycle"):
        cycle_log.read(foreign)
    with pytest.raises(FileNotFoundError, match="drive first"):
        cycle_log.read(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(
    "known", [{"sha256": "nav"}, {"sha256": "file", "nav_sha256": "nav", "max_speed_mps": 0.15, "needs_scan": True}]
)
def test_logs_with_and_without_limits_are_drawn(tmp_path: Path, known: dict[str, object]) -> None:
    path = written(tmp_path / "drive.jsonl")
    first, _, rest = path.read_text().partition("\n")
    header = {**json.loads(first)["header"], **known}
    path.write_text(json.dumps({"header": header}) + "\n" + rest)
    plot_drive.main(plot_drive.Config(log=path))
    assert cycle_log.read(path)[0] == header
    assert path.with_suffix(".png").is_file()


def test_every_cycle_tells_ages_and_both_commands(tmp_path: Path) -> None:
    _, cycles = cycle_log.read(written(tmp_path / "drive.jsonl"))
    driving = [cycle for cycle in cycles if cycle["command"][0] > 0.1]
    assert driving
    for cycle in driving:
        assert set(cycle["ages_s"]) == {"depth", "odometry", "scan"}
        assert 0.0 <= max(cycle["ages_s"].values()) < 0.4
        assert np.isfinite(cycle["asked"]).all()
