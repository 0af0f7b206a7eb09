"""Scalars of a training: TensorBoard always; Weights & Biases and MLflow by stand-ins that keep what they receive."""

import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pipeline.runs import external_loggers
from pipeline.runs.command_line import run_stage
from pipeline.runs.discovery import stage
from pipeline.runs.external_loggers import LOGGERS, RunIdentity, asked
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.provenance import ROOT
from pipeline.runs.run_folder import TENSORBOARD


def scalars(work: Path, name: str) -> list[tuple[int, float]]:
    """Return (step, value) of one scalar, as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(work / TENSORBOARD))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


class FakeWandb(ModuleType):
    """Stands for ``wandb``: keeps what was logged by id."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None, origin="stand-in")
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[str, dict[str, float]]] = []
        self.ended: list[int] = []
        self.error: Exception | None = None
        self.Settings = lambda **values: values

    def init(self, **named: Any) -> Any:
        """Begin a run."""
        self.begun.append(named)

        def log(figures: dict[str, float]) -> None:
            if self.error is not None:
                raise self.error
            self.logged.append((named["id"], figures))

        return SimpleNamespace(
            log=log, define_metric=lambda *_, **__: None, finish=lambda exit_code: self.ended.append(exit_code)
        )


class FakeMlflow(ModuleType):
    """Stands for ``mlflow`` with one server."""

    def __init__(self) -> None:
        super().__init__("mlflow")
        self.__spec__ = ModuleSpec("mlflow", None, origin="stand-in")
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: list[str] = []
        self.uris: list[str] = []
        entities = ModuleType("mlflow.entities")
        entities.Metric = lambda *values: values  # type: ignore[attr-defined]
        entities.Param = lambda *values: values  # type: ignore[attr-defined]
        self.entities, self.MlflowClient = entities, self.client

    def client(self, *, tracking_uri: str) -> Any:
        """Return itself."""
        self.uris.append(tracking_uri)
        return self

    def get_experiment_by_name(self, name: str) -> Any:
        """Return an experiment."""
        return SimpleNamespace(experiment_id=name) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        """Make one."""
        self.experiments.append(name)
        return name

    def search_runs(self, experiments: list[str], condition: str) -> list[Any]:
        """Return the runs with a tag."""
        key, _, value = condition.removeprefix("tags.").partition(" = ")
        found = [name for name, run in self.runs.items() if run["tags"][key] == value.strip("'")]
        return [SimpleNamespace(info=SimpleNamespace(run_id=name)) for name in found]

    def create_run(self, experiment: str, *, run_name: str, tags: dict[str, str]) -> Any:
        """Begin a run."""
        name = f"run{len(self.runs)}"
        self.runs[name] = {"name": run_name, "tags": tags, "metrics": [], "params": [], "status": "RUNNING"}
        return SimpleNamespace(info=SimpleNamespace(run_id=name))

    def log_batch(self, name: str, *, metrics: Any = (), params: Any = ()) -> None:
        """Keep them."""
        self.runs[name]["metrics"] += metrics
        self.runs[name]["params"] += params

    def update_run(self, name: str, *, status: str) -> None:
        """Set the status."""
        self.runs[name]["status"] = status

    set_terminated = update_run


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv(LOGGERS, "wandb")
    return fake


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> FakeMlflow:
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", fake.entities)
    monkeypatch.setenv(LOGGERS, "mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_ALLOW_FILE_STORE", *external_loggers._PATIENCE):  # set by the logger; undone afterwards
        monkeypatch.setenv(name, "1")
    return fake


def identity(folder: Path, robot: str | None = "go2") -> RunIdentity:
    settings = {"seed": 3, "ppo": {"horizon": 32}}
    return RunIdentity(folder=folder / "runs" / "mine", stage="train_specialist", robot=robot, settings=settings)


def test_tensorboard_alone_by_default_and_a_resumed_training_voids_what_it_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LOGGERS, raising=False)
    for first, value in ((0, 1.0), (3, 2.0)):
        with MetricsLogger(tmp_path, identity(tmp_path), step=first) as board:
            for step in range(first, 5):
                board.log({"loss": value}, step)
        time.sleep(1.1)  # files are read by name: second, process, and the writer's number, of which 10 comes before 9
    assert scalars(tmp_path, "loss") == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]
    assert not (tmp_path / external_loggers.RUN_ID).exists()


