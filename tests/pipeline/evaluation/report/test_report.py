"""The report: it says what was measured, shows what is there, names what is not, and needs no network."""

import base64
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline import __main__ as cli
from pipeline.evaluation.episodes.summary import ALL, EPISODE_COLUMNS, Provenance, summarise
from pipeline.evaluation.report import (
    answers,
    curves,
    failures,
    figures,
    films,
    formatting,
    maps,
    page,
    published,
    table,
    tables,
)
from pipeline.evaluation.report.criteria import acceptance_criteria
from pipeline.evaluation.report.tensorboard_summary import write_tensorboard
from pipeline.evaluation.robustness import curves as robustness_curves
from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT
from pipeline.stages.implementation import report
from scenes import nav2_map
from scenes.grid import Grid

RATES = {"go_straight": 0.25, "blind": 0.5, "specialist": 0.75, "generalist": 0.75}


@pytest.fixture
def summary() -> tables.Summary:
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
                figures = {"time_s": 8.0, "time_limit_s": 25.6, "fastest_time_s": 4.0, "path_m": 5.0}
                rest = {
                    "end_geodesic_m": 1.0,
                    "initial_geodesic_m": 4.0,
                    "distance_to_goal_m": 0.3,
                    "min_clearance_m": 0.2,
                    "jerk_mps3": 1.0,
                }
                rest |= {"stopped_s": 0.0, "energy_j": 100.0, "broken": False, "conditions": "nominal"}
                rest |= {"person_bumped": False, "near_person_s": 0.0}
                tables.append(pd.DataFrame(columns | figures | rest)[list(EPISODE_COLUMNS)])
    provenance = Provenance(split="test", seed=0, training_seed=0, policy_sha256={})
    return summarise(pd.concat(tables, ignore_index=True), provenance)


@pytest.fixture
def evaluated(tmp_path: Path, summary: tables.Summary) -> Path:
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


@pytest.fixture
def whole_run(tmp_path: Path, evaluated: Path) -> dict[str, Path]:
    """Return the folders of a run that has failures, curves, predictions, a policy and robustness."""
    count, frames = 3, 8
    depth_m = np.linspace(0.0, 10.0, count * frames * 40 * 64).reshape(count, frames, 40, 64)
    np.savez_compressed(
        evaluated / "failures.npz",
        depth_m=depth_m.astype(np.float16),
        embodiment=np.asarray(["tiago", "tiago", "go2"]),
        agent=np.asarray(["generalist", "base", "specialist"]),
        route=np.full(count, "straight"),
        scene=np.full(count, "office"),
        scene_name=np.asarray(["office/test/0", "office/test/0", "gone.yaml"]),
        episode=np.arange(count),
        ending=np.asarray(["collision", "timeout", "fall"]),
        pose_w=np.asarray([[1.0, 1.0, 0.0]] * count),
        goal_w=np.asarray([[4.0, 5.0, 1.0]] * count),
    )
    folders = {"evaluate_policy": evaluated}
    trained = ("train_anticipation", "train_collision_risk", "pretrain_world_model")
    names = ("train_specialist/tiago", *trained, "collect_teacher", "export_policy")
    for name in names:
        folders[name] = tmp_path / name
        folders[name].mkdir(parents=True)
    curve = [{"control_steps": 1000 * k, "wall_s": 60.0 * k, "success": 0.1 * k, "collision": 0.0} for k in range(10)]
    (folders["train_specialist/tiago"] / "curve.json").write_text(json.dumps(curve))
    Image.new("RGB", (8, 8)).save(folders["pretrain_world_model"] / "predictions.png")
    judged = {"share_error": 0.1, "depth_error_m/0": 0.22, "depth_error_m/10": 0.39, "predicted_depth_error_m/10": 0.31}
    (folders["pretrain_world_model"] / "figures.json").write_text(json.dumps(judged | {"semantic_accuracy/10": 0.722}))
    Image.new("RGB", (8, 8)).save(folders["collect_teacher"] / "coverage.png")
    Image.new("RGB", (8, 8)).save(folders["train_anticipation"] / "anticipation.png")
    anticipated = {"still_2m_precision": 0.84, "still_2m_recall": 0.77, "still_2m_ahead_precision": 0.88}
    (folders["train_anticipation"] / "figures.json").write_text(json.dumps(anticipated))
    expected = {"auc_1.2s": 0.912, "caught_0.05": 0.5, "rate_1.2s_g1": 0.013, "auc_1.2s_g1": 0.87}
    (folders["train_collision_risk"] / "figures.json").write_text(json.dumps(expected))
    (folders["export_policy"] / "generalist.onnx").write_bytes(b"a policy")
    for name, folder in folders.items():
        if name != "evaluate_policy":
            manifest.write(folder, {"stage": name.partition("/")[0], "key": "k", "config": {"seed": 3}})
    sweep = {"embodiment": "tiago", "factor": "depth_noise", "unit": "x", "episodes": 64, "kept_ci95": [0.4, 0.6]}
    sweeps = [
        sweep | {"level": x, "success": s, "success_ci95": [s, s], "kept": s / 0.8} for x, s in ((1, 0.8), (4, 0.4))
    ]
    worst = {"embodiment": "tiago", "population": 8, "iterations": 3, "mean": 0.5, "p10": 0.25, "worst": 0.125}
    worst |= {"kept_worst": 0.15625, "factors": {"latency_s": 0.25}}
    (tmp_path / "evaluate_robustness").mkdir()
    sha256 = manifest.hash_file(folders["export_policy"] / "generalist.onnx")
    document = {"policy_sha256": sha256, "sweeps": sweeps, "worst_case": [worst], "clean": {"tiago": 0.8}}
    (tmp_path / "evaluate_robustness" / "robustness.json").write_text(json.dumps(document))
    return folders


