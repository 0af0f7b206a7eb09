"""Search for the worst case: the cross-entropy method over normalised factors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Score = Callable[[int, np.ndarray], np.ndarray]
"""Iteration and points (P, F) to scores (P,); the search looks for low ones"""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How the search goes."""

    population: int = 16
    """Points per iteration"""
    iterations: int = 5
    elite_fraction: float = 0.25
    """Fraction of a population that the next one is drawn around"""
    spread: float = 0.5
    """Standard deviation of the first population around the neutral point"""
    least_spread: float = 0.1
    """Scores are rates over few episodes: a search that narrows further only follows their noise"""
    pace: float = 0.7
    """How far mean and deviation move to those of the elite"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything that was tried, S = iterations × population points."""

    points: np.ndarray
    """(S, F)"""
    scores: np.ndarray
    """(S,)"""

    @property
    def worst(self) -> np.ndarray:
        """(F,) the point with the lowest score; of equals the one found last, for the search has moved on."""
        return self.points[len(self.scores) - 1 - int(np.argmin(self.scores[::-1]))]


def search(score: Score, *, low: np.ndarray, high: np.ndarray, config: SearchConfig, seed: int) -> Found:
    """Search for the point of the box with the lowest score.

    Source: Rubinstein and Kroese 2004, "The Cross-Entropy Method", ch. 5 (Gaussian family, smoothed updates).

    Args:
        low: (F,) lower ends of the box.
        high: (F,) upper ends.
        seed: Of the populations; equal seeds and scores find the same points.

    Raises:
        ValueError: If there is no room for an elite.
    """
    if config.population < 2 or config.iterations < 1:
        raise ValueError(f"a search needs 2 points and 1 iteration, found {config.population} and {config.iterations}.")
    generator = np.random.default_rng(seed)
    mean, deviation = np.clip(np.zeros(len(low)), low, high), np.full(len(low), config.spread)
    elite = max(1, round(config.elite_fraction * config.population))
    points, scores = [], []
    for iteration in range(config.iterations):
        drawn = mean + deviation * generator.standard_normal((config.population, len(low)))
        points.append(np.clip(drawn, low, high))
        scores.append(np.asarray(score(iteration, points[-1]), dtype=float))
        best = points[-1][np.argsort(scores[-1], kind="stable")[:elite]]
        mean = mean + config.pace * (best.mean(axis=0) - mean)
        deviation = deviation + config.pace * (best.std(axis=0) - deviation)
        deviation = np.maximum(deviation, config.least_spread)
    return Found(points=np.concatenate(points), scores=np.concatenate(scores))
