"""How the figures of a cell are written: rates, means and differences as text, with their intervals."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.episodes import statistics
from pipeline.evaluation.episodes.summary import Cell

_NARROW_POINTS = 2.0
"""Intervals narrower than this are written with a decimal: 95.9 [96, 96] says nothing."""
_UNITS = {"_mps3": "m/s³", "_mps": "m/s", "_radps": "rad/s", "_wh": "Wh", "_w": "W"}
_UNITS |= {"_s": "s", "_m": "m"}
"""End of a key -> the unit that it says"""


def success_interval(cell: Cell) -> tuple[float, float]:
    """Return the 95 % interval of a cell's success: Wilson's, or the scene-clustered one where that is wider."""
    return _wider(cell["success_ci95"], cell.get("success_ci95_scenes"))


def rate_with_interval(cell: Cell | None) -> str:
    """Return a cell's success with its interval; a dash without a cell."""
    return "–" if cell is None else _rate(cell["success"], success_interval(cell))


def _rate(rate: float, interval: tuple[float, float]) -> str:
    """Return a rate in % with its interval."""
    low, high = (100.0 * end for end in interval)
    digits = 1 if high - low < _NARROW_POINTS else 0
    # a cell without room breaks before the interval, not within
    return f"{percent(rate)} [{low:.{digits}f},\u00a0{high:.{digits}f}]"


def rate_and_mishaps(cells: Sequence[Cell]) -> str:
    """Return the mean over cells, with that of the ends of their intervals."""
    if not cells:
        return "–"
    success, collision, fall = (
        float(np.mean([cell[key] for cell in cells])) for key in ("success", "collision", "fall")
    )
    low, high = np.mean([success_interval(cell) for cell in cells], axis=0)
    return f"{_rate(success, (float(low), float(high)))}, {percent(collision)} + {percent(fall)}"


def mishaps_with_interval(cell: Cell | None) -> str:
    """Return a cell's collisions and falls with their intervals; a dash without a cell."""
    if cell is None:
        return "–"
    collision = _rate(cell["collision"], _rate_interval(cell, "collision"))
    fall = _rate(cell["fall"], _rate_interval(cell, "fall")) if cell["fall"] else percent(cell["fall"])
    return f"{collision} +\u00a0{fall}"


def _rate_interval(cell: Cell, key: str) -> tuple[float, float]:
    """Return the 95 % interval of a rate of outcomes: Wilson's, or the scene-clustered one where that is wider."""
    wilson = statistics.wilson(round(cell[key] * cell["episodes"]), total=cell["episodes"])
    return _wider(wilson, cell.get(f"{key}_ci95_scenes"))


def _wider(wilson: Sequence[float] | None, scenes: Sequence[float] | None) -> tuple[float, float]:
    low, high = zip(*(ends for ends in (wilson, scenes) if ends is not None), strict=True)
    return min(low), max(high)


def mean_with_interval(cell: Cell, key: str) -> str:
    """Return a mean with its scene-clustered interval, if it has one."""
    interval = cell.get(f"{key}_ci95_scenes")
    ends = "" if interval is None else " [{:.2f},\u00a0{:.2f}]".format(*interval)
    return f"{number(cell.get(key))}{ends}"


def points(row: Cell | None) -> str:
    """Return a difference of rates in points; a dash without one."""
    return "–" if row is None else signed(row["difference"], row["ci95"], scale=100.0, digits=1)


def signed(difference: float, interval: Sequence[float] | None, *, scale: float, digits: int) -> str:
    """Return a difference with its interval, both times ``scale``, every number with its sign."""
    ends = (
        "" if interval is None else " [{:+.{n}f},\u00a0{:+.{n}f}]".format(*(scale * end for end in interval), n=digits)
    )
    return f"{scale * difference:+.{digits}f}{ends}".replace("-", "−")


def label(key: str) -> str:
    """Return a key as words, its unit last: ``energy_j`` is "energy J"."""
    end = next((end for end in _UNITS if key.endswith(end)), "")
    return f"{key.removesuffix(end).replace('_', ' ')} {_UNITS.get(end, '')}".rstrip()


def is_number(value: object) -> bool:
    """Tell whether a value of a cell is a number (rates and means are; hashes, names and intervals are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def percent(rate: float | None) -> str:
    """Return a rate (0 to 1) in %, without the sign; a dash where it is undefined."""
    return "–" if rate is None else f"{100.0 * rate:.1f}"


def number(value: float | None, *, digits: int = 2) -> str:
    """Return a number; a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"
