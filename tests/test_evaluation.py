"""From episodes to the table: cells by hand, pairing, and the form that other tools read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.plan import Job
from pipeline.evaluation.summary import ALL, EPISODE_COLUMNS, Provenance, compare, summarise

CELL_KEYS = [
    *("embodiment", "scene", "split", "agent", "protocol", "route", "seed", "training_seed", "policy_sha256"),
    *("episodes", "success", "success_ci95", "success_settled", "spl", "soft_spl", "sct", "collision", "fall"),
    *("timeout", "time_s", "wtt_s", "min_clearance_m", "jerk_mps3"),
]
PROVENANCE = Provenance(split="test", seed=7, training_seed=3, policy_sha256={("generalist", "go2"): "ab" * 32})


def rows(agent: str, success: list[bool], *, embodiment: str = "go2", scene: str = "office") -> pd.DataFrame:
    count = len(success)
    values = {
        "embodiment": embodiment,
        "scene": scene,
        "agent": agent,
        "protocol": "compass",
        "route": "straight",
        "episode": np.arange(count),
        "scene_seed": np.arange(count),
        "success": success,
        "success_settled": [False] * count,
        "collision": [not s for s in success],
        "fall": False,
        "timeout": False,
        "time_s": 8.0,
        "time_limit_s": 25.6,
        "fastest_time_s": 4.0,
        "path_m": 5.0,
        "geodesic_m": [0.0 if s else 3.0 for s in success],
        "initial_geodesic_m": 4.0,
        "distance_to_goal_m": 0.3,
        "min_clearance_m": 0.2,
        "jerk_mps3": np.nan,
    }
    return pd.DataFrame(values)[list(EPISODE_COLUMNS)]


def test_a_cell_by_hand() -> None:
    cell = summarise(rows("generalist", [True, True, False, True]), PROVENANCE)["cells"][0]
    assert list(cell) == CELL_KEYS
    assert (cell["success"], cell["collision"], cell["fall"], cell["episodes"]) == (0.75, 0.25, 0.0, 4)
    assert cell["spl"] == pytest.approx(0.75 * 4.0 / 5.0)
    assert cell["soft_spl"] == pytest.approx((3 * 0.8 + 0.25 * 0.8) / 4)
    assert cell["sct"] == pytest.approx(0.75 * 0.5)
    assert (cell["time_s"], cell["wtt_s"]) == (8.0, 32.0)
    assert cell["jerk_mps3"] is None
    assert cell["policy_sha256"] == "ab" * 32 and cell["training_seed"] == 3


def test_undefined_is_null_and_the_summary_is_strict_json() -> None:
    summary = summarise(rows("zero", [False, False]), PROVENANCE)
    cell = summary["cells"][0]
    assert cell["time_s"] is None and cell["wtt_s"] is None and cell["policy_sha256"] is None
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_pooled_rows_join_scenes_and_robots() -> None:
    episodes = pd.concat(
        [
            rows("zero", [True, True], scene="office"),
            rows("zero", [False, False], scene="clutter"),
            rows("zero", [True, False], scene="clutter", embodiment="g1"),
        ]
    )
    pooled = {cell["embodiment"]: cell for cell in summarise(episodes, PROVENANCE)["pooled"]}
    assert set(pooled) == {"go2", "g1", ALL}
    assert (pooled["go2"]["success"], pooled["g1"]["success"], pooled[ALL]["success"]) == (0.5, 0.5, 0.5)
    assert pooled[ALL]["episodes"] == 6 and pooled["go2"]["scene"] == ALL
    assert "spl_ci95_scenes" in pooled["go2"]


def test_comparisons_pair_the_same_episodes_whatever_their_order() -> None:
    specialist = rows("specialist", [True, False, True, False])
    generalist = rows("generalist", [True, False, True, True]).iloc[::-1]
    found = [c for c in compare(pd.concat([specialist, generalist])) if c["metric"] == "success"]
    pooled = next(c for c in found if c["embodiment"] == "go2" and c["scene"] == ALL)
    assert (pooled["first"], pooled["second"], pooled["episodes"]) == ("generalist", "specialist", 4)
    assert pooled["difference"] == pytest.approx(0.25)
    assert pooled["ci95"][0] <= 0.25 <= pooled["ci95"][1]
    assert {c["scene"] for c in found} == {ALL, "office"}


def test_agents_that_did_not_run_are_not_compared() -> None:
    assert compare(rows("generalist", [True, False])) == []


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    job = _job(str(tmp_path))
    job.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == job


def test_every_episode_is_dealt_out_once() -> None:
    from pipeline.evaluation.runner import queues

    queue = queues(100 + np.arange(7), num_envs=3).numpy()
    assert queue.tolist() == [[100, 103, 106], [101, 104, -1], [102, 105, -1]]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run a small evaluation in a process of its own, interrupted and resumed."""
    from tests.separate_process import call

    return call(_evaluate_twice, str(tmp_path_factory.mktemp("parts")))


