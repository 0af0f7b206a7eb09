"""The figures of an evaluation as tables of text, for the page, the README and the pages of the shipped policies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.agents import registry as agents
from pipeline.evaluation.episodes.summary import ALL, Cell
from pipeline.evaluation.report import published
from pipeline.evaluation.report.formatting import (
    mean_with_interval,
    mishaps_with_interval,
    number,
    percent,
    points,
    rate_and_mishaps,
    rate_with_interval,
    signed,
)
from pipeline.evaluation.report.table import NOTHING, Table, of_rows, pivot
from pipeline.simulation.navigation.episodes import FEASIBLE_FRACTION

Summary = dict[str, list[Cell]]

OVERVIEW_AGENTS = ("go_straight", "planner", "base", "specialist", "generalist", "teacher")
"""Rows of the small table"""
_INTERVALS = "95 % intervals in brackets, the wider of Wilson's and the scene-clustered bootstrap's."
_PAIRED = (
    "Over the same episodes; 95 % intervals in brackets, the wider of the scene-clustered bootstrap's and Newcombe's "
    "for paired rates."
)
_RATE: Callable[[float | None], str] = percent
_WHOLE, _TENTHS, _HUNDREDTHS = (lambda value, n=n: number(value, digits=n) for n in (0, 1, 2))
QUALITY: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "success": ("success %", _RATE),
    "success_settled": ("settled %", _RATE),
    "success_feasible": ("success of feasible goals %", _RATE),
    "spl": ("SPL", _HUNDREDTHS),
    "soft_spl": ("SoftSPL", _HUNDREDTHS),
    "sct": ("SCT", _HUNDREDTHS),
    "collision": ("collision %", _RATE),
    "fall": ("fall %", _RATE),
    "timeout": ("timeout %", _RATE),
    "time_s": ("time s", _TENTHS),
    "wtt_s": ("WTT s", _WHOLE),
    "min_clearance_m": ("clearance m", _HUNDREDTHS),
    "jerk_mps3": ("jerk m/s³", _TENTHS),
    "path_m": ("path m", _TENTHS),
    "stopped_share": ("stopped %", _RATE),
    "energy_j_per_m": ("energy J/m", _WHOLE),
    "energy_j": ("energy J", _WHOLE),
    "broken": ("broken %", _RATE),
    "person_bumped": ("bumped by a person %", _RATE),
    "near_person_s": ("near a person s", _TENTHS),
}
"""Figure of a cell -> heading, and how it is written"""
PEOPLE = ("person_bumped", "near_person_s")
"""Figures that mean something only where people walk"""
_METRIC_NAMES = {"success": "success in points", "collision": "collisions in points", "sct": "SCT"}
_EFFICIENCY = {"spl": "SPL", "soft_spl": "SoftSPL", "sct": "SCT"}


def routes(summary: Summary) -> tuple[str, ...]:
    """Return the routes in the order of the evaluation; the first one headlines."""
    return tuple(dict.fromkeys(cell["route"] for cell in summary["cells"]))


def of_route(
    summary: Summary, *, route: str, agents: Sequence[str], scene_by_scene: bool = False, quality: bool = True
) -> list[Table]:
    """Return the tables of one route in the order in which pages show them, without empty ones.

    Args:
        agents: Those whose scenes, efficiency and further figures are shown.
        scene_by_scene: Whether there are tables with one column per scene.
        quality: Whether there are the tables of further figures.
    """
    found = [success_table(summary, route=route), mishap_table(summary, route=route)]
    if scene_by_scene:
        found.append(scene_table(summary, route=route, agents=agents))
    found.append(difference_table(summary, route=route))
    if scene_by_scene:
        found.append(scene_difference_table(summary, route=route))
    if quality:
        found.append(quality_table(summary, route=route, agents=agents))
        found.append(efficiency_table(summary, route=route, agents=agents))
    return [table for table in found if table.rows]


def of_all_routes(summary: Summary, *, agents: Sequence[str], scene_by_scene: bool = False) -> list[Table]:
    """Return the tables over all routes together, then those of each route."""
    together = [over_routes_table(summary)] if summary.get("over_routes") else []
    by_route = [of_route(summary, route=r, agents=agents, scene_by_scene=scene_by_scene) for r in routes(summary)]
    return [*together, *(table for found in by_route for table in found)]


def success_table(summary: Summary, *, route: str) -> Table:
    """Return success per robot and agent with 95 % intervals."""
    first = summary["cells"][0]
    episodes = "/".join(str(n) for n in sorted({cell["episodes"] for cell in summary["cells"]} - {0}))
    scenes = ", ".join(dict.fromkeys(cell["scene"] for cell in summary["cells"]))
    note = (
        f"Protocol {first['protocol']}{_conditions(first)}, {episodes} episodes in each of {scenes} ({first['split']} "
        f"split), the same for every agent{_goals(summary['cells'])}. {_INTERVALS}"
    )
    cells = _of_route(summary["pooled"], route)
    return _by_agent(summary, cells, f"Success in %, {route} route", text=rate_with_interval, note=note)


def mishap_table(summary: Summary, *, route: str) -> Table:
    """Return collisions and falls per robot and agent with 95 % intervals."""
    cells = [cell for cell in _of_route(summary["pooled"], route) if "collision" in cell]
    note = f"{_INTERVALS} Falls that never happened are written without one."
    return _by_agent(summary, cells, f"Collisions + falls in %, {route} route", text=mishaps_with_interval, note=note)


def _by_agent(summary: Summary, cells: Sequence[Cell], title: str, *, text: Callable[[Cell], str], note: str) -> Table:
    names = _row_names(summary, cells)
    frame = pivot(
        cells,
        row=lambda cell: names[cell["embodiment"]],
        column=lambda cell: str(cell["agent"]),
        text=text,
        rows=list(names.values()),
        columns=_agents(cells),
    )
    return Table(title=title, frame=frame, note=note)


def difference_table(summary: Summary, *, route: str) -> Table:
    """Return the paired differences in success between agents, in points."""
    rows = [c for c in _differences(summary, route) if c["scene"] == ALL]
    title = f"Paired differences in success, in points, {route} route"
    return _of_differences(summary, rows, title, column=lambda c: f"{c['first']} − {c['second']}")


def over_routes_table(summary: Summary) -> Table:
    """Return the paired differences in success, collisions and SCT over all routes together."""
    return _of_differences(
        summary,
        summary["over_routes"],
        "Paired differences over all routes",
        column=lambda c: f"{c['first']} − {c['second']}, {_METRIC_NAMES[c['metric']]}",
        text=lambda c: points(c) if c["metric"] != "sct" else signed(c["difference"], c["ci95"], scale=1.0, digits=3),
    )


def scene_difference_table(summary: Summary, *, route: str) -> Table:
    """Return what distillation cost in success in every scene, in points."""
    rows = [c for c in _differences(summary, route) if c["scene"] != ALL]
    title = f"Generalist − specialist, scene by scene, in points, {route} route"
    return _of_differences(summary, rows, title, column=lambda c: str(c["scene"]))


def _differences(summary: Summary, route: str) -> list[Cell]:
    return [c for c in _of_route(summary["comparisons"], route) if c["metric"] == "success"]


def _of_differences(
    summary: Summary,
    rows: Sequence[Cell],
    title: str,
    *,
    column: Callable[[Mapping[str, Any]], str],
    text: Callable[[Cell], str] = points,
) -> Table:
    names = _row_names(summary, rows)
    frame = pivot(
        rows,
        row=lambda c: names[c["embodiment"]],
        column=column,
        text=text,
        rows=list(names.values()),
        columns=list(dict.fromkeys(map(column, rows))),
    )
    return Table(title=title, frame=frame, note=_PAIRED)


def efficiency_table(summary: Summary, *, route: str, agents: Sequence[str]) -> Table:
    """Return how short and fast the paths of some agents are, with 95 % intervals."""
    chosen = [cell for cell in _of_route(summary["pooled"], route) if cell["agent"] in agents]
    chosen = [cell for cell in chosen if any(cell.get(f"{name}_ci95_scenes") for name in _EFFICIENCY)]
    rows = [(name, *(mean_with_interval(cell, key) for key in _EFFICIENCY)) for name, cell in _named(summary, chosen)]
    note = "Scene-clustered 95 % intervals in brackets."
    return of_rows(f"Path efficiency, {route} route", ("robot", *_EFFICIENCY.values()), rows, note=note)


def quality_table(summary: Summary, *, route: str, agents: Sequence[str]) -> Table:
    """Return the other figures of some agents, per robot; figures that no cell has get no column."""
    cells = [cell for cell in _of_route(summary["pooled"], route) if cell["agent"] in agents]
    nobody = PEOPLE if all(cell.get("conditions", "nominal") == "nominal" for cell in cells) else ()
    shown = [key for key in QUALITY if key not in nobody and any(key in cell for cell in cells)]
    columns = {key: QUALITY[key] for key in shown}
    rows = [
        (name, *(text(cell.get(key)) for key, (_, text) in columns.items())) for name, cell in _named(summary, cells)
    ]
    note = (
        "Time, path and energy in J are means over successes, energy in J/m is over all episodes, WTT COMPASS's "
        "weighted travel time (episodes × mean time)."
    )
    head = ("robot", *(label for label, _ in columns.values()))
    return of_rows(f"More figures, {route} route", head, rows, note=note)


def scene_table(summary: Summary, *, route: str, agents: Sequence[str]) -> Table:
    """Return success, collisions and falls of some agents: a row per robot and agent, a column per scene."""
    cells = [cell for cell in _of_route(summary["cells"], route) if cell["agent"] in agents]
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell["embodiment"], cell["agent"], cell["scene"]), []).append(cell)
    for cell in _poolable(cells):
        groups.setdefault((ALL, cell["agent"], cell["scene"]), []).append(cell)
    names = _row_names(summary, cells) | {ALL: robot_name(ALL)}
    scenes = list(dict.fromkeys(cell["scene"] for cell in cells))
    rows = [
        (f"{name}, {agent}", *(rate_and_mishaps(groups.get((robot, agent, scene), ())) for scene in scenes))
        for robot, name in names.items()
        for agent in _agents(cells)
        if any((robot, agent, scene) in groups for scene in scenes)
    ]
    note = (
        f"Success, then collisions + falls. {_INTERVALS} All robots: means over those that were trained on, with the "
        "means of their intervals' ends, as wide as if all of them failed in the same scenes."
    )
    return of_rows(f"Scene by scene, in %, {route} route", ("robot", *scenes), rows, note=note)


def _poolable(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that count for all robots: of known robots, by agents that drove every one of them."""
    known = [cell for cell in cells if not cell["unseen"]]
    robots = {cell["embodiment"] for cell in known}
    driven = {(cell["agent"], cell["embodiment"]) for cell in known}
    return [cell for cell in known if all((cell["agent"], robot) in driven for robot in robots)]


