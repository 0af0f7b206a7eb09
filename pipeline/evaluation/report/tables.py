"""The numbers of the report as tables of text: for the page, and as Markdown for the README."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.agents import registry as agents
from pipeline.evaluation.episodes.summary import ALL, Cell
from pipeline.evaluation.report import published
from pipeline.evaluation.report.formatting import (
    is_number,
    label,
    mean_with_interval,
    mishaps_with_interval,
    number,
    percent,
    points,
    rate_and_mishaps,
    rate_with_interval,
)
from pipeline.simulation.navigation.episodes import FEASIBLE_SHARE

Summary = dict[str, list[Cell]]

ROBOT_LOSS, CELL_LOSS = 0.015, 0.04
"""How much success the generalist may lose against the specialist: in a robot's mean, in any cell."""
EYES_WORTH = 0.10
"""How much success the generalist must lose without its eyes, or the scenes are too easy."""

_WIDER = "95 % intervals in brackets, the wider of Wilson's and the scene-clustered bootstrap's."
_PAIRED = (
    "Over the same episodes; 95 % intervals in brackets, the wider of the scene-clustered bootstrap's and Newcombe's "
    "for paired rates."
)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Something the recipe promises, and what was measured."""

    text: str
    measured: str
    verdict: Literal["kept", "open", "broken"]
    """``kept`` and ``broken`` for certain (95 %), in every row that the promise is about; ``open`` otherwise"""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A table of text; the first column is the row's heading."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown."""
        lines = [f"**{self.title}**", "", _line(self.head), _line(["---", *(["--:"] * (len(self.head) - 1))])]
        lines += [_line(row) for row in self.rows]
        text = "\n".join([*lines, "", self.note] if self.note else lines) + "\n"
        return text.replace("\u00a0", " ")


@dataclass(frozen=True, kw_only=True)
class _Column:
    key: str
    label: str
    digits: int
    is_rate: bool = False

    def text(self, value: float | None) -> str:
        return percent(value) if self.is_rate else number(value, digits=self.digits)


QUALITY = (
    _Column(key="success", label="success %", digits=1, is_rate=True),
    _Column(key="success_settled", label="settled %", digits=1, is_rate=True),
    _Column(key="spl", label="SPL", digits=2),
    _Column(key="soft_spl", label="SoftSPL", digits=2),
    _Column(key="sct", label="SCT", digits=2),
    _Column(key="collision", label="collision %", digits=1, is_rate=True),
    _Column(key="fall", label="fall %", digits=1, is_rate=True),
    _Column(key="timeout", label="timeout %", digits=1, is_rate=True),
    _Column(key="time_s", label="time s", digits=1),
    _Column(key="wtt_s", label="WTT s", digits=0),
    _Column(key="min_clearance_m", label="clearance m", digits=2),
    _Column(key="jerk_mps3", label="jerk m/s³", digits=1),
    _Column(key="path_m", label="path m", digits=1),
    _Column(key="stopped_share", label="stopped %", digits=1, is_rate=True),
    _Column(key="energy_j_per_m", label="energy J/m", digits=0),
    _Column(key="energy_j", label="energy J", digits=0),
    _Column(key="broken", label="broken %", digits=1, is_rate=True),
)
NO_FIGURES = {"seed", "training_seed", "episodes"}
"""Numbers in a cell that are no figures of merit"""


def routes(summary: Summary) -> tuple[str, ...]:
    """Return the routes in the order of the evaluation; the first one headlines."""
    return tuple(dict.fromkeys(cell["route"] for cell in summary["cells"]))


