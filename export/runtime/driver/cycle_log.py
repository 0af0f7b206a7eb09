"""One line of JSON per control cycle: ages, what was asked, what was done, and what stood in the way."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from export.runtime.driver.messages import Report


class CycleLog:
    """Appends to a file, line by line, so that a crash leaves everything up to it; ``pipeline plot_drive`` plots it."""

    def __init__(self, path: Path, *, header: dict[str, object]) -> None:
        """Begin a new file.

        Args:
            header: First line: policy, robot, goal, limits.

        Raises:
            FileExistsError: If the file is there: a log is never overwritten.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("x", encoding="utf-8", buffering=1)
        self._file.write(json.dumps({"header": header}) + "\n")

    def write(self, report: Report, *, asked: np.ndarray) -> None:
        """Append a cycle."""
        fields = {name: value for name, value in vars(report).items() if name != "depth_m"}
        self._file.write(json.dumps(fields | {"asked": [float(value) for value in asked]}) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the header and the cycles of a log; a last line that was cut short is left out.

    Raises:
        FileNotFoundError: If there is no such log.
        ValueError: If it is not a log, or holds no cycle.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no log {path}; drive first: python -m export.runtime --log {path}")
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number + 1 < len(lines):
                raise ValueError(f"{path}, line {number + 1} is not JSON; this is not a log of the runtime") from None
    if len(rows) < 2 or "header" not in rows[0]:
        raise ValueError(f"{path} holds no cycle of a drive")
    return rows[0]["header"], rows[1:]
