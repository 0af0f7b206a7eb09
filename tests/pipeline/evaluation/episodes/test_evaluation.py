"""From episodes to the table: cells by hand, pairing, and the form that other tools read."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embodiments.registry import get
from pipeline.evaluation.episodes import plan, reuse, shards
from pipeline.evaluation.episodes.job_processes import drive_jobs
from pipeline.evaluation.episodes.plan import MIN_SCENES, ROUNDS_PER_SHARD, Draw, Job, batch_size, draws
from pipeline.evaluation.episodes.plan import shards as cut_shards
from pipeline.evaluation.episodes.remarks import broken_lines, room_lines
from pipeline.evaluation.episodes.summary import (
    ALL,
    EPISODE_COLUMNS,
    Provenance,
    read_episodes,
    summarise,
    with_empty,
)
from pipeline.evaluation.report import answers, tables
from pipeline.robot_models.digest import digest
from pipeline.runs import manifest, owner, provenance
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.runs.provenance import ROOT
from pipeline.simulation.navigation.episodes import NoFreeSpaceError
from pipeline.stages.evaluate_policy import Config
from pipeline.stages.implementation import evaluate_policy
from pipeline.stages.implementation.evaluate_policy import _forget_stale_rollouts, _policies, _unseen

CELL_KEYS = [
    *("embodiment", "scene", "split", "agent", "protocol", "conditions", "route", "seed"),
    *("training_seed", "policy_sha256"),
    *(
        "episodes",
        "success",
        "success_ci95",
        "success_settled",
        "success_feasible",
        "spl",
        "soft_spl",
        "sct",
        "collision",
        "fall",
    ),
    *("timeout", "time_s", "wtt_s", "min_clearance_m", "jerk_mps3"),
    *("path_m", "stopped_share", "energy_j", "energy_j_per_m", "broken", "person_bumped", "near_person_s"),
    "unseen",
    *(f"{name}_ci95_scenes" for name in ("success", "spl", "soft_spl", "sct", "collision")),
]
PROVENANCE = Provenance(split="test", seed=7, training_seed=3, policy_sha256={("generalist", "go2"): "ab" * 32})


def rows(agent: str, success: list[bool], *, embodiment: str = "go2", scene: str = "office") -> pd.DataFrame:
    count = len(success)
    values = {
        "embodiment": embodiment,
        "scene": scene,
        "agent": agent,
        "protocol": "compass",
        "conditions": "nominal",
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
        "end_geodesic_m": [0.0 if s else 3.0 for s in success],
        "initial_geodesic_m": 4.0,
        "distance_to_goal_m": 0.3,
        "min_clearance_m": 0.2,
        "jerk_mps3": np.nan,
        "stopped_s": [0.0 if s else 4.0 for s in success],
        "energy_j": [100.0 if s else 50.0 for s in success],
        "broken": False,
        "person_bumped": [False, True] * (count // 2) + [False] * (count % 2),
        "near_person_s": 0.5,
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
    assert (cell["path_m"], cell["energy_j"], cell["broken"]) == (5.0, 100.0, 0.0)
    assert (cell["person_bumped"], cell["near_person_s"], cell["success_feasible"]) == (0.5, 0.5, 0.75)
    assert cell["stopped_share"] == pytest.approx(0.25 * 4.0 / 8.0)
    assert cell["energy_j_per_m"] == pytest.approx(350.0 / 20.0)
    assert cell["policy_sha256"] == "ab" * 32 and cell["training_seed"] == 3
    assert cell["success_ci95_scenes"] is None  # every episode in a scene of its own: Wilson's says it
    shared = rows("generalist", [True, True, False, False]).assign(scene_seed=[0, 0, 1, 1])
    low, high = summarise(shared, PROVENANCE)["cells"][0]["success_ci95_scenes"]
    assert (low, high) == (0.0, 1.0)  # two scenes, one all success and one all failure


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


def test_a_body_that_nothing_was_trained_on_stands_apart() -> None:
    episodes = pd.concat(
        [
            rows(agent, [agent == "generalist", robot == "go2"], embodiment=robot)
            for agent in ("generalist", "blind")
            for robot in ("anymal_c", "go2")
        ]
    )
    summary = summarise(episodes, replace(PROVENANCE, unseen=frozenset({"anymal_c"})))
    pooled = {(cell["embodiment"], cell["agent"]): cell for cell in summary["pooled"]}
    assert pooled["anymal_c", "generalist"]["unseen"] and pooled["anymal_c", "generalist"]["success"] == 0.5
    assert not pooled[ALL, "generalist"]["unseen"] and pooled[ALL, "generalist"]["success"] == 1.0
    assert pooled[ALL, "blind"]["episodes"] == 2
    pairs = {c["embodiment"]: c for c in summary["comparisons"] if c["scene"] == ALL and c["metric"] == "success"}
    assert pairs[ALL]["episodes"] == 2 and pairs["anymal_c"]["episodes"] == 2
    table = tables.success_table(summary, route="straight")
    assert [row[0] for row in table.rows] == ["go2", "all robots", "anymal_c, never trained on"]
    quality = tables.quality_table(summary, route="straight", agents=("generalist",))
    assert [row[0] for row in quality.rows][-1] == "anymal_c, never trained on, generalist"


def test_differences_over_all_routes_pair_the_same_episode_on_the_same_route() -> None:
    """Straight: base +1 of 2; planned: +2 of 2. The same starts on two routes are four pairs, not two."""
    straight = [rows("base", [True, True]), rows("planner", [True, False])]
    planned = [rows("base", [True, True]), rows("planner", [False, False])]
    episodes = pd.concat([*straight, *(frame.assign(route="planned") for frame in planned)])
    found = {c["embodiment"]: c for c in summarise(episodes, PROVENANCE)["over_routes"] if c["metric"] == "success"}
    assert set(found) == {ALL, "go2"}
    for cell in found.values():
        assert (cell["first"], cell["second"], cell["episodes"]) == ("base", "planner", 4)
        assert cell["difference"] == pytest.approx(0.75)
    table = tables.over_routes_table(summarise(episodes, PROVENANCE))
    assert table.frame.loc["go2", "base − planner, success in points"].startswith("+75.0 [")
    assert summarise(pd.concat(straight), PROVENANCE)["over_routes"] == []


def test_an_agent_that_is_one_robots_alone_is_not_pooled_over_all() -> None:
    episodes = [rows(agent, [True, False], embodiment=robot) for robot in ("go2", "g1") for agent in ("base", "zero")]
    summary = summarise(pd.concat([*episodes, rows("specialist", [True, True])]), PROVENANCE)
    pooled = {(cell["embodiment"], cell["agent"]) for cell in summary["pooled"]}
    assert pooled == {(robot, agent) for robot in ("go2", "g1", ALL) for agent in ("base", "zero")} | {
        ("go2", "specialist")
    }
    assert {c["embodiment"] for c in summary["comparisons"] if c["second"] == "base"} == {"go2"}
    assert "–" in tables.success_table(summary, route="straight").rows[-1]


def test_without_a_generalist_robots_that_no_run_trains_on_are_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    robots_of = {"generalist": ["go2"], "base": ["tiago"], "specialist": ["anymal_c"]}
    load = lambda path: SimpleNamespace(contract={"embodiments": robots_of[path.stem]})  # noqa: E731
    monkeypatch.setattr(evaluate_policy.runtime, "load", load)

    def unseen(**policies: str) -> set[str]:
        jobs = [replace(_job(""), embodiment=robot, policies=policies) for robot in ("go2", "g1", "anymal_c")]
        return set(_unseen(jobs))

    assert unseen() == unseen(base="base.onnx") == {"anymal_c"}
    assert unseen(base="base.onnx", specialist="specialist.onnx") == set()
    assert unseen(base="base.onnx", generalist="generalist.onnx") == {"g1", "anymal_c"}


def test_comparisons_pair_the_same_episodes_whatever_their_order() -> None:
    specialist = rows("specialist", [True, False, True, False])
    generalist = rows("generalist", [True, False, True, True]).iloc[::-1]
    found = [
        c for c in summarise(pd.concat([specialist, generalist]), PROVENANCE)["comparisons"] if c["metric"] == "success"
    ]
    pooled = next(c for c in found if c["embodiment"] == "go2" and c["scene"] == ALL)
    assert (pooled["first"], pooled["second"], pooled["episodes"]) == ("generalist", "specialist", 4)
    assert pooled["difference"] == pytest.approx(0.25)
    assert pooled["ci95"][0] <= 0.25 <= pooled["ci95"][1]
    assert {c["scene"] for c in found} == {ALL, "office"}


def test_agents_that_did_not_run_are_not_compared() -> None:
    assert summarise(rows("generalist", [True, False]), PROVENANCE)["comparisons"] == []


def test_the_body_that_comes_along_needs_no_specialist_and_one_that_is_asked_for_does(tmp_path: Path) -> None:
    for robot in DEFAULT_ROBOTS:
        (tmp_path / f"specialist_{robot}.onnx").touch()
    asked = Config(agents=("specialist",))
    assert _policies(asked.agents, asked, tmp_path, "anymal_c", None) == {}
    assert set(_policies(asked.agents, asked, tmp_path, "go2", None)) == {"specialist"}
    named = replace(asked, embodiments=("anymal_c",))
    with pytest.raises(FileNotFoundError, match="specialist_anymal_c"):
        _policies(named.agents, named, tmp_path, "anymal_c", None)


def test_a_file_that_is_named_drives_whatever_else_is_asked_for(tmp_path: Path) -> None:
    for name in ("generalist", "base", "specialist_go2", "specialist_g1", "new"):
        (tmp_path / f"{name}.onnx").touch()
    new = tmp_path / "new.onnx"

    def files(own: str, *chosen: str, robot: str = "go2") -> dict[str, str]:
        policy = SimpleNamespace(agent=own, contract={"embodiments": ["go2"]})
        found = _policies(chosen, Config(policy=new, agents=chosen), tmp_path, robot, policy)  # type: ignore[arg-type]
        return {agent: Path(path).stem for agent, path in found.items()}

    assert files("generalist", "go_straight", "generalist", "blind", "base") == {
        "generalist": "new", "blind": "new", "base": "base",
    }  # fmt: skip
    assert files("base", "base", "generalist") == {"base": "new", "generalist": "generalist"}
    assert files("specialist", "specialist", "base") == {"specialist": "new", "base": "base"}
    assert files("specialist", "specialist", "base", robot="g1") == {"specialist": "specialist_g1", "base": "base"}
    assert files("specialist", "specialist", robot="g1") == {"specialist": "new"}


def test_parts_that_other_files_drove_are_dropped(tmp_path: Path) -> None:
    policy, notes = tmp_path / "base.onnx", list[str]()
    policy.write_bytes(b"one")
    run = SimpleNamespace(work=tmp_path, note=notes.append)
    job = replace(_job(str(tmp_path / "rollouts")), policies={"base": str(policy)})
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts" / "go2.base.straight.0.parquet").touch()
    for weights, there in ((b"one", True), (b"one", True), (b"two", False)):
        policy.write_bytes(weights)
        _forget_stale_rollouts([job], run)  # type: ignore[arg-type]
        assert any((tmp_path / "rollouts").glob("*")) == there
    assert len(notes) == 1 and "other policy files" in notes[0]


def test_parts_that_other_code_drove_are_told_and_those_of_other_files_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes, git = list[str](), {"commit": "a" * 40, "dirty": False}
    monkeypatch.setattr(evaluate_policy, "describe", lambda: {"git": git})
    run, job = SimpleNamespace(work=tmp_path, note=notes.append), _job(str(tmp_path / "rollouts"))
    policy = tmp_path / "base.onnx"
    policy.write_bytes(b"weights")
    job = replace(job, policies={"base": str(policy)})
    for changes, there in (
        ({}, True),
        ({}, True),
        ({"commit": "b" * 40}, True),
        ({"dirty": True}, True),
        (None, False),
    ):
        git |= changes or {}
        if changes is None:
            policy.write_bytes(b"other weights")
        (tmp_path / "rollouts").mkdir(exist_ok=True)
        (tmp_path / "rollouts" / "go2.base.straight.0.parquet").touch()
        _forget_stale_rollouts([job], run)  # type: ignore[arg-type]
        assert (tmp_path / "rollouts").exists() == there
    assert len(notes) == 3
    assert notes[0].endswith(f"its rollouts are of commits {'a' * 12}, {'b' * 12}")
    assert notes[1].endswith(f"{'a' * 12}, {'b' * 12}, {'b' * 12} + changes")
    assert "other policy files" in notes[2]


def finished_evaluation(folder: Path, *, git: dict[str, Any] | None, notes: Sequence[str] = ()) -> reuse.Finished:
    """Leave an evaluation of a robot by an agent with a file and one without, and read it."""
    folder.mkdir()
    agents = ("go_straight", "generalist")
    cells = [{"embodiment": "go2", "agent": agent, "policy_sha256": None} for agent in agents]
    cells[1]["policy_sha256"] = hashlib.sha256(b"weights").hexdigest()
    (folder / "summary.json").write_text(json.dumps({"cells": cells}))
    pd.concat([rows(agent, [True, False]) for agent in agents]).to_parquet(folder / "episodes.parquet")
    body = {"stage": "evaluate_policy", "key": "k", "config": {}, "inputs": {"robot:go2": digest("go2")}}
    manifest.write(folder, body | {"git": git, "notes": list(notes)})
    return reuse.read(folder, {}, {})


def test_an_agent_without_a_file_is_taken_only_from_the_present_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "generalist.onnx").write_bytes(b"weights")
    files = {"generalist": str(tmp_path / "generalist.onnx")}
    job = replace(_job(""), embodiment="go2", agents=("go_straight", "generalist", "planner"), policies=files)
    clean, later = {"commit": "a" * 40, "dirty": False}, {"commit": "b" * 40, "dirty": False}
    changed = clean | {"dirty": True}
    cases = ((clean, clean, True), (clean, later, False), (changed, changed, False), (None, None, False))
    for number, (there, here, is_taken) in enumerate(cases):
        monkeypatch.setattr(provenance, "describe", lambda here=here: {"git": here})
        found = finished_evaluation(tmp_path / str(number), git=there)
        assert found.agents(job) == (("go_straight", "generalist") if is_taken else ("generalist",))


def test_where_episodes_come_from_is_told_through_a_chain(tmp_path: Path) -> None:
    notes: list[str] = []
    for name, commit in (("A", "a"), ("B", "b"), ("C", "c")):
        git = {"commit": commit * 40, "dirty": name == "A"}
        notes = finished_evaluation(tmp_path / name, git=git, notes=notes).notes({"go2": ("generalist",)})
    assert [note.replace(f"{tmp_path}/", "") for note in notes] == [
        f"taken from C (driven at commit {'c' * 12} or earlier): go2 generalist",
        f"C had taken from B (driven at commit {'b' * 12} or earlier): go2 generalist",
        f"B had taken from A (driven at commit {'a' * 12} + changes): go2 generalist",
    ]


def test_rows_of_other_episodes_are_not_put_together() -> None:
    old, new = rows("generalist", [True, True]), rows("planner", [False, True])
    reuse.check_starts(pd.concat([old, new.assign(initial_geodesic_m=4.0 * (1.0 + 1e-5))]))
    for name, value in (("initial_geodesic_m", 4.1), ("time_limit_s", 30.0), ("scene_seed", [0, 65])):
        with pytest.raises(ValueError, match=rf"--reuse: other .*go2, office, .*{name}.* without --reuse"):
            reuse.check_starts(pd.concat([old, new.assign(**{name: value})]))


def test_shipped_figures_are_those_of_the_shipped_episodes() -> None:
    """Success, SPL and collisions, recomputed from the episodes by other code."""
    folder = ROOT / "export" / "pretrained" / "benchmark_seed_0"
    summary = json.loads((folder / "summary.json").read_text())
    table = pd.read_parquet(folder / "episodes.parquet")
    known = ~table["embodiment"].isin([c["embodiment"] for c in summary["pooled"] if c["unseen"]])
    assert len(table) == sum(cell["episodes"] for cell in summary["cells"]) and len(summary["pooled"]) > 0
    for cell in (*summary["cells"], *summary["pooled"]):
        mine = known if cell["embodiment"] == ALL else table["embodiment"] == cell["embodiment"]
        for key in ("agent", "route", "protocol", *(() if cell["scene"] == ALL else ("scene",))):
            mine = mine & (table[key] == cell[key])
        group = table[mine]
        shortest = group["initial_geodesic_m"].to_numpy(dtype=float)
        spl = group["success"] * shortest / np.fmax(shortest, group["path_m"].to_numpy(dtype=float))
        assert len(group) == cell["episodes"]
        found = (group["success"].mean(), spl.mean(), group["collision"].mean())
        assert found == pytest.approx((cell["success"], cell["spl"], cell["collision"]), abs=1e-9)


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    job = _job(str(tmp_path))
    job.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == job


def test_every_episode_is_dealt_out_once() -> None:
    from pipeline.evaluation.episodes.runner import queues

    queue = queues(100 + np.arange(7), num_envs=3).numpy()
    assert queue.tolist() == [[100, 103, 106], [101, 104, -1], [102, 105, -1]]


def test_a_scene_gets_a_second_episode_when_all_have_one() -> None:
    found = draws(_job("", episodes=150, scenes=("office", "maps/a.yaml")))
    office, drawn_map = found[:64], found[64:]
    assert [len(draw.numbers) for draw in office] == [3] * 22 + [2] * 42  # 150 = 2 x 64 + 22
    assert office[5].numbers == (5, 69, 133) and office[5].index == 5
    assert [(draw.index, draw.series, len(draw.numbers)) for draw in drawn_map] == [(0, 0, 64), (0, 1, 64), (0, 2, 22)]
    for name, group in (("office", office), ("maps/a.yaml", drawn_map)):
        assert {draw.scene for draw in group} == {name}
        assert sorted(number for draw in group for number in draw.numbers) == list(range(150))


def test_a_generated_scene_without_room_gives_way_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    build = plan.build_episodes

    def cramped(embodiment: Any, scenes: Any, fields: Any, **named: Any) -> Any:
        if scenes[0].name == "office/test/27":
            raise NoFreeSpaceError("no free space")
        return build(embodiment, scenes, fields, **named)

    monkeypatch.setattr(plan, "build_episodes", cramped)
    job = _job("", embodiment="anymal_c", scenes=("office",), split="test", episodes=1)
    taken: dict[Any, Any] = {}
    index, episodes = plan._drawn(Draw(scene="office", index=27, series=0, numbers=(27,)), job, get("anymal_c"), taken)
    assert (index, len(episodes), list(taken)) == (27 + MIN_SCENES, 1, [("office", 27 + MIN_SCENES)])
    rows = pd.DataFrame({"embodiment": "anymal_c", "scene": ["office", "/maps/lab.yaml"], "scene_seed": [index, 0]})
    assert room_lines(rows) == ["anymal_c: scenes without room for it gave way to others: office 27 (now 91)"]


def test_a_map_without_room_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nowhere = tmp_path / "lab.yaml"
    calls = []

    def no_room(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise NoFreeSpaceError("scene 'lab' has no free space for 'tiago'")

    monkeypatch.setattr(plan, "_load", lambda *_: (None, None))
    monkeypatch.setattr(plan, "build_episodes", no_room)
    with pytest.raises(ValueError, match="no free space"):
        plan.draw(_job("", scenes=(str(nowhere),)), get("tiago"))
    assert len(calls) == 1
    with pytest.raises(ValueError, match="no free space"):
        plan.draw(_job("", scenes=("office",), episodes=1), get("tiago"))
    assert len(calls) == 1 + plan._TRIES


def _no_room_for(monkeypatch: pytest.MonkeyPatch, *robots: str) -> None:
    """Let every map have room for all robots but these; the widest place has 0.30 m."""

    def build(embodiment: Any, *_: Any, **__: Any) -> None:
        if embodiment.name in robots:
            raise NoFreeSpaceError(f"scene 'lab' has no free space for '{embodiment.name}'")

    fields = SimpleNamespace(distance=SimpleNamespace(values=np.full((4, 2, 2), 0.3)))
    monkeypatch.setattr(plan, "build_episodes", build)
    monkeypatch.setattr(plan, "scene_fields", lambda _: fields)
    monkeypatch.setattr(evaluate_policy.scenes, "load", lambda *_, **__: SimpleNamespace(remarks=()))


def test_a_tight_map_leaves_cells_empty_and_says_how_much_room_there_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    notes: list[str] = []
    run: Any = SimpleNamespace(note=notes.append)
    asked = [_job(str(tmp_path), embodiment=robot, scenes=("office", "lab.yaml")) for robot in ("tiago", "g1")]
    _no_room_for(monkeypatch, "g1")
    jobs, empty = evaluate_policy._check(asked, run)
    assert [(job.embodiment, job.scenes) for job in jobs] == [("tiago", ("office", "lab.yaml")), ("g1", ("office",))]
    assert empty == [("g1", "lab.yaml")]
    needed_m = max(get("g1").circumscribed_radius_m(layer) for layer in range(4)) + 0.05
    assert notes == [
        f"scene 'lab' has no free space for 'g1' (the body needs {needed_m:.2f} m from its centre to the nearest "
        "obstacle, the widest place has 0.30 m); the cells of g1 there stay empty"
    ]
    assert len(evaluate_policy._empty_cells(asked, empty)) == 4  # two agents on two routes
    with pytest.raises(ValueError, match="no free space for 'g1'"):
        evaluate_policy._check([replace(asked[1], scenes=("lab.yaml",))], run)


def test_an_empty_cell_has_no_figures_and_every_table_and_picture_takes_it() -> None:
    found = summarise(rows("generalist", [True, False]), PROVENANCE)
    where = [("go2", "lab.yaml", "generalist", "straight"), ("g1", "lab.yaml", "generalist", "straight")]
    summary = with_empty(found, where, PROVENANCE)
    *_, cell = summary["cells"]
    assert set(cell) == set(CELL_KEYS) and cell["success"] is None and cell["episodes"] == 0
    assert (cell["embodiment"], cell["scene"], cell["route"]) == ("g1", "lab.yaml", "straight")
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert [(c["embodiment"], c["success"]) for c in summary["pooled"]] == [("go2", 0.5), (ALL, 0.5), ("g1", None)]
    shown = tables.of_route(summary, route="straight", agents=("generalist",), scene_by_scene=True)
    assert shown[0].rows[-1] == ("g1", "–") and "2 episodes in each" in shown[0].note
    (scenes,) = [table for table in shown if table.title.startswith("Scene by scene")]
    assert scenes.rows[0][2] == "–" and scenes.rows[1] == ("g1, generalist", "–", "–")
    assert answers.does_it_drive(summary).axes[0].get_yticks().tolist() == [0, 1]


def test_older_files_call_the_end_s_distance_otherwise(tmp_path: Path) -> None:
    written = rows("generalist", [True, False])
    written.rename(columns={"end_geodesic_m": "geodesic_m"}).to_parquet(tmp_path / "old.parquet")
    written.to_parquet(tmp_path / "new.parquet")
    for name in ("old", "new"):
        pd.testing.assert_frame_equal(read_episodes(tmp_path / f"{name}.parquet"), written)


def test_a_robot_that_finds_no_room_on_its_way_does_not_cost_the_others_their_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = Config(workers=2)
    jobs = [_job(str(tmp_path / "rollouts"), embodiment=robot, num_envs=64) for robot in ("tiago", "anymal_c")]
    failing = {"anymal_c"}

    def run_side_by_side(*_: Any, **__: Any) -> None:
        for job in jobs:
            if job.embodiment in failing:
                shards.no_room(job).write_text("no room in office 3")
                continue
            for rollout in shards.rollouts(job):
                rollout.take()
                rollout.write(rows(rollout.agent, [True]), traces={})

    monkeypatch.setattr("pipeline.runs.processes.run_side_by_side", run_side_by_side)
    (tmp_path / "rollouts").mkdir()
    assert evaluate_policy._evaluate(jobs, config, tmp_path) == {"anymal_c": "no room in office 3"}
    with pytest.raises(ValueError, match="evaluation failed for anymal_c"):
        evaluate_policy._evaluate(jobs[1:], config, tmp_path)
    failing.clear()
    assert evaluate_policy._evaluate(jobs, config, tmp_path) == {}


def test_one_process_alone_is_this_one_and_as_many_others_start_as_find_something_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here: list[Job] = []
    started: list[str] = []

    def run_side_by_side(
        commands: Mapping[str, Sequence[str]], *, workers: int, is_needed: Callable[[str], bool]
    ) -> None:
        started.extend(label for label in commands if is_needed(label))

    def run_here(job: Job) -> None:
        here.append(job)

    monkeypatch.setattr("pipeline.runs.processes.run_side_by_side", run_side_by_side)
    two = _job(str(tmp_path / "rollouts"), num_envs=64)
    one = replace(two, agents=("teacher",))
    assert [len(list(shards.rollouts(job))) for job in (one, two)] == [1, 2]
    assert drive_jobs([one], tmp_path, workers=2, here=run_here) == [] and here == [one] and not started
    assert drive_jobs([two], tmp_path, workers=1, here=run_here) == [] and here == [one, two] and not started
    assert drive_jobs([two], tmp_path, workers=4, here=run_here) == [two] and started == ["tiago", "tiago+1"]
    started.clear()
    first = next(shards.rollouts(two))
    assert first.take()
    first.write(rows(first.agent, [True]), traces={})
    assert drive_jobs([two], tmp_path, workers=4, here=run_here) == [] and here == [one, two, two] and not started
    other = replace(two, embodiment="go2")
    assert drive_jobs([two, other], tmp_path, workers=2, here=run_here) == [two, other]
    assert started == ["tiago", "go2", "go2+1"]
    started.clear()
    for rollout in shards.rollouts(other):
        assert rollout.take()
    monkeypatch.setattr(shards, "forget_claims", lambda job: None)  # they are taken while others run
    drive_jobs([two, other], tmp_path, workers=2, here=run_here)
    assert started == ["tiago"]


@pytest.mark.parametrize(
    ("episodes", "at_most", "expected"),
    [(1, 64, 8), (16, 64, 16), (17, 64, 24), (64, 64, 64), (640, 64, 64), (9, 4, 4)],
)
def test_few_episodes_are_driven_in_a_small_batch(episodes: int, at_most: int, expected: int) -> None:
    assert batch_size(episodes, at_most=at_most) == expected


@settings(max_examples=50, deadline=None)
@given(episodes=st.integers(1, 700), scenes=st.integers(1, 4), num_envs=st.integers(1, 64))
def test_shards_hold_every_draw_once_and_are_about_equal(episodes: int, scenes: int, num_envs: int) -> None:
    job = _job(
        "", episodes=episodes, scenes=("office", "clutter", "combined", "maps/a.yaml")[:scenes], num_envs=num_envs
    )
    cut = cut_shards(job)
    assert [draw for shard in cut for draw in shard] == draws(job)
    sizes = [sum(len(draw.numbers) for draw in shard) for shard in cut]
    largest = max(len(draw.numbers) for draw in draws(job))
    assert max(sizes) <= max(ROUNDS_PER_SHARD * num_envs, largest) + largest
    assert max(sizes) - min(sizes) <= 2 * largest


def test_a_part_is_taken_once_until_claims_are_forgotten(tmp_path: Path) -> None:
    job = _job(str(tmp_path))
    first, *others = shards.rollouts(job)
    assert first.is_open and first.take() and not first.is_open and not first.take()
    assert all(rollout.is_open for rollout in others)
    shards.forget_claims(job)
    assert first.is_open and first.take()
    first.write(rows("teacher", [True]), traces={})
    shards.forget_claims(job)
    assert not first.is_open and not first.take()


def test_a_claim_ends_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _job(str(tmp_path))
    first = next(shards.rollouts(job))
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        name = owner.name_of(process.pid)
        with monkeypatch.context() as patched:
            patched.setattr(owner, "own_name", lambda: name)
            assert first.take()
        assert first.claimed_by() == name and not first.is_open and not first.take()
        monkeypatch.setattr(shards, "_ENDING_S", 0.1)
        with pytest.raises(ValueError, match=f"process {process.pid} still drives .+; wait for it or stop it"):
            shards.forget_claims(job)
        process.kill()
    assert first.is_open and first.take() and first.claimed_by() == owner.own_name()


def test_scripted_agents_drive_once_and_learned_ones_on_every_route() -> None:
    found = list(shards.rollouts(_job("", agents=("teacher", "generalist"), num_envs=64)))
    assert [(p.agent, p.route) for p in found] == [
        ("teacher", "straight"),
        ("generalist", "straight"),
        ("generalist", "planned"),
    ]


def test_rows_are_put_in_order_whoever_wrote_them(tmp_path: Path) -> None:
    job = _job(str(tmp_path), episodes=5, num_envs=1)
    for rollout in reversed(list(shards.rollouts(job))):
        count = sum(len(draw.numbers) for draw in cut_shards(job)[rollout.shard])
        written = rows(rollout.agent, [True] * count).assign(
            scene=[draw.scene for draw in cut_shards(job)[rollout.shard] for _ in draw.numbers],
            episode=[number for draw in cut_shards(job)[rollout.shard] for number in draw.numbers],
            route=rollout.route,
        )
        rollout.write(written, traces={})
    found = shards.rows(job)
    keys = list(zip(found["agent"], found["route"], found["scene"], found["episode"], strict=True))
    assert keys == [
        (agent, route, scene, number)
        for agent in job.agents
        for route in job.routes
        for scene in job.scenes
        for number in range(5)
    ]


def test_broken_episodes_are_counted_and_named() -> None:
    episodes = pd.concat([rows("generalist", [True] * 6), rows("zero", [False, False])])
    episodes["broken"] = [False, True, True, True, True, True, False, False]
    episodes["success"] &= ~episodes["broken"]
    cells = summarise(episodes, PROVENANCE)["cells"]
    assert [cell["broken"] for cell in cells] == [pytest.approx(5 / 6), 0.0]
    assert cells[0]["success"] == pytest.approx(1 / 6)
    assert broken_lines(episodes) == [
        "go2 generalist (straight): 5 of 6 episodes broken, counted as failed: physics failed or the policy answered "
        "NaN (office 1, office 2, office 3, …)"
    ]


def _job(folder: str, **changes: Any) -> Job:
    values: dict[str, Any] = {
        "embodiment": "tiago",
        "agents": ("go_straight", "teacher"),
        "policies": {},
        "scenes": ("clutter", "office"),
        "split": "val",
        "episodes": 3,
        "routes": ("straight", "planned"),
        "protocol": "compass",
        "seed": 0,
        "num_envs": 4,
        "device": "cpu",
        "folder": folder,
    }
    return Job(**values | changes)
