"""What followed a recorded control step, and how well a network knew it."""

import numpy as np
import pytest
import torch

from distill import drives
from distill.drives import Drives
from distill.recordings import OUTCOMES
from world_model.collision_risk import CHANNELS, HORIZONS_S, SIDE, SLOWS_IN, VECTOR_SIZE, CollisionRisk
from world_model.config import CollisionRiskConfig

COLLISION, SUCCESS = OUTCOMES.index("collision"), OUTCOMES.index("success")


def test_what_followed_is_known_up_to_the_end_of_the_episode() -> None:
    outcome = np.zeros((60, 3), np.uint8)
    outcome[29, 0], outcome[29, 1] = COLLISION, SUCCESS
    known, ended = drives.what_followed(outcome)
    # A command that leads to a collision is 0.1 s before it, and the observation after it has no command.
    within_s = [0.1 * (30 - row) for row in range(30)]
    expected = [[left_s <= horizon_s + 1e-6 for horizon_s in HORIZONS_S] for left_s in within_s]
    assert ended[:30, 0].tolist() == expected
    assert not ended[30:, 0].any() and not ended[:, 1:].any()
    assert known[:30].all() and not known[30, :2].any() and known[30, 2]
    assert known[31:36].all() and not known[36:].any()  # 2.5 s before the recording ends


def drive_rows(*, count: int, seed: int) -> Drives:
    """Return control steps of two robots where a collision follows exactly where the first channel is bright."""
    rng = np.random.default_rng(seed)
    bright = rng.random(count) < 0.3
    crop = np.zeros((count, CHANNELS, SIDE, SIDE), np.uint8)
    crop[bright, 0] = 255
    return Drives(
        crop=crop,
        vector=rng.normal(size=(count, VECTOR_SIZE)).astype(np.float32),
        change=np.tile(np.float32([1.0, 0.0]), (count, 1)),
        ended_badly=np.repeat(bright[:, None], len(HORIZONS_S), axis=1),
        robot=np.arange(count) % 2,
    )


def test_a_network_learns_what_the_crop_shows_and_slows_down_in_a_tenth_of_the_steps() -> None:
    torch.manual_seed(0)
    network = CollisionRisk(CollisionRiskConfig(channels=(4, 4, 4)))
    train, val = drive_rows(count=256, seed=0), drive_rows(count=400, seed=1)
    before = drives.figures(network, val, robots=("tiago", "g1"), device="cpu")
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(40):
        crop, vector, change, ended = train.batch(np.arange(256), device="cpu")
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(crop, vector, change), ended)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = drives.figures(network, val, robots=("tiago", "g1"), device="cpu")
    assert before["auc_1.2s"] < 0.8 < 0.99 < found["auc_1.2s"]
    assert found["rate_1.2s_g1"] == pytest.approx(0.3, abs=0.08) and found["caught_0.20"] > 0.6
    drives.calibrate(network, val, device="cpu")
    crop, vector, change, _ = val.batch(np.arange(400), device="cpu")
    with torch.no_grad():
        likely = network(crop, vector, change)[:, 1]
    exceeded = (likely[:, None] > network.slows_between).float().mean(dim=0)
    assert exceeded.tolist() == pytest.approx(SLOWS_IN, abs=0.01)


def test_the_area_under_the_curve_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    said, ended = rng.integers(5, size=40).astype(float), rng.random(40) < 0.4
    pairs = np.sign(said[ended][:, None] - said[~ended][None])
    assert drives.area_under_curve(said, ended) == pytest.approx((pairs.mean() + 1.0) / 2.0)
