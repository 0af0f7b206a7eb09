"""Drive one episode as a user would: ``python -m export.runtime --robot sim --map ...``, three processes, a real clock.

The known map of the scene is written as a Nav2 map, so that the robot's side plans its own route on it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from embodiments.embodiment import Embodiment
from embodiments.spaces import SLABS_M
from export.runtime.robots.sim import OPTIONS
from pipeline.evaluation.plan import Plan
from scenes import nav2_map
from scenes.grid import Grid
from scenes.occupancy import slab_occupancy
from scenes.scene import Scene

_START_S = 180.0
"""What the simulation may take to start, its kernels compiled, besides the episode's own time"""


def drive_in_real_time(
    policy: Path, plan: Plan, index: int, *, split: str, max_speed_mps: float, folder: Path
) -> dict[str, Any]:
    """Drive an episode of a plan and return how it ended.

    Args:
        policy: Exported file.
        index: Row of the plan's episode set.
        folder: For the map, the log of every cycle and what the drive printed.

    Returns:
        ``outcome`` as the driver's side says it, ``success`` without a collision by the simulation's own truth.

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
    environment = os.environ | {OPTIONS: " ".join(served), "OMP_NUM_THREADS": "1"}
    began_s = time.monotonic()
    drive = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=limit_s + _START_S
    )
    (folder / f"{name}.txt").write_text(drive.stdout + drive.stderr, encoding="utf-8")
    if not truth.is_file():
        raise ValueError(f"the drive of {name} never began: {(drive.stderr or drive.stdout).strip()[-300:]}")
    found = json.loads(truth.read_text(encoding="utf-8"))
    cycles = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()[1:]]
    collision = bool(found["least_clearance_m"] < 0.0)
    armed = [cycle for cycle in cycles if cycle["gate"] != "disarmed"]
    return {
        "scene": str(plan.scene[index]),
        "scene_seed": int(plan.scene_seed[index]),
        "episode": int(plan.number[index]),
        "success": drive.returncode == 0 and not collision,
        "exit_code": drive.returncode,
        "collision": collision,
        "outcome": drive.stdout.strip().splitlines()[-1].partition(";")[0] if drive.stdout.strip() else "",
        "driven_s": cycles[-1]["time_s"] - cycles[0]["time_s"] if cycles else 0.0,
        "wall_s": time.monotonic() - began_s,
        "simulated_per_real": found["time_s"] / found["wall_s"],
        "false_stop_share": float(np.mean([cycle["gate"] != "" for cycle in armed])) if armed else 0.0,
        "closed": ",".join(sorted({cycle["gate"] for cycle in armed if cycle["gate"]})),
    }


def known_map(scene: Scene, embodiment: Embodiment) -> Grid:
    """Return the known map of a scene for a body: (H, W) bool, occupied at any height that the body reaches."""
    slabs = [slab for slab, discs in zip(SLABS_M, embodiment.outline, strict=True) if discs]
    grid = slab_occupancy(scene, slabs_m=slabs, resolution_m=0.05, known_only=True)
    occupied = np.asarray(grid.values.any(axis=0))
    return Grid(values=occupied, origin_xy_w_m=grid.origin_xy_w_m, resolution_m=grid.resolution_m)
