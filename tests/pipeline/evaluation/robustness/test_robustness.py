"""From disturbed episodes to ``robustness.json``, and the disturbances in a real simulation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from embodiments import registry
from pipeline.commands.implementation import evaluate_robustness
from pipeline.evaluation.episodes import shards
from pipeline.evaluation.episodes.plan import CLEAN, CONFIRM, Disturbances, Job
from pipeline.evaluation.robustness import runner as robustness_runner
from pipeline.evaluation.robustness import summary as robustness_summary
from pipeline.simulation.conditions.disturbances import NAMES, NEUTRAL, one_factor
from scenes.registry import FileOptions
from tests.pipeline.simulation.sensors.test_depth_camera import ROWS
from tests.separate_process import call

ENVS = 4


def part(name: str, success: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """Return rows of a part; success is (P, N), episodes come two to a scene."""
    points, count = success.shape
    episode = np.tile(np.arange(count), points)
    point = np.repeat(np.arange(points), count)
    return pd.DataFrame(
        {
            "embodiment": "go2",
            "part": name,
            "point": point,
            "scene": "office",
            "scene_seed": episode // 2,
            "episode": episode,
            "success": success.ravel(),
            "collision": ~success.ravel(),
            "fall": False,
            "timeout": False,
            **{f"factor_{factor}": values[point, index] for index, factor in enumerate(NAMES)},
        }
    )


@pytest.fixture
def rows() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    latency = np.stack([one_factor("latency", level) for level in (0.1, 0.2, 0.3)])
    tried = [np.tile(NEUTRAL, (4, 1)) for _ in range(3)]
    parts = [part(CLEAN, generator.random((1, 24)) < 0.9, NEUTRAL[None])]
    parts.append(part("latency", generator.random((3, 24)) < np.asarray([[0.8], [0.5], [0.2]]), latency))
    parts += [part(f"search_{k}", generator.random((4, 8)) < 0.5, tried[k]) for k in range(3)]
    parts.append(part(CONFIRM, generator.random((1, 24)) < 0.3, one_factor("mass", 1.3)[None]))
    return pd.concat(parts, ignore_index=True).sample(frac=1.0, random_state=1)


def test_figures_recomputed_from_the_rows(rows: pd.DataFrame) -> None:
    found = robustness_summary.summarise(rows)
    clean = rows[rows["part"] == CLEAN].set_index("episode")["success"]
    assert found["clean"]["go2"]["success"] == pytest.approx(clean.mean())
    assert [entry["level"] for entry in found["sweeps"]] == [0.0, 0.1, 0.2, 0.3]
    assert found["sweeps"][0]["success"] == clean.mean() and found["sweeps"][0]["kept_ci95"] == [1.0, 1.0]
    for entry in found["sweeps"][1:]:
        mine = rows[(rows["part"] == "latency") & np.isclose(rows["factor_latency"], entry["level"])]
        assert entry["episodes"] == len(mine) == 24
        assert entry["success"] == pytest.approx(mine["success"].mean())
        assert entry["kept"] == pytest.approx(mine["success"].sum() / clean.sum())
        low, high = entry["kept_ci95"]
        assert low <= entry["kept"] <= high and entry["success_ci95"][0] < entry["success"] < entry["success_ci95"][1]
    searched = rows[rows["part"].str.startswith("search")]
    rates = searched.groupby(["part", "point"])["success"].mean()
    (worst,) = found["worst_case"]
    assert (worst["population"], worst["iterations"], worst["episodes"]) == (4, 3, 8)
    assert worst["mean"] == pytest.approx(rates.mean()) and worst["worst"] == rates.min()
    assert worst["p10"] == pytest.approx(np.quantile(rates, 0.1))
    assert worst["kept_worst"] == pytest.approx(rates.min() / clean.sort_index().loc[:7].mean())
    assert worst["factors"]["mass"] == pytest.approx(1.3) and worst["factors"]["latency"] == 0.0
    json.dumps(found, allow_nan=False)


def test_nothing_is_kept_of_nothing(rows: pd.DataFrame) -> None:
    rows.loc[rows["part"] == CLEAN, "success"] = False
    found = robustness_summary.summarise(rows)
    assert found["sweeps"][1]["kept"] is None and found["worst_case"][0]["kept_worst"] is None


def test_mistakes_are_named() -> None:
    config = evaluate_robustness.Config
    for wrong, what in (
        (config(), "either --policy"),
        (config(agent="planner", factors=("latncy",)), "did you mean 'latency'"),
        (config(agent="planner", embodiments=()), "needs a robot"),
        (config(agent="planer"), "did you mean 'planner'"),
        (config(agent="generalist"), "has weights"),
        (config(agent="planner", search_reach=0.0), "must lie in"),
        (config(agent="planner", episodes=-3), "--episodes must not be negative"),
        (config(agent="planner", population=1), "--population at least 2"),
    ):
        with pytest.raises(ValueError, match=what):
            evaluate_robustness.main(wrong)


def job_in(folder: Path) -> Job:
    return Job(
        embodiment="tiago",
        agents=("go_straight",),
        policies={},
        scenes=("clutter",),
        split="val",
        episodes=ENVS,
        routes=("planned",),
        protocol="compass",
        seed=0,
        num_envs=ENVS,
        device="cpu",
        folder=str(folder),
        disturbances=Disturbances(
            factors=("speed_scale",), population=2, iterations=1, search_episodes=2, search_reach=0.5
        ),
    )


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    job = replace(job_in(tmp_path), files=FileOptions(map_unknown="open"))
    for one in (job, replace(job, disturbances=None)):
        one.save(tmp_path / "job.json")
        assert Job.load(tmp_path / "job.json") == one
    assert job.disturbances is not None
    assert job.disturbances.rollouts() == [CLEAN, "speed_scale", "search_0", CONFIRM]
    assert len(list(shards.rollouts(job))) == 4


def test_maps_are_read_as_asked_for(tmp_path: Path) -> None:
    config = evaluate_robustness.Config(agent="planner", out=tmp_path, map_unknown="open", mesh_scale=0.01)
    job = evaluate_robustness._job(config, "planner", "go2", made_of=[])
    assert job.files == FileOptions(map_unknown="open", mesh_scale=0.01)


def test_parts_of_another_commit_are_driven_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: pd.DataFrame
) -> None:
    git = {"commit": "a" * 40, "dirty": False}
    parts_found: list[bool] = []

    def drive(job: Job) -> None:
        clean = next(shards.rollouts(job))
        parts_found.append(clean.rows.exists())
        clean.folder.mkdir(parents=True, exist_ok=True)
        clean.write(rows)

    monkeypatch.setattr(evaluate_robustness, "describe", lambda: {"git": git})
    monkeypatch.setattr(evaluate_robustness, "evaluate", drive)
    monkeypatch.setattr(evaluate_robustness, "read", lambda _: rows)
    monkeypatch.setattr(evaluate_robustness, "_write_events", lambda *_: None)

    def run(**options: Any) -> str:
        config = evaluate_robustness.Config(agent="go_straight", embodiments=("go2",), out=tmp_path, **options)
        evaluate_robustness.main(config)
        return capsys.readouterr().out

    for changes, is_there in (({}, False), ({}, True), ({"commit": "b" * 40}, False), ({"dirty": True}, False)):
        git |= changes
        printed = run()
        assert parts_found.pop() == is_there
        assert ("go2: settings, files or code changed since the interrupted run" in printed) == bool(changes)
    assert "starting afresh" in run(search_reach=0.25) and len(list((tmp_path / "rollouts").glob("go2.*/"))) == 1
    body = json.loads((tmp_path / "robustness.json").read_text())
    assert body["search_reach"] == 0.25 and body["scenes"][0] == "office" and body["provenance"] == {"git": git}
    assert (body["route"], body["split"], body["policy_sha256"]) == ("planned", "test", None)


LEVELS = {
    "mass": 1.5,
    "friction": 0.3,
    "latency": 0.3,
    "speed_scale": 0.5,
    "pose_bias": 0.3,
    "heading_bias": 0.1,
    "camera_height": 0.1,
    "camera_pitch": 0.1,
    "motor_strength": 0.4,
    "person": 0.5,
}


def run_disturbed(folder: str) -> dict[str, Any]:
    """Run a small robustness evaluation, then single factors, in one simulation. Runs in a process of its own."""
    torch.set_num_threads(1)
    job = job_in(Path(folder))
    disturbed = robustness_runner.Disturbed(job)
    environment = disturbed.environment
    environment.sees = True  # the agent does not look, but the tests do
    disturbance, environment.disturbance = environment.disturbance, None
    log: dict[str, Any] = {"without": look(environment)}
    environment.disturbance = disturbance
    for name, level in LEVELS.items():
        environment.disturb(np.tile(one_factor(name, level), (ENVS, 1)), np.arange(ENVS))
        log[name] = look(environment)
    environment.disturb(np.tile(NEUTRAL, (ENVS, 1)), np.arange(ENVS))
    log["neutral"] = look(environment)
    environment.sees = False
    robustness_runner.Disturbed = lambda _: disturbed  # type: ignore[assignment, misc]
    robustness_runner.evaluate(job)
    log["rows"] = robustness_runner.read([job]).to_dict("list")
    robustness_runner.Disturbed = None  # type: ignore[assignment, misc]
    robustness_runner.evaluate(job)  # everything is there: nothing is built
    return log


def look(environment: Any) -> dict[str, Any]:
    """Turn on the spot for a while; return what happened and what was seen."""
    environment.assign(torch.arange(ENVS)[:, None])
    environment.reseed(0)
    step = environment.reset()
    seen, poses, velocities = step.observation, [], []
    for _ in range(12):
        step = environment.step(torch.tensor([[0.0, 0.0, 0.6]]).expand(ENVS, 3))
        poses.append(environment.pose_w.numpy().copy())
        velocities.append(step.observation.velocity_b.numpy().copy())
    robot = environment.physics._robot
    return {
        "pose": np.stack(poses),
        "velocity": np.stack(velocities),
        "goal": seen.goal_b.numpy().copy(),
        "last_goal": step.observation.goal_b.numpy().copy(),
        "depth": seen.depth_m.numpy().copy(),
        "last_depth": step.observation.depth_m.numpy().copy(),
        "told": seen.descriptor.numpy().copy(),
        "mass": float(robot.get_links_mass([robot.base_link.idx_local]).flatten()[0]),
    }


@pytest.fixture(scope="module")
def factors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = call(run_disturbed, str(tmp_path_factory.mktemp("parts")))
    return found


# slow: a simulation, which compiles anew where masses are kept per environment


@pytest.mark.slow
def test_with_neutral_factors_every_bit_is_as_without_a_disturbance(factors: dict[str, Any]) -> None:
    for what in ("pose", "velocity", "goal", "last_goal", "depth", "told", "mass"):
        np.testing.assert_array_equal(factors["neutral"][what], factors["without"][what], err_msg=what)


@pytest.mark.slow
def test_latency_of_three_control_steps_delays_the_response_by_three(factors: dict[str, Any]) -> None:
    prompt, late = factors["neutral"]["velocity"][..., 2], factors["latency"]["velocity"][..., 2]
    assert np.abs(late[:3]).max() < 0.02 < prompt[0].min()
    np.testing.assert_allclose(late[3:], prompt[:-3], atol=0.05)


@pytest.mark.slow
def test_the_drive_executes_its_share_of_the_command(factors: dict[str, Any]) -> None:
    turned = {name: factors[name]["velocity"][-3:, :, 2].mean() for name in ("neutral", "speed_scale")}
    assert turned["speed_scale"] == pytest.approx(0.5 * turned["neutral"], rel=0.1)


@pytest.mark.slow
def test_a_bias_moves_the_goal_that_is_seen_and_not_the_robot(factors: dict[str, Any]) -> None:
    clean, biased, turned = (factors[name] for name in ("neutral", "pose_bias", "heading_bias"))
    np.testing.assert_allclose(np.linalg.norm((biased["goal"] - clean["goal"])[:, :2], axis=1), 0.3, atol=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm((biased["last_goal"] - clean["last_goal"])[:, :2], axis=1), 0.3, atol=1e-4
    )
    heading = [np.arctan2(found["goal"][:, 3], found["goal"][:, 2]) for found in (clean, turned)]
    change = np.arctan2(np.sin(heading[1] - heading[0]), np.cos(heading[1] - heading[0]))
    np.testing.assert_allclose(change, [-0.1, 0.1, -0.1, 0.1], atol=1e-4)
    np.testing.assert_array_equal(biased["pose"], clean["pose"])


@pytest.mark.slow
def test_a_camera_that_sits_higher_is_not_told(factors: dict[str, Any]) -> None:
    clean, higher = factors["neutral"], factors["camera_height"]
    np.testing.assert_array_equal(higher["told"], clean["told"])
    camera = registry.get("tiago").camera
    fall = np.sin(camera.pitch_rad) - ROWS[:, None] * np.cos(camera.pitch_rad)  # metres down per metre of depth
    depth = clean["depth"][:, 0]
    ground = (np.abs(camera.z_m - depth * fall) < 0.03) & (depth > 0.0) & (higher["depth"][:, 0] > 0.0)
    ratio = (higher["depth"][:, 0] / np.where(ground, depth, 1.0))[ground]
    assert len(ratio) > 50
    assert np.median(ratio) == pytest.approx((camera.z_m + LEVELS["camera_height"]) / camera.z_m, rel=0.02)


@pytest.mark.slow
def test_a_camera_that_looks_lower_is_not_told(factors: dict[str, Any]) -> None:
    clean, lower = factors["neutral"], factors["camera_pitch"]
    np.testing.assert_array_equal(lower["told"], clean["told"])
    camera = registry.get("tiago").camera
    below_m = []
    for found, pitch in ((clean, camera.pitch_rad), (lower, camera.pitch_rad + LEVELS["camera_pitch"])):
        below_m.append(found["depth"][:, 0] * (np.sin(pitch) - ROWS[:, None] * np.cos(pitch)))
    ground = (np.abs(below_m[0] - camera.z_m) < 0.03) & (lower["depth"][:, 0] > 0.0)
    assert ground.sum() > 50
    assert np.median(below_m[1][ground]) == pytest.approx(camera.z_m, rel=0.02)


@pytest.mark.slow
def test_somebody_is_seen_and_does_not_move_the_robot(factors: dict[str, Any]) -> None:
    clean, passed = factors["neutral"], factors["person"]
    np.testing.assert_array_equal(passed["pose"], clean["pose"])
    nearer = [(passed[what] < clean[what] - 0.5) & (passed[what] > 0.0) for what in ("depth", "last_depth")]
    assert sum(int(found.sum()) for found in nearer) > 20


@pytest.mark.slow
def test_mass_reaches_the_physics(factors: dict[str, Any]) -> None:
    assert factors["mass"]["mass"] == pytest.approx(1.5 * factors["neutral"]["mass"], rel=1e-4)
    assert not np.array_equal(factors["mass"]["pose"], factors["neutral"]["pose"])
    assert not np.array_equal(factors["friction"]["pose"], factors["neutral"]["pose"])
    assert not np.array_equal(factors["motor_strength"]["pose"], factors["neutral"]["pose"])
    assert factors["friction"]["mass"] == pytest.approx(factors["neutral"]["mass"], rel=1e-6)


@pytest.mark.slow
def test_every_point_runs_the_same_episodes(factors: dict[str, Any]) -> None:
    rows = pd.DataFrame(factors["rows"])
    keys = rows.groupby(["part", "point"])[["scene_seed", "episode"]].apply(lambda g: tuple(map(tuple, g.to_numpy())))
    assert keys[CLEAN, 0] == keys["speed_scale", 0] == keys["speed_scale", 3] == keys[CONFIRM, 0]
    assert keys["search_0", 0] == keys["search_0", 1] and len(keys["search_0", 0]) == 2
    levels = rows.loc[rows["part"] == "speed_scale", "factor_speed_scale"].round(3).unique()
    assert sorted(levels) == [0.6, 0.8, 1.15, 1.3]
    slow, clean = (rows[(rows["part"] == part) & (rows["point"] == 0)] for part in ("speed_scale", CLEAN))
    assert slow["time_s"].mean() > 1.2 * clean["time_s"].mean()
    assert robustness_summary.summarise(rows)["worst_case"][0]["population"] == 2
