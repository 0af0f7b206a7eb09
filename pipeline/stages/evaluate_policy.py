"""Stage: run exported policies and reference agents through the same episodes, in scenes never seen before.

Also by itself: ``python -m pipeline evaluate_policy --policy FILE.onnx --out DIR``. One process per core, several of
them for one robot if there are more cores than robots; the table does not depend on how many. After an interruption the
same command continues.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from export.policy_server.client import TIMEOUT_S
from pipeline.runs.presets import DEFAULT_ROBOTS, EVALUATED_ROBOTS, SMOKE_ENVS
from pipeline.runs.stage import Later, Stage
from pipeline.simulation.navigation.config import Conditions, Protocol
from scenes.registry import FileOptions


@dataclass(frozen=True, kw_only=True)
class Config(FileOptions):
    """What is evaluated, and in which episodes."""

    policy: Path | None = None
    """Exported file; only its agent runs unless ``agents`` asks for more, whose files lie beside it"""
    embodiments: tuple[str, ...] = EVALUATED_ROBOTS
    scenes: tuple[str, ...] = ("office", "warehouse_single", "warehouse_multi", "combined")
    """Scene kinds, COMPASS's four by default, or paths of Nav2 maps (.yaml) or meshes (.glb, .obj, .ply)"""
    episodes: int = 64
    """Per robot and scene kind or map, each in another scene: ± 12 points at a rate of 50 %. COMPASS: 640"""
    route: tuple[Literal["straight", "planned"], ...] = ("straight", "planned")
    """The route that the policy gets; headlines show the first one. COMPASS: straight"""
    protocol: Protocol = "compass"
    conditions: Conditions = "nominal"
    """nominal, or field: people, narrow doors, moved furniture, odometry drift, latency, noise, camera error"""
    agents: tuple[str, ...] = ()
    """Agent ids, or server:URL for a policy behind a server; none: all that have no file or whose file is there"""
    server_timeout_s: float = TIMEOUT_S
    """How long a policy server may take for an answer; the first one may load a network"""
    split: Literal["val", "test"] = "test"
    """Tune on val; test is for the table"""
    num_envs: int = 64
    """Most at once, what one core steps efficiently; fewer for fewer episodes"""
    device: str = "cpu"
    workers: int = 0
    """Processes at once; 0: one per core"""
    seed: int = 0
    reuse: Path | None = None
    """A finished evaluation: agents whose files have driven the same episodes there are not driven again; those
    without a file only if it was made at the present commit"""
    view: str = ""
    """rerun: show a few episodes in a window while they are driven; rerun:FILE.rrd: keep them in files of that name"""


def _smoke(config: Config) -> Config:
    return replace(
        config,
        episodes=2,
        scenes=("office",),
        route=("planned",),
        agents=("go_straight", "specialist", "generalist"),  # one without a file, one per robot, one for all robots
        embodiments=DEFAULT_ROBOTS,
        num_envs=SMOKE_ENVS,
    )


def _workstation(config: Config) -> Config:
    return replace(config, episodes=640, num_envs=640, workers=1, device="cuda")


STAGE = Stage(
    config=Config,
    check=Later("pipeline.stages.implementation.evaluation_inputs", "check"),
    run=Later("pipeline.stages.implementation.evaluate_policy", "run"),
    needs=("export_policy",),
    digests=Later("pipeline.stages.implementation.evaluation_inputs", "served_policies"),
    not_in_key=("workers", "server_timeout_s", "view"),
    presets={"smoke": _smoke, "workstation": _workstation},
)
