"""How the figures of a cell are written: rates, means and differences as text, with their intervals."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.episodes import statistics
from pipeline.evaluation.episodes.summary import Cell

_NARROW_POINTS = 2.0
"""Intervals narrower than this are written with a decimal: 95.9 [96, 96] says nothing."""


def success_interval(cell: Cell) -> tuple[float, float]:
    """Return the 95 % interval of a cell's success: Wilson's, or the scene-clustered one where that is wider."""
    return _wider(cell["success_ci95"], cell.get("success_ci95_scenes"))


def rate_with_interval(cell: Cell) -> str:
    """Return a cell's success with its interval; a dash where nothing was driven."""
    return "–" if cell["success"] is None else _rate(cell["success"], success_interval(cell))


def _rate(rate: float, interval: tuple[float, float]) -> str:
    """Return a rate in % with its interval."""
    low, high = (100.0 * end for end in interval)
    digits = 1 if high - low < _NARROW_POINTS else 0
    # The hard space lets a narrow column break before the interval, not within it.
    return f"{percent(rate)} [{low:.{digits}f},\u00a0{high:.{digits}f}]"


def rate_and_mishaps(cells: Sequence[Cell]) -> str:
    """Return success, collisions and falls as means over cells; the interval's ends are means too."""
    driven = [cell for cell in cells if cell["success"] is not None]
    if not driven:
        return "–"
    success, collision, fall = (
        float(np.mean([cell[key] for cell in driven])) for key in ("success", "collision", "fall")
    )
    low, high = np.mean([success_interval(cell) for cell in driven], axis=0)
    return f"{_rate(success, (float(low), float(high)))}, {percent(collision)} + {percent(fall)}"


def mishaps_with_interval(cell: Cell) -> str:
    """Return a cell's collisions and falls with their intervals; a dash where nothing was driven."""
    if cell["collision"] is None:
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


def points(difference: Cell) -> str:
    """Return a difference of rates in points."""
    return signed(difference["difference"], difference["ci95"], scale=100.0, digits=1)


def signed(difference: float, interval: Sequence[float] | None, *, scale: float, digits: int) -> str:
    """Return a difference with its interval, both times ``scale``, every number with its sign."""
    text = f"{scale * difference:+.{digits}f}"
    if interval is not None:
        low, high = (f"{scale * end:+.{digits}f}" for end in interval)
        text += f" [{low},\u00a0{high}]"
    return text.replace("-", "−")


def is_number(value: object) -> bool:
    """Tell whether a value of a cell is a number (rates and means are; hashes, names and intervals are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def percent(rate: float | None) -> str:
    """Return a rate (0 to 1) in %, without the sign; a dash where it is undefined."""
    return "–" if rate is None else f"{100.0 * rate:.1f}"


def number(value: float | None, *, digits: int = 2) -> str:
    """Return a number; a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"
