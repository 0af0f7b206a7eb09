"""From one row per disturbed episode to ``robustness.json``: rates, ratios to the undisturbed ones, the worst case."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.episodes import statistics
from pipeline.evaluation.episodes.plan import CLEAN, CONFIRM, SEARCH
from pipeline.evaluation.report.table import NOTHING, Table, of_rows
from pipeline.simulation.conditions.disturbances import FACTORS, NAMES, Factor

Entry = dict[str, Any]
KEYS = ["scene", "scene_seed", "episode"]
TENTH = 0.1


def summarise(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what ``robustness.json`` says about outcomes.

    Args:
        rows: As ``runner.read`` returns them.

    Returns:
        ``clean`` (embodiment -> rate), ``sweeps`` (one entry per embodiment, factor and level, the neutral one too) and
        ``worst_case`` (one entry per embodiment that was searched).
    """
    found: dict[str, Any] = {"clean": {}, "sweeps": [], "worst_case": []}
    for robot, mine in rows.groupby("embodiment", sort=False):
        clean = mine[mine["part"] == CLEAN]
        found["clean"][str(robot)] = _rate(clean)
        for factor in FACTORS:
            found["sweeps"] += _sweep(str(robot), factor, mine[mine["part"] == factor.name], clean)
        searched = mine[mine["part"].str.startswith(f"{SEARCH}_")]
        if len(searched):
            found["worst_case"].append(_worst(str(robot), searched, mine[mine["part"] == CONFIRM], clean))
    return found


def _sweep(robot: str, factor: Factor, swept: pd.DataFrame, clean: pd.DataFrame) -> list[Entry]:
    """Return one entry per level of a factor, in their order, the undisturbed one among them; none if not swept."""
    if swept.empty:
        return []
    column = f"factor_{factor.name}"
    entries = []
    for _, group in pd.concat([swept, clean]).groupby(column, sort=True):
        where = {"embodiment": robot, "factor": factor.name, "unit": factor.unit, "neutral": factor.neutral}
        where["level"] = _short(group[column].iloc[0])
        entries.append(where | _rate(group) | _kept(group, clean))
    return entries


def _rate(group: pd.DataFrame) -> Entry:
    success = group["success"].to_numpy(dtype=bool)
    interval = statistics.wilson(int(success.sum()), total=len(success))
    return {
        "episodes": len(group),
        "success": float(success.mean()),
        "success_ci95": None if interval is None else list(interval),
        "collision": float(group["collision"].mean()),
        "fall": float(group["fall"].mean()),
        "timeout": float(group["timeout"].mean()),
    }


def _kept(group: pd.DataFrame, clean: pd.DataFrame) -> Entry:
    """Return the ratio of success to that of the same episodes undisturbed, with a scene-clustered interval."""
    pairs = group.merge(clean[[*KEYS, "success"]], on=KEYS, suffixes=("", "_clean"), validate="one_to_one")
    clusters = pairs.groupby(["scene", "scene_seed"], sort=False).ngroup().to_numpy()
    ratio = statistics.paired_ratio(
        pairs["success"].to_numpy(dtype=float), pairs["success_clean"].to_numpy(dtype=float), clusters=clusters
    )
    kept, interval = ratio if ratio is not None else (None, None)
    return {"kept": kept, "kept_ci95": None if interval is None else list(interval)}


def _worst(robot: str, searched: pd.DataFrame, confirmed: pd.DataFrame, clean: pd.DataFrame) -> Entry:
    """Return the figures of a search; its lowest rate is one of many over few episodes, hence ``confirmed``."""
    iterations = searched["part"].nunique()
    rates = searched.groupby(["part", "point"], sort=False)["success"].mean().to_numpy()
    first = searched[searched["part"] == f"{SEARCH}_0"]
    per_point = len(searched) // len(rates)
    same = clean.merge(first.loc[first["point"] == 0, KEYS], on=KEYS)["success"].mean()
    worst = float(rates.min())
    return {
        "embodiment": robot,
        "population": len(rates) // iterations,
        "iterations": int(iterations),
        "episodes": per_point,
        "clean_same_episodes": float(same),
        "mean": float(rates.mean()),
        "mean_first": float(first["success"].mean()),
        "p10": float(np.quantile(rates, TENTH)),
        "worst": worst,
        "kept_worst": worst / float(same) if same > 0.0 else None,
        "factors": {name: _short(confirmed[f"factor_{name}"].iloc[0]) for name in NAMES},
        "units": {factor.name: factor.unit for factor in FACTORS},
        "confirmed": _rate(confirmed) | _kept(confirmed, clean),
    }


def _short(value: float) -> float:
    """Return a float32 as the decimal that was meant."""
    return float(f"{float(value):.6g}")


def table(entries: Sequence[Entry]) -> Table:
    """Return the sweeps, one row per level."""
    rows = []
    for entry in entries:
        low, high = entry["success_ci95"]
        ends = entry["kept_ci95"]
        ratio = NOTHING if entry["kept"] is None else f"{entry['kept']:.2f}"
        around = "" if ends is None else f" [{ends[0]:.2f}, {ends[1]:.2f}]"
        level, success = f"{entry['level']:g} {entry['unit']}", f"{entry['success']:.1%} [{low:.0%}, {high:.0%}]"
        rows.append((entry["embodiment"], entry["factor"], level, success, f"{ratio}{around}"))
    head = ("robot", "factor", "level", "success [95 %]", "relative to undisturbed [95 %]")
    return of_rows("Success under one disturbance", head, rows)