def test_weights_and_biases_gets_the_name_and_a_resumed_training_the_same_run(tmp_path: Path, wandb: FakeWandb) -> None:
    work = tmp_path / "work"
    board = MetricsLogger(work, identity(tmp_path), step=0)
    board.log({"loss": 1.0}, 7)
    board.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    with MetricsLogger(work, identity(tmp_path), step=7) as board:
        board.log({"loss": 0.5}, 8)
    first, second = wandb.begun
    assert first["name"] == "mine/train_specialist/go2" and first["group"] == "mine"
    assert (first["project"], first["config"]) == ("crossbody", {"seed": 3, "ppo": {"horizon": 32}})
    assert first["id"] == second["id"] and first["id"].startswith("mine-train_specialist-go2-")
    assert second["resume"] == "allow"
    assert wandb.logged == [(first["id"], {"loss": 1.0, "step": 7}), (first["id"], {"loss": 0.5, "step": 8})]
    assert wandb.ended == [1, 0]
    with MetricsLogger(tmp_path / "anew", identity(tmp_path), step=0):
        pass
    assert wandb.begun[-1]["id"] != first["id"]


def test_mlflow_finds_a_resumed_training_by_its_tag(tmp_path: Path, mlflow: FakeMlflow) -> None:
    for step in (1, 2):
        with MetricsLogger(tmp_path / "work", identity(tmp_path), step=step) as board:
            board.log({"loss": 0.25}, step)
    (run,) = mlflow.runs.values()
    assert run["name"] == "mine/train_specialist/go2" and run["status"] == "FINISHED"
    assert [(name, value, step) for name, value, _, step in run["metrics"]] == [("loss", 0.25, 1), ("loss", 0.25, 2)]
    assert run["params"] == [("seed", "3"), ("ppo.horizon", "32")]
    assert mlflow.experiments == ["crossbody"] and mlflow.uris[0] == (tmp_path / "runs" / "mlruns").as_uri()
    with MetricsLogger(tmp_path / "work_of_g1", identity(tmp_path, "g1"), step=0):
        pass
    assert len(mlflow.runs) == 2


def test_a_logger_that_fails_is_told_once_and_the_training_goes_on(
    tmp_path: Path, wandb: FakeWandb, capsys: pytest.CaptureFixture[str]
) -> None:
    with MetricsLogger(tmp_path, identity(tmp_path), step=0) as board:
        board.log({"loss": 1.0}, 0)
        wandb.error = ConnectionError("the server\nis gone")
        for step in range(1, 4):
            board.log({"loss": 1.0}, step)
    said = capsys.readouterr().out
    assert said == "wandb gets no figures from here on, TensorBoard has them all: the server is gone\n"
    assert len(wandb.logged) == 1 and [step for step, _ in scalars(tmp_path, "loss")] == [0, 1, 2, 3]


def test_one_that_cannot_begin_is_told_too(
    tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("no API key")

    monkeypatch.setattr(wandb, "init", refuse)
    with MetricsLogger(tmp_path, identity(tmp_path), step=0) as board:
        board.log({"loss": 1.0}, 0)
    assert "no API key" in capsys.readouterr().out and scalars(tmp_path, "loss")


@pytest.mark.parametrize(
    ("names", "message"),
    [("wandbb", "no logger 'wandbb'; did you mean 'wandb'?"), ("tensorboard", "TensorBoard is always written")],
)
def test_an_unknown_logger_is_refused_before_any_stage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: str, message: str
) -> None:
    monkeypatch.setenv(LOGGERS, names)
    with pytest.raises(ValueError, match="logger") as refused:
        run_stage(stage("make_scenes"), ["--run", str(tmp_path / "run")])
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_missing_package_is_told_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    none: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr(external_loggers.importlib.util, "find_spec", none)
    monkeypatch.setenv(LOGGERS, "mlflow, wandb")
    with pytest.raises(ValueError, match="not installed: pip install mlflow-skinny==") as refused:
        asked()
    monkeypatch.setenv(LOGGERS, "")
    assert asked() == ()
    pinned = (ROOT / "requirements-watching.txt").read_text(encoding="utf-8").splitlines()
    assert str(refused.value).rpartition(" ")[2] in pinned
    assert all(kind.package in pinned for kind in external_loggers._KINDS.values())
