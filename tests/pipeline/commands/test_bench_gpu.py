"""The bench for a GPU, tried on the CPU: what is measured, in which order, and what is written where a part fails."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.bench_gpu import Config
from pipeline.commands.implementation import bench_gpu
from pipeline.commands.implementation.bench_gpu import Part


def refuse() -> dict[str, Any]:
    """Fail as a GPU without memory does."""
    raise RuntimeError("out of memory")


def answer() -> dict[str, Any]:
    """Measure nothing."""
    return {"steps_hz": 1.0}


def part(name: str, measure: Any) -> Part:
    return Part(name=name, limit_s=120.0, measure=measure, arguments=())


def test_training_comes_before_the_large_batches() -> None:
    parts = bench_gpu.plan(Config(envs=(4096, 64, 256)))
    assert [part.name for part in parts] == [
        "environments 64",
        "training",
        "distillation",
        "environments 256",
        "environments 4096",
    ]
    assert parts[1].arguments[1] == 256


def test_a_part_that_fails_is_a_line_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_gpu, "plan", lambda _: [part("one", refuse), part("two", answer)])
    out = tmp_path / "folder" / "bench.json"
    bench_gpu.main(Config(device="cpu", out=out))
    written = json.loads(out.read_text())
    assert written["results"] == {"one": {"failed": "RuntimeError: out of memory"}, "two": {"steps_hz": 1.0}}
    assert written["config"]["device"] == "cpu" and written["machine"]["cpus"] >= 1
    assert "out of memory" in capsys.readouterr().out


def test_no_part_at_all_is_an_error_and_time_that_is_over_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_gpu, "plan", lambda _: [part("one", answer)])
    out = tmp_path / "bench.json"
    with pytest.raises(ValueError, match="no part was finished"):
        bench_gpu.main(Config(device="cpu", out=out, limit_s=0.5))
    assert json.loads(out.read_text())["results"] == {"one": {"failed": "not begun: 0 s were over"}}


@pytest.mark.slow
def test_a_step_and_its_parts_and_a_distillation_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training's part is ``throughput.training_hz``, which ``test_bench`` runs."""
    config = Config(
        device="cpu", envs=(4,), control_steps=1, scenes_per_kind=1, updates=2, limit_s=3600.0, out=tmp_path / "b.json"
    )
    parts = [each for each in bench_gpu.plan(config) if each.name != "training"]
    monkeypatch.setattr(bench_gpu, "plan", lambda _: [Part(**{**vars(each), "limit_s": 1800.0}) for each in parts])
    bench_gpu.main(config)
    results = json.loads(config.out.read_text())["results"]
    steps, distillation = results["environments 4"], results["distillation"]
    assert steps["num_envs"] == 4 and steps["steps_hz"] > 0.0
    assert sum(steps[name] for name in bench_gpu.PARTS_MS) == pytest.approx(steps["step_ms"], abs=0.01)
    assert min(steps[name] for name in ("physics_ms", "rays_ms", "network_ms")) > 0.0
    assert distillation["updates_hz"] > 0.0 and distillation["batch"] == 1024
