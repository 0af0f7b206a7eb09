"""Conditions ``field``: every quantity lies in its range, and depends on the episode's key and the seed alone."""

import numpy as np

from pipeline.simulation.conditions.disturbances import NAMES, NEUTRAL
from pipeline.simulation.conditions.field import RANGES, draw_field

KEYS = [f"office/val/{index}" for index in range(200)]


def test_values_fill_their_ranges_and_nothing_else_is_disturbed() -> None:
    values = draw_field(KEYS, seed=0)
    for column, name in enumerate(NAMES):
        if name not in RANGES:
            assert (values[:, column] == NEUTRAL[column]).all(), name
            continue
        low, high = RANGES[name]
        assert low <= values[:, column].min() < low + 0.1 * (high - low), name
        assert high - 0.1 * (high - low) < values[:, column].max() <= high, name


def test_an_episode_meets_the_same_whatever_else_is_evaluated() -> None:
    assert np.array_equal(draw_field(KEYS[5:7], seed=3), draw_field(KEYS, seed=3)[5:7])
    assert not np.array_equal(draw_field(KEYS, seed=4), draw_field(KEYS, seed=3))
