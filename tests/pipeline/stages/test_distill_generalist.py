"""Recording and distillation: data read back, the fit, DAgger rounds, resume, the same weights from the same seed."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from distill.config import FitConfig
from distill.fitting import Transitions, distance, fit, leads_to_failure, load_rows
from distill.generalist import Generalist, GeneralistConfig
from distill.recordings import read_shard, shard_paths
from embodiments import registry
from embodiments.spaces import DESCRIPTOR_SIZE
from pipeline.runs import processes
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation import training_environment
from pipeline.stages.implementation import distill_generalist, record_specialist
from tests.pipeline.runs.test_metrics_logger import scalars
from tests.pipeline.simulation.navigation.navigation_dummy import plane, small_base
from tests.pipeline.simulation.navigation.test_base_policy_environment import specialist
from world_model.checkpoint import load_module, save_module

ROBOTS = ("tiago", "stretch3")


class FolderRun:
    """What the stages need of a ``StageRun``."""

    def __init__(self, root: Path, stage: str, robot: str = "") -> None:
        self.root, self.metrics = root, dict[str, Any]()
        self.directory, self.work = root / "new" / stage / robot, root / "work" / stage / robot
        self.directory.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(parents=True, exist_ok=True)
        self.robot, self.name, self.target, self.body = robot, stage, root / "new" / stage / robot, dict[str, Any]()

    def input(self, name: str, robot: str | None = None) -> Path:
        """Return where another stage's outputs lie."""
        per_robot = name in ("train_specialist", "record_specialist")
        return self.root / "new" / name / ((robot or self.robot) if per_robot else "")

    def robots(self, name: str) -> tuple[str, ...]:
        """Return the robots that have outputs of a stage."""
        return tuple(sorted(path.name for path in (self.root / "new" / name).iterdir()))

    hand_over = StageRun.hand_over
    identity = StageRun.identity


class InProcess:
    """Stands in for the pool of processes: its tasks run here."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: Any) -> None: ...

    def map(self, function: Callable[..., Any], *items: Iterable[Any]) -> list[Any]:
        """Run."""
        return list(map(function, *items))


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with specialists for two robots, and the plane in place of the simulator."""
    for robot in ROBOTS:
        save_module(specialist(plane().feature_size), tmp_path / "new" / "train_specialist" / robot, "residual_head")
    base = small_base()
    save_module(base.world_model, tmp_path / "new" / "pretrain_world_model", "world_model")
    save_module(base.head, tmp_path / "new" / "pretrain_world_model", "base_head")

    def build(_: Any, embodiment: Any, *, num_envs: int, seed: int, **__: Any) -> Any:
        return plane(robot=embodiment.name, num_envs=num_envs, seed=seed)

    monkeypatch.setattr(training_environment, "build", build)
    for module in (record_specialist, distill_generalist):
        monkeypatch.setattr(module, "load_scenes", lambda path: [SimpleNamespace(name=f"x/{path.stem}/0")] * 3)
    monkeypatch.setattr(distill_generalist, "spawned", InProcess)
    return tmp_path


def record_all(root: Path) -> None:
    """Record both robots, small."""
    for robot in ROBOTS:
        config = record_specialist.Config(embodiment=robot, num_envs=8, shards=2, shard_steps=40)
        record_specialist.run(config, FolderRun(root, "record_specialist", robot))  # type: ignore[arg-type]


DISTIL = distill_generalist.Config(
    hidden=(32,),
    fit=FitConfig(batch=256, learning_rate=5e-3),
    offline_updates=150,
    rounds=2,
    round_updates=60,
    round_steps=30,
    num_envs=8,
)


