"""Measure gaits under randomised dynamics and pushes, and on other physics: tracking, falls and stopping.

``python -m pipeline evaluate_gait --embodiments go2,g1,anymal_c --out DIR`` writes ``gait.json`` and ``gait.png``.
Every robot under every physics is one process and one file in ``DIR/parts``. A rerun measures only what is missing.
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
from pipeline.runs import manifest, processes
from pipeline.runs.progress import progress
from pipeline.runs.stage import Command
from world_model import atomic_files

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
"""A gait that exploits the simulator's artefacts is worse under the other physics."""


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
    """Trials of tracking and of stopping per environment"""
    minutes: float = 600.0
    """Simulated time of the fall trial: no fall in 600 minutes bounds the rate at 0.15 per 30 minutes"""
    robust_minutes: float = 150.0
    """The same on other physics; 0 skips other physics"""
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
    weights = {name: _weights(config, name) for name in config.embodiments}
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


def _weights(config: Config, name: str) -> Path:
    """Return the file with the weights to measure."""
    drive = registry.get(name).drive
    if not isinstance(drive, GaitDrive):
        raise ValueError(f"robot '{name}' has no gait to measure: it has wheels")
    path = config.weights or registry.GAITS_FOLDER / drive.weights
    if not path.is_file():
        raise FileNotFoundError(f"no gait weights '{path}': python -m pipeline train_gait --embodiments {name}")
    return path


def measure(config: Config, name: str, weights: Path, physics: Physics, minutes: float) -> dict[str, Any]:
    """Run all trials of one robot under one physics in this process and return their figures."""
    import torch

    from pipeline.simulation.gait.trials import GaitTrials, drive_steps
    from pipeline.simulation.physics.dynamics import GaitRandomisation
    from pipeline.simulation.physics.gait_weights import load_gait
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
        return run_trials(trials, rounds=config.rounds, minutes=minutes)


def run_trials(trials: "GaitTrials", *, rounds: int, minutes: float) -> dict[str, Any]:
    """Run all trials of one batch and return their figures, as ``gait.json`` has them for a robot."""
    from pipeline.evaluation.report import gait_figures

    tracked = trials.track(rounds=rounds)
    stopped = trials.stop(rounds=rounds)
    pushed = trials.walk_pushed(minutes=minutes)
    return {
        **gait_figures.tracking(tracked.command.cpu().numpy(), tracked.velocity.cpu().numpy()),
        **gait_figures.falling(falls=pushed.falls, minutes=pushed.minutes, broken=pushed.broken),
        **gait_figures.stopping(
            stopped=stopped.stopped.cpu().numpy(),
            drift_m=stopped.drift_m.cpu().numpy(),
            quiet_share=stopped.quiet_fraction.cpu().numpy(),
        ),
    }


def _measure_all(config: Config, weights: Mapping[str, Path]) -> dict[tuple[str, str], dict[str, Any]]:
    """Measure what is not in ``out/parts`` yet, each part in a process of its own."""
    parts = _parts(config, weights)
    missing = [part for part in parts if _read_part(config, part) is None]
    if missing:
        workers = min(config.workers or processes.cores(), len(missing))
        with processes.spawned(workers) as pool:
            for job in [pool.submit(_measure_part, config, part) for part in missing]:
                job.result()
    read = {(part.robot, part.physics): _read_part(config, part) for part in parts}
    return {key: figures for key, figures in read.items() if figures is not None}


def _parts(config: Config, weights: Mapping[str, Path]) -> list[Part]:
    parts = []
    for physics in PHYSICS:
        minutes = config.minutes if physics == USUAL else config.robust_minutes
        if physics != USUAL and minutes <= 0.0:
            continue
        for name, path in weights.items():
            file = config.out / "parts" / f"{name}_{physics}.json"
            parts.append(Part(path=file, robot=name, weights=path, physics=physics, minutes=minutes))
    return parts


def _measure_part(config: Config, part: Part) -> None:
    figures = measure(config, part.robot, part.weights, PHYSICS[part.physics], part.minutes)
    _write_json(part.path, {"key": _key(config, part), "figures": figures, "sha256": manifest.hash_of(figures)})


def _key(config: Config, part: Part) -> str:
    """Return the hash of everything that a part's figures depend on."""
    trial = (config.num_envs, config.rounds, config.seed, part.minutes, PHYSICS[part.physics])
    return hashlib.sha256(part.weights.read_bytes() + repr((trial, registry.get(part.robot))).encode()).hexdigest()


def _read_part(config: Config, part: Part) -> dict[str, Any] | None:
    """Return a part's figures; None if they are missing, outdated or damaged."""
    try:
        content = json.loads(part.path.read_bytes())
        figures: dict[str, Any] = content["figures"]
        valid = content["key"] == _key(config, part) and content["sha256"] == manifest.hash_of(figures)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return figures if valid else None


def _combine(parts: Mapping[tuple[str, str], dict[str, Any]], name: str, weights: Path) -> dict[str, Any]:
    from pipeline.evaluation.report import gait_figures

    usual = parts[name, USUAL]
    others = {physics: parts[name, physics] for physics in PHYSICS if physics != USUAL and (name, physics) in parts}
    return {
        "weights_sha256": manifest.hash_file(weights),
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
    from pipeline.simulation.physics.gait_weights import read_card, write_card

    write_card(weights, {**read_card(weights), "measured": figures})


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


COMMAND = Command(config=Config, main=main)