def _job(parts: str) -> Job:
    return Job(
        embodiment="tiago",
        agents=("go_straight", "teacher"),
        policies={},
        scenes=("clutter", "office"),
        split="val",
        episodes=3,
        routes=("straight", "planned"),
        protocol="compass",
        seed=0,
        num_envs=4,
        device="cpu",
        parts=parts,
    )


def _evaluate_twice(folder: str) -> dict[str, Any]:
    import dataclasses

    import torch

    from pipeline.evaluation import runner

    torch.set_num_threads(1)
    job = _job(folder)
    runner.evaluate(job)
    tables = {(p.agent, p.route): pd.read_parquet(p.rows).to_dict("list") for p in runner.parts(job)}
    written = {p.rows.name: p.rows.stat().st_mtime_ns for p in runner.parts(job)}
    runner.evaluate(job)  # everything is there: builds no second simulation, which this process could not hold
    again = {p.rows.name: p.rows.stat().st_mtime_ns for p in runner.parts(job)}
    traces = dict(np.load(next(runner.parts(dataclasses.replace(job, agents=("teacher",)))).traces))
    return {"tables": tables, "untouched": written == again, "traces": traces}


@pytest.mark.slow
def test_all_agents_run_the_same_episodes(evaluated: dict[str, Any]) -> None:
    tables = evaluated["tables"]
    assert set(tables) == {(a, r) for a in ("go_straight", "teacher") for r in ("straight", "planned")}
    same = ("scene", "episode", "scene_seed", "initial_geodesic_m", "fastest_time_s", "time_limit_s")
    reference = tables["teacher", "straight"]
    assert reference["scene"] == ["clutter"] * 3 + ["office"] * 3 and reference["scene_seed"] == [0, 1, 2] * 2
    for table in tables.values():
        assert all(table[name] == reference[name] for name in same)
        ends = np.asarray([table[name] for name in ("success", "collision", "fall", "timeout", "broken")])
        np.testing.assert_array_equal(ends.sum(axis=0), 1)  # each ended in exactly one way


@pytest.mark.slow
def test_figures_are_plausible(evaluated: dict[str, Any]) -> None:
    table = {name: np.asarray(values) for name, values in evaluated["tables"]["teacher", "straight"].items()}
    assert table["success"].mean() >= 0.5
    assert (table["time_s"] <= table["time_limit_s"] + 1e-3).all()
    reached = table["success"]
    assert (table["distance_to_goal_m"][reached] < 0.5).all()
    assert (table["time_s"][reached] >= 0.95 * table["fastest_time_s"][reached]).all()
    assert (table["path_m"][reached] > table["initial_geodesic_m"][reached] - 1.0).all()


@pytest.mark.slow
def test_a_finished_part_is_not_run_again(evaluated: dict[str, Any]) -> None:
    assert evaluated["untouched"]


@pytest.mark.slow
def test_trajectories_lead_from_start_to_where_it_ended(evaluated: dict[str, Any]) -> None:
    traces, table = evaluated["traces"], evaluated["tables"]["teacher", "straight"]
    ends = np.cumsum(traces["length"])
    for row, end in enumerate(ends):
        path = traces["pose_w"][end - traces["length"][row] : end]
        np.testing.assert_allclose(path[0, :2], traces["start_w"][row, :2], atol=0.05)
        if traces["ending"][row] == "success":
            assert np.linalg.norm(path[-1, :2] - traces["goal_w"][row, :2]) < 0.6
        assert bool(table[str(traces["ending"][row])][row])
