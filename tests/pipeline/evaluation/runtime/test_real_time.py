"""The whole command line on a real clock against the simulated robot, on the known map of a generated scene."""

import dataclasses
import json
import shlex
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embodiments import registry
from embodiments.spaces import HEIGHT_LAYERS_M
from export.runtime.robots.sim import OPTIONS
from pipeline.commands.evaluate_runtime import Config
from pipeline.commands.implementation import evaluate_runtime
from pipeline.commands.implementation.evaluate_runtime import planned
from pipeline.evaluation.runtime import real_time
from pipeline.evaluation.runtime.real_time import drive_in_real_time, false_stop_share, known_map
from pipeline.runs import manifest
from scenes import nav2_map
from scenes.scene import BOX, WALL, Scene, box

POLICY = Path(__file__).parents[4] / "export" / "pretrained" / "generalist.onnx"


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
        solid(2.0, z_min=HEIGHT_LAYERS_M[-1][1], known=True, semantic=WALL),
    )
    scene = Scene(name="three", kind="test", solids=solids, extent_w_m=(-4.0, -4.0, 4.0, 4.0))
    found = known_map(scene, registry.get("stretch3"))
    assert [bool(found.at(np.asarray([x, 1.0]))) for x in (-2.0, 0.0, 2.0)] == [True, False, False]
    assert not found.at(np.asarray([-2.0, -1.0])), "the map is not upside down"


def plan_in_an_empty_room() -> SimpleNamespace:
    """Return what ``drive_in_real_time`` asks of a plan, with one episode."""
    scene = Scene(name="empty", kind="test", solids=(), extent_w_m=(-4.0, -4.0, 4.0, 4.0))
    episodes = SimpleNamespace(
        scene_index=np.zeros(1, dtype=int), start_w=np.zeros((1, 3)), goal_w=np.ones((1, 3)), time_limit_s=np.ones(1)
    )
    task = SimpleNamespace(scenes=(scene,), embodiment=registry.get("stretch3"), episodes=episodes)
    return SimpleNamespace(task=task, scene=["office"], scene_seed=[7], number=[0])


@pytest.mark.parametrize("left", [None, -0.1])
def test_a_drive_that_does_not_end_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: float | None
) -> None:
    folder, given = tmp_path / "with a space", []

    def hang(command: list[str], *, env: dict[str, str], timeout: float, **_: object) -> None:
        given.extend(shlex.split(env[OPTIONS]))
        if left is not None:
            (folder / "office-0.json").write_text(json.dumps({"least_clearance_m": left, "time_s": 1.0, "wall_s": 2.0}))
            (folder / "office-0.jsonl").write_text('{"header": {}}\n{"time_s": 1.0, "gate": ""}\n{"time_s": 3.0')
        raise subprocess.TimeoutExpired(command, timeout, output=b"the driver is process 1\n")

    monkeypatch.setattr(subprocess, "run", hang)
    monkeypatch.setattr(real_time, "_END_S", 0.0)
    plan = plan_in_an_empty_room()
    row = drive_in_real_time(POLICY, plan, 0, split="val", max_speed_mps=0.3, folder=folder)  # type: ignore[arg-type]
    assert given[given.index("--truth") + 1] == str(folder / "office-0.json")
    assert row["outcome"] == "killed after 0 s" and row["exit_code"] == -signal.SIGKILL
    assert not row["success"] and row["collision"] == (left is not None) and row["scene_seed"] == 7
    assert "the driver is process 1" in (folder / "office-0.txt").read_text()


def test_false_stops_are_counted_once_armed() -> None:
    assert false_stop_share(["disarmed", "disarmed", "", "", "", "depth_stale"]) == 0.25
    assert false_stop_share(["disarmed"]) == false_stop_share([]) == 0.0


AGAINST = POLICY.parent / "benchmark_seed_0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"split": "val"}, "has split test in office, this drive has val"),
        ({"seed": 7}, "has seed 0 in office, this drive has 7"),
        ({"drawn": 32}, "has episodes 64 in office, this drive has 32"),
        ({"policy": POLICY.parent / "base.onnx"}, "has policy_sha256 .* in office, this drive has "),
        ({"scenes": ("office", "hospital")}, "has no generalist on stretch3 in hospital with the planned route"),
        ({"agent": "base"}, "has no base on stretch3 in office"),
    ],
)
def test_an_evaluation_of_something_else_is_no_comparison(change: dict, words: str, tmp_path: Path) -> None:
    mine = tmp_path / "evaluation"
    mine.mkdir()
    summary = json.loads((AGAINST / "summary.json").read_text())
    for cell in summary["cells"]:
        cell["policy_sha256"] = manifest.hash_file(POLICY)
    (mine / "summary.json").write_text(json.dumps(summary))
    (mine / "episodes.parquet").symlink_to(AGAINST / "episodes.parquet")
    same = Config(policy=POLICY, against=mine, drawn=64)
    assert len(evaluate_runtime._evaluated(same)) == 4 * 64
    with pytest.raises(ValueError, match=words):
        evaluate_runtime._evaluated(dataclasses.replace(same, **change))


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
