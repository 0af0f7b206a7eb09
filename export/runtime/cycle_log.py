"""One line of JSON per control cycle: ages, what was asked, what was done, and what stood in the way."""

import json
from pathlib import Path

import numpy as np

from export.runtime.messages import Report


class CycleLog:
    """Appends to a file, line by line, so that a crash leaves everything up to it; ``pipeline replay`` plots it."""

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