def success_table(summary: Summary, *, route: str) -> TextTable:
    """Return success per robot and agent with 95 % intervals."""
    rows = [cell for cell in summary["pooled"] if cell["route"] == route]
    agents = _agents(rows)
    found = {(cell["embodiment"], cell["agent"]): cell for cell in rows}
    body = [
        (name, *(rate_with_interval(found.get((robot, agent))) for agent in agents))
        for robot, name in _row_names(summary, rows).items()
    ]
    first = summary["cells"][0]
    episodes = {cell["episodes"] for cell in summary["cells"]}
    scenes = list(dict.fromkeys(cell["scene"] for cell in summary["cells"]))
    return TextTable(
        title=f"Success in %, {route} route",
        head=("robot", *agents),
        rows=tuple(body),
        note=f"Protocol {first['protocol']}, {'/'.join(str(n) for n in sorted(episodes))} episodes in each of "
        f"{', '.join(scenes)} ({first['split']} split), the same for every agent{_left_out(first['protocol'])}. "
        f"{_WIDER}",
    )


def mishap_table(summary: Summary, *, route: str) -> TextTable:
    """Return collisions and falls per robot and agent with 95 % intervals, for they stand beside every success."""
    rows = [cell for cell in summary["pooled"] if cell["route"] == route and "collision" in cell]
    agents = _agents(rows)
    found = {(cell["embodiment"], cell["agent"]): cell for cell in rows}
    body = [
        (name, *(mishaps_with_interval(found.get((robot, agent))) for agent in agents))
        for robot, name in _row_names(summary, rows).items()
    ]
    return TextTable(
        title=f"Collisions + falls in %, {route} route",
        head=("robot", *agents),
        rows=tuple(body),
        note=f"{_WIDER} Falls that never happened are written without one.",
    )


def efficiency_table(summary: Summary, *, route: str, agents: Sequence[str]) -> TextTable:
    """Return how short and fast the ways of some agents are, with 95 % intervals."""
    names = {"spl": "SPL", "soft_spl": "SoftSPL", "sct": "SCT"}
    chosen = [cell for cell in summary["pooled"] if cell["route"] == route and cell["agent"] in agents]
    rows = [cell for cell in chosen if any(cell.get(f"{name}_ci95_scenes") for name in names)]
    body = [
        (f"{name}, {cell['agent']}", *(mean_with_interval(cell, key) for key in names))
        for robot, name in _row_names(summary, rows).items()
        for cell in rows
        if cell["embodiment"] == robot
    ]
    return TextTable(
        title=f"Path efficiency, {route} route",
        head=("robot", *names.values()),
        rows=tuple(body),
        note="Scene-clustered 95 % intervals in brackets.",
    )


def scene_table(summary: Summary, *, route: str, agents: Sequence[str]) -> TextTable:
    """Return success, collisions and falls of some agents: a row per robot and agent, a column per scene."""
    cells = [cell for cell in summary["cells"] if cell["route"] == route and cell["agent"] in agents]
    scenes, shown = list(dict.fromkeys(cell["scene"] for cell in cells)), _agents(cells)
    known = {(cell["agent"], cell["embodiment"]) for cell in cells if not cell["unseen"]}
    robots = {robot for _, robot in known}
    everywhere = {agent for agent in shown if all((agent, robot) in known for robot in robots)}
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        is_pooled = not cell["unseen"] and cell["agent"] in everywhere
        for robot in (cell["embodiment"], ALL) if is_pooled else (cell["embodiment"],):
            groups.setdefault((robot, cell["agent"], cell["scene"]), []).append(cell)
    names = _row_names(summary, cells) | {ALL: robot_name(ALL)}
    body = [
        (f"{name}, {agent}", *(rate_and_mishaps(groups.get((robot, agent, scene), ())) for scene in scenes))
        for robot, name in names.items()
        for agent in shown
        if any((robot, agent, scene) in groups for scene in scenes)
    ]
    return TextTable(
        title=f"Scene by scene, in %, {route} route",
        head=("robot", *scenes),
        rows=tuple(body),
        note=f"Success, then collisions + falls. {_WIDER} All robots: means over those that were trained on, with the "
        "means of their intervals' ends, as wide as if all of them failed in the same scenes.",
    )


