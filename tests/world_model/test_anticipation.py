"""What the network sees around the body, how its answer comes onto the costmap, and that it can learn."""

import math

import numpy as np
import pytest
import torch

from distill.surroundings import Frames, figures
from embodiments import registry
from embodiments.observation import from_inputs
from export.graph import example_inputs
from world_model import anticipation
from world_model.anticipation import (
    FAR_M,
    HORIZONS_S,
    INPUTS,
    OUTPUTS,
    POINT_STEPS,
    SIDE,
    TRAIL_SIZE,
    Anticipation,
    Surroundings,
)
from world_model.config import AnticipationConfig
from world_model.local_planner import costmap, costmap_cells, planner
from world_model.local_planner.depth_to_obstacles import obstacle_points
from world_model.local_planner.frames import to_anchor, to_body

GRID = (1, costmap_cells.CELLS, costmap_cells.CELLS)
POSE = torch.tensor([[1.0, -0.5, math.pi / 3]])


def point_on_costmap(ahead_m: float, left_m: float) -> torch.Tensor:
    """Return a point (1, 1, 2) given in the body's frame at ``POSE``."""
    return to_anchor(torch.tensor([[[ahead_m, left_m]]]), POSE)


def brightest(square: torch.Tensor) -> tuple[float, float]:
    """Return where (ahead, left) [m] the largest value of a square (SIDE, SIDE) lies."""
    ahead, left = anticipation.cells_b(square)[int(square.argmax())]
    return float(ahead), float(left)


