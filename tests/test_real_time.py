"""The whole command line on a real clock against the simulated robot, on the known map of a generated scene."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from embodiments import registry
from embodiments.spaces import SLABS_M
from pipeline.evaluate_runtime import Config, planned
from pipeline.real_time import drive_in_real_time, known_map
from scenes import nav2_map
from scenes.scene import BOX, WALL, Scene, box

POLICY = Path(__file__).parents[1] / "export" / "pretrained" / "generalist.onnx"


def test_the_known_map_holds_what_is_known_and_as_high_as_the_body() -> None:
    def solid(x: float, *, z_min: float, known: bool, semantic: int):  # type: ignore[no-untyped-def]
        return box(
            centre_xy_w_m=(x, 1.0),
            size_m=(0.4, 0.4, 0.5),
            yaw_rad=0.0,
            z_min_m=z_min,
            semantic=semantic,
            known=known,
        )

    solids = (
        solid(-2.0, z_min=0.0, known=True, semantic=WALL),
        solid(0.0, z_min=0.0, known=False, semantic=BOX),
        solid(2.0, z_min=SLABS_M[-1][1], known=True, semantic=WALL),
    )
    scene = Scene(name="three", kind="test", solids=solids, extent_w_m=(-4.0, -4.0, 4.0, 4.0))
    found = known_map(scene, registry.get("stretch3"))
    assert [bool(found.at(np.asarray([x, 1.0]))) for x in (-2.0, 0.0, 2.0)] == [True, False, False]
    assert not found.at(np.asarray([-2.0, -1.0])), "the map is not upside down"


@pytest.mark.slow
def test_a_drive_in_real_time_is_cut_off_in_time_and_told_truly(tmp_path: Path) -> None:
    plan = planned(Config(scenes=("office",), episodes=1, drawn=1, split="val"))
    episodes = dataclasses.replace(plan.task.episodes, time_limit_s=np.full(len(plan.task.episodes), 6.0))
    plan = dataclasses.replace(plan, task=dataclasses.replace(plan.task, episodes=episodes))
    row = drive_in_real_time(POLICY, plan, 0, split="val", max_speed_mps=0.3, folder=tmp_path)
    assert row["exit_code"] == 1 and row["outcome"].startswith("out of time") and not row["success"]
    assert 5.0 < row["driven_s"] < 8.0
    end = json.loads((tmp_path / "office-0.jsonl").read_text().splitlines()[-1])["pose"]
    truth = np.asarray(json.loads((tmp_path / "office-0.json").read_text())["pose_w"])
    moved_m = float(np.hypot(*(truth[:2] - plan.task.episodes.start_w[0, :2])))
    assert moved_m > 0.2
    assert np.hypot(*end[:2]) == pytest.approx(moved_m, abs=0.15), "what the robot believes against the truth"
    assert nav2_map.load(tmp_path / "office-0.yaml").values.any()