def scene_difference_table(summary: Summary, *, route: str) -> TextTable:
    """Return what distillation cost in success, cell by cell, in points: a row per robot, a column per scene."""
    rows = [c for c in summary["comparisons"] if c["route"] == route and c["metric"] == "success" and c["scene"] != ALL]
    scenes = list(dict.fromkeys(c["scene"] for c in rows))
    found = {(c["embodiment"], c["scene"]): c for c in rows}
    return TextTable(
        title=f"Generalist − specialist, scene by scene, in points, {route} route",
        head=("robot", *scenes),
        rows=tuple(
            (name, *(points(found.get((robot, scene))) for scene in scenes))
            for robot, name in _row_names(summary, rows).items()
        ),
        note=_PAIRED,
    )


def headline(summary: Summary, *, route: str) -> TextTable:
    """Return success of the recipe's three steps, to stand beside COMPASS's own figures."""
    table = success_table(summary, route=route)
    shown = [0, *(column for column, agent in enumerate(table.head) if agent in published.AGENTS)]
    rows = tuple(tuple(row[column] for column in shown) for row in table.rows)
    head = tuple(table.head[column] for column in shown)
    return TextTable(title=f"Here: success in %, {route} route", head=head, rows=rows if len(shown) > 1 else ())


def quality_table(summary: Summary, *, route: str, agents: Sequence[str]) -> TextTable:
    """Return the other figures of some agents, per robot; figures that no cell defines have no column."""
    rows = [cell for cell in summary["pooled"] if cell["route"] == route and cell["agent"] in agents]
    columns = [column for column in _quality_columns(rows) if any(column.key in cell for cell in rows)]
    body = [
        (f"{name}, {cell['agent']}", *(column.text(cell.get(column.key)) for column in columns))
        for robot, name in _row_names(summary, rows).items()
        for cell in rows
        if cell["embodiment"] == robot
    ]
    note = (
        "Time, path and energy in J are means over successes, energy in J/m is over all episodes, WTT COMPASS's "
        "weighted travel time (episodes × mean time)."
    )
    head = ("robot", *(column.label for column in columns))
    return TextTable(title=f"More figures, {route} route", head=head, rows=tuple(body), note=note)


def _quality_columns(rows: Sequence[Cell]) -> list[_Column]:
    """Return the columns that are always there, then one for every further figure of the cells."""
    known = {column.key for column in QUALITY}
    further = dict.fromkeys(key for cell in rows for key in cell if key not in known | NO_FIGURES)
    numbers = [key for key in further if any(is_number(cell.get(key)) for cell in rows)]
    return [*QUALITY, *(_Column(key=key, label=label(key), digits=2) for key in numbers)]


def difference_table(summary: Summary, *, route: str) -> TextTable:
    """Return the paired differences in success between agents, in points."""
    rows = [c for c in summary["comparisons"] if c["route"] == route and c["metric"] == "success" and c["scene"] == ALL]
    pairs = list(dict.fromkeys((c["first"], c["second"]) for c in rows))
    found = {(c["embodiment"], c["first"], c["second"]): c for c in rows}
    body = [
        (name, *(points(found.get((robot, *pair))) for pair in pairs))
        for robot, name in _row_names(summary, rows).items()
    ]
    return TextTable(
        title=f"Paired differences in success, in points, {route} route",
        head=("robot", *(f"{first} − {second}" for first, second in pairs)),
        rows=tuple(body),
        note=_PAIRED,
    )


