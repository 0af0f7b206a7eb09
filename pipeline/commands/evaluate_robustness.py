"""Measure how much of a policy's success is left when something is wrong: one factor at a time, and the worst case.

Writes ``robustness.json``, ``robustness.parquet`` (one row per episode) and ``tensorboard/``. One process per robot;
finished rollouts stay, so that the same command at the same commit goes on where it was interrupted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from export.policy_server.client import TIMEOUT_S
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.runs.stage import Command, Later
from pipeline.simulation.navigation.config import Protocol
from scenes.registry import FileOptions


@dataclass(frozen=True, kw_only=True)
class Config(FileOptions):
    """What is disturbed, and in which episodes."""

    policy: Path | None = None
    """Exported file"""
    agent: Annotated[str, arg(name="agents")] = ""
    """Instead of a policy an agent without weights, such as planner, or server:URL for a policy behind a server"""
    server_timeout_s: float = TIMEOUT_S
    """How long a policy server may take for an answer"""
    embodiments: tuple[str, ...] = DEFAULT_ROBOTS
    scenes: tuple[str, ...] = ("office", "warehouse_single", "warehouse_multi", "combined")
    """Scene kinds, or paths of Nav2 maps (.yaml) or meshes (.glb, .obj, .ply)"""
    route: Literal["straight", "planned"] = "planned"
    """Planned is what a deployed robot is given"""
    protocol: Protocol = "compass"
    factors: tuple[str, ...] = ()
    """Swept one at a time; none: all"""
    preset: Literal["smoke", "laptop", "workstation"] = "laptop"
    """Sizes where the fields below are 0"""
    episodes: int = 0
    """Per robot, level and scene kind"""
    population: int = 0
    """Points per iteration of the worst-case search"""
    iterations: int = 0
    search_episodes: int = 0
    """Per point of the search"""
    search: bool = True
    """Whether the worst case is looked for"""
    search_reach: float = 0.5
    """Fraction of every factor's range in which the search looks; with all factors at their ends every policy fails"""
    split: Literal["val", "test"] = "test"
    num_envs: int = 64
    """What one core steps efficiently"""
    device: str = "cpu"
    workers: int = 0
    """Robots at once; 0: one per core"""
    seed: int = 0
    out: Path = Path("runs/robustness")


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.evaluate_robustness", "main"))
