"""Drive one episode as a user would: ``python -m export.runtime --robot sim --map ...``, three processes, a real clock.

The known map of the scene is written as a Nav2 map, so that the robot's side plans its own route on it.
"""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import HEIGHT_LAYERS_M
from export.runtime.driver import cycle_log
from export.runtime.robots.sim import OPTIONS
from pipeline.evaluation.episodes.plan import Plan
from scenes import nav2_map
from scenes.grid import Grid
from scenes.occupancy import layer_occupancy
from scenes.scene import Scene

_START_S = 180.0
"""What the simulation may take to start, its kernels compiled, besides the episode's own time"""
_END_S = 15.0
"""What driver and simulation may take to end by themselves after the program that started them was killed"""


def drive_in_real_time(
    policy: Path, plan: Plan, index: int, *, split: str, max_speed_mps: float, folder: Path
) -> dict[str, Any]:
    """Drive an episode of a plan and return how it ended.

    Args:
        policy: Exported file.
        index: Row of the plan's episode set.
        folder: For the map, the log of every cycle and what the drive printed.

    Returns:
        ``outcome`` as the driver's side says it, ``success`` without a collision by the simulation's own truth. A drive
        that had to be killed is a row, too, with the figures that it left.

    Raises:
        ValueError: If the drive never began; with its last line.
    """
    episodes = plan.task.episodes
    name = f"{plan.scene[index]}-{int(plan.number[index])}"
    folder.mkdir(parents=True, exist_ok=True)
    map_yaml, log, truth = (folder / f"{name}{suffix}" for suffix in (".yaml", ".jsonl", ".json"))
    scene = plan.task.scenes[int(episodes.scene_index[index])]
    nav2_map.save(known_map(scene, plan.task.embodiment), map_yaml)
    for old in (log, truth):
        old.unlink(missing_ok=True)
    start, goal = ([f"{value:.4f}" for value in pose[index]] for pose in (episodes.start_w, episodes.goal_w))
    served = ["--scene", str(plan.scene[index]), "--index", str(int(plan.scene_seed[index])), "--split", split]
    served += ["--start", *start, "--truth", str(truth)]
    limit_s = float(episodes.time_limit_s[index])
    command = [sys.executable, "-m", "export.runtime", "--policy", str(policy), "--robot", "sim", "--log", str(log)]
    command += ["--map", str(map_yaml), "--start", *start, "--goal", *goal]
    command += ["--max-speed", f"{max_speed_mps:g}", "--max-seconds", f"{limit_s:g}"]
    environment = os.environ | {OPTIONS: shlex.join(served), "OMP_NUM_THREADS": "1"}
    began_s = time.monotonic()
    exit_code, printed, errors = _run(command, environment, timeout_s=limit_s + _START_S)
    wall_s = time.monotonic() - began_s
    was_killed = exit_code == -signal.SIGKILL
    if was_killed:
        _wait_for(truth, _END_S)
    (folder / f"{name}.txt").write_text(printed + errors, encoding="utf-8")
    if not truth.is_file() and not was_killed:
        raise ValueError(f"the drive of {name} never began: {(errors or printed).strip()[-300:]}")
    found = json.loads(truth.read_text(encoding="utf-8")) if truth.is_file() else {}
    cycles = _cycles(log)
    collision = bool(found.get("least_clearance_m", math.inf) < 0.0)
    said = printed.strip().splitlines()[-1].partition(";")[0] if printed.strip() else ""
    gates = [cycle["gate"] for cycle in cycles]
    return {
        "scene": str(plan.scene[index]),
        "scene_seed": int(plan.scene_seed[index]),
        "episode": int(plan.number[index]),
        "success": exit_code == 0 and not collision,
        "exit_code": exit_code,
        "collision": collision,
        "outcome": f"killed after {wall_s:.0f} s" if was_killed else said,
        "driven_s": cycles[-1]["time_s"] - cycles[0]["time_s"] if cycles else 0.0,
        "wall_s": wall_s,
        "simulated_per_real": found["time_s"] / found["wall_s"] if found else math.nan,
        "false_stop_share": false_stop_share(gates),
        "closed": ",".join(sorted({gate for gate in gates if gate not in ("", "disarmed")})),
    }


def false_stop_share(gates: Iterable[str]) -> float:
    """Return the fraction of reports, once armed, in which a gate held the robot; 0 if it was never armed.

    Args:
        gates: Of every report, see ``export.runtime.driver.messages.Report``.
    """
    armed = [gate for gate in gates if gate != "disarmed"]
    return float(np.mean([gate != "" for gate in armed])) if armed else 0.0


def _run(command: list[str], environment: dict[str, str], *, timeout_s: float) -> tuple[int, str, str]:
    """Return exit code, standard output and error of a program; it is killed if it takes too long."""
    try:
        drive = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        return -signal.SIGKILL, _text(late.stdout), _text(late.stderr)
    return drive.returncode, drive.stdout, drive.stderr


def _text(part: str | bytes | None) -> str:
    return part.decode(errors="replace") if isinstance(part, bytes) else part or ""


def _wait_for(path: Path, limit_s: float) -> None:
    ends_s = time.monotonic() + limit_s
    while not path.is_file() and time.monotonic() < ends_s:
        time.sleep(0.1)


def _cycles(log: Path) -> list[dict[str, Any]]:
    """Return the cycles of a drive's log; none if it wrote none."""
    try:
        return cycle_log.read(log)[1]
    except (FileNotFoundError, ValueError):
        return []


def known_map(scene: Scene, embodiment: Embodiment) -> Grid:
    """Return the known map of a scene for a body: (H, W) bool, occupied at any height that the body reaches."""
    layers = [layer for layer, discs in zip(HEIGHT_LAYERS_M, embodiment.footprint, strict=True) if discs]
    grid = layer_occupancy(scene, layers_m=layers, resolution_m=0.05, known_only=True)
    occupied = np.asarray(grid.values.any(axis=0))
    return Grid(values=occupied, origin_xy_w_m=grid.origin_xy_w_m, resolution_m=grid.resolution_m)
