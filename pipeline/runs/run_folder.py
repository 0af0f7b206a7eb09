"""Run folders: every stage reads verified folders and publishes one, all or nothing.

``runs/NAME/STAGE/`` (per robot ``runs/NAME/STAGE/ROBOT/``) appears under its name only when it is complete: files are
written into a temporary sibling, made durable, listed in a manifest, and the sibling is renamed. A stage that was
killed leaves only ``runs/NAME/.work/STAGE/``, from which the same command resumes.
"""

import contextlib
import dataclasses
import difflib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.runs import discovery, lock, manifest, provenance, stage_inputs
from pipeline.runs.external_loggers import RunIdentity
from pipeline.runs.manifest import ManifestError
from pipeline.runs.stage import Stage
from world_model import atomic_files

TENSORBOARD = "tensorboard"
ADOPTED = "adopted"
"""The entry of a manifest that says which file a folder was made of, not by its stage (``pipeline/adopt.py``)."""
_MARKER = "resume.json"


class StageRun:
    """One stage's view of its run: what it reads, where it writes. Picklable, so that workers can have it.

    Attributes:
        name: The stage.
        robot: The robot, for a stage with one folder per robot.
        directory: Temporary folder to write the final outputs into; published when the stage is done.
        work: Folder that survives a kill: checkpoints to resume from, shards (see ``hand_over``), ``work/tensorboard``.
            Cleared when the stage is published or its configuration or inputs change; ``work/tensorboard`` is
            published with the outputs.
        metrics: Figures for the manifest.
    """

    def __init__(
        self,
        *,
        name: str,
        robot: str | None,
        target: Path,
        inputs: Mapping[str, Path],
        work_key: str,
        budget: float = 0.0,
    ) -> None:
        self.name = name
        self.robot = robot
        self.target = target
        self.directory = _sibling(target, "new")
        self.work = _work(target, robot)
        self.metrics: dict[str, Any] = {}
        self.body: dict[str, Any] = {}
        self._inputs = dict(inputs)
        self._work_key = work_key
        self._budget = budget
        self._notes: list[str] = []
        self._began_s: float | None = None
        self.published = self._is_open = False

    def input(self, name: str, robot: str | None = None) -> Path:
        """Return the published, verified folder of a stage that this one needs.

        Args:
            name: A stage named in ``NEEDS`` or ``READS_IF_THERE``.
            robot: Whose folder, for a stage with one folder per robot; this run's own robot by default.

        Raises:
            ValueError: If the stage has no finished folder in this run.
        """
        where = f"{name}/{robot or self.robot}" if discovery.stage(name).per_robot else name
        if where not in self._inputs:
            raise ValueError(
                f"stage '{self.name}' has no input '{where}'. It has: {', '.join(self._inputs) or 'none'}."
            )
        return self._inputs[where]

    @property
    def inputs(self) -> dict[str, Path]:
        """Every folder that this run reads: "STAGE" or "STAGE/ROBOT" -> published, verified folder."""
        return dict(self._inputs)

    def robots(self, name: str) -> tuple[str, ...]:
        """Return the robots that have a finished folder of a stage that this one needs, sorted."""
        return tuple(sorted(where.partition("/")[2] for where in self._inputs if where.startswith(f"{name}/")))

    @property
    def identity(self) -> RunIdentity:
        """What this training is called in loggers."""
        target = self.target.absolute()
        folder = target.parents[1] if self.robot else target.parent
        return RunIdentity(folder=folder, stage=self.name, robot=self.robot, settings=self.body.get("config", {}))

    def note(self, text: str) -> None:
        """Print one line and keep it in the manifest."""
        self._notes.append(text)
        print(f"{label(self.name, self.robot)}: {text}", flush=True)

    def hand_over(self, path: Path) -> None:
        """Put a finished file of ``work`` among the outputs; it stays in ``work`` too until they are published."""
        target = self.directory / path.name
        try:
            target.hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copyfile(path, target)

    def publish(self) -> None:
        """Make the outputs durable and visible.

        Called for a stage when its ``run`` returns; ``run_many`` may call it robot by robot, as each is done.
        """
        if self.published:
            return
        events = self.work / TENSORBOARD
        if events.is_dir():
            shutil.copytree(events, self.directory / TENSORBOARD, dirs_exist_ok=True)
        wall_time_s = round(self._elapsed_s(), 1)
        body = {**self.body, "metrics": self.metrics, "notes": self._notes, "wall_time_s": wall_time_s}
        manifest.write(self.directory, body)
        _swap(self.directory, self.target)
        self.published = True
        (self.work / _MARKER).unlink(missing_ok=True)  # first: an interruption must not leave half of it resumable
        shutil.rmtree(self.work, ignore_errors=True)
        print(f"{label(self.name, self.robot)}: done in {wall_time_s:,.0f} s → {self.target}", flush=True)

    def open(self) -> None:
        """Prepare the folders; keep ``work`` if its configuration and inputs were the same, its budget no larger."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        found = _read_marker(self.work)
        usable = found.get("key") == self._work_key and found.get("budget", 0.0) <= self._budget
        if self.work.exists() and not usable:
            if any(path.name != _MARKER for path in self.work.iterdir()):
                self.note("configuration or inputs changed since the interrupted run; starting afresh")
            (self.work / _MARKER).unlink(missing_ok=True)  # first: an interruption must not leave half of it resumable
            shutil.rmtree(self.work)
            found = {}
        self.work.mkdir(parents=True, exist_ok=True)
        if found:
            self.note("resuming the interrupted run")
        self._mark(found.get("elapsed_s", 0.0))
        self._is_open = True

    def begin(self) -> None:
        """Start the clock. A robot of ``run_many`` that waits for its turn takes no time until then."""
        self._began_s = time.monotonic()

    def close(self) -> None:
        """Leave an unfinished run: drop the half-written outputs, keep ``work`` and the time spent."""
        if self.published or not self._is_open:  # what is in ``work`` may be another configuration's
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.work.exists():
            self._mark(self._elapsed_s())

    def _elapsed_s(self) -> float:
        """Return the time spent, in earlier tries too."""
        now_s = time.monotonic()
        return float(_read_marker(self.work).get("elapsed_s", 0.0)) + now_s - (self._began_s or now_s)

    def _mark(self, elapsed_s: float) -> None:
        marked = {"key": self._work_key, "budget": self._budget, "elapsed_s": elapsed_s}
        atomic_files.write_text(self.work / _MARKER, json.dumps(marked))


def execute_many(
    name: str,
    configs: Sequence[Any],
    run_root: Path | str | None,
    *,
    preset: str | None = None,
    out: Path | None = None,
    workers: int = 0,
) -> list[str | None]:
    """Run one stage in this process, unless its folder is already there with the same configuration and inputs.

    Args:
        name: Stage.
        configs: Its ``Config``, one per robot.
        run_root: ``runs/NAME``; None to run outside of a run, without inputs of other stages.
        preset: Only recorded.
        out: Folder to publish into instead of ``run_root/STAGE``.
        workers: Robots at once; 0 = one per core.

    Returns:
        The robots for which it ran (None for a stage without robots).

    Raises:
        ValueError: If an input is missing or broken, another process holds the folder, or the disk is full.
    """
    stage = discovery.stage(name)
    root = Path(run_root) if run_root is not None else None
    if root is not None and not stage.needs and stage.reads_if_there and not root.is_dir():
        raise ValueError(nothing_finished(root))  # before a folder of that name is made
    targets = [out or _target(root, name, _robot(stage, config)) for config in configs]
    with atomic_files.naming(targets[0].parent), ExitStack() as stack:
        for target, config in zip(targets, configs, strict=True):
            _refuse_foreign(target, stage.name, out=out)
            stack.enter_context(lock.held(_lock_file(target, _robot(stage, config))))
        runs = []
        for target, config in zip(targets, configs, strict=True):
            run = _prepare(stage, config, root, target, preset=preset)
            if run is not None:
                stack.callback(run.close)
                runs.append((config, run))
        if runs:
            _run(stage, runs, workers=workers)
    return [run.robot for _, run in runs]


def nothing_finished(root: Path) -> str:
    """Return that a run has no finished stage, with the names of runs beside it that have one."""
    finished = {path.parents[1].name for path in root.parent.glob(f"[!.]*/[!.]*/{manifest.NAME}")}
    close = difflib.get_close_matches(root.name, finished, n=1)
    hint = f"; did you mean {root.parent / close[0]}?" if close else f". Runs there: {', '.join(finished) or 'none'}."
    return f"{root} has no finished stage to report{hint}"


def _run(stage: Stage[Any], runs: Sequence[tuple[Any, StageRun]], *, workers: int) -> None:
    if stage.run_many is not None and len(runs) > 1:
        for _, run in runs:
            run.open()
        stage.run_many([config for config, _ in runs], [run for _, run in runs], workers=workers)
        for _, run in runs:
            run.publish()
        return
    for config, run in runs:
        run.open()
        run.begin()
        stage.run(config, run)
        run.publish()


def _prepare(stage: Stage[Any], config: Any, root: Path | None, target: Path, *, preset: str | None) -> StageRun | None:
    """Hash what the stage will read and return its run; None if what it would make is there already."""
    robot = _robot(stage, config)
    _recover(target)
    folders = stage_inputs.published_folders(stage, root, config) if root is not None else {}
    inputs = stage_inputs.digests(stage, folders, config, root=root)
    settings = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    about = {"stage": stage.name, "inputs": inputs}
    counted = settings
    for where in stage.not_in_key:
        counted, _ = _without(counted, where)
    key = manifest.hash_of({**about, "config": counted})
    if _up_to_date(target, stage.name, robot, key):
        return None
    _check_disk(target, stage.needs_disk_gb)
    if stage.check is not None:
        stage.check(config)
    stage_inputs.verify(folders)
    rest, budget = _without(counted, stage.budget) if stage.budget else (counted, 0.0)
    work_key = manifest.hash_of({**about, "config": rest})
    run = StageRun(name=stage.name, robot=robot, target=target, inputs=folders, work_key=work_key, budget=float(budget))
    run.body = {
        "stage": stage.name,
        "robot": robot,
        "preset": preset,
        "key": key,
        "config": settings,
        "seed": getattr(config, "seed", None),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": inputs,
        **provenance.describe(),
    }
    return run


def _without(settings: Mapping[str, Any], where: str) -> tuple[dict[str, Any], Any]:
    """Return a configuration without the value at a dotted path, and that value."""
    name, _, below = where.partition(".")
    rest, found = _without(settings[name], below) if below else ({}, settings[name])
    return {**settings, name: rest}, found


def label(name: str, robot: str | None) -> str:
    """Return how a stage of one robot is called in messages."""
    return f"{name} {robot}" if robot else name


def _up_to_date(target: Path, name: str, robot: str | None, key: str) -> bool:
    if not target.exists():
        return False
    try:
        found = manifest.read(target, stage=name)
        adopted = found.body.get(ADOPTED)
        if found.key != key and adopted is None:
            return False
        manifest.verify(target, stage=name)
    except ManifestError as error:
        print(f"{label(name, robot)}: {error}; making it again", flush=True)
        return False
    told = f"adopted from {adopted['file']}, kept; delete it to train anew" if adopted else "up to date, skipped"
    print(f"{label(name, robot)}: {told} ({target})", flush=True)
    return True


def _refuse_foreign(target: Path, name: str, *, out: Path | None) -> None:
    """Never replace a folder that a person chose and that holds something else."""
    if out is None or not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / manifest.NAME).exists():
        raise ValueError(f"--out {target} exists and is not the output of a stage; choose a new folder or delete it.")
    with contextlib.suppress(ManifestError):
        made_by = manifest.read(target).stage
        if made_by != name:
            raise ValueError(f"--out {target} is the output of stage '{made_by}'; choose a new folder or delete it.")


def _check_disk(target: Path, needed_gb: float) -> None:
    existing = next(parent for parent in target.absolute().parents if parent.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb < needed_gb:
        raise ValueError(f"{existing} has {free_gb:.1f} GB free, this stage asks for {needed_gb:.1f} GB; make room.")


def _swap(new: Path, target: Path) -> None:
    """Put a durable folder in its place; the old one stays until the new one is there."""
    old = _sibling(target, "old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    atomic_files.sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(target: Path) -> None:
    """Finish or undo a swap that a kill cut in two."""
    new, old = _sibling(target, "new"), _sibling(target, "old")
    if not target.exists() and old.exists():
        try:
            manifest.verify(new)
            new.rename(target)
        except ManifestError:
            old.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _sibling(target: Path, suffix: str) -> Path:
    return target.parent / f".{target.name}.{suffix}"


def _robot(stage: Stage[Any], config: Any) -> str | None:
    return str(config.embodiment) if stage.per_robot else None


def _target(root: Path | None, name: str, robot: str | None) -> Path:
    if root is None:
        raise ValueError(f"say where stage '{name}' should write: --run runs/NAME.")
    return root / name / robot if robot else root / name


def _work(target: Path, robot: str | None) -> Path:
    base = target.parents[1] / ".work" / target.parent.name if robot else target.parent / ".work"
    return base / target.name


def _lock_file(target: Path, robot: str | None) -> Path:
    work = _work(target, robot)
    return work.with_name(f"{work.name}.lock")


def _read_marker(work: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((work / _MARKER).read_text())
        return found
    except (OSError, ValueError):
        return {}
