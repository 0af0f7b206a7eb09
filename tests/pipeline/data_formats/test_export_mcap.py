"""Episodes of an evaluation as MCAP: driven anew, they end as before, and images, odometry and commands are there."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from export.runtime.robots.ros.geometry import pose_from
from pipeline.commands.export_mcap import Config
from pipeline.commands.implementation import export_mcap
from pipeline.evaluation.episodes import redrive
from pipeline.evaluation.episodes.redrive import Wanted, job_of
from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT
from tests.export.runtime.mcap_reading import read

PRETRAINED = ROOT / "export" / "pretrained"
FINISHED = PRETRAINED / "benchmark_seed_0"
WANTED = {"embodiment": "go2", "agent": "go_straight", "route": "straight", "scene": "office", "episodes": (0, 5)}

WHOLE = Wanted(embodiment="tiago", agent="generalist", route="planned", scene="clutter", episodes=(0, 2))


def wanted(**changes: object) -> Wanted:
    return Wanted(**(WANTED | changes))  # type: ignore[arg-type]


def command(name: str, **options: object) -> subprocess.CompletedProcess[str]:
    words = [word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", str(value))]
    return subprocess.run(
        [sys.executable, "-m", "pipeline", name, *words], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small evaluation of the shipped generalist."""
    out = tmp_path_factory.mktemp("evaluation") / "finished"
    run = command(
        "evaluate_policy",
        policy=PRETRAINED / "generalist.onnx",
        embodiments="tiago",
        scenes="clutter",
        episodes=3,
        route="planned",
        split="val",
        workers=1,
        out=out,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return out


def test_the_job_is_the_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    config = manifest.read(FINISHED).body["config"]
    agent = config["agents"][0]
    rows = pd.read_parquet(FINISHED / "episodes.parquet")
    there = rows[(rows["embodiment"] == "go2") & (rows["agent"] == agent)]
    monkeypatch.setattr(redrive, "_files", lambda *_: {})  # the shipped file may be a later one
    job = job_of(FINISHED, wanted(agent=agent), policies=PRETRAINED)
    assert job.agents == (agent,) and job.num_envs == config["num_envs"] and job.seed == config["seed"]
    assert list(job.scenes) == list(dict.fromkeys(there["scene"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embodiment": "stretch_re1"}, "has no episodes of robot 'stretch_re1'"),
        ({"agent": "nobody"}, "has no agent 'nobody' of go2; give --agents of: "),
        ({"agent": "generalist", "scene": "garden"}, "has no scene 'garden' of go2; give --scenes of: office"),
        ({"agent": "generalist", "episodes": (0, 5000)}, "has no episode 5000 in office; they go from 0 to 63"),
    ],
)
def test_what_is_not_there_is_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        job_of(FINISHED, wanted(**changes), policies=None)
    assert "\n" not in str(caught.value)


def test_another_policy_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "generalist.onnx").write_bytes(b"another")
    with pytest.raises(ValueError, match=r"is not the file that was evaluated; .* --policies DIR"):
        job_of(FINISHED, wanted(agent="generalist"), policies=tmp_path)
    with pytest.raises(FileNotFoundError, match="no exported policy"):
        job_of(FINISHED, wanted(agent="generalist"), policies=tmp_path / "nowhere")


def test_one_source_is_needed() -> None:
    with pytest.raises(ValueError, match="one of them"):
        export_mcap.main(Config())


@pytest.mark.slow
def test_episodes_are_driven_as_before_and_written(evaluation: Path, tmp_path: Path) -> None:
    run = command(
        "export_mcap", evaluation=evaluation, embodiments="tiago", scenes="clutter", episodes="0,2", out=tmp_path
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert job_of(evaluation, WHOLE, policies=None).num_envs == 8, (
        "as many as drove, not as many as there might have been"
    )
    rows = pd.read_parquet(evaluation / "episodes.parquet").set_index("episode")
    files = sorted(tmp_path.glob("*.mcap"))
    assert [file.stem for file in files] == [f"tiago_generalist_planned_clutter_{n:04d}" for n in (0, 2)]
    for file, number in zip(files, (0, 2), strict=True):
        found = read(file).messages
        poses = np.asarray([pose_from(m.pose.pose.position, m.pose.pose.orientation) for m in found["/odom"]])
        steps_m = np.hypot(*np.diff(poses[:, :2], axis=0).T)
        assert steps_m.max() < 0.12, "no jump"
        assert (len(poses) - 1) * 0.1 >= rows.loc[number, "time_s"] - 1e-3
        goal = found["/goal_pose"][-1].pose.position
        assert np.hypot(goal.x, goal.y) == pytest.approx(rows.loc[number, "distance_to_goal_m"], abs=0.02)
        images = np.stack([np.frombuffer(m.data.tobytes(), "<u2") for m in found["/depth/image"]])
        assert len(images) == len(poses) and (images > 0).mean() > 0.2 and images.std(axis=0).max() > 0
        known = found["/known_map"][0]
        assert 0.05 < (np.asarray(known.data) == 100).mean() < 0.95


@pytest.mark.slow
def test_an_evaluation_that_ended_otherwise_is_refused(evaluation: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(evaluation / "episodes.parquet")
    rows["time_s"] += 0.3
    rows.to_parquet(evaluation / "episodes.parquet", index=False)
    run = command(
        "export_mcap", evaluation=evaluation, embodiments="tiago", scenes="clutter", episodes="1", out=tmp_path
    )
    assert run.returncode == 2
    assert "in the evaluation: code or machine have changed since" in run.stderr
    assert not list(tmp_path.glob("*.mcap"))
