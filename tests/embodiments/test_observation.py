"""Observations by name: the inputs of an exported policy and back."""

import numpy as np
import pytest

from embodiments import registry
from embodiments.observation import from_inputs
from embodiments.spaces import OBSERVATION_SHAPES


def inputs(batch: int = 3) -> dict[str, np.ndarray]:
    """Return inputs whose values tell name and row."""
    return {
        name: np.full((batch, *shape), number) + np.arange(batch).reshape(-1, *[1] * len(shape))
        for number, (name, shape) in enumerate(OBSERVATION_SHAPES.items())
    }


def test_inputs_there_and_back_are_the_same_arrays() -> None:
    feed = inputs()
    observation = from_inputs(feed | {"state_input": np.zeros(1)})
    assert observation.descriptor is feed["embodiment"]
    back = observation.inputs()
    assert back.keys() == OBSERVATION_SHAPES.keys()
    assert all(back[name] is array for name, array in feed.items())


def test_a_missing_input_is_named() -> None:
    feed = inputs()
    del feed["goal_b"]
    with pytest.raises(KeyError, match="goal_b"):
        from_inputs(feed)


def test_rows_and_map_reach_every_array() -> None:
    observation = from_inputs(inputs())
    some = observation.rows(np.asarray([2, 0]))
    for name, array in vars(some).items():
        assert np.array_equal(array, vars(observation)[name][[2, 0]])
    doubled = observation.map(lambda array: 2.0 * array)
    assert doubled.goal_b[1, 0] == 2.0 * observation.goal_b[1, 0]


def test_an_observation_is_no_robot() -> None:
    assert "observation" not in registry.names()
