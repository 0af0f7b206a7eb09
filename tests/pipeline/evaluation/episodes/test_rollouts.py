"""Parts of an evaluation in the work folder: a damaged one is noticed and driven again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.episodes import shards
from pipeline.evaluation.episodes.shards import Rollout
from tests.pipeline.evaluation.episodes.test_evaluation import _job


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    (tmp_path / "rollouts").mkdir()
    written = next(shards.rollouts(_job(str(tmp_path / "rollouts"))))
    written.write(pd.DataFrame({"time_s": [1.5, 2.5]}), traces={"pose": np.zeros((2, 3))})
    return written


def test_what_was_written_is_what_is_read(rollout: Rollout) -> None:
    assert rollout.is_whole()
    assert rollout.read_rows()["time_s"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("suffix", ["parquet", "traces.npz", "sha256.json"])
def test_a_flipped_bit_is_noticed_and_the_part_is_driven_again(
    rollout: Rollout, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rollout._file(suffix)
    whole = file.read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=100).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged; the same command drives it again"):
            rollout.read_rows()
    shards.forget_claims(_job(str(tmp_path / "rollouts")))
    assert "driving it again" in capsys.readouterr().out
    assert rollout.is_open and not rollout.traces.exists()


def test_an_added_or_missing_file_is_noticed(rollout: Rollout) -> None:
    np.savez(rollout.failures, x=np.zeros(1))
    assert not rollout.is_whole()
    rollout.failures.unlink()
    rollout.traces.unlink()
    assert not rollout.is_whole()
