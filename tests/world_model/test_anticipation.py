"""What the network sees around the body, how its answer comes onto the costmap, and that it can learn."""

import math

import numpy as np
import pytest
import torch

from distill.surroundings import Frames, figures
from world_model import anticipation
from world_model.anticipation import INPUTS, OUTPUTS, POINT_STEPS, SIDE, Anticipation, Trail
from world_model.config import AnticipationConfig
from world_model.local_planner import costmap
from world_model.local_planner.frames import to_anchor, to_body

GRID = (1, costmap.CELLS, costmap.CELLS)
POSE = torch.tensor([[1.0, -0.5, math.pi / 3]])


def point_on_costmap(ahead_m: float, left_m: float) -> torch.Tensor:
    """Return a point (1, 1, 2) given in the body's frame at ``POSE``."""
    return to_anchor(torch.tensor([[[ahead_m, left_m]]]), POSE)


def brightest(square: torch.Tensor) -> tuple[float, float]:
    """Return where (ahead, left) [m] the largest value of a square (SIDE, SIDE) lies."""
    ahead, left = anticipation.cells_b(square)[int(square.argmax())]
    return float(ahead), float(left)


def test_the_square_shows_the_costmap_and_the_points_in_the_bodys_frame() -> None:
    axis = costmap.axis_m(POSE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    there = point_on_costmap(2.1, -1.1)[0, 0]
    evidence = torch.exp(-((x - there[0]) ** 2 + (y - there[1]) ** 2) / 0.1)[None]
    trail = Trail(1, like=POSE)
    old = torch.tensor([3.1, 0.9, 1.0, 0.0, 0.0, 0.0]).expand(1, 64, -1)
    trail.add(old, POSE)
    for _ in range(POINT_STEPS[1]):
        trail.add(torch.zeros_like(old), POSE)
    square = anticipation.square(evidence, torch.zeros(GRID), POSE, trail.chosen())
    assert square.shape == (1, INPUTS, SIDE, SIDE)
    assert brightest(square[0, 0]) == pytest.approx((2.1, -1.1), abs=0.15)
    assert brightest(square[0, 3]) == pytest.approx((3.1, 0.9), abs=0.15)
    assert square[0, 4].max() == 0.0
    trail.forget(torch.tensor([True]))
    assert trail.chosen().abs().max() == 0.0


def test_the_answer_counts_near_the_body_and_the_measurement_further_away() -> None:
    probability = torch.zeros(1, OUTPUTS, SIDE, SIDE)
    probability[:, 0, 20:23, 24:27] = 0.9  # still, 2.1 m ahead
    probability[:, 1, 30:33, 14:17] = 0.9  # moving, to the left
    measured = torch.ones(GRID)
    planned, seen = anticipation.onto_costmap(
        probability, measured, torch.zeros(GRID), POSE, still_at=0.5, moving_at=0.5
    )
    axis = costmap.axis_m(POSE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    here = to_body(torch.stack([x, y], dim=-1).flatten(0, 1)[None], POSE)[0]
    distance = here.norm(dim=-1)
    planned, seen = planned.flatten(), seen.flatten()
    assert (planned[distance > anticipation.REACH_M] == 1.0).all()
    near = distance < 2.6  # the square ends 3 m behind the body
    for place in ((2.1, 0.3), (0.1, 2.3)):
        there = (here - torch.tensor(place)).norm(dim=-1) < 0.2
        assert planned[there].max() > 0.9 and seen[there].min() < 0.5
        near &= (here - torch.tensor(place)).norm(dim=-1) > 0.7
    assert (planned[near] < 0.05).all() and (seen[near] > 0.95).all()


def test_a_small_network_learns_what_the_input_shows() -> None:
    rng = np.random.default_rng(0)
    square = np.zeros((64, INPUTS, SIDE, SIDE), dtype=np.uint8)
    truth = np.zeros((64, OUTPUTS, SIDE, SIDE), dtype=bool)
    truth[:, 0] = rng.random((64, SIDE, 1)) < 0.3
    square[:, 0] = 255 * truth[:, 0]
    frames = Frames(square=square, truth=np.packbits(truth.reshape(64, OUTPUTS, -1), axis=-1))
    torch.manual_seed(0)
    network = Anticipation(AnticipationConfig(channels=(4, 6, 8)))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    before = figures(network, frames, np.arange(64), device="cpu")
    seen, there = frames.batch(np.arange(32), device="cpu")
    for _ in range(300):
        value = anticipation.loss(network(seen), there)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    after = figures(network, frames, np.arange(32, 64), device="cpu")
    assert before["still_4m_recall"] < 0.9 or before["still_4m_precision"] < 0.5
    assert after["still_4m_recall"] > 0.85 and after["still_4m_precision"] > 0.85
    assert after["measured_4m_precision"] == after["measured_4m_recall"] == 1.0