def film(tmp_path: Path, robot: str, *, key: str) -> None:
    """Leave a film where the last report would have left it."""
    folder = tmp_path / "report" / "films"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{robot}.mp4").write_bytes(b"film of " + robot.encode())
    (folder / f"{robot}.jpg").write_bytes(b"frame")
    facts = {"embodiment": robot, "agent": "generalist", "scene": "office", "split": "val", "route": "planned"}
    facts |= {"ending": "success", "time_s": 9.5, "speed": 2, "key": key}
    (folder / f"{robot}.json").write_text(json.dumps(facts))


def write(tmp_path: Path, inputs: dict[str, Path], **options: Any) -> str:
    directory, work = tmp_path / ".report.new", tmp_path / ".work"
    directory.mkdir()
    notes: list[str] = []
    run = SimpleNamespace(
        inputs=inputs, directory=directory, work=work, target=tmp_path / "report", metrics={}, note=notes.append
    )
    report.run(report.Config(**options), run)  # type: ignore[arg-type]
    return (directory / "report.html").read_text()


def check_self_contained(page: str) -> None:
    """Refuse anything that a browser would fetch, a second file included."""
    sources = re.findall(r'(?:src|poster)="([^"]*)"', page)
    assert all(re.match(r"data:(image|video)/[a-z0-9+]+;base64,", source) for source in sources)
    assert all(link.startswith("#") for link in re.findall(r'href="([^"]*)"', page))
    assert "@import" not in page and "<script" not in page and "url(" not in page and "<link" not in page


def test_the_page_says_what_was_measured(tmp_path: Path, evaluated: Path) -> None:
    page = write(tmp_path, {"evaluate_policy": evaluated})
    check_self_contained(page)
    assert "75.0 [" in page and "50.0 [" in page
    assert "Published elsewhere" in page and "Not measured here, and not comparable" in page
    assert "numpy" in page and "office" in page


def test_a_whole_run_is_shown_whole(tmp_path: Path, whole_run: dict[str, Path]) -> None:
    order = films.Order(
        policy=whole_run["export_policy"] / "generalist.onnx", robots=(), scene="office", route="planned", seed=0
    )
    for robot in ("tiago", "go2"):
        film(tmp_path, robot, key=order.key(robot))
    page = write(tmp_path, whole_run)
    check_self_contained(page)
    assert 'name="viewport"' in page and "@media print" in page
    assert "python -m pipeline" not in page  # nothing is missing
    assert base64.b64encode(b"film of go2").decode() in page and "success after 9.5 s, shown 2 times as fast" in page
    assert (tmp_path / ".report.new" / "films" / "go2.mp4").is_file()
    # Failures: of tiago the generalist's, not the base policy's; a scene that is gone has no map but still its frames.
    assert "tiago, generalist, office, straight route, episode 0: collision 5.0 m from the goal" in page
    assert "tiago, base" not in page.partition('id="failures"')[2].partition("\n</details>")[0]
    assert "scene not there" in page
    assert "8 k, 8 min" in page  # 80 % first passed
    assert "Training data: the fraction" in page
    table = page.partition('id="predictions"')[2].partition("</table>")[0]
    words = " ".join(re.sub(r"<[^>]*>", " ", table).split())
    assert words.endswith("predicted 0 – 0.22 – – – – – 10 – 0.39 0.31 – – 72.2 –")
    table = page.partition('id="anticipation"')[2].partition("</table>")[0]
    words = " ".join(re.sub(r"<[^>]*>", " ", table).split())
    assert words.endswith("still things 88 / – – / – 84 / 77 – / –")
    table = page.partition('id="collision_risk"')[2].partition("</table>")[0]
    words = " ".join(re.sub(r"<[^>]*>", " ", table).split())
    assert words.endswith("all robots – 91.2 – 50.0 – – – g1 – 87.0 – – – – 1.3")
    assert "50.0 % at 4" in page and "latency s 0.25" in page and "15.6" in page
    boards = {folder.name for folder in (tmp_path / ".work" / "tensorboard").iterdir()}
    assert boards == {f"{agent}.straight" for agent in RATES}


