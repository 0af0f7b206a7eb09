"""Two runs side by side: the numbers by hand, paired only where the episodes are the same, clear words where not."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import __main__ as cli
from pipeline.evaluation.episodes import comparison, statistics
from pipeline.evaluation.episodes.summary import ALL, EPISODE_COLUMNS
from pipeline.runs import manifest

A = {"tiago": [1, 1, 0, 0], "go2": [1, 0, 0, 0]}
B = {"tiago": [1, 1, 1, 0], "go2": [1, 1, 0, 1]}


def write(
    folder: Path,
    success: dict[str, list[int]],
    *,
    seed: int = 0,
    scenes: tuple[str, ...] = ("office",),
    route: str = "straight",
    **facts,
) -> Path:
    """Publish an evaluation of one agent whose n-th episode, in scene n, ended as told."""
    tables = []
    for scene, (robot, ends) in itertools.product(scenes, success.items()):
        count = np.arange(len(ends))
        columns = dict.fromkeys(EPISODE_COLUMNS, 0.0) | {
            "embodiment": robot,
            "scene": scene,
            "agent": "generalist",
            "protocol": "compass",
            "route": route,
            "episode": count,
            "scene_seed": count,
            "success": np.asarray(ends, dtype=bool),
            "collision": ~np.asarray(ends, dtype=bool),
            "time_limit_s": 25.6,
            "initial_geodesic_m": 4.0 + count,
            "path_m": 2.0 * (4.0 + count),  # SPL of a success is one half
        }
        tables.append(pd.DataFrame(columns | facts))
    folder.mkdir(parents=True)
    pd.concat(tables).to_parquet(folder / "episodes.parquet", index=False)
    (folder / "summary.json").write_text(json.dumps({"cells": [{"split": "test", "seed": seed}]}))
    config = {"seed": seed, "scenes": list(scenes)}
    manifest.write(folder, {"stage": "evaluate_policy", "key": "k", "config": config, "seed": seed})
    return folder


def rows(first: Path, second: Path) -> dict[tuple[str, str], comparison.Difference]:
    found = comparison.differences(comparison.read(first), comparison.read(second))
    return {(row.embodiment, row.metric): row for row in found}


def test_paired_numbers_by_hand(tmp_path: Path) -> None:
    found = rows(write(tmp_path / "a", A), write(tmp_path / "b", B))
    tiago = found["tiago", "success"]
    assert (tiago.first, tiago.second, tiago.episodes, tiago.unpaired) == (0.5, 0.75, (4, 4), "")
    assert found["go2", "success"].difference == pytest.approx(0.5)
    assert found[ALL, "success"].difference == pytest.approx(6 / 8 - 3 / 8)
    assert found["tiago", "spl"].difference == pytest.approx(0.125)
    assert found["tiago", "collision"].difference == pytest.approx(-0.25)
    # Every scene's robots are drawn together: differences per scene are 0, 1/2, 1/2, 1/2 of two episodes.
    per_scene = np.repeat([0.0, 0.5, 0.5, 0.5], 2)
    scenes = np.repeat(["office/0", "office/1", "office/2", "office/3"], 2)
    expected = statistics.mean_interval(0.5 * per_scene, clusters=scenes)
    assert found[ALL, "spl"].ci95 == pytest.approx(expected)
    # Rates over so few episodes have Newcombe's interval, which is wider: 3 of 8 against 6 of 8, none lost.
    first, second = np.repeat([1.0, 0.0], [3, 5]), np.repeat([1.0, 0.0], [6, 2])
    assert found[ALL, "success"].ci95 == pytest.approx(statistics.paired_rate_difference(second, first))


def test_equal_means_of_other_episodes_are_not_equal_episode_by_episode(tmp_path: Path) -> None:
    one_map = {"scene_seed": 0}  # one scene: no interval
    first, again = (write(tmp_path / name, {"tiago": [1, 1, 0, 0]}, **one_map) for name in ("a", "same"))
    other = write(tmp_path / "b", {"tiago": [0, 0, 1, 1]}, **one_map)
    assert rows(first, other)["tiago", "success"].difference == 0.0
    assert not rows(first, other)["tiago", "success"].is_same
    assert rows(first, again)["tiago", "success"].is_same


def test_a_body_that_nothing_was_trained_on_stands_apart(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", A), write(tmp_path / "b", B)
    cells = [{"split": "test", "seed": 0, "embodiment": "go2", "unseen": True}]
    for name in ("c", "d"):
        more = write(tmp_path / name, (A if name == "c" else B) | {"g1": [1, 1, 1, 1]})
        body = json.loads((more / "manifest.json").read_text())
        (more / "manifest.json").unlink()
        (more / "summary.json").write_text(json.dumps({"cells": cells}))
        manifest.write(more, {key: body[key] for key in ("stage", "key", "config", "seed")})
    assert rows(first, second)[ALL, "success"].episodes == (8, 8)
    found = rows(tmp_path / "c", tmp_path / "d")
    assert found[ALL, "success"].episodes == (8, 8) and found[ALL, "success"].difference == pytest.approx(0.125)
    assert found["go2", "success"].difference == pytest.approx(0.5)


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", A), write(tmp_path / "b", B)
    table = pd.read_parquet(second / "episodes.parquet").sample(frac=1.0, random_state=1)
    body = json.loads((second / "manifest.json").read_text())
    table.to_parquet(second / "episodes.parquet", index=False)
    (second / "manifest.json").unlink()
    manifest.write(second, {name: body[name] for name in ("stage", "key", "config", "seed")})
    shuffled = rows(first, second)
    assert shuffled["tiago", "success"].difference == pytest.approx(0.25)
    assert shuffled["tiago", "success"].unpaired == ""


def test_only_episodes_that_both_ran_count(tmp_path: Path) -> None:
    longer = {robot: [*ends, 0, 0, 0] for robot, ends in B.items()}
    found = rows(write(tmp_path / "a", A), write(tmp_path / "b", longer))
    assert found["tiago", "success"].episodes == (4, 4)
    assert found["tiago", "success"].second == 0.75


def test_another_seed_is_not_paired_and_said(tmp_path: Path) -> None:
    found = rows(write(tmp_path / "a", A), write(tmp_path / "b", B, seed=1))
    row = found["tiago", "success"]
    assert row.unpaired == "seed 0 and 1"
    newcombe = statistics.rate_difference(3, 2, totals=(4, 4))
    assert row.ci95 == (-0.5, 0.75) and newcombe == pytest.approx((-0.32, 0.66), abs=0.01)  # four scenes tell less
    assert found["tiago", "spl"].ci95 is not None


def test_episodes_that_start_elsewhere_are_not_paired(tmp_path: Path) -> None:
    found = rows(write(tmp_path / "a", A), write(tmp_path / "b", B, time_limit_s=85.3))
    assert "start or end elsewhere" in found["tiago", "success"].unpaired


def test_only_common_scenes_are_compared(tmp_path: Path) -> None:
    found = rows(write(tmp_path / "a", A), write(tmp_path / "b", B, seed=1, scenes=("office", "clutter")))
    assert found["tiago", "success"].episodes == (4, 4)


def test_nothing_in_common_says_what_either_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = write(tmp_path / "a", A), write(tmp_path / "b", B, scenes=("clutter",))
    assert cli.main(["compare", str(first), str(second), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "scene office" in error and "scene clutter" in error
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = write(tmp_path / "a", A)
    (tmp_path / "empty").mkdir()
    for words, message in (
        ([str(tmp_path / "no"), str(finished)], "does not exist"),
        ([str(tmp_path / "empty"), str(finished)], "no finished evaluation"),
        ([str(finished)], "RUN_B"),
    ):
        assert cli.main(["compare", *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and message in error


def test_a_damaged_evaluation_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", A)
    (folder / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no finished evaluation.*summary\.json"):
        comparison.read(folder)


def test_the_command_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(tmp_path / "<b>run</b>" / "evaluate_policy", A).parent
    second = write(tmp_path / "run_b" / "evaluate_policy", {"tiago": A["tiago"], "go2": B["go2"]}).parent
    assert cli.main(["compare", str(first), str(second), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "25.0" in said and "75.0" in said and "equal episode by episode" in said
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "<b>run" not in page and "&lt;b&gt;run" in page
    assert "+50.0 [" in page and "src=" not in page and "http" not in page
    document = json.loads((tmp_path / "out" / "compare.json").read_text())
    go2 = next(row for row in document["differences"] if (row["embodiment"], row["metric"]) == ("go2", "success"))
    assert go2["difference"] == pytest.approx(0.5) and go2["episodes"] == [4, 4]


def test_settings_that_differ_are_named(tmp_path: Path) -> None:
    first, second = (comparison.read(write(tmp_path / str(seed), A, seed=seed)) for seed in (0, 1))
    assert comparison.settings(first, first) == []
    assert ("evaluate_policy: seed", "0", "1") in comparison.settings(first, second)
