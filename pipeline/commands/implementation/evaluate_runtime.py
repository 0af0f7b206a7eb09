"""Drive the robot's side through planned episodes and pair the outcomes with an evaluation's."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embodiments import registry
from export.runtime import policy as policies
from export.runtime.driver.driver import Driver, DriverConfig
from export.runtime.driver.messages import pack_order
from export.runtime.driver.stop_zone import StopZone
from export.runtime.navigator import Navigator
from export.runtime.robots.sim import SimulatedRobot
from export.runtime.route import Route, to_body
from pipeline.commands.evaluate_runtime import Config
from pipeline.evaluation.episodes import statistics
from pipeline.evaluation.episodes.plan import Job, Plan, draw
from pipeline.evaluation.episodes.summary import SUMMARY
from pipeline.evaluation.runtime.real_time import drive_in_real_time, false_stop_share
from pipeline.runs import manifest
from pipeline.runs.processes import cores, spawned, threads
from pipeline.runs.progress import progress
from pipeline.runs.provenance import describe
from pipeline.simulation.navigation.live_robot import LiveRobot
from scenes import registry as scene_kinds
from scenes.registry import file_options
from world_model import atomic_files

ROBOT = "stretch3"
ARM_S = 0.6
"""Until the simulated operator has pressed and the first order is there; it does not count as driving time."""
PREVENTABLE_M = 0.03
"""Something at the lidar's height this near to the footprint at a collision: the stop zone should have prevented it."""


