"""From one row per episode to the table: cells, pooled rows and paired differences between agents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.episodes import metrics, statistics
from pipeline.simulation.navigation.episodes import FEASIBLE_FRACTION

SUMMARY, EPISODES, TRACES, FAILURES = "summary.json", "episodes.parquet", "traces.npz", "failures.npz"
"""Files of a finished evaluation."""
BATCH = "environments"
"""Metric in the manifest: environments that drove side by side, fewer than ``num_envs`` for few episodes"""
EPISODE_COLUMNS = (
    "embodiment",
    "scene",
    "agent",
    "protocol",
    "conditions",
    "route",
    "episode",
    "scene_seed",
    "success",
    "success_settled",
    "collision",
    "fall",
    "timeout",
    "time_s",
    "time_limit_s",
    "fastest_time_s",
    "path_m",
    "end_geodesic_m",
    "initial_geodesic_m",
    "distance_to_goal_m",
    "min_clearance_m",
    "jerk_mps3",
    "stopped_s",
    "energy_j",
    "broken",
    "person_bumped",
    "near_person_s",
)
"""Columns of ``episodes.parquet``.

``initial_geodesic_m`` is measured at the start, ``end_geodesic_m`` where the episode ended. ``scene_seed`` is the index
of the scene within its kind and split. Rows of one embodiment, scene, route and episode number are the same episode for
every agent. ``broken``: physics failed or the policy answered NaN. ``person_bumped``: somebody walked into the robot
that had stood; no collision of the robot's. ``near_person_s``: time nearer than 0.3 m to somebody."""

Pairs = tuple[tuple[str, str], ...]
Cell = dict[str, Any]

ALL = "all"
"""In place of a scene, a route or an embodiment: pooled over all of them."""
PAIRS: Pairs = (
    ("generalist", "go_straight"),
    ("generalist", "blind"),
    ("generalist", "planner"),
    ("generalist", "base"),
    ("specialist", "base"),
    ("generalist", "specialist"),
    ("base", "planner"),
    ("anticipating", "planner"),
    ("cautious", "anticipating"),
)
"""Differences that the evaluation reports, first minus second."""
PAIR_METRICS = ("success", "spl", "collision")
OVER_ROUTES_METRICS = ("success", "collision", "sct")
CELL_PAIRS: Pairs = (("generalist", "specialist"),)
"""Differences that are also given scene by scene: distillation may lose nowhere much."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What produced the episodes; written into every cell."""

    split: str
    seed: int
    training_seed: int | None
    """The seed of export_policy; None for files without their run."""
    policy_sha256: Mapping[tuple[str, str], str]
    """(agent, embodiment) -> SHA-256 of the exported file; absent for agents without weights."""
    unseen: frozenset[str] = frozenset()
    """Robots that nothing was trained on; they are not pooled with the others."""

    def sha256_of(self, agent: str, embodiment: str) -> str | None:
        """Return the hash of the one file behind these rows; None if there is none or, pooled, more than one."""
        found = {h for (a, e), h in self.policy_sha256.items() if a == agent and embodiment in (e, ALL)}
        return found.pop() if len(found) == 1 else None


def read_episodes(file: Path) -> pd.DataFrame:
    """Return the rows of ``episodes.parquet``; older files call ``end_geodesic_m`` just ``geodesic_m``.

    They lack the columns of conditions and people: there were none but nominal conditions, and nobody walked.
    """
    rows = pd.read_parquet(file).rename(columns={"geodesic_m": "end_geodesic_m"})
    nobody = {"conditions": "nominal", "person_bumped": False, "near_person_s": 0.0}
    return rows.assign(**{name: value for name, value in nobody.items() if name not in rows})


def summarise(episodes: pd.DataFrame, provenance: Provenance) -> dict[str, list[Cell]]:
    """Return everything that ``summary.json`` holds.

    Args:
        episodes: Rows with ``EPISODE_COLUMNS``.
        provenance: What produced them.
    """
    episodes = _prepared(episodes)
    by_cell = ["embodiment", "scene", "agent", "protocol", "route"]
    by_robot = ["embodiment", "agent", "protocol", "route"]
    cells = [_cell(group, provenance) for _, group in episodes.groupby(by_cell, sort=False)]
    pooled = [_cell(group, provenance, scene=ALL) for _, group in episodes.groupby(by_robot, sort=False)]
    known = _poolable(episodes, provenance.unseen)
    for _, group in known.groupby(by_robot[1:], sort=False):
        pooled.append(_cell(group, provenance, scene=ALL, embodiment=ALL))
    return {
        "cells": cells,
        "pooled": pooled,
        "comparisons": _comparisons(episodes, provenance.unseen),
        "over_routes": _over_routes(episodes, provenance.unseen),
    }


