"""The report: it says what was measured, shows what is there, names what is not, and needs no network."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline import manifest, report
from pipeline.evaluation import published, results
from pipeline.evaluation.summary import EPISODE_COLUMNS, Provenance, summarise

RATES = {"go_straight": 0.25, "blind": 0.5, "specialist": 0.75, "generalist": 0.75}


@pytest.fixture
def summary() -> results.Summary:
    """Return a summary of two robots in two scenes whose rates are known exactly."""
    tables = []
    for robot in ("tiago", "go2"):
        for scene in ("office", "clutter"):
            for agent, rate in RATES.items():
                success = np.arange(16) < rate * 16
                columns = {
                    "embodiment": robot,
                    "scene": scene,
                    "agent": agent,
                    "protocol": "compass",
                    "route": "straight",
                    "episode": np.arange(16),
                    "scene_seed": np.arange(16),
                    "success": success,
                    "success_settled": success,
                    "collision": ~success,
                    "fall": False,
                    "timeout": False,
                }
                figures = {"time_s": 8.0, "time_limit_s": 25.6, "fastest_time_s": 4.0, "path_m": 5.0, "geodesic_m": 1.0}
                rest = {"initial_geodesic_m": 4.0, "distance_to_goal_m": 0.3, "min_clearance_m": 0.2, "jerk_mps3": 1.0}
                rest |= {"stopped_s": 0.0, "energy_j": 100.0, "broken": False}
                tables.append(pd.DataFrame(columns | figures | rest)[list(EPISODE_COLUMNS)])
    provenance = Provenance(split="test", seed=0, training_seed=0, policy_sha256={})
    return summarise(pd.concat(tables, ignore_index=True), provenance)


@pytest.fixture
def evaluated(tmp_path: Path, summary: results.Summary) -> Path:
    """Return a published folder of the evaluation, with one trajectory."""
    folder = tmp_path / "evaluate_policy"
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(summary))
    np.savez_compressed(
        folder / "traces.npz",
        embodiment=np.asarray(["tiago"]),
        agent=np.asarray(["generalist"]),
        route=np.asarray(["straight"]),
        scene=np.asarray(["office"]),
        scene_name=np.asarray(["office/test/0"]),
        episode=np.asarray([0]),
        ending=np.asarray(["success"]),
        start_w=np.asarray([[1.0, 1.0, 0.0]]),
        goal_w=np.asarray([[3.0, 2.0, 1.0]]),
        length=np.asarray([3]),
        pose_w=np.asarray([[1.0, 1.0, 0.0], [2.0, 1.5, 0.5], [3.0, 2.0, 1.0]]),
    )
    body = {"stage": "evaluate_policy", "key": "k", "config": {"episodes": 16}, "metrics": {}, "wall_time_s": 60.0}
    manifest.write(folder, body | {"seed": 7, "preset": "laptop", "packages": {"numpy": "2.4.6"}, "git": None})
    return folder


def write(tmp_path: Path, inputs: dict[str, Path]) -> str:
    directory = tmp_path / ".report.new"
    directory.mkdir()
    report.run(report.Config(), SimpleNamespace(inputs=inputs, directory=directory, metrics={}))  # type: ignore[arg-type]
    return (directory / "report.html").read_text()


def test_the_page_says_what_was_measured(tmp_path: Path, evaluated: Path) -> None:
    page = write(tmp_path, {"evaluate_policy": evaluated})
    assert "75.0 [" in page and "50.0 [" in page
    assert "Published elsewhere" in page and "not comparable" in page
    assert "numpy" in page and "office" in page


def test_the_page_needs_no_network(tmp_path: Path, evaluated: Path) -> None:
    page = write(tmp_path, {"evaluate_policy": evaluated})
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert "@import" not in page and "<script" not in page
    assert 'name="viewport"' in page and "@media print" in page


def test_parts_that_are_missing_are_named(tmp_path: Path) -> None:
    page = write(tmp_path, {})
    for stage in ("evaluate_policy", "train_specialist", "pretrain_world_model"):
        assert f"python -m pipeline {stage}" in page
    assert (tmp_path / ".report.new" / "results.md").read_text() == "No evaluation yet.\n"


def test_markdown_tables_are_rectangular(summary: results.Summary) -> None:
    text = results.markdown(summary)
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 3
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_success_table_by_hand(summary: results.Summary) -> None:
    table = results.success_table(summary, route="straight")
    assert table.head == ("robot", "go_straight", "blind", "specialist", "generalist")
    assert [row[0] for row in table.rows] == ["tiago", "go2", "all robots"]
    assert table.rows[0][1].startswith("25.0 [") and table.rows[2][4].startswith("75.0 [")


def test_promises_are_judged(summary: results.Summary) -> None:
    verdicts = {promise.text.partition(":")[0]: promise.verdict for promise in results.promises(summary)}
    assert verdicts == {"Distillation": "kept", "Eyes": "kept"}
    worse = json.loads(json.dumps(summary))
    for row in worse["comparisons"]:
        if (row["first"], row["second"]) == ("generalist", "specialist"):
            row |= {"difference": -0.1, "ci95": [-0.15, -0.05]}
        if (row["first"], row["second"]) == ("generalist", "blind"):
            row |= {"difference": 0.08, "ci95": [0.02, 0.14]}
    assert [promise.verdict for promise in results.promises(worse)] == ["broken", "broken", "open"]


def test_published_means_are_those_of_the_paper() -> None:
    # Overall means as printed in COMPASS's own table: 18.8, 85.0, 85.1 %
    robots = published.TABLE
    means = [np.mean([published.mean_success(robot, agent) for robot in robots]) for agent in published.AGENTS]
    np.testing.assert_allclose(means, [0.188, 0.850, 0.851], atol=6e-4)
    assert published.mean_time_s("G1", "generalist") == pytest.approx(4525 / 640, abs=0.01)


def test_undefined_figures_are_dashes() -> None:
    cell = {"embodiment": "g1", "agent": "zero", "route": "straight", "success": 0.0, "success_ci95": [0.0, 0.06]}
    names = ("success_settled", "spl", "soft_spl", "sct", "collision", "fall", "timeout", "time_s", "wtt_s")
    cell |= dict.fromkeys((*names, "min_clearance_m", "jerk_mps3"))
    table = results.quality_table({"pooled": [cell]}, route="straight", agents=("zero",))
    assert table.rows[0][-4:] == ("–", "–", "–", "–")


def test_a_picture_shows_what_stands_where() -> None:
    from pipeline.evaluation.rendering import SEMANTIC_COLOURS, SKY, View, render, scene_surface
    from scenes.scene import BOX, Scene, box

    crate = box(centre_xy_w_m=(3.0, 0.0), size_m=(1.0, 1.0, 1.0), yaw_rad=0.0, z_min_m=0.0, semantic=BOX, known=False)
    scene = Scene(name="crate", kind="crate", solids=(crate,), extent_w_m=(-5.0, -5.0, 5.0, 5.0))
    view = View(eye_w_m=(0.0, 0.0, 0.5), target_w_m=(3.0, 0.0, 0.5), width_px=60, height_px=40, sun_w=(-1.0, 0.0, 1.0))
    image = render([scene_surface(scene)], view) / 255.0
    centre, sky = image[20, 30], image[1, 2]
    # the crate's face, lit from the front, keeps its hue; above the horizon there is nothing but sky
    np.testing.assert_allclose(centre / centre[0], SEMANTIC_COLOURS[BOX] / SEMANTIC_COLOURS[BOX][0], atol=0.02)
    np.testing.assert_allclose(sky, SKY, atol=0.01)
    # 2.5 m away and 1 m wide: 60 px / (2 tan(hfov / 2)) / 2.5 px on the screen
    hue = image / image.max(axis=2, keepdims=True)
    crate_hue = SEMANTIC_COLOURS[BOX] / SEMANTIC_COLOURS[BOX].max()
    wide = (np.abs(hue[20] - crate_hue).max(axis=1) < 0.03).sum()
    assert abs(int(wide) - 60 / (2 * np.tan(view.hfov_rad / 2)) / 2.5) <= 1.5
