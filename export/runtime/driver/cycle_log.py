"""A log of a drive: one line of JSON per control cycle with reading ages, requested and sent command, gate and zone."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from export.runtime.driver.messages import Report

MAX_BYTES = 64 * 2**20
"""Default size limit of a log: about three hours."""


class CycleLog:
    """Appends to a file, line by line, so that a crash loses at most one; ``pipeline plot_drive`` plots it.

    The log never exceeds its size limit. At half the limit the file becomes ``NAME.old.jsonl``, which replaces an older
    one, and a new file begins with the same header: the newest part of a drive is always there.
    """

    def __init__(self, path: Path, *, header: dict[str, object], max_bytes: int = MAX_BYTES) -> None:
        """Begin a new file.

        Args:
            path: File to write; its folder is made if needed.
            header: First line: policy, robot, goal, limits.
            max_bytes: Size limit of both files together.

        Raises:
            FileExistsError: If the file is there: a log is never overwritten.
        """
        refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._header, self._max_bytes = path, json.dumps({"header": header}) + "\n", max_bytes
        self._has_rotated = False
        self._open()

    def write(self, report: Report, *, asked: np.ndarray) -> None:
        """Append a cycle.

        Args:
            report: What the driver reports; the depth image is left out.
            asked: (3,) the command that the policy asked for.
        """
        fields = {name: value for name, value in vars(report).items() if name != "depth_m"}
        line = json.dumps(fields | {"asked": [float(value) for value in asked]}) + "\n"
        if self._written + len(line) > self._max_bytes // 2:
            self._rotate()
        self._file.write(line)
        self._written += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _open(self) -> None:
        self._file = self._path.open("x", encoding="utf-8", buffering=1)
        self._file.write(self._header)
        self._written = len(self._header)

    def _rotate(self) -> None:
        self._file.close()
        old = old_part(self._path)
        self._path.replace(old)
        self._open()
        if not self._has_rotated:
            self._has_rotated = True
            limit = f"{self._max_bytes / 2**20:g} MiB"
            print(f"the log reached its limit of {limit}: older cycles move to {old}, then go", file=sys.stderr)


def refuse_existing(path: Path) -> None:
    """Refuse a log whose file, or whose older part, is there.

    Raises:
        FileExistsError: With the mend.
    """
    for file in (path, old_part(path)):
        if file.exists():
            raise FileExistsError(f"--log {file} exists already; choose another name or remove it")


def old_part(path: Path) -> Path:
    """Return where the older half of a log goes when it reaches its limit."""
    return path.with_name(f"{path.stem}.old{path.suffix}")


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
