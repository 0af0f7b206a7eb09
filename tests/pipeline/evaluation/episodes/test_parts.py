"""Parts of an evaluation in the work folder: a damaged one is noticed and driven again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.episodes import shards
from pipeline.evaluation.episodes.shards import Part
from tests.pipeline.evaluation.episodes.test_evaluation import _job


@pytest.fixture
def part(tmp_path: Path) -> Part:
    (tmp_path / "parts").mkdir()
    written = next(shards.parts(_job(str(tmp_path / "parts"))))
    written.write(pd.DataFrame({"time_s": [1.5, 2.5]}), traces={"pose": np.zeros((2, 3))})
    return written


def test_what_was_written_is_what_is_read(part: Part) -> None:
    assert part.is_whole()
    assert part.read_rows()["time_s"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize("suffix", ["parquet", "traces.npz", "sha256.json"])
def test_a_flipped_bit_is_noticed_and_the_part_is_driven_again(
    part: Part, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = part._file(suffix)
    whole = file.read_bytes()
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=100).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged; the same command drives it again"):
            part.read_rows()
    shards.forget_claims(_job(str(tmp_path / "parts")))
    assert "driving it again" in capsys.readouterr().out
    assert part.is_open and not part.traces.exists()


def test_an_added_or_missing_file_is_noticed(part: Part) -> None:
    np.savez(part.failures, x=np.zeros(1))
    assert not part.is_whole()
    part.failures.unlink()
    part.traces.unlink()
    assert not part.is_whole()
