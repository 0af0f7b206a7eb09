"""Progress without a terminal: few plain lines with count, rate and figures."""

import pytest

from pipeline.runs import progress as module
from pipeline.runs.progress import progress


@pytest.fixture
def clock_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_are_rare_and_say_rate_and_time_left(clock_s: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress(1000, "train") as bar:
        bar.advance(500)  # what a resume skipped does not count for the rate
        for _ in range(4):
            clock_s[0] += 5.0
            bar.advance(50, loss=0.12345, success="3/4")
    lines = capsys.readouterr().out.splitlines()
    # 150 units in 15 s; 350 left at 10/s
    assert lines == [
        "train: 650/1000 (10/s, 35 s left)  loss 0.1235  success 3/4",
        "train: 700/1000 (10/s, 30 s left)  loss 0.1235  success 3/4",
    ]


def test_a_step_back_to_a_checkpoint_counts_anew(clock_s: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress(1000, "train") as bar:
        bar.advance(500)  # what was shown before the kill
        clock_s[0] += 10.0
        bar.advance(-200)  # the checkpoint is older
        clock_s[0] += 10.0
        bar.advance(100)
    assert capsys.readouterr().out.splitlines()[-1] == "train: 400/1000 (10/s, 60 s left)"


def test_a_loop_that_fails_prints_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), progress(10, "train") as bar:
        bar.advance(1, loss=1 / 0)
    assert capsys.readouterr().out == ""
