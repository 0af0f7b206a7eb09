"""Fit the generalist round by round: recordings first, then what it drives itself, labelled by the specialists."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from distill.fitting import Transitions, distance, fit, load_rows
from distill.generalist import Generalist, GeneralistConfig
from distill.recordings import read_shard, shard_paths, write_shard
from embodiments import registry
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.processes import cores, spawned, threads
from pipeline.runs.progress import Progress, progress
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation import training_environment
from pipeline.simulation.navigation.base_policy_environment import load_base
from pipeline.simulation.navigation.latent_step import LatentStep
from pipeline.simulation.navigation.recording import Noise, outcome_rates, record
from pipeline.stages.distill_generalist import Config
from scenes.storage import load_scenes
from world_model import atomic_files
from world_model.checkpoint import load_module, save_module
from world_model.residual_head import ResidualHead

LOG_UPDATES = 20
"""Updates between logged figures"""


@dataclass(frozen=True, kw_only=True)
class RolloutJob:
    """One robot's part of a DAgger round; picklable."""

    robot: str
    round: int
    config: Config
    scenes: Path
    base: Path
    specialist: Path
    student: Path
    output: Path
    threads: int


def run(config: Config, run: StageRun) -> None:
    """Write ``generalist`` (safetensors and JSON) and ``rounds.json``."""
    robots = config.embodiments or run.robots("record_specialist")
    history: list[dict[str, Any]] = []
    updates = config.offline_updates + config.rounds * config.round_updates
    finished = [number for number in range(config.rounds + 1) if _figures(run, number).is_file()]
    done = sum(_updates(config, number) for number in finished)
    board = MetricsLogger(run.work, run.identity, step=done + 1)
    with board, progress(updates, "distil") as bar:
        bar.advance(done)
        for number in range(config.rounds + 1):
            if number not in finished:
                if number:
                    _collect(config, run, robots, number)
                _fit_round(config, run, robots, number, board=board, bar=bar)
            history.append(json.loads(_figures(run, number).read_text(encoding="utf-8")))
    student = load_module(Generalist, run.work / f"round_{config.rounds}", "generalist")
    notes = {"robots": list(robots), **history[-1]}
    save_module(student, run.directory, "generalist", notes=notes)
    atomic_files.write_bytes(run.directory / "rounds.json", json.dumps(history, indent=2).encode())
    run.metrics.update(notes)


def _figures(run: StageRun, number: int) -> Path:
    """Return where the figures of a round are; it exists only when the round is finished."""
    return run.work / f"round_{number}" / "figures.json"


def _updates(config: Config, number: int) -> int:
    """Return how many updates a round has."""
    return config.round_updates if number else config.offline_updates


def _fit_round(
    config: Config, run: StageRun, robots: Sequence[str], number: int, *, board: MetricsLogger, bar: Progress
) -> None:
    """Train on all that is recorded so far, from the last round's weights; the figures, written last, end the round."""
    folder = run.work / f"round_{number}"
    train, val = ({robot: _rows(config, run, robot, part, number) for robot in robots} for part in ("train", "val"))
    student = _student(config, run, number, feature_size=train[robots[0]].features.shape[1]).to(config.device)
    log = _FitLog(config, number, board=board, bar=bar)
    fit(student, train, config.fit, updates=log.updates, seed=config.seed + number, report=log)
    judged = {robot: distance(student, rows) for robot, rows in val.items()}
    for robot, values in judged.items():
        board.log({f"val/{name}/{robot}": value for name, value in values.items()}, log.last)
    figures = {
        "round": number,
        "rows": {robot: len(rows) for robot, rows in train.items()},
        "val": judged,
        "student": {robot: outcome_rates(_outcome(run, robot, number)) for robot in robots if number},
    }
    save_module(student, folder, "generalist", notes=figures)
    atomic_files.write_bytes(_figures(run, number), json.dumps(figures).encode())


