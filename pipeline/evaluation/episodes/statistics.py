"""Confidence intervals that know that episodes in one scene are not independent."""

import math
from functools import cache

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
"""Bootstrap resamples: the end points of a 95 % interval then move by less than a tenth of its width."""

Interval = tuple[float, float]


def wilson(count: int, *, total: int) -> Interval | None:
    """Return the Wilson 95 % interval of a rate; None without trials."""
    return None if total == 0 else _wilson(count, total)


def _wilson(count: int, total: int) -> Interval:
    from scipy import stats  # its import takes half a second, in every process

    interval = stats.binomtest(int(count), int(total)).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def poisson_upper(count: int) -> float:
    """Return the exact one-sided upper 95 % bound of a Poisson mean of which ``count`` events were seen."""
    from scipy import stats

    return float(stats.chi2.ppf(CONFIDENCE, 2 * (count + 1)) / 2.0)


def mean_interval(values: np.ndarray, *, clusters: np.ndarray, seed: int = 0) -> Interval | None:
    """Return the 95 % bootstrap interval of a mean, resampling whole clusters (scenes).

    Args:
        values: (N,) one value per episode; nan where undefined, left out.
        clusters: (N,) the scene of each episode, any hashable label.
        seed: Of the resampling.

    Returns:
        Lower and upper end; None where fewer than two clusters hold a defined value.
    """
    means = _resampled_means(np.asarray(values, dtype=float), clusters=clusters, seed=seed)
    return None if means is None else _central(means)


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, clusters: np.ndarray
) -> tuple[float, Interval | None] | None:
    """Return the mean of first − second over the same episodes, with its scene-clustered 95 % bootstrap interval.

    Where both are 0 or 1 the interval is widened to ``paired_rate_difference``: where few episodes differ, resampling
    them can show no other difference, and the bootstrap's interval has no width or ends at zero. In a single scene,
    such as a user's map, it is the whole interval: of that scene alone.

    Args:
        first: (N,) values of one agent; nan where undefined.
        second: (N,) values of the other agent on the very same episodes, in the same order.
        clusters: (N,) the scene of each episode.

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
    interval = mean_interval(difference, clusters=clusters)
    defined = np.isfinite(difference)
    if np.isin(np.stack([first, second])[:, defined], (0.0, 1.0)).all():
        interval = wider(interval, paired_rate_difference(first[defined], second[defined]))
    return float(np.nanmean(difference)), interval


def wider(first: Interval | None, second: Interval | None) -> Interval | None:
    """Return the interval that covers both; the other one where one is not defined."""
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


def paired_rate_difference(first: np.ndarray, second: np.ndarray) -> Interval:
    """Return the 95 % score interval of a difference of two rates over the same trials, first − second.

    Args:
        first: (N,) 0 or 1, at least one trial.
        second: (N,) 0 or 1 of the very same trials, in the same order.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", method 10.
    """
    total = len(first)
    won, other = (np.asarray(values, dtype=bool) for values in (first, second))
    both, neither = int((won & other).sum()), int((~won & ~other).sum())
    only_first, only_second = int((won & ~other).sum()), int((~won & other).sum())
    product = both * neither - only_first * only_second
    # Continuity correction of the correlation, towards zero from above.
    corrected = max(product - total / 2.0, 0.0) if product > 0 else float(product)
    margins = math.prod((both + only_first, only_second + neither, both + only_second, only_first + neither))
    correlation = corrected / math.sqrt(margins) if margins else 0.0
    rates = won.mean(), other.mean()
    (low_1, high_1), (low_2, high_2) = (_wilson(int(values.sum()), total) for values in (won, other))
    difference = float(rates[0] - rates[1])
    below = _with_correlation(float(rates[0]) - low_1, high_2 - float(rates[1]), correlation)
    above = _with_correlation(high_1 - float(rates[0]), float(rates[1]) - low_2, correlation)
    return difference - below, difference + above


def _with_correlation(first: float, second: float, correlation: float) -> float:
    return math.sqrt(max(0.0, first**2 - 2.0 * correlation * first * second + second**2))


def rate_difference(first: int, second: int, *, totals: tuple[int, int]) -> Interval | None:
    """Return the 95 % interval of a difference of two rates of independent trials, first − second.

    Args:
        first: Successes of the first.
        second: Successes of the second.
        totals: Trials of the first and of the second.

    Returns:
        Lower and upper end; None where either has no trials.

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    interval_1, interval_2 = wilson(first, total=totals[0]), wilson(second, total=totals[1])
    if interval_1 is None or interval_2 is None:
        return None
    (low_1, high_1), (low_2, high_2) = interval_1, interval_2
    rate_1, rate_2 = first / totals[0], second / totals[1]
    below = math.hypot(rate_1 - low_1, high_2 - rate_2)
    above = math.hypot(high_1 - rate_1, rate_2 - low_2)
    return rate_1 - rate_2 - below, rate_1 - rate_2 + above


