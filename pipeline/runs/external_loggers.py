"""Loggers beside TensorBoard for the scalars of a training: Weights & Biases and MLflow, if ``CROSSBODY_LOGGERS`` asks.

The variable holds their names, ``CROSSBODY_LOGGERS=wandb,mlflow``. It does not count in what a stage makes. Each logger
does as its own variables say (``WANDB_MODE=offline``, ``MLFLOW_TRACKING_URI`` ...).
"""

import importlib.util
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipeline.runs.discovery import unknown
from world_model import atomic_files

LOGGERS = "CROSSBODY_LOGGERS"
"""Environment variable: names of loggers, separated by commas."""
PROJECT = "crossbody"
"""Project in Weights & Biases, experiment in MLflow, if their own variables name no other."""
RUN_ID = "logged_as"
"""File in a work folder with the id of its training in loggers: a resumed training has it again, a new one does not."""
_TAG = "crossbody_id"
_FINISH_S = 30.0
"""So long a training that has ended waits for what was not uploaded; it stays on disk."""
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""A server that is gone holds a training up for half a minute, once; MLflow's own patience is a quarter of an hour."""
_PARAMETERS_AT_ONCE = 100
_PARAMETER_CHARACTERS = 500


class Logger(Protocol):
    """Takes the scalars of one training."""

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add figures of one step."""

    def close(self, *, finished: bool) -> None:
        """End; a training that is not finished may go on later."""


@dataclass(frozen=True, kw_only=True)
class RunIdentity:
    """What a training is called wherever its scalars go; picklable."""

    folder: Path
    """Of the run: runs/NAME"""
    stage: str
    robot: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its configuration, ready for JSON"""
    loggers: tuple[str, ...] = field(default_factory=lambda: asked())
    """Read where the training is described; a worker of a cluster does not see the variable"""

    @property
    def name(self) -> str:
        """RUN/STAGE or RUN/STAGE/ROBOT."""
        return "/".join(filter(None, (self.folder.absolute().name, self.stage, self.robot)))


def asked() -> tuple[str, ...]:
    """Return the loggers that the environment variable names.

    Raises:
        ValueError: If there is no such logger, or its package is missing.
    """
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in os.environ.get(LOGGERS, "").split(",")))))
    for name in names:
        if name not in _KINDS:
            raise ValueError(f"{LOGGERS}: {unknown('logger', name, tuple(_KINDS))} TensorBoard is always written.")
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # a folder that is called so is no package
            raise ValueError(f"{LOGGERS} names '{name}', which is not installed: pip install {_KINDS[name].package}")
    return names


def start(name: str, identity: RunIdentity, *, work: Path) -> Logger:
    """Return a logger that has begun a run, or goes on with the one of this work folder."""
    return _KINDS[name].make(identity, run_id(work, identity))


def run_id(work: Path, identity: RunIdentity) -> str:
    """Return the id of the training whose work folder this is; the first call makes one."""
    file = work / RUN_ID
    if not file.is_file():
        work.mkdir(parents=True, exist_ok=True)
        readable = re.sub(r"[^A-Za-z0-9_-]", "-", identity.name)[-48:]
        atomic_files.write_text(file, f"{readable}-{secrets.token_hex(4)}")
    return file.read_text(encoding="utf-8")


class _WeightsAndBiases:
    """One run in Weights & Biases, beside the run folder's stages unless ``WANDB_DIR`` says where."""

    def __init__(self, identity: RunIdentity, logged_as: str) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=logged_as,
            name=identity.name,
            group=identity.folder.absolute().name,
            job_type=identity.stage,
            config=dict(identity.settings),
            dir=os.environ.get("WANDB_DIR", str(identity.folder)),
            resume="allow",
            allow_val_change=True,
            reinit="create_new",
            settings=wandb.Settings(console="off", quiet=True, finish_timeout=_FINISH_S),
        )
        # A step of its own: a resumed training logs some steps again, which Weights & Biases' counter would refuse.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, figures: Mapping[str, float], step: int) -> None:
        self._run.log({**figures, "step": step})

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


class _Mlflow:
    """One run in MLflow: on the server or in the folder of ``MLFLOW_TRACKING_URI``, by default ``runs/mlruns``."""

    def __init__(self, identity: RunIdentity, logged_as: str) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # needs no database, and no server
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow
        from mlflow.entities import Metric, Param

        self._metric = Metric
        folder = identity.folder.absolute().parent / "mlruns"
        self._client = mlflow.MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", folder.as_uri()))
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
        there = self._client.search_runs([experiment], f"tags.{_TAG} = '{logged_as}'")
        if there:
            self._id = there[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {_TAG: logged_as, "stage": identity.stage, "robot": identity.robot or "all"}
        self._id = self._client.create_run(experiment, run_name=identity.name, tags=tags).info.run_id
        parameters = [Param(key, str(value)[:_PARAMETER_CHARACTERS]) for key, value in _flat(identity.settings)]
        for low in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self._client.log_batch(self._id, params=parameters[low : low + _PARAMETERS_AT_ONCE])

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except Exception:  # another robot's training may have been faster
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        now_ms = int(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[self._metric(*item, now_ms, step) for item in figures.items()])

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self._id, status="FINISHED" if finished else "KILLED")


@dataclass(frozen=True)
class _Kind:
    make: Callable[[RunIdentity, str], Logger]
    package: str
    """As in requirements-watching.txt"""


_KINDS: Mapping[str, _Kind] = {
    "mlflow": _Kind(_Mlflow, "mlflow-skinny==3.17.2"),
    "wandb": _Kind(_WeightsAndBiases, "wandb==0.31.0"),
}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of everything in nested settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
