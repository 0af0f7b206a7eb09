"""Serve one simulated robot in full physics on a local socket, for the robot's side to drive as if it were real.

``python -m export.runtime --robot sim`` starts this by itself. It prints ``ready PORT`` when it can be driven.
"""

import json
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from tyro.conf import arg

from embodiments import registry
from pipeline.runs.stage import Command
from world_model import atomic_files

if TYPE_CHECKING:
    from pipeline.simulation.navigation.live_robot import LiveRobot


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is served."""

    embodiment: Annotated[str, arg(name="embodiments")] = "stretch3"
    scene: str = "office"
    """Scene kind or path of a Nav2 map"""
    index: int = 0
    split: Literal["train", "val", "test"] = "val"
    start: tuple[float, float, float] | None = None
    """Where it stands at first: x, y [m], yaw [rad] in the scene; by default the start of a random episode"""
    truth: Path | None = None
    """File for what really happened, written at the end: least clearance, fall, times"""
    seed: int = 0


def main(config: Config) -> None:
    """Serve one connection and end with it.

    Raises:
        ValueError: If the robot or scene does not exist, or has no room for the robot.
    """
    # the simulator, which the command line's help does not need
    from pipeline.simulation.navigation.episodes import scene_fields
    from pipeline.simulation.navigation.live_robot import LiveRobot
    from pipeline.simulation.navigation.task import build_task
    from scenes import registry as scene_kinds

    embodiment = registry.get(config.embodiment)
    scene = scene_kinds.load(config.scene, split=config.split, index=config.index)
    task = build_task(embodiment, [scene], protocol="compass", per_scene=1, route="planned", seed=config.seed)
    robot = LiveRobot(embodiment, scenes=[scene], fields=[scene_fields(scene)], seed=config.seed)
    for _ in range(3):  # what compiles or allocates at its first use does so before the clock runs
        robot.advance(1)
        robot.answer(b'{"op": "read"}')
    robot.place(0, task.episodes.start_w[0] if config.start is None else np.asarray(config.start))
    with Listener(("127.0.0.1", 0)) as listener:
        print(f"ready {listener.address[1]}", flush=True)
        with listener.accept() as connection:
            began_s = time.monotonic()
            serve(robot, connection)
    if config.truth is not None:
        header, _, _ = robot.answer(b'{"op": "truth"}').partition(b"\n")
        times = {"time_s": robot.time_s, "wall_s": time.monotonic() - began_s}
        atomic_files.write_text(config.truth, json.dumps(json.loads(header) | times))


def serve(robot: "LiveRobot", connection: Connection) -> None:
    """Answer requests until the other side hangs up; time passes meanwhile as on a clock."""
    from pipeline.simulation.navigation.live_robot import TICK_S

    next_s = time.monotonic() + TICK_S
    while True:
        try:
            if connection.poll(max(0.0, next_s - time.monotonic())):
                connection.send_bytes(robot.answer(connection.recv_bytes()))
        except (EOFError, OSError):
            return
        if time.monotonic() >= next_s:
            robot.advance(1)
            next_s = max(next_s + TICK_S, time.monotonic() - 5 * TICK_S)  # a machine too slow lags, it does not race


COMMAND = Command(config=Config, main=main, is_internal=True)
