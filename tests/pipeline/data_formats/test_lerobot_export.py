"""Recordings as a LeRobot dataset, checked with LeRobot's own reader in an environment of its own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.recordings import OUTCOMES, read_shard
from pipeline.commands.export_lerobot import Config as ExportConfig
from pipeline.commands.implementation import export_lerobot, import_recordings
from pipeline.commands.import_recordings import Config
from pipeline.data_formats.drive import pieces, sequences
from pipeline.data_formats.lerobot_features import COLUMNS, PREVIEW
from pipeline.runs.provenance import ROOT
from tests.pipeline.data_formats import made_recordings

PYTHON = ROOT / ".venv-lerobot" / "bin" / "python"
QUANTILES = {"q01", "q10", "q50", "q90", "q99"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_recordings.write(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def dataset(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of all recordings."""
    made = subprocess.run([ROOT / ".ci" / "setup_lerobot"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"without LeRobot: {made.stderr.strip().splitlines()[-1]}")
    out = tmp_path_factory.mktemp("lerobot") / "set"
    export_lerobot.main(ExportConfig(recordings=recordings, out=out, python=PYTHON))
    return out


@pytest.fixture(scope="module")
def seen(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what LeRobot's reader gives, frame by frame, and its facts."""
    out = tmp_path_factory.mktemp("seen") / "seen.npz"
    command = [str(PYTHON), "-W", "ignore", "-m", "tests.pipeline.data_formats.read_by_lerobot", str(dataset), str(out)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(out.parent / "caches")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    arrays = dict(np.load(out))
    return arrays, json.loads(str(arrays.pop("facts")))


@pytest.mark.slow
def test_every_row_is_there_to_the_last_bit(
    recordings: Path, seen: tuple[dict[str, np.ndarray], dict[str, Any]]
) -> None:
    arrays, _ = seen
    drives = list(sequences(recordings))
    for key, column in COLUMNS.items():
        if key == "action":  # asked for with its neighbours
            continue
        expected = np.concatenate([drive.rows[column.field] for drive in drives])
        assert np.array_equal(arrays[key].reshape(expected.shape).astype(expected.dtype), expected), key
    assert arrays["observation.depth"].max() > 2**12, "more than 12 bits of depth"


@pytest.mark.slow
def test_episodes_end_where_the_recorded_ones_do(
    recordings: Path, seen: tuple[dict[str, np.ndarray], dict[str, Any]]
) -> None:
    arrays, facts = seen
    parts = [piece for drive in sequences(recordings) for piece in pieces(drive)]
    assert facts["episodes"] == len(parts)
    assert np.bincount(arrays["episode_index"]).tolist() == [len(part) for part in parts]
    held = [part.split for part in parts].index("val")
    assert facts["splits"] == {"train": f"0:{held}", "val": f"{held}:{len(parts)}"}
    ends = np.flatnonzero(np.diff(arrays["episode_index"]))
    assert arrays["action_is_pad"][ends, 2].all() and arrays["action_is_pad"][ends + 1, 0].all()
    command = np.concatenate([part.rows["command"] for part in parts])
    assert np.array_equal(arrays["action"][:, 1], command)
    follows = ~arrays["action_is_pad"][:, 2]
    assert np.array_equal(arrays["action"][follows, 2], command[np.flatnonzero(follows) + 1])


@pytest.mark.slow
def test_names_rate_and_statistics(seen: tuple[dict[str, np.ndarray], dict[str, Any]]) -> None:
    arrays, facts = seen
    assert facts["fps"] == 10 and facts["robot"] == made_recordings.ROBOT
    for key in ("action", "observation.state"):
        assert facts["features"][key]["names"] == ["x.vel", "y.vel", "theta.vel"]
        assert facts["stats"][key].keys() >= {"mean", "std", "min", "max", *QUANTILES}
    assert facts["features"]["observation.depth"]["info"] == {"unit": "mm"}
    timestamp = arrays["timestamp"]
    within = np.diff(arrays["episode_index"]) == 0
    assert np.diff(timestamp)[within] == pytest.approx(0.1, abs=1e-4)


@pytest.mark.slow
def test_the_preview_shows_the_depth(seen: tuple[dict[str, np.ndarray], dict[str, Any]]) -> None:
    arrays, _ = seen
    video, depth = arrays[PREVIEW].mean(axis=(1, 2, 3)), arrays["observation.depth"].mean(axis=(1, 2))
    assert arrays[PREVIEW].shape[1:] == (3, 80, 128)
    assert np.corrcoef(video, depth)[0, 1] < -0.9, "near is bright"


@pytest.mark.slow
def test_recordings_come_back_from_lerobot(recordings: Path, dataset: Path, tmp_path: Path) -> None:
    config = Config(source=(dataset,), run=tmp_path, sequence_steps=made_recordings.STEPS, sequences_per_shard=3)
    import_recordings.main(config)
    for name in made_recordings.COLUMNS:
        before = read_shard(recordings / f"{name}.h5", kind="teacher").arrays
        after = read_shard(tmp_path / "collect_teacher" / f"{name}.h5", kind="teacher").arrays
        for field, values in before.items():
            assert np.array_equal(after[field], values), field


def test_a_sequence_is_its_pieces(recordings: Path) -> None:
    running = OUTCOMES.index("running")
    for drive in sequences(recordings):
        parts = pieces(drive)
        for field, values in drive.rows.items():
            assert np.array_equal(np.concatenate([part.rows[field] for part in parts]), values)
        assert min(map(len, parts)) >= 2
        inner = [part.rows["outcome"][1:-1] != running for part in parts]
        assert not np.concatenate(inner).any(), "only an episode of one row may lie within a piece"


def test_what_is_missing_is_one_line(recordings: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "python"
    with pytest.raises(FileNotFoundError, match="make it with: make lerobot"):
        export_lerobot.main(ExportConfig(recordings=recordings, out=tmp_path / "out", python=nowhere))
    with pytest.raises(FileExistsError, match="exists already"):
        export_lerobot.main(ExportConfig(recordings=recordings, out=tmp_path, python=nowhere))
    with pytest.raises(FileNotFoundError, match="no recordings"):
        export_lerobot.main(ExportConfig(recordings=tmp_path, out=tmp_path / "out", python=nowhere))