def test_the_square_shows_the_costmap_and_the_points_in_the_bodys_frame() -> None:
    axis = costmap_cells.axis_m(POSE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    there = point_on_costmap(2.1, -1.1)[0, 0]
    evidence = torch.exp(-((x - there[0]) ** 2 + (y - there[1]) ** 2) / 0.1)[None]
    old = torch.tensor([3.1, 0.9, 1.0, 0.0, 0.0, 0.0]).expand(1, 64, -1)
    trail = anticipation.remembered(torch.zeros(1, TRAIL_SIZE), old, POSE)
    for _ in range(POINT_STEPS[1]):
        trail = anticipation.remembered(trail, torch.zeros_like(old), POSE)
    square = anticipation.square(evidence, torch.zeros(GRID), POSE, trail)
    assert square.shape == (1, INPUTS, SIDE, SIDE)
    assert brightest(square[0, 0]) == pytest.approx((2.1, -1.1), abs=0.15)
    assert brightest(square[0, 3]) == pytest.approx((3.1, 0.9), abs=0.15)
    assert square[0, 2].max() == square[0, 4].max() == 0.0
    for _ in range(POINT_STEPS[-1]):
        trail = anticipation.remembered(trail, torch.zeros_like(old), POSE)
    assert trail.shape == (1, TRAIL_SIZE) and trail[:, :-192].abs().max() == POSE[0, :2].abs().max()


def known(**values: torch.Tensor) -> Surroundings:
    """Return empty surroundings with some of their parts replaced."""
    square = (1, SIDE, SIDE)
    empty = {
        "distance_m": torch.full(square, FAR_M),
        "still": torch.zeros(square),
        "moving": torch.zeros(1, len(HORIZONS_S), SIDE, SIDE),
    }
    return Surroundings(**(empty | values))


def planned(
    around: Surroundings, *, measured: float, seen: torch.Tensor | None = None, is_true: bool = False
) -> tuple[costmap.PlannedMap, torch.Tensor]:
    """Return what is planned on, flat, with the same evidence everywhere, and the cells' places (CELLS^2, 2)."""
    descriptor = registry.get("tiago").descriptor()
    result = anticipation.onto_costmap(
        around,
        torch.full(GRID, measured),
        torch.zeros(GRID) if seen is None else seen,
        POSE,
        descriptor=torch.as_tensor(descriptor)[None],
        is_true=is_true,
    )
    axis = costmap_cells.axis_m(POSE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    here = to_body(torch.stack([x, y], dim=-1).flatten(0, 1)[None], POSE)[0]
    return costmap.PlannedMap(*(value.flatten() for value in result)), here


def test_near_the_body_what_is_known_counts_and_further_away_the_measurement() -> None:
    distance_m = (anticipation.cells_b(POSE) - torch.tensor([2.1, 0.3])).norm(dim=-1).clip(max=FAR_M)
    distance_m = distance_m.view(1, SIDE, SIDE)
    around = known(distance_m=distance_m, still=(distance_m < 0.1).float())
    found, here = planned(around, measured=1.0, is_true=True)
    away = here.norm(dim=-1)
    assert (found.distance_m[away > anticipation.REACH_M] == 0.0).all()
    assert (found.seen[away > anticipation.REACH_M] == 0.0).all()
    true_m = (here - torch.tensor([2.1, 0.3])).norm(dim=-1).clip(max=FAR_M)
    near = away < 2.6  # the square ends 3 m behind the body
    assert found.distance_m[near].sub(true_m[near]).abs().max() < 0.09
    assert (found.seen[near & (true_m > 0.4)] > 0.95).all() and found.seen[near & (true_m < 0.1)].max() < 0.5
    assert found.cost.max() == 0.0


def test_a_network_counts_on_seen_ground_and_a_little_beyond() -> None:
    distance_m = torch.zeros(1, SIDE, SIDE)
    seen = torch.zeros(GRID)
    seen[:, :, : costmap_cells.CELLS // 2] = 1.0  # x < 0 on the costmap
    found, here = planned(known(distance_m=distance_m), measured=0.0, seen=seen)
    x_m = costmap_cells.axis_m(POSE).repeat(costmap_cells.CELLS)
    near, reach_m = here.norm(dim=-1) < 2.6, anticipation.BEYOND_CELLS * costmap_cells.CELL_M
    assert (found.distance_m[near & (x_m < reach_m)] < 1e-5).all()
    assert (found.distance_m[near & (x_m > reach_m)] > FAR_M - 1e-5).all()
    assert (near & (x_m > reach_m)).sum() > 20 and (near & (x_m < reach_m)).sum() > 20
    everywhere, _ = planned(known(distance_m=distance_m), measured=0.0, seen=seen, is_true=True)
    assert (everywhere.distance_m[near] < 1e-5).all()


@pytest.mark.parametrize("horizon", [0, 2])
def test_somebody_costs_where_he_is_when_the_body_gets_there(horizon: int) -> None:
    speed_mps = anticipation.HURRY * registry.get("tiago").limits.forward_mps
    ahead_m = 0.1 + 0.2 * round(speed_mps * HORIZONS_S[horizon] / 0.2 - 0.5)
    costs = []
    for at in range(len(HORIZONS_S)):
        moving = torch.zeros(1, len(HORIZONS_S), SIDE, SIDE)
        row, column = round((0.1 + 4.0) / 0.2 - 0.5), round((ahead_m + 3.0) / 0.2 - 0.5)
        moving[:, at, row, column] = 1.0
        found, here = planned(known(moving=moving), measured=0.0)
        assert found.distance_m.min() > 0.79  # no obstacle
        there = (here - torch.tensor([ahead_m, 0.1])).norm(dim=-1)
        costs.append(float(found.cost[there < 0.1].mean()))
        assert found.cost[there > 0.8].max() == 0.0
    assert costs[horizon] == max(costs) > 0.3 * anticipation.MOVING_COST
    assert min(costs) == 0.0


@torch.no_grad()
def test_the_plan_remembers_points_beside_the_costmap() -> None:
    network = Anticipation(AnticipationConfig(channels=(4, 6, 8))).eval()
    observation = from_inputs(example_inputs(8, batch=2))
    found, state = anticipation.plan(network, observation, torch.zeros(2, anticipation.STATE_SIZE))
    points = obstacle_points(observation.depth_m, observation.descriptor)
    trail = state[:, planner.STATE_SIZE :].unflatten(1, (-1, 64, 3))
    assert found.action.shape == (2, 3)
    torch.testing.assert_close(trail[:, 0], torch.cat([to_anchor(points[..., :2], state[:, :3]), points[..., 2:3]], -1))
    assert trail[:, 1:].abs().max() == 0.0


def test_nothing_is_nearer_to_a_teacher_than_its_own_answers() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(2, OUTPUTS, SIDE, SIDE, generator=generator)
    logits = teacher.clone().requires_grad_()
    same = anticipation.imitation_loss(logits, teacher)
    for output in range(OUTPUTS):
        for change in (-0.5, 0.5):
            other = teacher.clone()
            other[:, output] += change
            assert anticipation.imitation_loss(other, teacher) > same
    (gradient,) = torch.autograd.grad(anticipation.imitation_loss(logits, teacher + 1.0), logits)
    far = anticipation.cells_b(teacher).norm(dim=-1).view(SIDE, SIDE) > anticipation.REACH_M
    assert (gradient[..., far] == 0.0).all() and (gradient[..., ~far] != 0.0).all()


@pytest.mark.parametrize("channels", [(4,), (4, 6, 8, 8)])
def test_a_network_of_another_number_of_resolutions_is_refused(channels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="2 or 3"):
        Anticipation(AnticipationConfig(channels=channels))


def test_a_small_network_learns_what_the_input_shows() -> None:
    rng = np.random.default_rng(0)
    square = np.zeros((64, INPUTS, SIDE, SIDE), dtype=np.uint8)
    square[:, 0] = 255 * (rng.random((64, SIDE, 1)) < 0.3)
    moving = np.zeros((64, len(HORIZONS_S), SIDE, SIDE), dtype=bool)
    square[:, 2] = 255 * (rng.random((64, 1, SIDE)) < 0.1)
    moving[:, 0] = square[:, 2] > 0
    frames = Frames(
        square=square, distance=255 - square[:, 0], moving=np.packbits(moving.reshape(64, len(HORIZONS_S), -1), axis=-1)
    )
    torch.manual_seed(0)
    network = Anticipation(AnticipationConfig(channels=(16, 16)))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    before = figures(network, frames, np.arange(64), device="cpu")
    seen, there = frames.batch(np.arange(32), device="cpu")
    for _ in range(200):
        value = anticipation.loss(network(seen), there)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    after = figures(network, frames, np.arange(32, 64), device="cpu")
    assert before["still_4m_recall"] < 0.9 or before["still_4m_precision"] < 0.5
    for name in ("still_4m", "still_by_distance_4m", "moving_0.0s_4m"):
        assert after[f"{name}_recall"] > 0.85 and after[f"{name}_precision"] > 0.85
    assert after["distance_error_m_4m"] < 0.1 < before["distance_error_m_4m"]
    assert after["measured_4m_precision"] == 1.0