def test_robustness_says_what_was_tested(tmp_path: Path, whole_run: dict[str, Path]) -> None:
    file = tmp_path / "evaluate_robustness" / "robustness.json"
    found = json.loads(file.read_text())
    assert robustness_curves.worst_case(found).rows[0][4] == "–"  # an older file
    head = {"agent": "generalist", "route": "planned", "split": "test", "scenes": ["office", "clutter"]}
    (worst,) = found["worst_case"]
    worst |= {"factors": {"heading_bias": 0.0048732, "mass": 1.25}, "units": {"heading_bias": "rad"}, "episodes": 16}
    worst["confirmed"] = {"success": 0.25, "success_ci95": [0.16, 0.37], "episodes": 64}
    file.write_text(json.dumps(found | head | {"search_reach": 0.5}))
    page = write(tmp_path, whole_run, films=False)
    section = page.partition('id="robustness"')[2].partition("\n</details>")[0]
    for words in (
        "Tested: agent generalist, planned route, 64 goals per robot and level, in office, clutter, test split.",
        "from nominal to 50 % of the range of each factor, on either side",
        "heading bias 0.00487 rad, mass 1.25",
        "25.0 [16,\u00a037] of 64",
        "8 × 3 points × 16 goals",
        "those searched on among them",
        "50.0 % at 4 x",
    ):
        assert words in section
    assert "common random numbers" not in section
    file.write_text(json.dumps(found | head | {"worst_case": []}))
    assert robustness_curves.worst_case(robustness_curves.read(file)).note.startswith("Tested: agent generalist")


def test_what_was_adopted_is_called_so(tmp_path: Path, whole_run: dict[str, Path]) -> None:
    machine = {"machine": {"system": "Linux", "cpus": 2}}
    adopted = {
        "adopted": {"file": "specialist_go2.onnx", "sha256": "ab" * 32},
        "git": {"commit": "12ab", "dirty": False},
    }
    for robot, body in (("tiago", machine | {"seed": 3, "wall_time_s": 90.0}), ("go2", machine | adopted)):
        folder = whole_run.setdefault(f"train_specialist/{robot}", tmp_path / "train_specialist" / robot)
        folder.mkdir(exist_ok=True)
        manifest.write(folder, {"stage": "train_specialist", "key": "k"} | body)
    trained, taken = page.stage_entries({name: whole_run[name] for name in whole_run if "specialist" in name})
    assert (trained.wall_time, trained.seed, trained.machine) == ("1.5 min", "3", "2 CPUs, Linux")
    assert (taken.wall_time, taken.seed, taken.commit, taken.machine) == ("adopted", "–", "–", "–")
    assert ("adopted file", "specialist_go2.onnx") in taken.settings
    shown = write(tmp_path, whole_run, films=False)
    assert ">adopted</td>" in shown and ">2 CPUs, Linux</td>" in shown
    assert "machine named below" not in shown and "lower than in the tables" not in shown


def test_sweeps_of_another_policy_are_not_shown(tmp_path: Path, whole_run: dict[str, Path]) -> None:
    file = tmp_path / "evaluate_robustness" / "robustness.json"
    run = SimpleNamespace(inputs=whole_run, target=tmp_path / "report", note=[].append)
    assert report._robustness(run)["sweeps"]  # type: ignore[arg-type]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"policy_sha256": "another"}))
    notes: list[str] = []
    run.note = notes.append
    assert not report._robustness(run)["sweeps"]  # type: ignore[arg-type]
    assert "is of another policy" in notes[0]


