"""The worst-case search on functions whose worst point is known."""

import numpy as np
import pytest

from pipeline.evaluation.robustness.worst_case import SearchConfig, search

LOW, HIGH = np.asarray([-1.0, -1.0, 0.0]), np.asarray([1.0, 1.0, 1.0])
WORST = np.asarray([0.8, -0.6, 0.0])
CONFIG = SearchConfig(population=32, iterations=12)


def bowl(iteration: int, points: np.ndarray) -> np.ndarray:
    """Score a smooth function whose lowest point is ``WORST``."""
    return ((points - WORST) ** 2).sum(axis=1)


def test_it_finds_a_known_worst_point() -> None:
    found = search(bowl, low=LOW, high=HIGH, config=CONFIG, seed=0)
    np.testing.assert_allclose(found.worst, WORST, atol=0.15)
    per_iteration = found.scores.reshape(CONFIG.iterations, -1).mean(axis=1)
    assert per_iteration[-1] < 0.2 * per_iteration[0]


def test_it_beats_as_many_random_points() -> None:
    found = search(bowl, low=LOW, high=HIGH, config=CONFIG, seed=1)
    random = np.random.default_rng(1).uniform(LOW, HIGH, size=found.points.shape)
    assert found.scores.mean() < 0.5 * bowl(0, random).mean()


def test_it_finds_the_worst_end_of_coarse_rates() -> None:
    def rate(iteration: int, points: np.ndarray) -> np.ndarray:
        return np.round(16 * np.clip(1.0 - points[:, 2], 0.0, 1.0)) / 16

    found = search(rate, low=LOW, high=HIGH, config=CONFIG, seed=0)
    assert found.scores.min() == 0.0 and found.worst[2] > 0.9


def test_it_stays_in_the_box_and_repeats_itself() -> None:
    first, second = (search(bowl, low=LOW, high=HIGH, config=CONFIG, seed=3) for _ in range(2))
    assert (first.points >= LOW).all() and (first.points <= HIGH).all()
    assert first.points.shape == (32 * 12, 3) and np.array_equal(first.points, second.points)
    other = search(bowl, low=LOW, high=HIGH, config=CONFIG, seed=4)
    assert not np.array_equal(first.points, other.points)


def test_the_last_of_several_equally_bad_points_is_named() -> None:
    found = search(lambda i, p: np.zeros(len(p)), low=LOW, high=HIGH, config=CONFIG, seed=0)
    assert np.array_equal(found.worst, found.points[-1])


def test_a_search_without_room_for_an_elite_is_refused() -> None:
    with pytest.raises(ValueError, match="found 1 and 5"):
        search(bowl, low=LOW, high=HIGH, config=SearchConfig(population=1), seed=0)
