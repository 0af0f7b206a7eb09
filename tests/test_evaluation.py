"""From episodes to the table: cells by hand, pairing, and the form that other tools read."""

import json

import numpy as np
import pandas as pd
import pytest

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
