"""Measure gaits as they would meet the world: tracking, falls and stopping, randomised, pushed, and on other physics.

``python -m pipeline evaluate_gait --embodiments go2,g1,anymal_c --out DIR`` writes ``gait.json`` and ``gait.png``.
Every robot under every physics is one process and one file in ``DIR/parts``; what is there is not measured again.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embodiments import registry
from embodiments.embodiment import GaitDrive
from embodiments.spaces import PHYSICS_HZ
from pipeline.runs import atomic_files, processes
from pipeline.runs.progress import progress

if TYPE_CHECKING:
    from pipeline.simulation.gait.trials import GaitTrials


@dataclass(frozen=True, kw_only=True)
class Physics:
    """What the trials run on."""

    physics_hz: float = PHYSICS_HZ
    mass_factor: float = 1.0
    """On every link, besides the randomisation."""


USUAL = "usual"
PHYSICS = {
    USUAL: Physics(),
    "physics_400hz": Physics(physics_hz=400.0),
    "mass_plus_20pct": Physics(mass_factor=1.2),
    "mass_minus_20pct": Physics(mass_factor=0.8),
}
"""A gait that lives off the simulator's artefacts loses its figures on the others."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is measured."""

    embodiments: tuple[str, ...] = ("go2", "g1", "anymal_c")
    """Robots that walk"""
    out: Path = Path("runs/gait_evaluation")
    weights: Path | None = None
    """Other weights than the ones that ship, for one robot"""
    num_envs: int = 256
    rounds: int = 2
    """Trials per environment of tracking and of stopping"""
    minutes: float = 600.0
    """Simulated time of the trial of falling: no fall in 600 minutes bounds the rate at 0.15 per 30 minutes"""
    robust_minutes: float = 150.0
    """The same on other physics; 0 leaves other physics out"""
    workers: int = 0
    """Processes at once; 0 = one per core"""
    seed: int = 0
    update_card: bool = False
    """Write the figures into the JSON card beside the weights"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One robot under one physics, and the file with its figures."""

    path: Path
    robot: str
    weights: Path
    physics: str
    minutes: float


def main(config: Config) -> None:
    """Measure every robot, write ``gait.json`` and ``gait.png``, and print the figures.

    Raises:
        ValueError: If a robot does not exist or does not walk, or weights are named for several robots.
        FileNotFoundError: If there are no weights.
    """
    weights = {name: weights_of(config, name) for name in config.embodiments}
    if not weights:
        raise ValueError("evaluate_gait needs a robot: --embodiments go2")
    if config.weights is not None and len(weights) > 1:
        raise ValueError("--weights is one robot's gait; name one robot with --embodiments.")
    (config.out / "parts").mkdir(parents=True, exist_ok=True)
    parts = _measure_all(config, weights)
    robots = {name: _combine(parts, name, weights[name]) for name in weights}
    _write(config, robots)
    for name, figures in robots.items():
        _print(name, figures)
        if config.update_card:
            _update_card(weights[name], figures)


def weights_of(config: Config, name: str) -> Path:
    """Return the weights that are measured for a robot."""
    drive = registry.get(name).drive
    if not isinstance(drive, GaitDrive):
        raise ValueError(f"robot '{name}' has no gait to measure: its drive is not a gait")
    path = config.weights or registry.GAITS_FOLDER / drive.weights
    if not path.is_file():
        raise FileNotFoundError(f"no gait weights '{path}': python -m pipeline train_gait --embodiments {name}")
    return path


def measure(config: Config, name: str, weights: Path, physics: Physics, minutes: float) -> dict[str, Any]:
    """Run all trials of one robot under one physics in this process and return their figures."""
    import torch

    from pipeline.simulation.gait.trials import GaitTrials, drive_steps
    from pipeline.simulation.physics.dynamics import GaitRandomisation
    from pipeline.simulation.physics.gait_policy import load_gait
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    torch.set_num_threads(1)
    embodiment = registry.get(name)
    assert isinstance(embodiment.drive, GaitDrive)
    robots = RobotPhysics(
        embodiment, num_envs=config.num_envs, seed=config.seed, randomisable=True, **dataclasses.asdict(physics)
    )
    total = drive_steps(embodiment, num_envs=config.num_envs, rounds=config.rounds, minutes=minutes)
    with progress(total, f"evaluate_gait {name} {physics.physics_hz:.0f} Hz x{physics.mass_factor:g}") as bar:
        trials = GaitTrials(
            embodiment,
            robots,
            load_gait(embodiment.drive, weights),
            block=GaitRandomisation(),
            seed=config.seed,
            report=bar.advance,
        )
        return judge(trials, rounds=config.rounds, minutes=minutes)