class _FitLog:
    """Shows and logs one round's fit; a step is an update, counted over all rounds."""

    def __init__(self, config: Config, number: int, *, board: MetricsLogger, bar: Progress) -> None:
        self.updates, self._round, self._board, self._bar = _updates(config, number), number, board, bar
        self._before = sum(_updates(config, earlier) for earlier in range(number))
        self._logged, self._logged_s = 0, time.monotonic()

    @property
    def last(self) -> int:
        """Step of the round's last update."""
        return self._before + self.updates

    def __call__(self, update: int, loss: float, learning_rate: float) -> None:
        """Take note of an update of the round."""
        self._bar.advance(1, loss=loss)
        done, now_s = update + 1, time.monotonic()
        if done % LOG_UPDATES and done != self.updates:
            return
        rate = (done - self._logged) / max(now_s - self._logged_s, 1e-9)
        figures = {"loss": loss, "learning_rate": learning_rate, "updates_per_s": rate, "round": self._round}
        self._board.log(figures, self._before + done)
        self._logged, self._logged_s = done, now_s


def _student(config: Config, run: StageRun, number: int, *, feature_size: int) -> Generalist:
    if number:
        return load_module(Generalist, run.work / f"round_{number - 1}", "generalist")
    torch.manual_seed(config.seed)
    robots = config.embodiments or run.robots("record_specialist")
    bodies = tuple(tuple(registry.get(robot).descriptor().tolist()) for robot in robots) if config.one_hot else ()
    return Generalist(GeneralistConfig(feature_size=feature_size, hidden=config.hidden, one_hot=bodies))


def _rows(config: Config, run: StageRun, robot: str, part: str, number: int) -> Transitions:
    recorded = [p for p in shard_paths(run.input("record_specialist", robot)) if p.name.startswith(f"{part}_")]
    jobs = [_job_file(run, robot, done) for done in range(1, number + 1)] if part == "train" else []
    return load_rows([*recorded, *jobs], drop_failures=config.drop_failures)


def _job_file(run: StageRun, robot: str, number: int) -> Path:
    return run.work / f"round_{number}" / f"{robot}.h5"


def _outcome(run: StageRun, robot: str, number: int) -> Any:
    return read_shard(_job_file(run, robot, number), kind="specialist", fields=("outcome",)).arrays["outcome"]


def _collect(config: Config, run: StageRun, robots: Sequence[str], number: int) -> None:
    """Let every robot run the last round's student, one process per robot, as many at once as there are cores."""
    workers = min(config.workers or cores(), len(robots))
    jobs = [
        RolloutJob(
            robot=robot,
            round=number,
            config=config,
            scenes=run.input("make_scenes").absolute(),
            base=run.input("pretrain_world_model").absolute(),
            specialist=run.input("train_specialist", robot).absolute(),
            student=(run.work / f"round_{number - 1}").absolute(),
            output=_job_file(run, robot, number).absolute(),
            threads=threads(among=workers),
        )
        for robot in robots
        if not _job_file(run, robot, number).exists()
    ]
    if not jobs:
        return
    with spawned(workers) as pool:
        list(pool.map(go_out, jobs))


def go_out(job: RolloutJob) -> None:
    """Run the student on one robot and write its rows, labelled by the specialist."""
    torch.set_num_threads(job.threads)
    config = job.config
    seed = config.seed + 100 * job.round
    environment = training_environment.build(
        config.environment,
        registry.get(job.robot),
        scenes=load_scenes(job.scenes / "scenes_train.npz"),
        base=load_base(job.base, device=config.device),
        num_envs=config.num_envs,
        seed=seed,
        device=config.device,
    )
    specialist = load_module(ResidualHead, job.specialist, "residual_head").to(config.device)
    student = load_module(Generalist, job.student, "generalist").to(config.device)
    noise = Noise(config.disturbance, num_envs=config.num_envs, seed=seed, device=config.device)

    def act(step: LatentStep) -> torch.Tensor:
        mean, _ = student(step.features, step.observation.descriptor)
        return mean.clamp(-1.0, 1.0) + noise.next()

    environment.reset()
    rows = record(environment, specialist, act, steps=config.round_steps)
    attributes = {"embodiment": job.robot, "round": job.round, "seed": seed}
    write_shard(job.output, rows, kind="specialist", attributes=attributes)
