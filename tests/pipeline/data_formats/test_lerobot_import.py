"""LeRobot datasets from elsewhere: what they give, and what is wrong with one in one line. Without LeRobot."""

from pathlib import Path

import numpy as np
import pytest

from distill.recordings import read_shard
from embodiments import registry
from pipeline.commands.implementation import import_recordings
from pipeline.commands.import_recordings import Config
from pipeline.data_formats.drive import dead_reckoning
from tests.pipeline.data_formats import hand_made_lerobot
from tests.pipeline.data_formats.hand_made_lerobot import Made


def imported(source: Path, run: Path, **options: object) -> Path:
    import_recordings.main(Config(source=(source,), run=run, sequence_steps=20, **options))  # type: ignore[arg-type]
    return run / "collect_teacher"


@pytest.mark.parametrize(
    ("made", "options"),
    [
        (Made(), {}),
        (Made(depth_type="float32", depth_scale=1.0), {}),
        (Made(depth_type="float32"), {"depth_unit": "mm"}),
        (Made(yaw_scale=180.0 / np.pi), {"yaw_unit": "deg"}),
        (Made(names=("x.vel", "theta.vel")), {}),
        (Made(robot="lekiwi"), {"embodiment": "go2"}),
        (Made(fps=30.0, lengths=(90, 72, 78)), {}),
    ],
    ids=["plain", "metres", "millimetres as float", "degrees", "no y.vel", "robot", "30 Hz"],
)
def test_velocities_depth_and_hindsight_goals(made: Made, options: dict[str, object], tmp_path: Path) -> None:
    found = imported(hand_made_lerobot.write(tmp_path / "set", made), tmp_path / "run", **options)
    rows = {name: values[:, 0] for name, values in read_shard(found / "train_000.h5", kind="teacher").arrays.items()}
    assert rows["velocity_b"] == pytest.approx(np.broadcast_to([0.4, 0.0, 0.2], (20, 3)), abs=1e-5)
    assert rows["command"] == pytest.approx(np.broadcast_to([0.44, 0.0, 0.22], (20, 3)), abs=1e-5)
    expected = 1000.0 * (5.0 - 0.04 * np.arange(20))
    assert np.abs(rows["depth_mm"][:, 20, 32] - expected).max() <= 1.0
    assert rows["teacher_action"][0, 0] == pytest.approx(0.44 / registry.get("go2").limits.forward_mps)
    end = dead_reckoning(np.broadcast_to([0.4, 0.0, 0.2], (30, 3)), np.zeros(30, bool))[-1]
    assert rows["goal_b"][0, :2] == pytest.approx(end[:2], abs=1e-4)
    assert rows["first"].tolist() == [True] + [False] * 19


def test_the_datasets_own_splits_and_all_rows_count(tmp_path: Path) -> None:
    found = imported(hand_made_lerobot.write(tmp_path / "set", Made()), tmp_path / "run")
    train, val = (read_shard(found / f"{part}_000.h5", kind="teacher").arrays for part in ("train", "val"))
    assert train["first"].shape == (20, 3) and val["first"].shape == (20, 2)  # 54 and 26 rows, the last ones twice
    assert np.argwhere(train["first"].T).tolist() == [[0, 0], [1, 10]]
    assert train["outcome"][9, 1] == 1 and not train["labelled"][9, 1]


def test_episodes_can_be_left_out(tmp_path: Path) -> None:
    source = hand_made_lerobot.write(tmp_path / "set", Made(lost=(5, 6, 7)))
    found = imported(source, tmp_path / "run", without_episodes=(1,))
    assert read_shard(found / "train_000.h5", kind="teacher").arrays["first"].shape == (20, 2)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Made(lost=(5, 6, 7)), r"episode 1 lacks frame 5 and 2 more of 24; leave it out: --without-episodes 1"),
        (Made(lost=(23,)), r"episode 1 lacks frame 23 of 24"),
        (Made(late_s=0.3), r"episode 1: 0.400 s lie between frames 9 and 10, which is not 10 Hz"),
        (Made(fps=25.0), r"has 25 frames per second, and 10 or a multiple is needed"),
        (Made(fps=5.0), r"has 5 frames per second"),
        (Made(depth_scale=1.0), r"the median depth is 0.00\d+ m if it is in mm, .*; give --depth-unit m"),
        (Made(depth_type="float32"), r"the median depth is 4\d+ m if it is in m, .*; give --depth-unit mm"),
        (Made(depth_scale=0.0), r"every depth is 0"),
        (Made(yaw_scale=180.0 / np.pi), r"a measured yaw rate of 11.5 rad/s, and go2 turns by 1 .*--yaw-unit deg"),
        (Made(names=("x.vel", "wheel")), r"has no 'theta.vel', only x.vel, wheel"),
        (Made(robot="lekiwi"), r"is of robot 'lekiwi'; say which one drove: --embodiments"),
        (Made(version="v2.1"), r"is of LeRobot's format v2.1; convert it to v3.0"),
        (Made(lengths=(30, 24, 10)), r"the part 'val' has 10 rows and a sequence 20"),
    ],
)
def test_a_bad_dataset_is_one_line(made: Made, message: str, tmp_path: Path) -> None:
    source = hand_made_lerobot.write(tmp_path / "set", made)
    with pytest.raises(ValueError, match=message) as caught:
        imported(source, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("run/*")), "nothing half written"


def test_a_video_is_no_depth_and_columns_are_named(tmp_path: Path) -> None:
    source = hand_made_lerobot.write(tmp_path / "set", Made())
    with pytest.raises(ValueError, match=r"is a video .*--depth-key, of observation\.depth"):
        imported(source, tmp_path / "run", depth_key="observation.images.front")
    with pytest.raises(ValueError, match=r"no column 'depth'; there are: observation\.state, action"):
        imported(source, tmp_path / "run", depth_key="depth")


def test_missing_and_truncated_tables(tmp_path: Path) -> None:
    source = hand_made_lerobot.write(tmp_path / "set", Made())
    table = source / "data" / "chunk-000" / "file-000.parquet"
    table.write_bytes(table.read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or damaged") as caught:
        imported(source, tmp_path / "run")
    assert "\n" not in str(caught.value)
    table.unlink()
    with pytest.raises(FileNotFoundError, match="has no tables in data/"):
        imported(source, tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="is no LeRobot dataset"):
        imported(tmp_path, tmp_path / "run")


def test_two_robots_are_two_runs(tmp_path: Path) -> None:
    sources = tuple(hand_made_lerobot.write(tmp_path / name, Made(robot=name)) for name in ("go2", "g1"))
    with pytest.raises(ValueError, match="are of g1 and go2; import each robot into a run of its own"):
        import_recordings.main(Config(source=sources, run=tmp_path / "run"))
