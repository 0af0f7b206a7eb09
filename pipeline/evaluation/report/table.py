"""One table of text in a pandas frame: the page shows it, a file holds it as Markdown, the terminal prints it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

NOTHING = "–"
"""Stands where a figure is not defined"""
_MARKDOWN = re.compile(r"\*\*(?P<title>.+)\*\*\n\n(?P<body>(?:\|.*\n)+)(?:\n(?P<note>(?![*#|!]).+)\n)?")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text. The frame's index names the rows; the index's name heads their column."""

    title: str
    frame: pd.DataFrame
    note: str = ""

    @property
    def head(self) -> tuple[str, ...]:
        """Return the headings of all columns."""
        return (str(self.frame.index.name), *map(str, self.frame.columns))

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the rows, each with its heading first."""
        return tuple(tuple(map(str, row)) for row in self.frame.itertuples(name=None))

    def markdown(self) -> str:
        """Return the table in GitHub's Markdown."""
        rule = ["---", *(["--:"] * (len(self.head) - 1))]
        lines = [f"**{self.title}**", "", *("| " + " | ".join(row) + " |" for row in (self.head, rule, *self.rows))]
        text = "\n".join([*lines, "", self.note] if self.note else lines) + "\n"
        return text.replace("\u00a0", " ")

    def print(self) -> None:
        """Print the table to the terminal."""
        from rich.console import Console
        from rich.table import Table as Printed

        printed = Printed(*self.head, title=self.title, caption=self.note or None)
        for row in self.rows:
            printed.add_row(*row)
        Console().print(printed)


def of_rows(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, note: str = "") -> Table:
    """Return a table of rows that are text already."""
    frame = pd.DataFrame(list(rows), columns=list(head)).set_index(head[0])
    return Table(title=title, frame=frame, note=note)


def pivot(
    entries: Iterable[Mapping[str, Any]],
    *,
    row: Callable[[Mapping[str, Any]], str],
    column: Callable[[Mapping[str, Any]], str],
    text: Callable[[Any], str],
    rows: Sequence[str],
    columns: Sequence[str],
) -> pd.DataFrame:
    """Return a frame with one entry per row and column as text; a dash where there is none.

    Args:
        entries: What is shown.
        row: Names the row of an entry.
        column: Names its column.
        text: Writes it.
        rows: All rows in order.
        columns: All columns in order.
    """
    frame = pd.DataFrame(NOTHING, index=pd.Index(rows, name="robot"), columns=list(columns))
    for entry in entries:
        frame.loc[row(entry), column(entry)] = text(entry)
    return frame


def parse(markdown: str) -> list[Table]:
    """Return the tables of a text that ``Table.markdown`` wrote."""
    tables = []
    for found in _MARKDOWN.finditer(markdown):
        head, _, *rows = (line.strip("| ").split(" | ") for line in found["body"].splitlines())
        tables.append(of_rows(found["title"], head, rows, note=found["note"] or ""))
    return tables