def with_empty(
    summary: dict[str, list[Cell]], where: Sequence[tuple[str, str, str, str]], provenance: Provenance
) -> dict[str, list[Cell]]:
    """Return the summary with an empty cell for everything that could not be driven.

    Args:
        summary: What was driven, at least one cell.
        where: (embodiment, scene, agent, route) of every empty cell.
        provenance: As for the others.

    Returns:
        The summary; the figures of an empty cell are None. A robot that drove nowhere has empty pooled cells too.
    """
    known = ("split", "protocol", "conditions", "seed", "training_seed")
    template = dict.fromkeys(summary["cells"][0]) | {name: summary["cells"][0][name] for name in known}
    driven = {cell["embodiment"] for cell in summary["cells"]}
    cells, pooled = [], {}
    for robot, scene, agent, route in where:
        place = {"embodiment": robot, "scene": scene, "agent": agent, "route": route, "episodes": 0}
        place |= {"policy_sha256": provenance.sha256_of(agent, robot), "unseen": robot in provenance.unseen}
        cells.append(template | place)
        if robot not in driven:
            pooled[robot, agent, route] = template | place | {"scene": ALL}
    return summary | {"cells": summary["cells"] + cells, "pooled": summary["pooled"] + list(pooled.values())}


def _poolable(episodes: pd.DataFrame, unseen: frozenset[str]) -> pd.DataFrame:
    """Return the rows that are pooled over all robots: of known ones, by agents that drove every one of them."""
    known = episodes[~episodes["embodiment"].isin(unseen)]
    driven = known.groupby("agent")["embodiment"].transform("nunique")
    return known[driven == known["embodiment"].nunique()]


def _comparisons(episodes: pd.DataFrame, unseen: frozenset[str]) -> list[Cell]:
    rows = []
    for (protocol, route), part in episodes.groupby(["protocol", "route"], sort=False):
        groups = [(ALL, ALL, PAIRS, _poolable(part, unseen))]
        groups += [(str(robot), ALL, PAIRS, group) for robot, group in part.groupby("embodiment", sort=False)]
        for (robot, scene), group in part.groupby(["embodiment", "scene"], sort=False):
            groups.append((str(robot), str(scene), CELL_PAIRS, group))
        for robot, scene, pairs, group in groups:
            where = {"embodiment": robot, "scene": scene, "protocol": protocol, "route": route}
            rows += [where | entry for pair in pairs for entry in _pair(group, pair, metrics=PAIR_METRICS)]
    return rows


def _over_routes(episodes: pd.DataFrame, unseen: frozenset[str]) -> list[Cell]:
    """Return the differences over all routes together, per robot and over robots; none if there is one route."""
    if episodes["route"].nunique() == 1:
        return []
    episodes = episodes.assign(key=episodes.groupby(["key", "route"], sort=False).ngroup())
    groups = [(ALL, _poolable(episodes, unseen)), *episodes.groupby("embodiment", sort=False)]
    rows = []
    for robot, group in groups:
        where = {"embodiment": str(robot), "scene": ALL, "route": ALL}
        rows += [where | entry for pair in PAIRS for entry in _pair(group, pair, metrics=OVER_ROUTES_METRICS)]
    return rows