def rows(robot: str, *, count: int = 600, seed: int = 0) -> Transitions:
    """Return made-up rows whose label follows from the features."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 10, generator=generator)
    mean = features[:, -3:] + 0.5 * torch.tanh(features[:, :3])
    descriptor = torch.from_numpy(registry.get(robot).descriptor()).repeat(count, 1)
    return Transitions(features=features, descriptor=descriptor, mean=mean, log_std=torch.full((count, 3), -1.5))


def test_episodes_that_lead_to_a_failure_are_found() -> None:
    outcome = np.asarray([[0, 0, 0], [2, 0, 1], [0, 0, 0], [1, 3, 0]], dtype=np.uint8)
    expected = [[True, True, False], [True, True, False], [False, True, False], [False, True, False]]
    assert leads_to_failure(outcome).tolist() == expected


@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_the_fit_comes_close_to_the_specialists(loss: str) -> None:
    torch.manual_seed(0)
    student = Generalist(GeneralistConfig(feature_size=10, hidden=(32, 32)))
    data = {robot: rows(robot) for robot in ROBOTS}
    before = {robot: distance(student, rows(robot, seed=1)) for robot in ROBOTS}
    config = FitConfig(loss=loss, batch=256, learning_rate=5e-3)  # type: ignore[arg-type]
    fit(student, data, config, updates=300, seed=0, report=lambda *_: None)
    for robot in ROBOTS:
        after = distance(student, rows(robot, seed=1))
        assert after["share_error"] < 0.35 * before[robot]["share_error"]
        if loss == "kl":
            assert after["kl"] < 0.2 * before[robot]["kl"]


class Once(Generalist):
    """A generalist whose answers are NaN in a single update."""

    calls = 0

    def forward(self, features: torch.Tensor, descriptor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Count."""
        self.calls += self.training
        mean, log_std = super().forward(features, descriptor)
        return mean * (float("nan") if self.training and self.calls == 120 else 1.0), log_std