def judge(trials: "GaitTrials", *, rounds: int, minutes: float) -> dict[str, Any]:
    """Run all trials of one batch and return their figures, as ``gait.json`` has them for a robot."""
    from pipeline.evaluation.report import gait_figures

    tracked, stopped, endured = trials.track(rounds=rounds), trials.stop(rounds=rounds), trials.endure(minutes=minutes)
    return {
        **gait_figures.tracking(tracked.command.cpu().numpy(), tracked.velocity.cpu().numpy()),
        **gait_figures.falling(falls=endured.falls, minutes=endured.minutes, broken=endured.broken),
        **gait_figures.stopping(
            stopped=stopped.stopped.cpu().numpy(),
            drift_m=stopped.drift_m.cpu().numpy(),
            quiet_share=stopped.quiet_share.cpu().numpy(),
        ),
    }


def _measure_all(config: Config, weights: Mapping[str, Path]) -> dict[tuple[str, str], dict[str, Any]]:
    """Measure what is not in ``out/parts`` yet, each part in a process of its own."""
    wanted = [
        Part(
            path=config.out / "parts" / f"{name}_{physics}.json",
            robot=name,
            weights=weights[name],
            physics=physics,
            minutes=config.minutes if physics == USUAL else config.robust_minutes,
        )
        for physics in PHYSICS
        for name in weights
        if physics == USUAL or config.robust_minutes > 0.0
    ]
    missing = [part for part in wanted if _read_part(config, part) is None]
    if missing:
        workers = min(config.workers or processes.cores(), len(missing))
        with processes.spawned(workers) as pool:
            for job in [pool.submit(_measure_part, config, part) for part in missing]:
                job.result()
    parts = {(part.robot, part.physics): _read_part(config, part) for part in wanted}
    return {key: figures for key, figures in parts.items() if figures is not None}


def _measure_part(config: Config, part: Part) -> None:
    figures = measure(config, part.robot, part.weights, PHYSICS[part.physics], part.minutes)
    _write_json(part.path, {"digest": _digest(config, part), "figures": figures})


def _digest(config: Config, part: Part) -> str:
    """Return what a part's figures depend on."""
    trial = (config.num_envs, config.rounds, config.seed, part.minutes, PHYSICS[part.physics])
    return hashlib.sha256(part.weights.read_bytes() + repr((trial, registry.get(part.robot))).encode()).hexdigest()


def _read_part(config: Config, part: Part) -> dict[str, Any] | None:
    if not part.path.is_file():
        return None
    content = json.loads(part.path.read_text())
    figures: dict[str, Any] = content["figures"]
    return figures if content["digest"] == _digest(config, part) else None


def _combine(parts: Mapping[tuple[str, str], dict[str, Any]], name: str, weights: Path) -> dict[str, Any]:
    from pipeline.evaluation.report import gait_figures

    usual = parts[name, USUAL]
    others = {physics: parts[name, physics] for physics in PHYSICS if physics != USUAL and (name, physics) in parts}
    return {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        **usual,
        "robust": gait_figures.robustness(usual, others),
    }


def _write(config: Config, robots: Mapping[str, Mapping[str, Any]]) -> None:
    from pipeline.evaluation.report import gait_figures

    settings = {"num_envs": config.num_envs, "rounds": config.rounds, "seed": config.seed}
    _write_json(config.out / "gait.json", {"robots": robots, "settings": settings})
    gait_figures.picture(robots).savefig(config.out / "gait.png", dpi=120)


def _write_json(path: Path, content: object) -> None:
    atomic_files.write_text(path, json.dumps(content, indent=2) + "\n")


def _update_card(weights: Path, figures: Mapping[str, Any]) -> None:
    card = weights.with_suffix(".json")
    content = json.loads(card.read_text()) if card.is_file() else {}
    _write_json(card, content | {"measured": figures})


def _print(name: str, figures: Mapping[str, Any]) -> None:
    print(
        f"{name}: rms {figures['rms_velocity_mps']:.3f} m/s, {figures['rms_yaw_radps']:.3f} rad/s; "
        f"{figures['falls']} falls in {figures['minutes']:.0f} min "
        f"(upper bound {figures['falls_per_30min_upper95']:.2f} per 30 min); stops {figures['stop_share']:.1%}, "
        f"drifts {figures['stop_drift_m'] or float('nan'):.3f} m"
    )
    for change, other in figures["robust"].items():
        lost = ", ".join(f"{key} {value:+.0%}" for key, value in other["lost_share"].items())
        print(f"  {change}: lost {lost}; {other['falls']} falls in {other['minutes']:.0f} min")
