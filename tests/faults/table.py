"""The result of all faults as one table."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Row:
    """What faults of one kind did to one thing."""

    test: str
    what: str
    trials: int = 0
    lost: int = 0
    silent: int = 0
    tracebacks: int = 0
    remark: str = ""
    failures: list[str] = field(default_factory=list)

    def note(
        self, fault: str, *, lost: bool = False, silent: bool = False, traceback: bool = False, output: str = ""
    ) -> None:
        """Count what a fault did."""
        self.lost, self.silent, self.tracebacks = self.lost + lost, self.silent + silent, self.tracebacks + traceback
        if lost or silent or traceback:
            kinds = [name for name, is_so in (("lost", lost), ("silent", silent), ("traceback", traceback)) if is_so]
            self.failures.append(f"{self.test}, {self.what}, {fault}: {', '.join(kinds)}\n{output[-1500:]}")

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, silent or a traceback."""
        return not (self.lost or self.silent or self.tracebacks)


def text(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown, a sum below every test."""
    lines = ["| fault | in | trials | lost | silent | tracebacks | |", "|---|---|---|---|---|---|---|"]
    for test in dict.fromkeys(row.test for row in rows):
        of_test = [row for row in rows if row.test == test]
        lines += [_line(row.test, row.what, row) for row in of_test]
        if len(of_test) > 1:
            total = Row(
                test=test,
                what="all",
                **{
                    name: sum(getattr(row, name) for row in of_test)
                    for name in ("trials", "lost", "silent", "tracebacks")
                },
            )
            lines.append(_line(f"**{test}**", "**all**", total))
    return "\n".join(lines) + "\n"


def _line(test: str, what: str, row: Row) -> str:
    return f"| {test} | {what} | {row.trials:,} | {row.lost} | {row.silent} | {row.tracebacks} | {row.remark} |"
