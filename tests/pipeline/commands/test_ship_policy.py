"""Policies are shipped only as they were evaluated, with a card that holds the run's own figures."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.commands.implementation import ship_benchmark, ship_policy
from pipeline.evaluation.episodes.summary import EPISODE_COLUMNS, Provenance, summarise
from pipeline.runs import manifest


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run with one exported file and its evaluation."""
    exported, evaluated = tmp_path / "export_policy", tmp_path / "evaluate_policy"
    for folder in (exported, evaluated):
        folder.mkdir()
    (exported / "generalist.onnx").write_bytes(b"weights")
    manifest.write(exported, {"stage": "export_policy", "key": "", "seed": 3, "preset": "laptop"})
    sha256 = manifest.hash_file(exported / "generalist.onnx")
    for robot, kept in (("go2", 0.5), ("tiago", 0.0)):
        trained = tmp_path / "train_specialist" / robot
        trained.mkdir(parents=True)
        (trained / "actor.safetensors").write_bytes(b"weights")
        body = {"stage": "train_specialist", "robot": robot, "config": {"ppo": {"control_steps": 1_000_000}}}
        manifest.write(trained, body | {"key": "", "metrics": {"validation/scale": kept}, "wall_time_s": 90.0})
    write_evaluation(evaluated, sha256=sha256)
    return tmp_path


def write_evaluation(folder: Path, *, sha256: str, conditions: str = "nominal") -> None:
    success = np.arange(8) < 6
    columns = dict.fromkeys(EPISODE_COLUMNS, 1.0) | {"embodiment": "go2", "scene": "office", "agent": "generalist"}
    columns |= {"protocol": "compass", "conditions": conditions, "route": "straight"}
    columns |= {"episode": np.arange(8), "scene_seed": np.arange(8)}
    columns |= {"success": success, "success_settled": success, "collision": ~success, "fall": False, "timeout": False}
    provenance = Provenance(split="test", seed=0, training_seed=3, policy_sha256={("generalist", "go2"): sha256})
    (folder / "summary.json").write_text(json.dumps(summarise(pd.DataFrame(columns), provenance)))
    manifest.write(folder, {"stage": "evaluate_policy", "key": ""})