def overview(success: Sequence[Table]) -> Table:
    """Return the small table: agents × robots, success on every route.

    Args:
        success: What ``success_table`` returns, one per route.
    """
    driven = list(success[0].frame.columns)
    shown = [agent for agent in OVERVIEW_AGENTS if agent in driven] or driven
    rates = [table.frame[shown].map(lambda text: text.partition(" ")[0]) for table in success]
    joined = rates[0].copy()
    for other in rates[1:]:
        joined = joined + " /\u00a0" + other
    joined = joined.replace(" /\u00a0".join([NOTHING] * len(rates)), NOTHING).T
    joined.columns = [name.replace(", never trained on", " (unseen)") for name in joined.columns]
    names = " / ".join(table.title.removeprefix("Success in %, ").removesuffix(" route") for table in success)
    return Table(title=f"Success in %: {names} route", frame=joined.rename_axis("agent"))


def published_table() -> Table:
    """Return COMPASS's own figures."""
    rows = []
    for robot in published.TABLE:
        rates = [f"{100.0 * published.mean_success(robot, agent):.1f}" for agent in published.AGENTS]
        rows.append((robot, *rates, f"{published.mean_time_s(robot, 'generalist'):.1f}"))
    steps = ", ".join(f"{agent} is its {name}" for agent, name in published.AGENTS.items() if name.lower() != agent)
    return of_rows(
        "Published elsewhere: COMPASS, success in %",
        ("robot", *published.AGENTS, "time s"),
        rows,
        note="From arXiv 2502.16372: other robots and limits, other scenes, another simulator (Isaac Sim), RGB and no "
        f"depth, 640 episodes per cell, straight route, means over four scenes; {steps}; time is the generalist's. Not "
        "measured here, and not comparable number by number.",
    )


