"""What robustness tests found, as curves and tables: one factor at a time, and the worst case over all of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pipeline.evaluation.figures import Picture, data_uri, new_figure, robot_colour
from pipeline.evaluation.results import TextTable, number, percent

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


def worst_case(found: Mapping[str, Any]) -> TextTable:
    """Return the worst case per robot."""
    rows = found.get("worst_case") or []
    body = [
        (
            str(row["embodiment"]),
            percent(row.get("mean")),
            percent(row.get("p10")),
            percent(row.get("worst")),
            percent(row.get("kept_worst")),
            f"{row.get('population', '–')} × {row.get('iterations', '–')}",
            ", ".join(f"{_words(name)} {_plain(value)}" for name, value in (row.get("factors") or {}).items()),
        )
        for row in rows
    ]
    head = ("robot", "mean %", "10th percentile %", "worst found %", "kept of clean %", "tried", "at")
    note = (
        "Static worst case over all factors together, searched by the cross-entropy method with common random numbers; "
        "tried: population × iterations; kept: relative to the success without any disturbance."
    )
    return TextTable(title="Worst case over all factors, success", head=head, rows=tuple(body), note=note)


def draw(rows: Sequence[Row]) -> Figure:
    """Return success over the levels of one factor, with 95 % intervals, one line per robot."""
    figure, axes = new_figure(width=3.2, height=2.3)
    levels = list(dict.fromkeys(row["level"] for row in rows))
    are_numbers = not any(isinstance(level, str) for level in levels)
    levels = sorted(levels) if are_numbers else levels
    for robot in dict.fromkeys(row["embodiment"] for row in rows):
        own = sorted((row for row in rows if row["embodiment"] == robot), key=lambda row: levels.index(row["level"]))
        x = [row["level"] if are_numbers else levels.index(row["level"]) for row in own]
        colour, rate = robot_colour(robot), [100.0 * row["success"] for row in own]
        axes.plot(x, rate, marker="o", markersize=3, linewidth=1.4, color=colour, label=robot)
        bounds = np.asarray([row.get("success_ci95") or (np.nan, np.nan) for row in own], dtype=float) * 100.0
        axes.fill_between(x, bounds[:, 0], bounds[:, 1], color=colour, alpha=0.12, linewidth=0)
    if not are_numbers:
        axes.set_xticks(range(len(levels)), [str(level) for level in levels])
    unit = rows[0].get("unit")
    axes.set_xlabel(_words(rows[0]["factor"]) + (f" [{unit}]" if unit else ""))
    axes.set_ylabel("success in %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=7, ncols=2)
    return figure


def _caption(rows: Sequence[Row]) -> str:
    """Say what is kept at worst, per robot."""
    worst: dict[str, Row] = {}
    for row in rows:
        if row.get("kept") is not None and row["kept"] <= worst.get(row["embodiment"], row)["kept"]:
            worst[row["embodiment"]] = row
    said = [f"{robot} {percent(row['kept'])} % at {_plain(row['level'])}" for robot, row in worst.items()]
    name = _words(rows[0]["factor"])
    return f"{name}; kept of clean at worst: {', '.join(said)}" if said else name


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, str | int) else number(value)
