"""Robustness as curves and tables: one factor at a time, and the worst case over all of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluation.report.figures import Picture, data_uri, new_figure, robot_colour
from pipeline.evaluation.report.formatting import percent
from pipeline.evaluation.report.table import Table, of_rows

Row = Mapping[str, Any]


def read(file: Path) -> Mapping[str, Any]:
    """Return what ``robustness.json`` holds; nothing where it is not there."""
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def pictures(found: Mapping[str, Any]) -> list[Picture]:
    """Return one picture per factor: success over its level, one line per robot."""
    sweeps = found.get("sweeps") or []
    result = []
    for factor in dict.fromkeys(row["factor"] for row in sweeps):
        rows = [row for row in sweeps if row["factor"] == factor]
        result.append(Picture(source=data_uri(draw(rows)), caption=_caption(rows)))
    return result


def worst_case(found: Mapping[str, Any]) -> Table:
    """Return the worst case per robot; the note says what was tested, even without a search."""
    rows = found.get("worst_case") or []
    body = [
        (
            str(row["embodiment"]),
            percent(row.get("mean")),
            percent(row.get("p10")),
            percent(row.get("worst")),
            _run_again(row.get("confirmed")),
            percent(row.get("kept_worst")),
            f"{row.get('population', '–')} × {row.get('iterations', '–')} points × {row.get('episodes', '–')} goals",
            _point(row),
        )
        for row in rows
    ]
    head = (
        "robot",
        "mean %",
        "10th percentile %",
        "lowest found %",
        "run again %",
        "relative to undisturbed %",
        "tried",
        "at",
    )
    note = f"{_tested(found)} {_searched(found)}" if rows else _tested(found)
    return of_rows("Worst case over all factors, success", head, body, note=note)


def _tested(found: Mapping[str, Any]) -> str:
    """Return what was driven where, as far as the file says."""
    goals = "/".join(
        str(n) for n in sorted({row["episodes"] for row in found.get("sweeps") or [] if "episodes" in row})
    )
    words = [
        f"agent {found['agent']}" if "agent" in found else "",
        f"{found['route']} route" if "route" in found else "",
        f"protocol {found['protocol']}" if "protocol" in found else "",
        f"{goals} goals per robot and level" if goals else "",
        f"in {', '.join(found['scenes'])}" if "scenes" in found else "",
        f"{found['split']} split" if "split" in found else "",
    ]
    return f"Tested: {', '.join(word for word in words if word)}."


def _searched(found: Mapping[str, Any]) -> str:
    """Return how the worst case was searched, and what its figures mean."""
    reach = found.get("search_reach")
    extent = f", from nominal to {100 * reach:.0f} % of the range of each factor, on either side" if reach else ""
    return (
        f"Static worst case over all factors together, searched by the cross-entropy method{extent}. All points share "
        "goals, directions of biases and a person's phase; noise of depth and odometry is drawn anew. Lowest found is "
        "the lowest of many rates over few goals, hence biased low; run again is its point with a Wilson 95 % interval "
        "on all goals, those searched on among them. Relative: the lowest, divided by the rate of "
        "the same goals undisturbed."
    )


def _point(row: Row) -> str:
    units = row.get("units") or {}
    factors = row.get("factors") or {}
    return ", ".join(f"{_words(name)} {_plain(value, units.get(name))}" for name, value in factors.items())


def _run_again(rate: Row | None) -> str:
    if not rate:
        return "–"
    low, high = (100.0 * end for end in rate["success_ci95"])
    return f"{percent(rate['success'])} [{low:.0f},\u00a0{high:.0f}] of {rate['episodes']}"


def draw(rows: Sequence[Row]) -> Figure:
    """Return success over the levels of one factor, with 95 % intervals, one line per robot."""
    figure, axes = new_figure(width=3.2, height=2.3)
    for robot in dict.fromkeys(row["embodiment"] for row in rows):
        own = sorted((row for row in rows if row["embodiment"] == robot), key=lambda row: row["level"])
        x = [row["level"] for row in own]
        colour, rate = robot_colour(robot), [100.0 * row["success"] for row in own]
        axes.plot(x, rate, marker="o", markersize=3, linewidth=1.4, color=colour, label=robot)
        bounds = np.asarray([row.get("success_ci95") or (np.nan, np.nan) for row in own], dtype=float) * 100.0
        axes.fill_between(x, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.12, linewidth=0)
    unit = rows[0].get("unit")
    axes.set_xlabel(_words(rows[0]["factor"]) + (f" [{unit}]" if unit else ""))
    axes.set_ylabel("success in %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=7, ncols=2)
    return figure


def _caption(rows: Sequence[Row]) -> str:
    """Return the worst ratio to undisturbed success, per robot."""
    worst: dict[str, Row] = {}
    for row in rows:
        if row.get("kept") is not None and row["kept"] <= worst.get(row["embodiment"], row)["kept"]:
            worst[row["embodiment"]] = row
    said = [
        f"{robot} {percent(row['kept'])} % at {_plain(row['level'], row.get('unit'))}" for robot, row in worst.items()
    ]
    name = _words(rows[0]["factor"])
    return f"{name}; at worst relative to undisturbed: {', '.join(said)}" if said else name


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Any, unit: str | None) -> str:
    return (f"{value:.3g}" if isinstance(value, float) else str(value)) + (f" {unit}" if unit else "")
