"""Confidence intervals that know that episodes in one scene are not independent."""

from functools import cache

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Bootstrap resamples: the end points of a 95 % interval then move by less than a tenth of its width."""

Interval = tuple[float, float]


def wilson(count: int, *, total: int) -> Interval | None:
    """Return the Wilson 95 % interval of a rate; None without trials."""
    if total == 0:
        return None
    interval = stats.binomtest(int(count), int(total)).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def poisson_upper(count: int) -> float:
    """Return the exact one-sided upper 95 % bound of a Poisson mean of which ``count`` events were seen."""
    return float(stats.chi2.ppf(CONFIDENCE, 2 * (count + 1)) / 2.0)


def mean_interval(values: np.ndarray, *, clusters: np.ndarray, seed: int = 0) -> Interval | None:
    """Return the 95 % bootstrap interval of a mean, resampling whole clusters (scenes).

    Args:
        values: (N,) one value per episode; nan where undefined, left out.
        clusters: (N,) the scene of each episode, any hashable label.
        seed: of the resampling.

    Returns:
        Lower and upper end; None where fewer than two clusters hold a defined value.
    """
    values = np.asarray(values, dtype=float)
    defined = np.isfinite(values)
    if not defined.any():
        return None
    names, members = np.unique(np.asarray(clusters)[defined], return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(members, weights=values[defined])  # (C,)
    counts = np.bincount(members).astype(float)  # (C,)
    drawn = _resamples(len(names), seed)
    means = (drawn @ sums) / (drawn @ counts)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, clusters: np.ndarray, seed: int = 0
) -> tuple[float, Interval | None] | None:
    """Return the mean of first − second over the same episodes, with its scene-clustered 95 % bootstrap interval.

    Args:
        first: (N,) values of one agent; nan where undefined.
        second: (N,) values of the other agent on the very same episodes, in the same order.
        clusters: (N,) the scene of each episode.
        seed: of the resampling.

    Returns:
        Difference and interval; None where no episode is defined for both.

    Raises:
        ValueError: If the two do not have the same number of episodes.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs the same episodes: found {len(first)} and {len(second)}.")
    difference = first - second
    if not np.isfinite(difference).any():
        return None
    return float(np.nanmean(difference)), mean_interval(difference, clusters=clusters, seed=seed)


@cache
def _resamples(clusters: int, seed: int) -> np.ndarray:
    """Return (RESAMPLES, C): how often each of C clusters is drawn when C are drawn with replacement."""
    index = np.random.default_rng(seed).integers(clusters, size=(RESAMPLES, clusters))
    flat = index + clusters * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * clusters).reshape(RESAMPLES, clusters).astype(float)
