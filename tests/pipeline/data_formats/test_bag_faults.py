"""Bags with which something is wrong: one line with the mend, and nothing is written."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.recordings import read_shard, shard_paths
from pipeline.data_formats.bag_clock import commands_at, segments
from tests.pipeline.data_formats import foreign_bag
from tests.pipeline.data_formats.foreign_bag import Made, imported


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Made(lost_s=(2.0, 3.0)), "no depth image follows .* after the first; give --split-at-gaps"),
        (Made(image_hz=5.0), "depth images come at 5.0 Hz, and 10 Hz or more are needed"),
        (Made(odometry_hz=4.0), "odometry comes at 4.0 Hz"),
        (Made(yaw_scale=180.0 / np.pi), "give --yaw-unit deg"),
        (Made(speed_scale=1000.0), "add up to .* its twist must be in m/s"),
        (Made(depth_scale=0.001), "16UC1 means millimetres"),
        (Made(encoding="32FC1", depth_scale=1000.0), "32FC1 means metres"),
        (Made(encoding="rgb8"), "has the encoding 'rgb8'"),
        (Made(frame="other"), "camera info is that of 'camera'"),
        (Made(without=("/cmd_vel",)), "no topic 'cmd_vel' of geometry_msgs/msg/Twist or .*TwistStamped"),
        (Made(without=("/odom",)), "no topic 'odom' of nav_msgs/msg/Odometry, and no other"),
    ],
)
def test_a_bad_bag_is_one_line(made: Made, message: str, tmp_path: Path) -> None:
    bag = foreign_bag.write(tmp_path / "bag", made)
    with pytest.raises(ValueError, match=message) as caught:
        imported(bag, tmp_path / "run")
    assert "\n" not in str(caught.value) and str(bag) in str(caught.value)
    assert not (tmp_path / "run").exists(), "nothing half written"


def test_gaps_begin_new_episodes_where_that_is_asked_for(tmp_path: Path) -> None:
    bag = foreign_bag.write(tmp_path / "bag", Made(lost_s=(4.0, 5.0)))
    found = imported(bag, tmp_path / "run", split_at_gaps=True, episode_s=30.0)
    rows = [read_shard(path, kind="teacher").arrays for path in shard_paths(found)]
    assert sum(int(one["first"].any(axis=1).sum()) for one in rows) >= 2
    for one in rows:
        jumps = np.abs(np.diff(one["depth_mm"][:, 0, 20, 32].astype(int))) > 300
        assert not (jumps & ~one["first"][1:, 0]).any()


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_mcap_is_one_line(fraction: float, tmp_path: Path) -> None:
    path = foreign_bag.write(tmp_path / "bag", Made(), mcap=True)
    data = path.read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(ValueError, match=r"truncated or damaged .*; mend it: mcap recover cut\.mcap") as caught:
        imported(cut, tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_other_topics_of_the_type_are_named(tmp_path: Path) -> None:
    bag = foreign_bag.write(tmp_path / "bag", Made())
    with pytest.raises(ValueError, match=r"no topic 'depth/image' .*, it has /camera/depth; give --depth-topic NAME"):
        imported(bag, tmp_path / "run", depth_topic="depth/image")


def test_the_robot_must_be_said_and_fit(tmp_path: Path) -> None:
    bag = foreign_bag.write(tmp_path / "bag", Made())
    with pytest.raises(ValueError, match="does not say which robot drove; give --embodiments"):
        imported(bag, tmp_path / "run", embodiment=None)
    with pytest.raises(ValueError, match="degrees wide, expected"):
        imported(bag, tmp_path / "run", embodiment="stretch3")


def test_no_run_is_overwritten_and_no_source_invented(tmp_path: Path) -> None:
    (tmp_path / "run" / "collect_teacher").mkdir(parents=True)
    with pytest.raises(ValueError, match="is there already"):
        imported(tmp_path / "bag", tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="to import"):
        imported(tmp_path / "bag", tmp_path / "new")


def test_images_of_about_10_hz_are_all_taken() -> None:
    rng = np.random.default_rng(0)
    odometry_s = np.arange(0.0, 61.0, 0.02)
    for rate_hz in (9.8, 10.0, 10.2):
        depth_s = np.arange(0.0, 60.0, 1.0 / rate_hz) + rng.uniform(
            -0.01, 0.01, len(np.arange(0.0, 60.0, 1.0 / rate_hz))
        )
        (ticks,) = segments(np.sort(depth_s).tolist(), odometry_s.tolist(), split_at_gaps=False, where="here")
        assert len(ticks.depth) >= 0.99 * len(depth_s)


def test_a_command_holds_until_it_is_stale() -> None:
    commands = np.asarray([[0.1, 0.0, 0.0], [0.2, 0.0, 0.0]])
    found = commands_at(np.asarray([0.0, 0.96, 1.2, 1.6]), [0.5, 1.0], commands, after_s=0.05)
    assert found[:, 0].tolist() == [0.0, 0.2, 0.2, 0.0]


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bag = foreign_bag.write(tmp_path / "bag", Made())
    whole = builtins.__import__

    def without(name: str, *others: Any, **named: Any) -> Any:
        if name.startswith("rosbags"):
            raise ImportError(name)
        return whole(name, *others, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match="bags need a package: pip install rosbags"):
        imported(bag, tmp_path / "run")
