"""Write ``docs/results.md`` and the small table of the README, so that no figure is typed by hand."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.commands.fill_readme import Config
from pipeline.commands.implementation.ship_policy import BENCHMARK, read_training
from pipeline.evaluation.report import tables
from pipeline.evaluation.report.table import Table, parse
from pipeline.runs import manifest
from world_model import atomic_files

_SUCCESS, _PAIRED = "Success in %, ", "Paired differences "
BEGIN, END = "<!-- results:begin", "<!-- results:end -->"
_READING = """\
# Results

Written by `python -m pipeline fill_readme`. Do not edit it by hand.

* **Success** is COMPASS's: within 0.5 m of the goal, standing, heading within 0.1 rad, in time, without a collision or
  a fall before.
* On the **straight** route the robot knows a straight line to the goal. On the **planned** route it knows the shortest
  path on a map of walls and fixed furniture.
* `planner` is the policy's own local planner with nothing learned; `base`, `specialist` and `generalist` add learning
  to it. `blind` is the generalist with its depth image zeroed. `teacher` knows the whole map: a bound, no competitor.
* A table's note says which goals were set. Evaluations before 30 November 2026 left out those whose fastest drive
  exceeds 60 % of the time limit; all are set since ([ADR 0015](adr/0015-field-conditions.md)).
"""


def main(config: Config) -> None:
    """Write both files.

    Raises:
        ValueError: If the evaluation is not finished, there is no card, or the README lacks its markers.
    """
    if config.evaluation is not None:
        source, sections = str(config.evaluation), [_of_evaluation(config.evaluation)]
    else:
        source, sections = str(config.shipped), _of_shipped(config.shipped, results=config.results)
    in_short = "\n".join(table.markdown() for table in _overviews(config, parse(sections[0])))
    filled = fill(config.readme.read_text(encoding="utf-8"), in_short)
    page = [_READING, f"## In short\n\n{in_short}", *sections, f"## COMPASS\n\n{tables.published_table().markdown()}"]
    atomic_files.write_text(config.results, "\n".join(page))
    atomic_files.write_text(config.readme, filled)
    print(f"{config.results} and {config.readme} show the results of {source}")


def _overviews(config: Config, tables_of_card: Sequence[Table]) -> list[Table]:
    """Return the small tables, one per conditions, ``nominal`` first: the card's, then those of the pages beside it."""
    sources = [tables_of_card]
    if config.evaluation is None:
        seed = read_training(config.shipped)["seed"]
        sources += [_tables(page) for page in sorted(config.shipped.glob(BENCHMARK.format(f"*seed_{seed}")))]
    found: dict[str, Table] = {}
    for source in sources:
        success = [table for table in source if table.title.startswith(_SUCCESS)]
        conditions = _conditions(success[0])
        small = tables.overview(success)
        found.setdefault(conditions, replace(small, title=f"{small.title}, conditions {conditions}"))
    return sorted(found.values(), key=lambda table: not table.title.endswith(" nominal"))


def _conditions(table: Table) -> str:
    """Return the conditions that a table's note names; notes name none if they are nominal."""
    named = re.search(r", conditions (\w+)", table.note)
    return named[1] if named else "nominal"


def _of_evaluation(folder: Path) -> str:
    """Return the section about one evaluation."""
    try:
        manifest.verify(folder, stage="evaluate_policy")
    except manifest.ManifestError as error:
        command = f"python -m pipeline evaluate_policy --policy FILE.onnx --out {folder}"
        raise ValueError(f"{error}. Make it with: {command}.") from None
    summary: tables.Summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    learned = ("specialist", "generalist")
    return _section(f"Evaluation {folder.name}", tables.of_all_routes(summary, agents=learned))


def _of_shipped(folder: Path, *, results: Path) -> list[str]:
    """Return one section for the card of the shipped policies and one for every page of ``ship_benchmark``."""
    card = folder / "README.md"
    if not card.is_file():
        raise ValueError(f"no {card}; write it with: python -m pipeline ship_policy --run runs/NAME")
    sections = [_section("Shipped policies", _tables(card), note=f"From their [card]({_link(card, results)}).")]
    for page in sorted(folder.rglob(BENCHMARK.format("*"))):
        first, *lines = page.read_text(encoding="utf-8").splitlines()
        judged = "\n".join(line for line in lines if line.startswith("* "))
        note = f"{judged}\n\nScene by scene and with all figures: [`{page.name}`]({_link(page, results)})."
        shown = [table for table in _tables(page) if table.title.startswith((_SUCCESS, _PAIRED))]
        sections.append(_section(first.lstrip("# "), shown, note=note))
    return sections


def _tables(page: Path) -> list[Table]:
    return parse(page.read_text(encoding="utf-8"))


def _section(title: str, found: Sequence[Table], *, note: str = "") -> str:
    return "\n".join([f"## {title}\n", *([f"{note}\n"] if note else []), *(table.markdown() for table in found)])


def _link(path: Path, page: Path) -> str:
    return Path(os.path.relpath(path, page.parent)).as_posix()


def fill(text: str, table: str) -> str:
    """Return ``text`` with ``table`` between its markers.

    Raises:
        ValueError: If the markers are not there, each once and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"the README needs one line beginning with '{BEGIN}' and after it one '{END}'.")
    head, _, rest = text.partition(BEGIN)
    marker, _, rest = rest.partition("\n")
    return f"{head}{BEGIN}{marker}\n{table.strip()}\n{rest[rest.index(END) :]}"