def main(config: Config) -> None:
    """Drive all episodes; write ``closed_loop.parquet`` and ``closed_loop.json``, print the figures.

    Raises:
        ValueError: If the policy does not fit, or the evaluation is of another policy or has other episodes.
        FileNotFoundError: If the policy or the evaluation does not exist.
    """
    policies.load(config.policy, robot=registry.get(ROBOT))
    other = None if config.against is None else _evaluated(config)
    for name in config.scenes:
        for remark in scene_kinds.load(name, split=config.split, options=file_options(config)).remarks:
            print(remark, flush=True)
    rows = _drive_on_a_real_clock(config) if config.clock == "real" else _drive_on_simulated_clocks(config)
    table = pd.DataFrame(rows).sort_values(["scene", "episode"], ignore_index=True)
    figures = _figures(table, other)
    config.out.mkdir(parents=True, exist_ok=True)
    with atomic_files.replacing(config.out / "closed_loop.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    text = json.dumps({**describe(), "config": asdict(config), **figures}, indent=2, default=str)
    atomic_files.write_text(config.out / "closed_loop.json", text)
    print(json.dumps(figures, indent=2))


def _drive_on_simulated_clocks(config: Config) -> list[dict[str, Any]]:
    workers = config.workers or cores()
    with spawned(workers) as pool:
        parts = list(pool.map(drive_shard, [config] * workers, range(workers), [workers] * workers))
    return [row for part in parts for row in part]


def _drive_on_a_real_clock(config: Config) -> list[dict[str, Any]]:
    plan = planned(config)
    chosen = np.flatnonzero(plan.number < config.episodes)
    rows: list[dict[str, Any]] = []
    with progress(len(chosen), "drive in real time") as bar:
        for index in chosen:
            row = drive_in_real_time(
                config.policy,
                plan,
                int(index),
                split=config.split,
                max_speed_mps=config.max_speed_mps,
                folder=config.out / "drives",
            )
            rows.append(row)
            bar.advance(1, success=float(np.mean([row["success"] for row in rows])))
    return rows


def drive_shard(config: Config, shard: int, shards: int) -> list[dict[str, Any]]:
    """Drive every ``shards``-th episode, one simulation in this process; return a table row for each."""
    import torch

    torch.set_num_threads(threads(among=shards))
    plan = planned(config)
    robot = LiveRobot(plan.task.embodiment, scenes=plan.task.scenes, fields=plan.task.fields, seed=config.seed)
    policy = policies.load(config.policy, robot=plan.task.embodiment)
    chosen = np.flatnonzero(plan.number < config.episodes)[shard::shards]
    rows = []
    with progress(len(chosen), f"drive {shard + 1}/{shards}") as bar:
        for index in chosen:
            rows.append(drive_episode(robot, policy, plan, int(index), max_speed_mps=config.max_speed_mps))
            bar.advance(1, success=float(np.mean([row["success"] for row in rows])))
    return rows


def drive_episode(
    robot: LiveRobot, policy: policies.Policy, plan: Plan, index: int, *, max_speed_mps: float
) -> dict[str, Any]:
    """Drive one episode, the robot's two processes tick by tick in this one."""
    episodes = plan.task.episodes
    start, goal = episodes.start_w[index].astype(np.float64), episodes.goal_w[index].astype(np.float64)
    robot.place(int(episodes.scene_index[index]), start)
    policy.reset()
    began_s = robot.time_s

    def clock() -> float:
        return robot.time_s

    adapter = SimulatedRobot(robot.embodiment, robot.answer, clock=clock)
    driver = Driver(adapter, DriverConfig(max_speed_mps=max_speed_mps), clock=clock)
    turn = float(np.arctan2(np.sin(goal[2] - start[2]), np.cos(goal[2] - start[2])))
    route = Route(np.append(to_body(goal[:2], start), turn), path_xy_m=to_body(episodes.route_w_m[index], start))
    navigator = Navigator(policy, robot.embodiment, route, announce=lambda _: None)
    seen: list[tuple[str, str]] = []  # gate and zone of every report
    waiting: list[bytes] = []
    ends_s = began_s + ARM_S + float(episodes.time_limit_s[index])
    truth: dict[str, Any] = {}
    while robot.time_s < ends_s and not navigator.outcome:
        robot.advance(1)
        report = driver.tick(waiting)
        waiting = []
        if report is not None:
            seen.append((report.gate, report.zone))
            waiting = [pack_order(navigator.step(report))]
        truth, _ = adapter.request({"op": "truth"})
        if truth["least_clearance_m"] < 0.0 or truth["fell"]:
            break
    collision = truth["least_clearance_m"] < 0.0
    nearest_m = StopZone(robot.embodiment).gap_m(robot.surroundings_b_m())
    return {
        "scene": plan.scene[index],
        "scene_seed": int(plan.scene_seed[index]),
        "episode": int(plan.number[index]),
        "success": navigator.outcome == "reached" and not collision,
        "collision": collision,
        "preventable": bool(collision and nearest_m < PREVENTABLE_M),
        "outcome": "collision" if collision else navigator.outcome or "out of time",
        "time_s": robot.time_s - began_s - ARM_S,
        "recoveries": navigator.recoveries,
        "false_stop_share": false_stop_share(gate for gate, _ in seen),
        "slowed_share": float(np.mean([zone != "" for _, zone in seen])),
        "closed": ",".join(sorted({gate for gate, _ in seen if gate})),
    }


def planned(config: Config) -> Plan:
    """Return the episodes of the evaluation that ``config`` is to be held against."""
    job = Job(
        embodiment=ROBOT,
        agents=(),
        policies={},
        scenes=config.scenes,
        split=config.split,
        episodes=config.drawn,
        routes=("planned",),
        protocol="compass",
        seed=config.seed,
        num_envs=1,
        device="cpu",
        folder="",
        files=file_options(config),
    )
    return draw(job, registry.get(ROBOT))


def _evaluated(config: Config) -> pd.DataFrame:
    """Return the rows of the other evaluation.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it has none of these episodes, or drove them with another policy.
    """
    assert config.against is not None
    _check_same(config, config.against)
    rows = pd.read_parquet(config.against / "episodes.parquet")
    mine = (rows["embodiment"] == ROBOT) & (rows["agent"] == config.agent) & (rows["route"] == "planned")
    if not mine.any():
        raise ValueError(f"{config.against} has no rows of {config.agent} on {ROBOT} with the planned route")
    return rows[mine]


def _check_same(config: Config, against: Path) -> None:
    """Refuse an evaluation whose cells on this robot are not of the same policy and the same draw of episodes."""
    cells = json.loads((against / SUMMARY).read_text(encoding="utf-8"))["cells"]
    mine: dict[str, dict[str, Any]] = {
        cell["scene"]: cell
        for cell in cells
        if (cell["embodiment"], cell["agent"], cell["route"]) == (ROBOT, config.agent, "planned")
    }
    expected = {
        "split": config.split,
        "seed": config.seed,
        "protocol": "compass",
        "episodes": config.drawn,
        "policy_sha256": manifest.hash_file(config.policy),
    }
    for scene in config.scenes:
        if scene not in mine:
            raise ValueError(f"{against} has no {config.agent} on {ROBOT} in {scene} with the planned route")
        for name, value in expected.items():
            if (found := mine[scene].get(name)) != value:
                raise ValueError(f"{against} has {name} {found} in {scene}, this drive has {value}")


def _figures(table: pd.DataFrame, other: pd.DataFrame | None) -> dict[str, Any]:
    total = len(table)
    figures: dict[str, Any] = {
        "episodes": total,
        "success": float(table["success"].mean()),
        "success_interval": statistics.wilson(int(table["success"].sum()), total=total),
        "collisions": int(table["collision"].sum()),
        "false_stop_share": float(table["false_stop_share"].mean()),
    }
    if "preventable" in table:  # only known on a simulated clock
        figures["preventable_collisions"] = int(table["preventable"].sum())
        figures["recoveries"] = int(table["recoveries"].sum())
    if other is None:
        return figures
    keys = ["scene", "scene_seed", "episode"]
    pairs = table.merge(other[[*keys, "success"]], on=keys, suffixes=("", "_evaluated"))
    if len(pairs) != total:
        raise ValueError(
            f"only {len(pairs)} of {total} episodes are in the evaluation; give --drawn and --seed as there"
        )
    clusters = (pairs["scene"] + pairs["scene_seed"].astype(str)).to_numpy()
    first, second = (pairs[name].to_numpy(dtype=float) for name in ("success", "success_evaluated"))
    found = statistics.paired_difference(first, second, clusters=clusters)
    return figures | {"evaluated_success": float(second.mean()), "difference_and_interval": found}