def _prepared(episodes: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what is computed per episode added.

    These are the columns ``spl``, ``soft_spl``, ``sct``; ``cluster``, equal for episodes in the same scene, of whatever
    robot; and ``key``, equal for the same episode run by different agents.
    """
    success = episodes["success"].to_numpy(dtype=bool)
    path_m, initial_m = episodes["path_m"].to_numpy(), episodes["initial_geodesic_m"].to_numpy()
    fastest_s, time_s = episodes["fastest_time_s"].to_numpy(), episodes["time_s"].to_numpy()
    end_m = episodes["end_geodesic_m"].to_numpy()
    return episodes.assign(
        spl=metrics.spl(success, geodesic_m=initial_m, path_m=path_m),
        soft_spl=metrics.soft_spl(end_geodesic_m=end_m, initial_geodesic_m=initial_m, path_m=path_m),
        sct=metrics.sct(success, fastest_time_s=fastest_s, time_s=time_s),
        cluster=episodes.groupby(["scene", "scene_seed"], sort=False).ngroup(),
        key=episodes.groupby(["embodiment", "scene", "scene_seed", "episode"], sort=False).ngroup(),
    )


def _cell(group: pd.DataFrame, provenance: Provenance, *, scene: str = "", embodiment: str = "") -> Cell:
    first = group.iloc[0]
    success = group["success"].to_numpy(dtype=bool)
    interval = statistics.wilson(int(success.sum()), total=len(success))
    robot = embodiment or str(first["embodiment"])
    return {
        "embodiment": robot,
        "scene": scene or str(first["scene"]),
        "split": provenance.split,
        "agent": str(first["agent"]),
        "protocol": str(first["protocol"]),
        "conditions": str(first["conditions"]),
        "route": str(first["route"]),
        "seed": provenance.seed,
        "training_seed": provenance.training_seed,
        "policy_sha256": provenance.sha256_of(str(first["agent"]), robot),
        "episodes": len(group),
        "success": _mean(success),
        "success_ci95": None if interval is None else list(interval),
        "success_settled": _mean(group["success_settled"]),
        "success_feasible": _mean(success[_is_feasible(group)]),
        "spl": _mean(group["spl"]),
        "soft_spl": _mean(group["soft_spl"]),
        "sct": _mean(group["sct"]),
        "collision": _mean(group["collision"]),
        "fall": _mean(group["fall"]),
        "timeout": _mean(group["timeout"]),
        "time_s": _mean(group["time_s"][success]),
        "wtt_s": metrics.wtt_s(success, time_s=group["time_s"].to_numpy()),
        "min_clearance_m": _mean(group["min_clearance_m"]),
        "jerk_mps3": _mean(group["jerk_mps3"]),
        "path_m": _mean(group["path_m"][success]),
        "stopped_share": _mean(metrics.stopped_share(group["stopped_s"].to_numpy(), time_s=group["time_s"].to_numpy())),
        "energy_j": _mean(group["energy_j"][success]),
        "energy_j_per_m": metrics.energy_j_per_m(group["energy_j"].to_numpy(), path_m=group["path_m"].to_numpy()),
        "broken": _mean(group["broken"]),
        "person_bumped": _mean(group["person_bumped"]),
        "near_person_s": _mean(group["near_person_s"]),
        "unseen": robot in provenance.unseen,
        **_mean_intervals(group),
    }


def _is_feasible(group: pd.DataFrame) -> np.ndarray:
    """Return whether the fastest drive takes at most ``FEASIBLE_FRACTION`` of the time limit, (N,) bool."""
    return (group["fastest_time_s"] <= FEASIBLE_FRACTION * group["time_limit_s"]).to_numpy(dtype=bool)


def _mean_intervals(group: pd.DataFrame) -> Cell:
    """Return the scene-clustered intervals of a row; of success only where episodes share scenes."""
    clusters = group["cluster"].to_numpy()
    names = ("success", "spl", "soft_spl", "sct", "collision")
    intervals = {n: statistics.mean_interval(group[n].to_numpy(dtype=float), clusters=clusters) for n in names}
    if len(np.unique(clusters)) == len(clusters):
        intervals["success"] = None
    return {f"{name}_ci95_scenes": None if i is None else list(i) for name, i in intervals.items()}


def _pair(group: pd.DataFrame, pair: tuple[str, str], *, metrics: Sequence[str]) -> list[Cell]:
    columns = ["key", "cluster", *metrics]
    sides = [group.loc[group["agent"] == agent, columns].set_index("key") for agent in pair]
    if any(side.empty for side in sides):
        return []
    common = sides[0].index.intersection(sides[1].index)
    first, second = (side.loc[common] for side in sides)
    clusters = first["cluster"].to_numpy()
    rows = []
    for metric in metrics:
        values = [side[metric].to_numpy(dtype=float) for side in (first, second)]
        result = statistics.paired_difference(*values, clusters=clusters)
        if result is not None:
            difference, interval = result
            ci95 = None if interval is None else list(interval)
            entry = {"first": pair[0], "second": pair[1], "metric": metric, "episodes": len(common)}
            rows.append(entry | {"difference": difference, "ci95": ci95})
    return rows


def _mean(values: "pd.Series[Any] | np.ndarray") -> float | None:
    """Return the mean of the finite values; None if there is none."""
    array = np.asarray(values, dtype=float)
    array = array[np.isfinite(array)]
    return float(array.mean()) if array.size else None