def test_parts_that_are_missing_are_named(tmp_path: Path, whole_run: dict[str, Path]) -> None:
    (tmp_path / "evaluate_robustness" / "robustness.json").unlink()
    page = write(tmp_path, {"collect_teacher": whole_run["collect_teacher"]})
    check_self_contained(page)
    for stage in ("evaluate_policy", "train_specialist", "pretrain_world_model", "evaluate_robustness"):
        assert f"python -m pipeline {stage}" in page
    assert "Films need an exported generalist" in page
    assert (tmp_path / ".report.new" / "tables.md").read_text() == "No evaluation yet.\n"


def test_a_mistyped_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = tmp_path / "laptop" / "make_scenes"
    done.mkdir(parents=True)
    manifest.write(done, {"stage": "make_scenes", "key": ""})
    assert cli.main(["report", "--run", str(tmp_path / "lptop")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"did you mean {tmp_path / 'laptop'}?" in error
    assert [path.name for path in tmp_path.iterdir()] == ["laptop"]
    assert cli.main(["report", "--run", str(tmp_path / "x")]) == 2
    assert "has no finished stage to report. Runs there: laptop." in capsys.readouterr().err


def test_an_evaluation_by_itself_has_a_page(tmp_path: Path, evaluated: Path) -> None:
    page = write(tmp_path, {}, evaluation=evaluated, films=False)
    check_self_contained(page)
    assert "Evaluation evaluate_policy, made" in page and "Collisions + falls in %" in page
    assert "train_specialist" not in page and 'id="learning"' not in page and 'id="gaits"' not in page
    shutil.rmtree(tmp_path / ".report.new")
    with pytest.raises(ValueError, match=r"never finished\. Make it with: .* evaluate_policy --out"):
        write(tmp_path, {}, evaluation=tmp_path)


def test_films_of_an_evaluation_by_itself_are_of_the_file_that_was_evaluated(tmp_path: Path) -> None:
    policy, folder = tmp_path / "generalist.onnx", tmp_path / "evaluation"
    policy.write_bytes(b"a policy")
    folder.mkdir()
    inputs = {f"file:{policy}": manifest.hash_file(policy)}
    manifest.write(
        folder, {"stage": "evaluate_policy", "key": "k", "config": {"policy": str(policy)}, "inputs": inputs}
    )
    assert report._filmed({"evaluate_policy": folder}) == policy
    policy.write_bytes(b"another")
    assert report._filmed({"evaluate_policy": folder}) is None and report._filmed({}) is None
    assert report._filmed({"evaluate_policy": folder, "export_policy": tmp_path}) == policy  # the run's own


def test_films_that_cannot_be_made_are_named(
    tmp_path: Path, whole_run: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered = []

    def fail(commands: dict[str, list[str]], *, workers: int) -> dict[str, int]:
        ordered.extend(commands)
        return dict.fromkeys(commands, 2)

    monkeypatch.setattr("pipeline.runs.processes.run_side_by_side", fail)
    film(tmp_path, "tiago", key="of another policy")
    page = write(tmp_path, whole_run, film_robots=("tiago",))
    assert ordered == ["tiago"]
    assert "No film could be made of tiago." in page and "<video" not in page


def test_values_are_escaped(tmp_path: Path, evaluated: Path) -> None:
    page = write(tmp_path, {"evaluate_policy": evaluated}, title="<script>alert(1)</script> & more", films=False)
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_old_summaries_and_curves_still_read(tmp_path: Path, evaluated: Path, summary: tables.Summary) -> None:
    old = {
        name: [{k: v for k, v in row.items() if k not in ("jerk_mps3", "soft_spl", "policy_sha256")} for row in rows]
        for name, rows in summary.items()
    }
    (evaluated / "summary.json").write_text(json.dumps(old))
    specialist = tmp_path / "train_specialist" / "go2"
    specialist.mkdir(parents=True)
    (specialist / "curve.json").write_text(json.dumps([{"control_steps": 1000, "success": 0.5}]))
    manifest.write(specialist, {"stage": "train_specialist", "key": "k"})
    page = write(tmp_path, {"evaluate_policy": evaluated, "train_specialist/go2": specialist})
    assert "clearance m" in page and "jerk" not in page
    assert "not passed" in page and "over control steps" in page and "over time" not in page


def test_every_figure_of_a_cell_has_its_column(summary: tables.Summary) -> None:
    (cell, *_) = summary["pooled"]
    known = {key for key, value in cell.items() if value is None or formatting.is_number(value)}
    named = {"seed", "training_seed", "episodes", "policy_sha256"} | {key for key in cell if "_ci95" in key}
    assert known - named == set(tables.QUALITY)


def test_numbers_in_the_tables_are_those_of_the_summary(summary: tables.Summary) -> None:
    table = tables.quality_table(summary, route="straight", agents=tuple(RATES))
    cells = {(cell["embodiment"], cell["agent"]): cell for cell in summary["pooled"]}
    assert len(table.rows) == len(cells)
    for row in table.rows:
        robot, _, agent = row[0].partition(", ")
        cell = cells[robot if robot != "all robots" else ALL, agent]
        shown = dict(zip(table.head, row, strict=True))
        assert float(shown["success %"]) == pytest.approx(100.0 * cell["success"], abs=0.05)
        assert float(shown["SPL"]) == pytest.approx(cell["spl"], abs=0.005)
        assert float(shown["collision %"]) == pytest.approx(100.0 * cell["collision"], abs=0.05)


def test_the_small_table_holds_the_rates_of_the_large_one(summary: tables.Summary) -> None:
    straight = tables.success_table(summary, route="straight")
    small = tables.overview([straight])
    assert small.head == ("agent", "tiago", "go2", "all robots") and small.title == "Success in %: straight route"
    assert small.rows == (
        ("go_straight", "25.0", "25.0", "25.0"),
        ("specialist", "75.0", "75.0", "75.0"),
        ("generalist", "75.0", "75.0", "75.0"),
    )
    planned = replace(
        straight, title="Success in %, planned route", frame=straight.frame.replace("75", "80", regex=True)
    )
    both = tables.overview([straight, planned])
    assert both.rows[1][1] == "75.0 /\u00a080.0" and both.title == "Success in %: straight / planned route"


def test_a_table_comes_back_from_its_markdown(summary: tables.Summary) -> None:
    written = tables.markdown(summary)
    found = table.parse(f"# Title\n\n{written}\n* an item\n")
    assert "\n".join(each.markdown() for each in found) == written


def test_failures_are_as_different_as_they_can_be() -> None:
    endings = np.asarray(["collision"] * 6 + ["timeout"] * 2 + ["collision"])
    columns = {"embodiment": np.full(9, "g1"), "agent": np.asarray(["generalist"] * 8 + ["base"]), "ending": endings}
    assert failures.choose(columns) == [0, 6, 1, 7]


def test_a_strip_keeps_the_order_of_time() -> None:
    depth_m = np.stack([np.full((40, 64), depth) for depth in (0.0, 0.1, 9.9, 5.0, 0.1)])
    picture = failures.strip(depth_m)
    width, height = failures.FRAME_PX
    middle = [picture[4 + height // 2, 4 + k * (width + 4) + width // 2] for k in range(5)]
    last = middle[4]
    assert (middle[0] == 0).all()
    np.testing.assert_array_equal(middle[1], last)
    assert int(middle[1].sum()) > int(middle[3].sum()) > int(middle[2].sum())  # near is bright


def test_a_users_map_is_shown_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An L of walls with a negative origin: its corner must lie at the lower left of the picture."""
    occupied = np.zeros((20, 40), dtype=bool)
    occupied[0, :] = occupied[:, 0] = True
    file = tmp_path / "flat.yaml"
    nav2_map.save(Grid(values=occupied, origin_xy_w_m=(-3.0, -1.0), resolution_m=0.1), file)
    shown = []
    monkeypatch.setattr(maps, "data_uri", lambda figure: shown.append(figure) or "data:image/svg+xml;base64,")
    traces = {
        "embodiment": np.asarray(["tiago"]),
        "agent": np.asarray(["generalist"]),
        "route": np.asarray(["planned"]),
        "scene": np.asarray([str(file)]),
        "scene_name": np.asarray([str(file)]),
        "episode": np.asarray([0]),
        "ending": np.asarray(["success"]),
        "start_w": np.asarray([[-2.0, -0.5, 0.0]]),
        "goal_w": np.asarray([[0.5, 0.5, 0.0]]),
        "length": np.asarray([2]),
        "pose_w": np.asarray([[-2.0, -0.5, 0.0], [0.5, 0.5, 0.0]]),
    }
    (picture,) = maps.of_whole_maps(traces, route="planned", meant=maps.Meant())
    assert "1 path of generalist" in picture.caption
    axes = shown[0].axes[0]
    walls = np.concatenate([path.vertices for collection in axes.collections for path in collection.get_paths()])
    np.testing.assert_allclose(walls.min(axis=0), [-3.0, -1.0], atol=1e-6)
    np.testing.assert_allclose(walls.max(axis=0), [1.0, 1.0], atol=1e-6)
    inside = [tuple(path.get_extents().extents) for c in axes.collections for path in c.get_paths()]
    assert any(x1 - x0 > 3.0 and y1 - y0 < 0.2 and y0 < -0.9 for x0, y0, x1, y1 in inside)  # the long wall is below
    assert maps.of_whole_maps(traces | {"scene": np.asarray(["gone.yaml"])}, route="planned", meant=maps.Meant()) == []


def test_a_map_and_a_goal_are_drawn_as_the_evaluation_meant_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meant = maps.Meant.by({"map_unknown": "open", "protocol": "pointnav", "seed": 1})
    assert meant.options.map_unknown == "open" and meant.options.map_wall_height_m == 2.0
    asked = []
    monkeypatch.setattr(maps.registry, "load", lambda name, options: asked.append(options))
    (tmp_path / "map.yaml").touch()
    maps.scene_named(str(tmp_path / "map.yaml"), meant.options)
    assert asked == [meant.options]
    for protocol, radius_m, arrows in (("compass", 0.5, 1), ("pointnav", 0.25, 0)):
        _, axes = figures.new_figure(width=1.0, height=1.0)
        figures.draw_goal(axes, np.asarray([1.0, 2.0, 0.3]), protocol=protocol)  # type: ignore[arg-type]
        assert float(np.ptp(axes.lines[0].get_xdata())) == pytest.approx(2.0 * radius_m, rel=0.01)
        assert len(axes.texts) == arrows


def test_tensorboard_holds_the_summary(tmp_path: Path, summary: tables.Summary) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_tensorboard(summary, tmp_path)
    board = EventAccumulator(str(tmp_path / "generalist.straight"))
    board.Reload()
    tags = board.Tags()["scalars"]
    assert {"success/tiago", "success/tiago/office", "spl/all", "collision/go2/clutter"} <= set(tags)
    assert not any(tag.startswith(("seed", "episodes")) for tag in tags)
    assert board.Scalars("success/tiago")[0].value == pytest.approx(0.75)


def test_markdown_tables_are_rectangular(summary: tables.Summary) -> None:
    text = tables.markdown(summary)
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 3
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_success_table_by_hand(summary: tables.Summary) -> None:
    table = tables.success_table(summary, route="straight")
    assert table.head == ("robot", "go_straight", "blind", "specialist", "generalist")
    assert [row[0] for row in table.rows] == ["tiago", "go2", "all robots"]
    assert table.rows[0][1].startswith("25.0 [") and table.rows[2][4].startswith("75.0 [")


def test_narrow_intervals_have_a_decimal(summary: tables.Summary) -> None:
    for number, row in enumerate(summary["pooled"]):
        row |= {"success_ci95": ([0.9551, 0.9634], [0.94, 0.961])[number % 2], "success_ci95_scenes": None}
    texts = [text for row in tables.success_table(summary, route="straight").rows for text in row[1:]]
    assert {text.partition(" ")[2] for text in texts} == {"[95.5,\u00a096.3]", "[94,\u00a096]"}


def test_mishaps_by_hand(summary: tables.Summary) -> None:
    for cell in summary["pooled"]:
        if (cell["embodiment"], cell["agent"]) == ("go2", "generalist"):
            cell |= {"collision": 0.125, "fall": 0.25, "collision_ci95_scenes": [0.1, 0.5]}
        elif cell["embodiment"] == "tiago":
            cell["collision_ci95_scenes"] = None
    table = tables.mishap_table(summary, route="straight")
    assert table.head == ("robot", "go_straight", "blind", "specialist", "generalist")
    rows = {row[0]: row[1:] for row in table.rows}
    # Wilson: 8 of 32 is 13 to 42 %, 4 of 32 is 5 to 28 %.
    assert rows["tiago"][2] == "25.0 [13,\u00a042] +\u00a00.0"
    assert rows["go2"][3] == "12.5 [5,\u00a050] +\u00a025.0 [13,\u00a042]"


def test_path_efficiency_has_the_intervals_of_the_summary(summary: tables.Summary) -> None:
    for cell in summary["pooled"]:
        cell |= {"spl": 0.754, "spl_ci95_scenes": [0.701, 0.799], "sct_ci95_scenes": None}
    table = tables.efficiency_table(summary, route="straight", agents=("generalist",))
    assert [row[0] for row in table.rows] == ["tiago, generalist", "go2, generalist", "all robots, generalist"]
    assert all(row[1] == "0.75 [0.70,\u00a00.80]" and row[3] == "0.38" for row in table.rows)
    for cell in summary["pooled"]:  # older summaries
        for name in ("spl", "soft_spl", "sct"):
            cell.pop(f"{name}_ci95_scenes")
    assert tables.efficiency_table(summary, route="straight", agents=("generalist",)).rows == ()


def test_the_first_lucky_episodes_of_a_curve_say_nothing(tmp_path: Path) -> None:
    counted = [{"control_steps": 8000 * k, "episodes": 60 * k, "success": 1.0 - 0.05 * k} for k in range(1, 6)]
    nothing = {"control_steps": 4000, "success": 0.0}  # no episode had ended
    older = [nothing] + [
        {key: v for key, v in row.items() if key != "episodes"} | {"episode_steps": 100.0} for row in counted
    ]
    for name, rows in (("new", counted), ("old", older), ("short", counted[:2])):
        (tmp_path / name).write_text(json.dumps(rows))
    found = curves.read({name: tmp_path / name for name in ("new", "old", "short", "none")})
    assert {name: [row["control_steps"] for row in rows] for name, rows in found.items()} == {
        "new": [32000, 40000],
        "old": [24000, 32000, 40000],
        "short": [16000],
    }
    assert [row[-1] for row in curves.table(found).rows] == ["32 k", "24 k", "16 k"]


AGENTS = ("specialist", "generalist")


def test_scene_tables_by_hand(summary: tables.Summary) -> None:
    for cell in summary["cells"]:
        if (cell["embodiment"], cell["scene"], cell["agent"]) == ("go2", "clutter", "generalist"):
            cell |= {"success": 0.5, "success_ci95": [0.28, 0.72], "collision": 0.25, "fall": 0.125}
    table = tables.scene_table(summary, route="straight", agents=AGENTS)
    assert table.head == ("robot", "office", "clutter")
    assert [row[0] for row in table.rows][:2] == ["tiago, specialist", "tiago, generalist"]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["go2, generalist"] == ("75.0 [51,\u00a090], 25.0 + 0.0", "50.0 [28,\u00a072], 25.0 + 12.5")
    # of one robot's interval and the other's: (51 + 28) / 2 and (90 + 72) / 2
    assert rows["all robots, generalist"] == ("75.0 [51,\u00a090], 25.0 + 0.0", "62.5 [39,\u00a081], 25.0 + 6.2")
    some = [cell for cell in summary["cells"] if (cell["embodiment"], cell["agent"]) != ("go2", "specialist")]
    heads = [row[0] for row in tables.scene_table({**summary, "cells": some}, route="straight", agents=AGENTS).rows]
    assert "all robots, generalist" in heads and "all robots, specialist" not in heads
    for cell in summary["cells"]:
        cell["unseen"] = cell["embodiment"] == "go2"
    (last,) = tables.scene_table(summary, route="straight", agents=("generalist",)).rows[-1:]
    assert last[0] == "all robots, generalist" and last[2] == "75.0 [51,\u00a090], 25.0 + 0.0"  # tiago alone
    assert tables.scene_table(summary, route="planned", agents=("generalist",)).rows == ()


def test_what_distillation_costs_scene_by_scene(summary: tables.Summary) -> None:
    for row in summary["comparisons"]:
        if (row["embodiment"], row["scene"], row["metric"]) == ("tiago", "office", "success"):
            row |= {"difference": -0.031, "ci95": [-0.08, 0.02]}
    table = tables.scene_difference_table(summary, route="straight")
    assert [row[0] for row in table.rows] == ["tiago", "go2"]
    assert table.rows[0][1] == "−3.1 [−8.0,\u00a0+2.0]" and table.rows[1][2].startswith("+0.0")


def test_promises_are_judged(summary: tables.Summary) -> None:
    # Equal over so few goals is not certain.
    assert [promise.verdict for promise in acceptance_criteria(summary)] == ["open", "open", "kept"]
    for row in summary["comparisons"]:
        if (row["first"], row["second"]) == ("generalist", "specialist"):
            row["ci95"] = [-0.01, 0.01]
    verdicts = {promise.text.partition(":")[0]: promise.verdict for promise in acceptance_criteria(summary)}
    assert verdicts == {"Distillation": "kept", "Eyes": "kept"}
    worse = json.loads(json.dumps(summary))
    for row in worse["comparisons"]:
        if (row["first"], row["second"]) == ("generalist", "specialist"):
            row |= {"difference": -0.1, "ci95": [-0.15, -0.05]}
        if (row["first"], row["second"]) == ("generalist", "blind"):
            row |= {"difference": 0.08, "ci95": [0.02, 0.14]}
    assert [promise.verdict for promise in acceptance_criteria(worse)] == ["broken", "broken", "open"]
    distilled = [r for r in worse["comparisons"] if (r["first"], r["second"]) == ("generalist", "specialist")]
    first, second = [row for row in distilled if row["scene"] != ALL and row["metric"] == "success"][:2]
    first |= {"difference": -0.12, "ci95": [-0.25, 0.01]}  # worse, but open; the second is worse for certain
    second |= {"difference": -0.11, "ci95": [-0.13, -0.09]}
    cells = acceptance_criteria(worse)[1]
    assert cells.verdict == "broken" and "−11.0" in cells.measured


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
    table = tables.quality_table({"pooled": [cell]}, route="straight", agents=("zero",))
    assert table.rows[0][-4:] == ("–", "–", "–", "–")


def test_the_page_says_what_every_agent_is(summary: tables.Summary) -> None:
    shown = page.evaluation(summary)["agents"]
    assert set(shown) == {cell["agent"] for cell in summary["cells"]}


def test_the_page_opens_with_films_a_picture_and_one_small_table(tmp_path: Path, whole_run: dict[str, Path]) -> None:
    order = films.Order(
        policy=whole_run["export_policy"] / "generalist.onnx", robots=(), scene="office", route="planned", seed=0
    )
    names = ("tiago", "go2", "g1", "stretch3")
    for robot in names:
        film(tmp_path, robot, key=order.key(robot))
    page = write(tmp_path, whole_run, film_robots=names)
    opening, _, folded = page.partition("<details")
    assert opening.count("<video") == 3 and opening.count("<table") == 1 and opening.count("<img") == 1
    assert opening.index("<video") < opening.index("<img") < opening.index("<table")
    assert folded.count("<video") == 1 and "What learning added was not measured here" in opening


def compared(first: str, second: str, difference: float, ci95: list[float]) -> dict[str, Any]:
    where = {"embodiment": "tiago", "scene": ALL, "route": "straight", "metric": "success"}
    return where | {"first": first, "second": second, "difference": difference, "ci95": ci95}


def test_what_learning_added_is_drawn_with_its_interval(summary: tables.Summary) -> None:
    assert answers.what_learning_added(summary) is None  # neither base nor planner was driven
    gain = compared("generalist", "planner", 0.02, [-0.01, 0.05])
    pooled = gain | {"embodiment": ALL}
    figure = answers.what_learning_added({**summary, "comparisons": [gain, pooled]})
    assert figure is not None
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["all robots", "tiago"]
    (segments,) = axes.collections[0].get_segments()[:1]
    assert segments[:, 0].tolist() == pytest.approx([-1.0, 5.0])  # points
    assert axes.get_xlim()[0] == pytest.approx(-axes.get_xlim()[1])
    said = answers.sentences({**summary, "comparisons": [pooled]})
    assert (
        said[-1]
        == "Success of generalist − planner in points: +2.0 [−1.0,\u00a0+5.0] on the straight route: no clear gain."
    )
    clear = answers.sentences({**summary, "comparisons": [pooled | {"ci95": [0.01, 0.05]}]})
    assert "no clear gain" not in clear[-1]


def test_a_scene_may_be_called_anything(tmp_path: Path, evaluated: Path, summary: tables.Summary) -> None:
    name = r"$\frac{$<b>"
    text = json.dumps(summary).replace("office", name.replace("\\", "\\\\"))
    (evaluated / "summary.json").write_text(text)
    manifest.write(evaluated, manifest.read(evaluated).body)
    page = write(tmp_path, {"evaluate_policy": evaluated}, films=False)
    assert r"$\frac{$&lt;b&gt;" in page
    _, axes = figures.new_figure(width=1.0, height=1.0)
    axes.set_title(name)
    assert "frac" in figures.svg(axes.figure).decode()


def test_a_damaged_gait_card_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "embodiments" / "gaits", tmp_path / "gaits")
    assert {row[0] for row in page.gaits(tmp_path / "gaits").rows} >= {"go2", "g1"}
    card = tmp_path / "gaits" / "go2.json"
    card.write_text(card.read_text().replace('"rms_velocity_mps": 0.0', '"rms_velocity_mps": 0.1', 1))
    with pytest.raises(ValueError, match=r"go2\.json' is damaged"):
        page.gaits(tmp_path / "gaits")
