"""What is asked of a latent, and how its answer is judged."""

from dataclasses import replace

import torch

from distill.probing import SECTORS, free_space_m, ridge_r2
from embodiments import registry
from tests.world_model.test_world_model import windows
from world_model.local_planner.depth_to_obstacles import SIGHT_M


def test_free_space_ends_at_a_wall_and_at_the_limit_of_sight() -> None:
    body = torch.from_numpy(registry.get("tiago").descriptor()).expand(3, 2, -1)
    seen = replace(windows(3, 2), descriptor=body)
    nothing = free_space_m(replace(seen, depth_m=torch.zeros(3, 2, 1, 40, 64)))
    assert nothing.shape == (3, 2, SECTORS) and (nothing == SIGHT_M).all()
    depth_m = torch.zeros(3, 2, 1, 40, 64)
    depth_m[1, 0] = 2.0  # a wall across the image in one frame
    wall = free_space_m(replace(seen, depth_m=depth_m))
    assert ((wall[1, 0] > 1.7) & (wall[1, 0] < 3.0)).all()
    wall[1, 0] = SIGHT_M
    assert (wall == SIGHT_M).all()


def test_what_is_linear_in_the_latent_is_found_and_noise_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(40, 20, 12, generator=generator)
    targets = features @ torch.randn(12, 3, generator=generator) + 5.0
    assert ridge_r2(features, targets) > 0.99
    assert (
        ridge_r2(features, torch.cat([targets, torch.ones(40, 20, 1)], dim=-1)) > 0.99
    )  # what is constant says nothing
    assert ridge_r2(features, torch.randn(40, 20, 3, generator=generator)) < 0.05


def test_the_probe_is_judged_on_sequences_that_it_has_not_seen() -> None:
    """Sequences that can be told apart but not foretold: a probe that is judged where it was fitted would know them."""
    features = torch.eye(20).expand(30, 20, 20)
    targets = torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(1)).expand(30, 20, 3)
    assert ridge_r2(features, targets) < 0.1


def test_nothing_varies() -> None:
    assert ridge_r2(torch.zeros(4, 4, 2), torch.ones(4, 4, 1)) == 0.0
