"""The picture that opens the report: does it drive, and what did learning add?"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.agents import registry as agents
from pipeline.evaluation.episodes.summary import ALL, Cell
from pipeline.evaluation.report.figures import new_figure
from pipeline.evaluation.report.formatting import percent, points, success_interval
from pipeline.evaluation.report.tables import Summary, robot_name, routes

DRIVERS = ("go_straight", "planner", "generalist", "teacher")
"""Agents of the first panel"""
LEARNING = (("specialist", "base"), ("generalist", "base"), ("generalist", "planner"))
"""Pairs of the second panel: first minus second is what learning added"""
_PAIR_COLOURS = ("#419d78", "#e0a458", "#2b59c3")
_LEAST_POINTS = 5.0
"""The second panel spans at least this much on both sides of zero: a small difference must look small"""
_WIDTH_IN, _ROW_IN = 4.4, 0.42


def sentences(summary: Summary) -> list[str]:
    """Return both answers in words, of all robots together or of the only one."""
    pooled = [cell for cell in summary["pooled"] if cell["agent"] == "generalist" and cell["success"] is not None]
    robots = {cell["embodiment"] for cell in pooled}
    whom = ALL if ALL in robots or len(robots) != 1 else robots.pop()
    pooled = [cell for cell in pooled if cell["embodiment"] == whom]
    said = []
    if pooled:
        rates = [f"{percent(cell['success'])} % {_brackets(cell)} on the {cell['route']} route" for cell in pooled]
        said.append(f"The generalist reaches {' and '.join(rates)} ({robot_name(pooled[0]['embodiment'])}).")
    for first, second in LEARNING:
        rows = [row for row in _pairs(summary, (first, second)) if row["embodiment"] == whom]
        if rows:
            by_route = " and ".join(f"{points(row)} on the {row['route']} route" for row in rows)
            is_clear = any(row["ci95"] is not None and row["ci95"][0] > 0.0 for row in rows)
            ending = "" if is_clear else ": no clear gain"
            said.append(f"Success of {first} − {second} in points: {by_route}{ending}.")
    return said


def _brackets(cell: Cell) -> str:
    return "[{:.1f}, {:.1f}]".format(*(100.0 * end for end in success_interval(cell)))


def does_it_drive(summary: Summary) -> Figure:
    """Return success per robot with 95 % intervals on the first route: a dot per agent."""
    route = routes(summary)[0]
    cells = [c for c in summary["pooled"] if c["route"] == route and c["success"] is not None]
    present = dict.fromkeys(cell["agent"] for cell in cells)
    drivers = [agent for agent in DRIVERS if agent in present] or list(present)
    cells = [cell for cell in cells if cell["agent"] in drivers]
    rows = _robots(cells)
    figure, axes = _panel(rows, title=f"Does it drive? ({route} route)")
    for place, agent in enumerate(drivers):
        own = [cell for cell in cells if cell["agent"] == agent]
        _dots(
            axes,
            [rows.index(cell["embodiment"]) + _dodge(place, len(drivers)) for cell in own],
            [100.0 * cell["success"] for cell in own],
            [tuple(100.0 * end for end in success_interval(cell)) for cell in own],
            colour=agents.get(agent).colour,
            label=agent,
        )
    axes.set_xlim(-2, 102)
    axes.set_xlabel("success in %, with 95 % interval")
    _legend(figure, axes)
    return figure


def what_learning_added(summary: Summary) -> Figure | None:
    """Return paired differences in success per robot with 95 % intervals; None if no such pair was driven.

    Filled dots are of the first route, hollow ones of the others.
    """
    found = [row for pair in LEARNING for row in _pairs(summary, pair)]
    if not found:
        return None
    rows, names = _robots(found), routes(summary)
    figure, axes = _panel(rows, title="What did learning add?")
    axes.axvline(0.0, color="#222222", linewidth=1.0)
    series = [(pair, route) for pair in LEARNING for route in names if _pairs(summary, pair)]
    reach = _LEAST_POINTS
    for place, (pair, route) in enumerate(series):
        own = [row for row in _pairs(summary, pair) if row["route"] == route and row["ci95"] is not None]
        ends = [(100.0 * row["ci95"][0], 100.0 * row["ci95"][1]) for row in own]
        reach = max([reach, *(1.05 * abs(end) for pair_of_ends in ends for end in pair_of_ends)])
        _dots(
            axes,
            [rows.index(row["embodiment"]) + _dodge(place, len(series)) for row in own],
            [100.0 * row["difference"] for row in own],
            ends,
            colour=_PAIR_COLOURS[LEARNING.index(pair)],
            label=f"{pair[0]} − {pair[1]}, {route}",
            is_hollow=route != names[0],
        )
    axes.set_xlim(-reach, reach)
    axes.set_xlabel("difference in success, points, with 95 % interval")
    _legend(figure, axes)
    return figure


def _pairs(summary: Summary, pair: tuple[str, str]) -> list[Cell]:
    return [
        row
        for row in summary["comparisons"]
        if (row["first"], row["second"]) == pair and row["metric"] == "success" and row["scene"] == ALL
    ]


def _robots(entries: Sequence[Cell]) -> list[str]:
    """Return the robots from top to bottom, all of them together first."""
    names = list(dict.fromkeys(entry["embodiment"] for entry in entries))
    return sorted(names, key=lambda name: name != ALL)


def _panel(robots: Sequence[str], *, title: str) -> tuple[Figure, Axes]:
    figure, axes = new_figure(width=_WIDTH_IN, height=1.3 + _ROW_IN * len(robots))
    axes.set_yticks(range(len(robots)), [robot_name(robot) for robot in robots])
    axes.set_ylim(len(robots) - 0.5, -0.5)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.grid(axis="x", alpha=0.25)
    for edge in range(1, len(robots)):
        axes.axhline(edge - 0.5, color="#d9dee5", linewidth=0.8)
    return figure, axes


def _dodge(place: int, count: int) -> float:
    return 0.7 * ((place + 0.5) / count - 0.5)


def _dots(
    axes: Axes,
    y: Sequence[float],
    x: Sequence[float],
    ends: Sequence[tuple[float, ...]],
    *,
    colour: str,
    label: str,
    is_hollow: bool = False,
) -> None:
    if not len(x):
        return
    middle, (low, high) = np.asarray(x), np.asarray(ends).T
    around = np.stack([(middle - low).clip(min=0.0), (high - middle).clip(min=0.0)])
    fill: dict[str, str] = {"markerfacecolor": "white"} if is_hollow else {}
    axes.errorbar(middle, y, xerr=around, fmt="o", color=colour, markersize=4, linewidth=1.2, label=label, **fill)


def _legend(figure: Figure, axes: Axes) -> None:
    handles: Callable[[], tuple[list[object], list[str]]] = axes.get_legend_handles_labels
    figure.legend(*handles(), loc="outside lower center", frameon=False, fontsize=8, ncols=2)