def test_the_card_holds_the_figures_and_the_file_is_the_evaluated_one(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pretrained"
    ship_policy.main(ship_policy.Config(run=run, out=out))
    assert (out / "generalist.onnx").read_bytes() == b"weights"
    text = (out / "README.md").read_text()
    for part in (
        "75.0 [41, 93]",
        "training seed 3",
        manifest.hash_file(out / "generalist.onnx"),
        "train_specialist 3.",
        "`CPUExecutionProvider` (opset 18, IR version 8)",
        "--policy FOLDER/generalist.onnx --agents generalist --embodiments go2 --episodes 8 --seed 0",
    ):
        assert part in text
    assert "(the preset's: 350,000)" in text and "go2 1,000,000 (0.5), tiago 1,000,000 (0)." in text
    assert "How fast they learn" not in text and not list(out.glob("*.svg"))
    assert not list(out.glob(".*"))


def test_what_an_earlier_run_had_shipped_goes_when_the_new_files_are_there(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "pretrained"
    stays = ("benchmark_seed_3.md", "benchmark_seed_3/episodes.parquet", "seed_1/base.onnx", "seed_1/curve_go2.json")
    old = ("base.onnx", "specialist_go2.onnx", "curve_go2.json", "generalist.onnx")
    for name in (*stays, *old):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"old")
    with monkeypatch.context() as patched:
        patched.setattr(ship_policy, "card", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            ship_policy.main(ship_policy.Config(run=run, out=out))
    assert all((out / name).exists() for name in (*stays, *old))
    ship_policy.main(ship_policy.Config(run=run, out=out))
    assert [name for name in old if (out / name).exists()] == ["generalist.onnx"]
    assert (out / "generalist.onnx").read_bytes() == b"weights"
    assert all((out / name).read_bytes() == b"old" for name in stays)


def test_curves_are_shipped_with_their_specialist_and_a_stranger_beside_it_is_not_believed(
    run: Path, tmp_path: Path
) -> None:
    out, exported = tmp_path / "pretrained", run / "export_policy"
    (exported / "generalist.onnx").rename(exported / "specialist_go2.onnx")
    (exported / manifest.NAME).unlink()
    manifest.write(exported, {"stage": "export_policy", "key": "", "seed": 3})
    learned = '[{"control_steps": 9000, "wall_s": 60.0, "episodes": 200, "success": 0.9}]'
    (run / "train_specialist" / "go2" / "curve.json").write_text(learned)
    ship_policy.main(ship_policy.Config(run=run, files=("specialist_go2.onnx",), out=out))
    assert (out / "curve_go2.json").read_text() == learned
    text = (out / "README.md").read_text()
    assert "| go2 | 9 k | 1 min | 90.0 | 90.0 | 9 k, 1 min |" in text
    for name in ("learning_control_steps.svg", "learning_wall_s.svg"):
        assert f"]({name})" in text and b"<svg" in (out / name).read_bytes()
    ship_benchmark.main(ship_benchmark.Config(evaluation=run / "evaluate_policy", run=run, out=out))
    text = (out / "benchmark_seed_3.md").read_text()
    assert "The files are those of this folder" in text and "Not shipped" not in text
    (out / "specialist_go2.onnx").rename(out / "stranger.onnx")
    (out / "specialist_go2.onnx").write_bytes(b"others")
    with pytest.raises(ValueError, match="other files were evaluated"):
        ship_benchmark.main(ship_benchmark.Config(evaluation=run / "evaluate_policy", out=out))


def test_a_new_evaluation_of_the_shipped_files_gives_a_new_card(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pretrained"
    again = ship_policy.Config(evaluation=run / "evaluate_policy", out=out)
    with pytest.raises(ValueError, match="ship a run's files first"):
        ship_policy.main(again)
    ship_policy.main(ship_policy.Config(run=run, out=out))
    before = (out / "README.md").read_text()
    (out / "README.md").unlink()
    ship_policy.main(again)
    assert (out / "README.md").read_text() == before
    (out / "generalist.onnx").write_bytes(b"others")
    with pytest.raises(ValueError, match="other files were evaluated"):
        ship_policy.main(again)


def test_a_benchmark_of_the_shipped_files_has_a_page_that_the_card_names(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pretrained"
    benchmark = ship_benchmark.Config(evaluation=run / "evaluate_policy", out=out)
    ship_policy.main(ship_policy.Config(run=run, out=out))
    assert "scene by scene" not in (out / "README.md").read_text()
    ship_benchmark.main(benchmark)
    text = (out / "benchmark_seed_3.md").read_text()
    for part in ("# 8 goals per cell, training seed 3", "[card](README.md)", "75.0 [41, 93], 25.0 + 0.0"):
        assert part in text
    assert f"| `generalist.onnx` | `{manifest.hash_file(out / 'generalist.onnx')}` |" in text
    manifest.verify(out / "benchmark_seed_3", stage="evaluate_policy")
    ship_benchmark.main(ship_benchmark.Config(evaluation=out / "benchmark_seed_3", out=out))  # again, from what it kept
    assert (out / "benchmark_seed_3.md").read_text() == text
    assert (out / "benchmark_seed_3" / "summary.json").is_file() and not list(out.glob(".*"))
    ship_policy.main(ship_policy.Config(run=run, out=out))
    assert "[`benchmark_seed_3.md`](benchmark_seed_3.md)" in (out / "README.md").read_text()
    ship_policy.main(ship_policy.Config(run=run, out=out / "seed_4"))  # another seed's policies, in their own folder
    (out / "benchmark_seed_3.md").rename(out / "seed_4" / "benchmark_seed_4.md")
    ship_policy.main(ship_policy.Config(run=run, out=out))
    for page in ("README.md", "benchmark_seed_4.md"):
        assert f"[`seed_4/{page}`](seed_4/{page})" in (out / "README.md").read_text()


def test_a_benchmark_in_field_has_a_page_of_its_own(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pretrained"
    ship_policy.main(ship_policy.Config(run=run, out=out))
    ship_benchmark.main(ship_benchmark.Config(evaluation=run / "evaluate_policy", out=out))
    (tmp_path / "field").mkdir()
    write_evaluation(tmp_path / "field", sha256=manifest.hash_file(out / "generalist.onnx"), conditions="field")
    ship_benchmark.main(ship_benchmark.Config(evaluation=tmp_path / "field", out=out))
    assert (out / "benchmark_seed_3.md").is_file()
    text = (out / "benchmark_field_seed_3.md").read_text()
    assert "# 8 goals per cell, conditions field, training seed 3" in text and "(benchmark_field_seed_3)" in text
    ship_policy.main(ship_policy.Config(run=run, out=out))
    assert "[`benchmark_field_seed_3.md`](benchmark_field_seed_3.md)" in (out / "README.md").read_text()


def test_agents_without_a_file_have_a_page_of_their_own(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pretrained"
    ship_policy.main(ship_policy.Config(run=run, out=out))
    (tmp_path / "bounds").mkdir()
    write_evaluation(tmp_path / "bounds", sha256="", conditions="field")
    ship_benchmark.main(ship_benchmark.Config(evaluation=tmp_path / "bounds", out=out))
    text = (out / "benchmark_field_reference.md").read_text()
    assert "# 8 goals per cell, conditions field, agents without a file" in text and "SHA-256" not in text
    assert not list(out.glob("benchmark*seed*"))


def test_a_benchmark_of_another_run_says_how_it_was_trained(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pretrained"
    out.mkdir()
    config = ship_benchmark.Config(evaluation=run / "evaluate_policy", run=run, out=out)
    ship_benchmark.main(config)
    assert "Not shipped. Trained by the stages of `make all PRESET=laptop`" in (out / "benchmark_seed_3.md").read_text()
    exported = run / "export_policy"
    (exported / "generalist.onnx").write_bytes(b"others")
    (exported / manifest.NAME).unlink()
    manifest.write(exported, {"stage": "export_policy", "key": "", "seed": 3})
    with pytest.raises(ValueError, match="other files were evaluated"):
        ship_benchmark.main(config)
    with pytest.raises(ValueError, match="make benchmark"):
        ship_benchmark.main(ship_benchmark.Config(evaluation=tmp_path / "none", run=run, out=out))


def test_a_file_that_was_not_evaluated_is_not_shipped(run: Path, tmp_path: Path) -> None:
    exported = run / "export_policy"
    (exported / "generalist.onnx").write_bytes(b"others")
    (exported / manifest.NAME).unlink()
    manifest.write(exported, {"stage": "export_policy", "key": ""})
    with pytest.raises(ValueError, match="not what was evaluated"):
        ship_policy.main(ship_policy.Config(run=run, out=tmp_path / "pretrained"))
    with pytest.raises(ValueError, match=r"no file 'base\.onnx'.*generalist\.onnx"):
        ship_policy.main(ship_policy.Config(run=run, files=("base.onnx",), out=tmp_path / "pretrained"))


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make evaluate"):
        ship_policy.main(ship_policy.Config(run=tmp_path, out=tmp_path / "pretrained"))
