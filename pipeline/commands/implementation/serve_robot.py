"""Simulate one robot on a real clock and answer its requests."""

import json
import time
from multiprocessing.connection import Connection, Listener

import numpy as np

from embodiments import registry
from pipeline.commands.serve_robot import Config
from pipeline.simulation.navigation.episodes import scene_fields
from pipeline.simulation.navigation.live_robot import TICK_S, LiveRobot
from pipeline.simulation.navigation.task import build_task
from scenes import registry as scene_kinds
from world_model import atomic_files


def main(config: Config) -> None:
    """Serve one connection and end with it.

    Raises:
        ValueError: If the robot or scene does not exist, or has no room for the robot.
    """
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


def serve(robot: LiveRobot, connection: Connection) -> None:
    """Answer requests until the other side hangs up; time passes meanwhile as on a clock."""
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
