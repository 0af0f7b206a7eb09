"""Field look-ups and footprints against geometry computed by hand."""

import math

import numpy as np
import pytest
import torch

from embodiments import registry
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.fields import FieldBank
from pipeline.simulation.physics.randomisation import Randomisation, nominal
from scenes.grid import Grid


def plane(slope_x: float, slope_y: float, *, origin: tuple[float, float], shape: tuple[int, int]) -> Grid:
    """Return a field that is linear in x and y, which bilinear look-up must reproduce exactly."""
    grid = Grid(values=np.zeros(shape, np.float32), origin_xy_w_m=origin, resolution_m=0.1)
    rows, columns = np.indices(shape)
    centre = grid.centre(np.stack([rows, columns], axis=-1))
    values = (slope_x * centre[..., 0] + slope_y * centre[..., 1]).astype(np.float32)
    return Grid(values=values, origin_xy_w_m=origin, resolution_m=0.1)


def test_look_up_is_exact_on_planes_of_different_size_and_origin() -> None:
    bank = FieldBank(
        [plane(1.0, 0.0, origin=(-2.0, 1.0), shape=(30, 50)), plane(0.0, -2.0, origin=(5.0, -3.0), shape=(60, 20))],
        device="cpu",
    )
    index = torch.tensor([0, 1])
    points = torch.tensor([[0.33, 2.2], [6.02, 1.17]])
    assert bank.sample(index, torch.zeros_like(index), points).tolist() == pytest.approx([0.33, -2.34], abs=1e-4)
    assert torch.allclose(bank.gradient(index, points), torch.tensor([[1.0, 0.0], [0.0, -2.0]]), atol=1e-3)


def test_descent_walks_downhill_by_the_given_length() -> None:
    bank = FieldBank([plane(3.0, 4.0, origin=(-5.0, -5.0), shape=(100, 100))], device="cpu")
    end = bank.descend(torch.tensor([0]), torch.tensor([[1.0, 1.0]]), length_m=1.0, step_m=0.1)
    assert torch.allclose(end, torch.tensor([[1.0 - 0.6, 1.0 - 0.8]]), atol=1e-3)


def wall_ahead(distance_m: float) -> FieldBank:
    """Return the distance field of a wall at x = distance_m, in every layer."""
    field = plane(-1.0, 0.0, origin=(-3.0, -3.0), shape=(60, 60))
    values = np.repeat((field.values + distance_m)[None], 4, axis=0)
    return FieldBank([Grid(values=values, origin_xy_w_m=field.origin_xy_w_m, resolution_m=0.1)], device="cpu")


@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize("yaw", [0.0, math.pi])
def test_clearance_is_the_gap_between_the_footprint_and_the_wall(name: str, yaw: float) -> None:
    robot = registry.get(name)
    body = BodyBatch(robot, num_envs=1, block=nominal(), generator=torch.Generator(), device="cpu")
    sign = 1.0 if yaw == 0.0 else -1.0
    reach = max(sign * d.x_m + d.radius_m for layer in robot.footprint for d in layer)
    clearance = body.clearance_m(wall_ahead(1.5), torch.tensor([0]), torch.tensor([[0.0, 0.0, yaw]]))
    assert clearance.item() == pytest.approx(1.5 - reach, abs=1e-3)


def test_jitter_changes_body_and_descriptor_together() -> None:
    robot = registry.get("tiago")
    block = Randomisation(jitter_footprint=(1.2, 1.2), jitter_limits=(0.5, 0.5))
    body = BodyBatch(robot, num_envs=2, block=block, generator=torch.Generator(), device="cpu")
    body.resample(torch.tensor([True, False]))
    assert body.forward_mps.tolist() == pytest.approx([robot.limits.forward_mps / 2, robot.limits.forward_mps])
    pose = torch.zeros(2, 3)
    clearance = body.clearance_m(wall_ahead(1.5), torch.zeros(2, dtype=torch.long), pose)
    assert (1.5 - clearance[0]).item() == pytest.approx(1.2 * (1.5 - clearance[1]).item(), abs=1e-3)


def test_intermediate_poses_are_looked_up_together() -> None:
    body = BodyBatch(registry.get("tiago"), num_envs=2, block=nominal(), generator=torch.Generator(), device="cpu")
    scene = torch.zeros(2, dtype=torch.long)
    poses = torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.1, 1.0]], [[0.4, 0.0, 0.3], [-0.3, 0.0, 2.0]]])  # (2, B, 3)
    together = body.clearance_m(wall_ahead(1.5), scene, poses)
    assert torch.equal(together, torch.stack([body.clearance_m(wall_ahead(1.5), scene, pose) for pose in poses]))


def test_away_points_from_the_wall_and_the_patch_knows_the_nearest_layer() -> None:
    body = BodyBatch(registry.get("g1"), num_envs=1, block=nominal(), generator=torch.Generator(), device="cpu")
    scene, pose = torch.zeros(1, dtype=torch.long), torch.tensor([[0.0, 0.0, 0.7]])
    wall = wall_ahead(1.5)
    away_w = body.away_xy_w(wall, scene, pose, body.clearance_m(wall, scene, pose))
    assert torch.allclose(away_w, torch.tensor([[-1.0, 0.0]]), atol=1e-2)
    wall.values[:, 1] -= 0.5  # something nearer, in the second layer only
    patch = body.clearance_patch_m(wall.lowest(body.layers), scene, pose)
    assert patch.mean().item() == pytest.approx(1.5 - 0.5, abs=1e-2)
    assert body.clearance_patch_m(wall.lowest(1), scene, pose).mean().item() == pytest.approx(1.5, abs=1e-2)


def test_the_lowest_layer_is_looked_up_at_every_point() -> None:
    layers = [plane(1.0, 0.0, origin=(0.0, 0.0), shape=(40, 40)), plane(0.0, 1.0, origin=(0.0, 0.0), shape=(40, 40))]
    stacked = Grid(values=np.stack([g.values for g in layers]), origin_xy_w_m=(0.0, 0.0), resolution_m=0.1)
    bank = FieldBank([stacked], device="cpu")
    points = torch.tensor([[[1.0, 2.0], [3.0, 0.5]]])
    assert bank.sample_lowest(torch.tensor([0]), points)[0].tolist() == pytest.approx([1.0, 0.5], abs=1e-4)