def markdown(summary: Summary) -> str:
    """Return the tables as Markdown."""
    found = [t for route in routes(summary) for t in of_route(summary, route=route, agents=(), quality=False)]
    found.append(quality_table(summary, route=routes(summary)[0], agents=("specialist", "generalist")))
    return "\n".join(table.markdown() for table in [*found, published_table()] if table.rows)


def robot_name(name: str) -> str:
    """Return the heading of a robot's row."""
    return "all robots" if name == ALL else name


def _of_route(entries: Sequence[Cell], route: str) -> list[Cell]:
    return [entry for entry in entries if entry["route"] == route]


def _agents(cells: Sequence[Cell]) -> list[str]:
    return in_order(cell["agent"] for cell in cells)


def in_order(names: Iterable[str]) -> list[str]:
    """Return agents in the order of tables and legends, each once."""
    return sorted(set(names), key=lambda name: (agents.get(name).order, name))


def _named(summary: Summary, cells: Sequence[Cell]) -> list[tuple[str, Cell]]:
    """Return "ROBOT, AGENT" and cell, robot by robot."""
    names = _row_names(summary, cells)
    order = {robot: place for place, robot in enumerate(names)}
    ordered = sorted(cells, key=lambda cell: order[cell["embodiment"]])
    return [(f"{names[cell['embodiment']]}, {cell['agent']}", cell) for cell in ordered]


def _row_names(summary: Summary, rows: Sequence[Cell]) -> dict[str, str]:
    """Return robot -> heading of its row; robots that nothing was trained on come last."""
    unseen = {cell["embodiment"] for cell in summary["pooled"] if cell.get("unseen")}
    robots = sorted(dict.fromkeys(cell["embodiment"] for cell in rows), key=lambda robot: robot in unseen)
    return {robot: robot_name(robot) + (", never trained on" if robot in unseen else "") for robot in robots}


def _conditions(cell: Cell) -> str:
    """Return the conditions as part of a sentence; nothing for nominal ones."""
    found = cell.get("conditions", "nominal")
    return "" if found == "nominal" else f", conditions {found}"


def _goals(cells: Sequence[Cell]) -> str:
    """Return which goals were set, as the end of a sentence; older evaluations left some out."""
    if cells[0]["protocol"] != "compass":
        return ""
    percentage = f"{100 * FEASIBLE_FRACTION:.0f} %"
    if any("success_feasible" in cell for cell in cells):
        return f", all goals; feasible are those that the fastest drive takes at most {percentage} of the time for"
    return f", without goals that the fastest drive takes more than {percentage} of the time for (ADR 0009)"