def test_a_broken_update_goes_back_to_the_last_good_weights(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    student = Once(GeneralistConfig(feature_size=10, hidden=(32, 32)))
    data = {robot: rows(robot) for robot in ROBOTS}
    losses: list[float] = []
    fit(
        student,
        data,
        FitConfig(batch=256, learning_rate=5e-3),
        updates=300,
        seed=0,
        report=lambda _, x, __: losses.append(x),
    )
    assert [number for number, loss in enumerate(losses) if not np.isfinite(loss)] == [119]
    assert losses[120] == pytest.approx(losses[0], rel=0.2) and losses[-1] < 0.2 * losses[0]
    assert capsys.readouterr().out == "update 119: the loss is not finite; back to the last good weights (1)\n"


def test_recordings_with_nan_end_the_fit_and_are_named() -> None:
    student = Generalist(GeneralistConfig(feature_size=10, hidden=(8,)))
    data = {robot: rows(robot) for robot in ROBOTS}
    data[ROBOTS[1]].mean[:] = torch.nan
    before = {name: value.clone() for name, value in student.state_dict().items()}
    with pytest.raises(ValueError, match=f"in 3 updates, the last one 2: the recordings of {ROBOTS[1]} hold NaN"):
        fit(student, data, FitConfig(batch=64), updates=100, seed=0, report=lambda *_: None)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_only_active_dimensions_count() -> None:
    student = Generalist(GeneralistConfig(feature_size=10, hidden=(8,)))
    here = rows("tiago")  # a differential drive has no lateral speed
    there = dataclasses.replace(here, mean=here.mean + torch.tensor([0.0, 0.7, 0.0]))
    assert distance(student, here) == distance(student, there)
    with torch.no_grad():
        same, _ = student(here.features, here.descriptor)
    exact = dataclasses.replace(here, mean=same + torch.tensor([0.1, 9.0, 0.1]), log_std=torch.full((600, 3), -1.2))
    found = distance(student, exact)
    expected = 2 * 0.5 * 0.1**2 * np.exp(2.4)  # two active dimensions, equal deviations: shift² / (2 σ²)
    assert found["kl"] == pytest.approx(expected, rel=1e-3)


def test_recordings_keep_failures_and_hold_out_environments(line: Path) -> None:
    record_all(line)
    folder = line / "new" / "record_specialist" / "tiago"
    assert [p.name for p in shard_paths(folder)] == [f"{part}_{n:03d}.h5" for part in ("train", "val") for n in (0, 1)]
    shards = {p.name: read_shard(p, kind="specialist").arrays for p in shard_paths(folder)}
    assert shards["train_000.h5"]["features"].shape[:2] == (40, 7)
    assert shards["val_000.h5"]["features"].shape[:2] == (40, 1)
    kept = len(load_rows(shard_paths(folder)))
    assert kept == 2 * 40 * 8 - sum((s["outcome"] != 0).sum() for s in shards.values())
    assert shards["train_000.h5"]["embodiment"].shape[-1] == DESCRIPTOR_SIZE


def test_an_interrupted_recording_keeps_its_whole_shards(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FolderRun(line, "record_specialist", "tiago")
    config = record_specialist.Config(embodiment="tiago", num_envs=8, shards=2, shard_steps=40)
    write, written = record_specialist.write_shard, list[Path]()

    def fail_at_third(path: Path, *arguments: Any, **named: Any) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *arguments, **named)

    monkeypatch.setattr(record_specialist, "write_shard", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        record_specialist.run(config, run)  # type: ignore[arg-type]
    first = {path.name: path.read_bytes() for path in written}
    monkeypatch.setattr(record_specialist, "write_shard", write)
    record_specialist.run(config, run)  # type: ignore[arg-type]
    assert len(shard_paths(run.directory)) == 4
    assert all((run.directory / name).read_bytes() == content for name, content in first.items())
    before, after = (
        read_shard(run.directory / f"train_{n:03d}.h5", kind="specialist", fields=("goal_b",)) for n in (0, 1)
    )
    assert not np.array_equal(before.arrays["goal_b"], after.arrays["goal_b"])  # other episodes, not the same again


def test_distillation_comes_close_and_dagger_adds_the_students_own_way(line: Path) -> None:
    record_all(line)
    run = FolderRun(line, "distill_generalist")
    distill_generalist.run(DISTIL, run)  # type: ignore[arg-type]
    history = json.loads((run.directory / "rounds.json").read_text())
    assert [entry["round"] for entry in history] == [0, 1, 2]
    for robot in ROBOTS:
        counts = [entry["rows"][robot] for entry in history]
        assert counts[0] < counts[1] < counts[2] <= counts[0] + 2 * 30 * 8
        assert history[-1]["student"][robot]["episodes"] > 0
        assert run.metrics["val"][robot]["share_error"] < 0.15
    student = load_module(Generalist, run.directory, "generalist")
    assert student.config.feature_size == plane().feature_size


@pytest.mark.parametrize(("left", "workers", "expected"), [("1", 1, 1), ("4", 2, 2), ("", 1, 4)])
def test_a_round_keeps_to_the_threads_that_it_was_left(
    line: Path, monkeypatch: pytest.MonkeyPatch, left: str, workers: int, expected: int
) -> None:
    """Several distillations side by side: two threads each on one core wait for each other."""
    record_all(line)
    used: list[int] = []
    monkeypatch.setenv("OMP_NUM_THREADS", left)
    monkeypatch.setattr(processes, "cores", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    config = dataclasses.replace(DISTIL, rounds=1, offline_updates=1, round_updates=1, workers=workers)
    distill_generalist.run(config, FolderRun(line, "distill_generalist"))  # type: ignore[arg-type]
    assert used == [expected] * len(ROBOTS)


def test_a_killed_distillation_resumes_to_the_same_weights(line: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_all(line)
    whole = FolderRun(line, "distill_generalist")
    distill_generalist.run(DISTIL, whole)  # type: ignore[arg-type]
    expected = (whole.directory / "generalist.safetensors").read_bytes()
    cut = FolderRun(line, "cut")
    save = distill_generalist.save_module

    def die_in_round_1(module: Any, directory: Path, name: str, **named: Any) -> None:
        if directory.name == "round_1":
            raise KeyboardInterrupt
        save(module, directory, name, **named)

    monkeypatch.setattr(distill_generalist, "save_module", die_in_round_1)
    with pytest.raises(KeyboardInterrupt):
        distill_generalist.run(DISTIL, cut)  # type: ignore[arg-type]
    monkeypatch.setattr(distill_generalist, "save_module", save)
    distill_generalist.run(DISTIL, cut)  # type: ignore[arg-type]
    assert (cut.directory / "generalist.safetensors").read_bytes() == expected


def test_a_distillation_is_logged_over_all_rounds(line: Path) -> None:
    record_all(line)
    run = FolderRun(line, "distill_generalist")
    config = dataclasses.replace(DISTIL, offline_updates=50, rounds=1, round_updates=25)
    distill_generalist.run(config, run)  # type: ignore[arg-type]
    steps = [20, 40, 50, 70, 75]
    for name in ("loss", "learning_rate", "updates_per_s", "round"):
        assert [step for step, _ in scalars(run.work, name)] == steps
    assert [value for _, value in scalars(run.work, "round")] == [0, 0, 0, 1, 1]
    rates = [value for _, value in scalars(run.work, "learning_rate")]
    assert max(rates) <= DISTIL.fit.learning_rate and rates[2] < 0.1 * rates[0] and rates[4] < rates[3]
    assert all(value > 0.0 for _, value in scalars(run.work, "updates_per_s"))
    assert [step for step, _ in scalars(run.work, f"val/kl/{ROBOTS[0]}")] == [50, 75]
    (run.work / "round_1" / "figures.json").unlink()  # killed in the last round, which is done again
    distill_generalist.run(config, run)  # type: ignore[arg-type]
    assert [step for step, _ in scalars(run.work, "loss")] == steps