def independent_difference(
    first: np.ndarray, second: np.ndarray, *, clusters: tuple[np.ndarray, np.ndarray]
) -> Interval | None:
    """Return the 95 % bootstrap interval of mean(first) − mean(second) over different episodes, by whole scenes.

    Args:
        first: (N,) values; nan where undefined, left out.
        second: (M,) values.
        clusters: The scene of each episode of the first and of the second.

    Returns:
        Lower and upper end; None where either has fewer than two scenes.
    """
    means = [
        _resampled_means(np.asarray(values, dtype=float), clusters=scenes, seed=side)
        for side, (values, scenes) in enumerate(zip((first, second), clusters, strict=True))
    ]
    return None if means[0] is None or means[1] is None else _central(means[0] - means[1])


def _resampled_means(values: np.ndarray, *, clusters: np.ndarray, seed: int) -> np.ndarray | None:
    """Return the mean (RESAMPLES,) of each resample of whole clusters; None with fewer than two clusters."""
    defined = np.isfinite(values)
    names, members = np.unique(np.asarray(clusters)[defined], return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(members, weights=values[defined])  # (C,)
    counts = np.bincount(members).astype(float)  # (C,)
    drawn = _resamples(len(names), seed)
    means: np.ndarray = (drawn @ sums) / (drawn @ counts)
    return means


def _central(means: np.ndarray) -> Interval:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def paired_ratio(
    first: np.ndarray, second: np.ndarray, *, clusters: np.ndarray
) -> tuple[float, Interval | None] | None:
    """Return mean of first ÷ mean of second over the same episodes, with its scene-clustered 95 % bootstrap interval.

    Args:
        first: (N,) values under one condition.
        second: (N,) values of the very same episodes under the other, in the same order.
        clusters: (N,) the scene of each episode.

    Returns:
        Ratio and interval; None where the second mean is 0. No interval with fewer than two scenes. Resamples in which
        the second mean is 0 are left out.

    Raises:
        ValueError: If the two do not have the same number of episodes.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"a paired ratio needs the same episodes: found {len(first)} and {len(second)}.")
    if not len(second) or second.mean() == 0.0:
        return None
    names, members = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return float(first.mean() / second.mean()), None
    drawn = _resamples(len(names), 0)
    above, below = (drawn @ np.bincount(members, weights=values) for values in (first, second))
    ratios = above[below > 0.0] / below[below > 0.0]
    return float(first.mean() / second.mean()), _central(ratios)


@cache
def _resamples(clusters: int, seed: int) -> np.ndarray:
    """Return (RESAMPLES, C): how often each of C clusters is drawn when C are drawn with replacement."""
    index = np.random.default_rng(seed).integers(clusters, size=(RESAMPLES, clusters))
    flat = index + clusters * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * clusters).reshape(RESAMPLES, clusters).astype(float)
