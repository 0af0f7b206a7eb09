"""Measure shipped or freshly trained gaits: tracking over a grid of commands, stopping, falls."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embodiments import registry
from embodiments.embodiment import GaitDrive


@dataclass(frozen=True, kw_only=True)
class Config:
    """One robot at a time: a process holds one Genesis scene."""

    embodiment: str = "go2"
    weights: str = ""
    """Path of the weights; empty = the ones that ship with the robot."""
    num_envs: int = 84
    """Two robots per command of the grid."""
    seed: int = 0
    update_card: bool = False
    """Write the figures into the JSON card beside the weights."""


def main(config: Config) -> None:
    """Measure one gait with nominal dynamics and print its figures.

    Raises:
        ValueError: If the robot does not exist or does not walk.
        FileNotFoundError: If there are no weights.
    """
    measured = evaluate(config)
    for row in measured["by_command"]:
        print(f"  command {row['command']}  measured {row['measured']}")
    print(json.dumps({key: value for key, value in measured.items() if key != "by_command"}, indent=2))


def evaluate(config: Config) -> dict[str, Any]:
    """Return the figures of ``gait_measurement.measure_gait``."""
    from pipeline.simulation.gait_measurement import measure_gait
    from pipeline.simulation.gait_policy import GAITS_FOLDER, load_gait
    from pipeline.simulation.physics import RobotPhysics

    embodiment = registry.get(config.embodiment)
    if not isinstance(embodiment.drive, GaitDrive):
        raise ValueError(f"robot '{config.embodiment}' has no gait to measure: its drive is not a gait")
    path = Path(config.weights) if config.weights else GAITS_FOLDER / embodiment.drive.weights
    network = load_gait(embodiment.drive, path)
    physics = RobotPhysics(embodiment, num_envs=config.num_envs, seed=config.seed)
    measured = measure_gait(embodiment, physics, network)
    if config.update_card:
        card = path.with_suffix(".json")
        content = json.loads(card.read_text()) if card.is_file() else {}
        card.write_text(json.dumps(content | {"measured": measured}, indent=2) + "\n")
    return measured