def published_table() -> TextTable:
    """Return COMPASS's own figures."""
    body = []
    for robot in published.TABLE:
        rates = [f"{100.0 * published.mean_success(robot, agent):.1f}" for agent in published.AGENTS]
        times = f"{published.mean_time_s(robot, 'generalist'):.1f}"
        body.append((robot, *rates, times))
    steps = ", ".join(f"{agent} is its {name}" for agent, name in published.AGENTS.items() if name.lower() != agent)
    return TextTable(
        title="Published elsewhere: COMPASS, success in %",
        head=("robot", *published.AGENTS, "time s"),
        rows=tuple(body),
        note="From arXiv 2502.16372: other robots and limits, other scenes, another simulator (Isaac Sim), RGB and no "
        f"depth, 640 episodes per cell, straight route, means over four scenes; {steps}; time is the generalist's. Not "
        "measured here, and not comparable number by number.",
    )


def acceptance_criteria(summary: Summary) -> list[Criterion]:
    """Return what the recipe promises and whether it was kept, as far as it was measured."""
    found = [c for c in summary["comparisons"] if c["metric"] == "success"]
    distilled = [c for c in found if (c["first"], c["second"]) == ("generalist", "specialist")]
    robots = [c for c in distilled if c["scene"] == ALL and c["embodiment"] != ALL]
    cells = [c for c in distilled if c["scene"] != ALL]
    blind = [c for c in found if (c["first"], c["second"]) == ("generalist", "blind") and c["embodiment"] == ALL]
    return [
        *_criterion("Distillation: no robot's mean loses more than 1.5 points", robots, at_least=-ROBOT_LOSS),
        *_criterion("Distillation: no cell loses more than 4 points", cells, at_least=-CELL_LOSS),
        *_criterion("Eyes: without depth the generalist loses at least 10 points", blind, at_least=EYES_WORTH),
    ]


def _criterion(text: str, rows: Sequence[Cell], *, at_least: float) -> list[Criterion]:
    """Judge all differences, and show the worst of those that decide: broken before open before kept."""
    if not rows:
        return []
    broken = [c for c in rows if c["ci95"] is not None and c["ci95"][1] < at_least]
    worst = min(broken or rows, key=lambda c: float(c["difference"]))
    place = [
        robot_name(worst["embodiment"]),
        "" if worst["scene"] == ALL else worst["scene"],
        f"{worst['route']} route",
    ]
    measured = f"at worst {points(worst)} ({', '.join(word for word in place if word)})"
    certain = all(c["ci95"] is not None and c["ci95"][0] >= at_least for c in rows)
    kept_or_open: Literal["kept", "open"] = "kept" if certain else "open"
    return [Criterion(text=text, measured=measured, verdict="broken" if broken else kept_or_open)]


def markdown(summary: Summary) -> str:
    """Return the tables for the README."""
    tables = []
    for route in routes(summary):
        tables += [success_table(summary, route=route), mishap_table(summary, route=route)]
        tables.append(difference_table(summary, route=route))
    tables.append(quality_table(summary, route=routes(summary)[0], agents=("specialist", "generalist")))
    return "\n".join(table.markdown() for table in [*tables, published_table()] if table.rows)


def _agents(rows: Sequence[Cell]) -> list[str]:
    present = {cell["agent"] for cell in rows}
    return sorted(present, key=lambda name: agents.get(name).order)


def _row_names(summary: Summary, rows: Sequence[Cell]) -> dict[str, str]:
    """Return robot -> what its row is called; those that nothing was trained on last."""
    unseen = {cell["embodiment"] for cell in summary["pooled"] if cell.get("unseen")}
    robots = sorted(dict.fromkeys(cell["embodiment"] for cell in rows), key=lambda robot: robot in unseen)
    return {robot: robot_name(robot) + (", never trained on" if robot in unseen else "") for robot in robots}


def robot_name(name: str) -> str:
    """Return what a row's robot is called."""
    return "all robots" if name == ALL else name


def _left_out(protocol: str) -> str:
    """Say which goals the protocol leaves out, as a part of a sentence."""
    if protocol != "compass":
        return ""
    share = f"{100 * FEASIBLE_SHARE:.0f} %"
    return f", without goals that the fastest drive takes more than {share} of the time for (ADR 0009)"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"
