"""Evaluations as a user starts them: interrupted or not, in one process or two, with a policy that answers NaN.

Everything is read from the files that they leave, and computed again by other code.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import __main__ as cli
from pipeline.evaluation.episodes import reuse
from pipeline.evaluation.episodes.plan import Job
from pipeline.runs import manifest
from pipeline.runs.provenance import describe
from pipeline.simulation.navigation.episodes import COMPASS_TIME_LIMIT_S, SUCCESS_RADIUS_M
from tests.export.test_export import build, export

pytestmark = pytest.mark.slow  # two small evaluations of one robot, in three processes with a simulation each

ROOT = Path(__file__).parents[4]
EPISODES, ENVS = 9, 4
AGENTS = ("go_straight", "base", "generalist")


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an untrained generalist, and a base policy that answers NaN."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "generalist.onnx").write_bytes(export(build()))
    ill = build("base")
    with torch.no_grad():
        for parameter in ill.parameters():
            parameter.fill_(torch.nan)
    (folder / "base.onnx").write_bytes(export(ill, agent="base"))
    return folder


def command(policies: Path, out: Path, *, workers: int) -> list[str]:
    options = {
        "policy": policies / "generalist.onnx",
        "agents": ",".join(AGENTS),
        "embodiments": "tiago",
        "scenes": "clutter,office",
        "episodes": EPISODES,
        "num_envs": ENVS,
        "split": "val",
        "workers": workers,
        "out": out,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "pipeline", "evaluate_policy", *words]


def evaluate(policies: Path, out: Path, *, workers: int, interrupt: bool = False) -> str:
    """Run an evaluation and return what it printed; interrupt it once when its first rollout is finished."""
    words = command(policies, out, workers=workers)
    if interrupt:
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            while process.poll() is None and not list(out.parent.glob(f".work/{out.name}/rollouts/*.parquet")):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            process.communicate()
        assert process.returncode == 130 and not out.exists()
    finished = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


@pytest.fixture(scope="module")
def runs(policies: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the folders of an evaluation by two processes and of an interrupted one, and what they printed."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "printed": evaluate(policies, folder / "two", workers=2),
        "resumed": evaluate(policies, folder / "one", workers=1, interrupt=True),
        "two": folder / "two",
        "one": folder / "one",
    }


def table(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "episodes.parquet")


def test_one_interrupted_process_and_two_give_the_same_table(runs: dict[str, Any]) -> None:
    assert "resuming the interrupted run" in runs["resumed"] and "tiago+1" in runs["printed"]
    pd.testing.assert_frame_equal(table(runs["one"]), table(runs["two"]), check_exact=True)
    one, two = (json.loads((runs[name] / "summary.json").read_text()) for name in ("one", "two"))
    assert one == two
    for name in ("traces.npz", "failures.npz"):
        first, second = (dict(np.load(runs[run] / name)) for run in ("one", "two"))
        assert first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def test_every_agent_runs_every_episode_once(runs: dict[str, Any]) -> None:
    rows = table(runs["two"])
    assert len(rows) == len(AGENTS) * 2 * 2 * EPISODES
    assert not rows.duplicated(["embodiment", "agent", "route", "scene", "episode"]).any()
    same = ["scene_seed", "initial_geodesic_m", "fastest_time_s", "time_limit_s"]
    assert (rows.groupby(["scene", "episode"])[same].nunique() == 1).all().all()
    ends = rows[["success", "collision", "fall", "timeout", "broken"]].sum(axis=1)
    assert (ends == 1).all()


def test_figures_are_plausible(runs: dict[str, Any]) -> None:
    rows = table(runs["two"])
    assert (rows["time_limit_s"] == np.float32(COMPASS_TIME_LIMIT_S)).all()
    assert (rows["time_s"] <= rows["time_limit_s"] + 1e-3).all() and (rows["stopped_s"] <= rows["time_s"] + 1e-3).all()
    reached = rows[rows["success"]]
    assert len(reached) >= 2, "going straight reaches some goals"
    assert (reached["distance_to_goal_m"] < SUCCESS_RADIUS_M["compass"]).all()
    assert (reached["time_s"] >= 0.95 * reached["fastest_time_s"]).all()
    assert (reached["path_m"] > reached["initial_geodesic_m"] - 1.0).all()
    moved = rows[rows["path_m"] > 1.0]
    assert (moved["energy_j"] / moved["path_m"]).between(5.0, 1000.0).all()


def test_a_policy_that_answers_nan_fails_is_counted_and_named(runs: dict[str, Any]) -> None:
    rows = table(runs["two"])
    ill = rows["agent"] == "base"
    assert rows["broken"][ill].all() and not rows["broken"][~ill].any() and not rows["success"][ill].any()
    summary = json.loads((runs["two"] / "summary.json").read_text())
    assert {cell["broken"] for cell in summary["cells"] if cell["agent"] == "base"} == {1.0}
    line = "tiago base (planned): 18 of 18 episodes broken, counted as failed"
    notes = json.loads((runs["two"] / "manifest.json").read_text())["notes"]
    assert line in runs["printed"] and any(line in note for note in notes)


def test_the_summary_is_what_other_code_computes_from_the_rows(runs: dict[str, Any]) -> None:
    """Success, SPL, SCT and WTT, episode by episode in plain Python."""
    rows = table(runs["two"]).to_dict("records")
    summary = json.loads((runs["two"] / "summary.json").read_text())
    keys = ("embodiment", "scene", "agent", "protocol", "route")
    for cell in summary["cells"]:
        group = [row for row in rows if all(row[key] == cell[key] for key in keys)]
        assert len(group) == cell["episodes"] == EPISODES
        reached = [row for row in group if row["success"]]
        assert cell["success"] == len(reached) / len(group)
        spl = [r["initial_geodesic_m"] / max(r["initial_geodesic_m"], r["path_m"]) for r in reached]
        assert cell["spl"] == pytest.approx(sum(spl) / len(group), rel=1e-12, abs=0.0)
        sct = [r["fastest_time_s"] / max(r["fastest_time_s"], r["time_s"]) for r in reached]
        assert cell["sct"] == pytest.approx(sum(sct) / len(group), rel=1e-12, abs=0.0)
        if not reached:
            assert cell["wtt_s"] is None
            continue
        wtt_s = sum(row["time_s"] for row in reached) / (len(reached) / len(group))
        assert cell["wtt_s"] == pytest.approx(wtt_s, rel=1e-12)


def test_trajectories_lead_from_start_to_where_it_ended(runs: dict[str, Any]) -> None:
    traces, rows = dict(np.load(runs["two"] / "traces.npz")), table(runs["two"])
    key = ["agent", "route", "scene", "episode"]
    rows = rows.set_index(key)
    ends = np.cumsum(traces["length"])
    assert len(ends) == len(AGENTS) * 2 * 2 * 4
    for row, end in enumerate(ends):
        path = traces["pose_w"][end - traces["length"][row] : end]
        np.testing.assert_allclose(path[0, :2], traces["start_w"][row, :2], atol=0.05)
        episode = rows.loc[tuple(traces[name][row] for name in key)]
        assert episode[str(traces["ending"][row])]
        if traces["ending"][row] == "success":
            assert np.linalg.norm(path[-1, :2] - traces["goal_w"][row, :2]) < 0.6


def test_what_was_driven_already_is_taken_over(policies: Path, runs: dict[str, Any], tmp_path: Path) -> None:
    first = [*command(policies, tmp_path / "more", workers=1), "--reuse", str(runs["two"])]
    first[first.index("--agents") + 1] = ",".join(("zero", *AGENTS))
    finished = subprocess.run(first, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    git = describe()["git"]
    is_clean = git is not None and not git["dirty"]
    taken_over = AGENTS if is_clean else AGENTS[1:]  # going straight is what the code makes it
    assert f": tiago {', '.join(taken_over)}\n" in finished.stdout and "tiago zero (straight" in finished.stdout
    assert "tiago generalist (straight" not in finished.stdout
    assert ("tiago go_straight (straight" in finished.stdout) != is_clean
    rows, before = table(tmp_path / "more"), table(runs["two"])
    assert list(rows["agent"].unique()) == ["zero", *AGENTS]
    taken = rows[rows["agent"] != "zero"].reset_index(drop=True)
    pd.testing.assert_frame_equal(taken, before, check_exact=True)
    assert len(rows) == len(before) + 2 * 2 * EPISODES
    for name in ("traces.npz", "failures.npz"):
        ours, theirs = (dict(np.load(folder / name)) for folder in (tmp_path / "more", runs["two"]))
        again = replace(reuse.read(tmp_path / "more", {}, {}), arrays={name: ours})
        before_it = replace(again, arrays={name: theirs})
        for agent in AGENTS:
            kept, was = (found.arrays_of(name, "tiago", (agent,)) for found in (again, before_it))
            assert kept.keys() == was.keys() and all(np.array_equal(kept[key], was[key]) for key in was)


def test_only_the_same_file_and_the_same_episodes_are_taken_over(policies: Path, runs: dict[str, Any]) -> None:
    body = json.loads((runs["two"] / "manifest.json").read_text())
    settings, inputs = body["config"], body["inputs"]
    found = reuse.read(runs["two"], settings | {"agents": ["zero"], "embodiments": ["g1"], "workers": 7}, inputs)
    found = replace(found, is_this_code=True)
    files = {"generalist": str(policies / "generalist.onnx"), "base": str(policies / "generalist.onnx")}
    values = {"split": "val", "episodes": EPISODES, "routes": (), "protocol": "compass", "seed": 0, "num_envs": ENVS}
    job = Job(embodiment="tiago", agents=AGENTS, policies=files, scenes=(), device="cpu", folder="", **values)
    assert found.agents(job) == ("go_straight", "generalist")  # another file than base's
    assert replace(found, is_this_code=False).agents(job) == ("generalist",)
    assert found.agents(replace(job, embodiment="g1")) == ()
    changed = replace(found, robots={"tiago": "another footprint or gait"})
    assert changed.agents(job) == ()
    with pytest.raises(ValueError, match="episodes 9 there and 64 here, seed 0 there and 1 here"):
        reuse.read(runs["two"], settings | {"episodes": 64, "seed": 1}, inputs)
    with pytest.raises(ValueError, match=r"another map\.yaml was driven in"):
        reuse.read(runs["two"], settings, inputs | {"file:map.yaml": "repainted"})
    with pytest.raises(ValueError, match="--reuse"):
        reuse.read(policies, settings, inputs)


def test_episodes_that_are_drawn_otherwise_by_now_are_refused_before_driving(
    policies: Path, runs: dict[str, Any], tmp_path: Path
) -> None:
    there = tmp_path / "there"
    shutil.copytree(runs["two"], there)
    rows = table(there)
    rows.assign(initial_geodesic_m=1.01 * rows["initial_geodesic_m"]).to_parquet(there / "episodes.parquet")
    body = manifest.read(there).body
    (there / manifest.NAME).unlink()
    manifest.write(there, body)
    again = [*command(policies, tmp_path / "more", workers=1), "--reuse", str(there)]
    again[again.index("--agents") + 1] = "zero"
    finished = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "--reuse: other episodes were driven there (tiago, " in finished.stderr
    assert "tiago zero (straight" not in finished.stdout


def test_the_last_images_of_failures_are_kept(runs: dict[str, Any]) -> None:
    failures, rows = dict(np.load(runs["two"] / "failures.npz")), table(runs["two"])
    count = len(failures["ending"])
    assert failures["depth_m"].shape == (count, 5, 40, 64) and failures["depth_m"].dtype == np.float16
    assert set(failures["agent"]) == {"base", "generalist"}
    assert count == 4 * 2 * 2  # at most four of each agent on each route
    rows = rows.set_index(["agent", "route", "scene", "episode"])
    for row in range(count):
        episode = rows.loc[tuple(failures[name][row] for name in ("agent", "route", "scene", "episode"))]
        assert not episode["success"] and episode[failures["ending"][row]]
        seen = failures["depth_m"][row].reshape(5, -1).any(axis=1)
        there = episode["time_s"] >= np.asarray([2.0, 1.5, 1.0, 0.5, 0.0]) - 0.01
        assert not seen[~there].any()
        assert seen[there].sum() >= there.sum() - 1  # too near to what it hit, the camera sees nothing
        distance = np.linalg.norm(failures["pose_w"][row, :2] - failures["goal_w"][row, :2])
        assert distance == pytest.approx(episode["distance_to_goal_m"], abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenes": "nowhere/map.yaml"}, "no map 'nowhere/map.yaml'"),
        ({"scenes": "castle"}, "no scene 'castle'"),
        ({"embodiments": "g1", "agents": "specialist"}, "agent 'specialist' of robot 'g1' needs"),
        ({"policy": "README.md"}, "README.md"),
        ({"policy": "other.onnx"}, "g1"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(
    policies: Path,
    tmp_path: Path,
    options: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    if options.get("policy") == "other.onnx":  # a specialist of tiago's, for g1
        options = options | {"policy": str(tmp_path / "other.onnx"), "embodiments": "g1"}
        (tmp_path / "other.onnx").write_bytes(export(build("specialist"), agent="specialist", robots=("tiago",)))
    words = {
        "policy": str(policies / "generalist.onnx"),
        "embodiments": "tiago",
        "out": str(tmp_path / "out"),
    } | options
    assert cli.main(["evaluate_policy", *(w for n, v in words.items() for w in (f"--{n}", v))]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 1 and message in errors[0]
