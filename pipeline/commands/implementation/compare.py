"""The page and the printed tables that compare two evaluations."""

import dataclasses
import json
from collections.abc import Sequence

from pipeline.agents import registry as agents
from pipeline.commands.compare import Config
from pipeline.evaluation.episodes import comparison
from pipeline.evaluation.episodes.comparison import RATES, Difference
from pipeline.evaluation.episodes.summary import ALL
from pipeline.evaluation.report import page
from pipeline.evaluation.report.formatting import number, percent, signed
from pipeline.evaluation.report.table import Table, of_rows
from pipeline.evaluation.report.tables import robot_name
from world_model import atomic_files

HTML, JSON = "compare.html", "compare.json"
SHOWN_SETTINGS = 20
"""In the terminal; the page has them all"""


def main(config: Config) -> None:
    """Print the table and write the page.

    Raises:
        ValueError: If a run has no finished evaluation, or the two have nothing in common.
    """
    first, second = comparison.read(config.run_a), comparison.read(config.run_b)
    found = comparison.differences(first, second)
    settings = comparison.settings(first, second)
    tables = _tables(found)
    config.out.mkdir(parents=True, exist_ok=True)
    context = {
        "title": "Two runs side by side",
        "names": (first.name, second.name),
        "tables": tables,
        "settings": settings,
    }
    atomic_files.write_text(config.out / HTML, page.render(context, template="compare.html.j2"))
    document = {
        "first": first.name,
        "second": second.name,
        "differences": [{**dataclasses.asdict(row), "difference": row.difference} for row in found],
        "settings": [dict(zip(("name", "first", "second"), row, strict=True)) for row in settings],
    }
    atomic_files.write_text(config.out / JSON, json.dumps(document, indent=1) + "\n")
    print(f"A: {first.name}\nB: {second.name}")
    _print(found, settings)
    print(f"wrote {config.out / HTML} and {JSON}")


def _tables(found: Sequence[Difference]) -> list[Table]:
    """Return one table per route and metric, robot by robot."""
    robots = sorted(dict.fromkeys(row.embodiment for row in found), key=lambda robot: robot == ALL)
    found = sorted(found, key=lambda row: (robots.index(row.embodiment), agents.get(row.agent).order))
    tables = []
    for route, metric in dict.fromkeys((row.route, row.metric) for row in found):
        rows = [row for row in found if (row.route, row.metric) == (route, metric)]
        name = "SPL" if metric == "spl" else f"{metric.capitalize()} in %"
        head = ("robot, agent", "A", "B", "B − A", "episodes")
        tables.append(of_rows(f"{name}, {route} route", head, map(_row, rows), note=_note(rows)))
    return tables


def _row(row: Difference) -> tuple[str, ...]:
    is_rate = row.metric in RATES
    values = [percent(value) if is_rate else number(value) for value in (row.first, row.second)]
    scale, digits = (100.0, 1) if is_rate else (1.0, 2)
    episodes = " and ".join(str(count) for count in row.episodes) if row.unpaired else str(row.episodes[0])
    difference = signed(row.difference, row.ci95, scale=scale, digits=digits)
    name = f"{robot_name(row.embodiment)}, {row.agent}"
    return name, *values, f"{difference}{' *' if row.is_clear else ''}", episodes


def _note(rows: Sequence[Difference]) -> str:
    """Return how the intervals were made, and why some rows could not be paired."""
    parts = []
    if any(not row.unpaired for row in rows):
        widened = ", widened to Newcombe's for paired rates" if rows[0].metric in RATES else ""
        parts.append(
            f"over the same episodes, with scene-clustered bootstrap 95 % intervals of the paired difference{widened}"
        )
    reasons = dict.fromkeys(row.unpaired for row in rows if row.unpaired)
    if reasons:
        kind = "bootstrap 95 % intervals by scenes"
        kind += ", widened to Newcombe's," if rows[0].metric in RATES else ""
        where = "where two counts of episodes stand, not" if len(parts) else "not"
        parts.append(f"{where} the same episodes ({'; '.join(reasons)}), so {kind} of independent samples")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}. *: the interval leaves out 0."


def _print(found: Sequence[Difference], settings: Sequence[tuple[str, str, str]]) -> None:
    differ = [row for row in found if not row.is_same]
    for table in _tables(differ):
        table.print()
    if len(differ) < len(found):
        print(f"{len(found) - len(differ)} of {len(found)} rows are equal episode by episode and not shown here.")
    if not settings:
        print("Nothing was set differently.")
        return
    more = len(settings) - SHOWN_SETTINGS
    note = f"and {more} more, all in {HTML}" if more > 0 else ""
    of_rows("What differs", ("setting", "A", "B"), settings[:SHOWN_SETTINGS], note=note).print()
