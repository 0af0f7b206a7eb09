"""The base policy's one step: world model, base head, and goals at any distance."""

from dataclasses import replace

import torch

from embodiments.observation import Observation
from tests.world_model.local_planner.test_map_edge import observation
from tests.world_model.test_world_model import networks
from world_model.anticipation import INPUTS, SIDE, Anticipation
from world_model.base_head import base_action_of, base_features, policy_features
from world_model.base_policy import BasePolicy
from world_model.config import AnticipationConfig
from world_model.local_planner.map_edge import MAP_EDGE_M


def policy() -> BasePolicy:
    """Return an untrained one, small, whose head corrects the local plan."""
    world_model, head = networks()
    torch.nn.init.normal_(head.layers[-1].weight, std=0.5)
    return BasePolicy(world_model=world_model.eval(), head=head.eval())


def at(x_m: float) -> Observation[torch.Tensor]:
    """Return the observation of a goal ahead."""
    return observation(torch.tensor([[x_m, 0.0, 1.0, 0.0]]))


@torch.no_grad()
def test_a_step_is_world_model_then_head() -> None:
    base, seen = policy(), at(4.0)
    action, features, state = base.step(seen, base.initial_state(1))
    expected_state, latent = base.world_model.observe_step(seen, base.initial_state(1))
    expected, _ = base.head(base_features(latent, seen))
    assert torch.equal(action, expected) and torch.equal(state, expected_state)
    assert torch.equal(features, policy_features(latent, seen, base_action=expected))
    assert torch.equal(base_action_of(features), action)


@torch.no_grad()
def test_a_goal_beyond_the_map_is_the_point_at_its_edge_for_head_and_planner_alike() -> None:
    base = policy()
    beyond = base.step(at(14.0), base.initial_state(1))
    seen = replace(at(MAP_EDGE_M), route_xy_b_m=at(14.0).route_xy_b_m)  # the route stays as it is
    edge = base.step(seen, base.initial_state(1))
    for one, other in zip(beyond, edge, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_near_the_edge_everything_begins_anew_with_the_map() -> None:
    base = policy()
    _, _, state = base.step(at(4.0), base.initial_state(1))
    base.world_model.map_pose(state)[:, 0] = 6.5
    fresh = base.step(at(9.0), base.initial_state(1))
    assert all(torch.equal(one, other) for one, other in zip(base.step(at(9.0), state), fresh, strict=True))
    _, _, kept = base.step(at(0.5), state)  # a goal on the map: neither map nor history is lost
    assert base.world_model.map_pose(kept)[0, 0] == 6.5


@torch.no_grad()
def test_in_bfloat16_the_anticipated_map_is_nearly_the_same_and_the_policy_itself_stays_exact() -> None:
    torch.manual_seed(0)
    base = policy()
    base.world_model.anticipation = Anticipation(AnticipationConfig(channels=(8, 8, 16))).eval()
    half = base.in_bfloat16()
    assert half.world_model.anticipation is not None
    square = torch.rand(2, INPUTS, SIDE, SIDE)
    exact, rounded = base.world_model.anticipation(square), half.world_model.anticipation(square)
    assert exact.dtype == rounded.dtype == torch.float32
    assert 0.0 < float((exact - rounded).abs().max()) < 0.05
    assert all(value.dtype == torch.float32 for value in base.world_model.parameters())
    action, _, state = half.step(at(4.0), half.initial_state(1))
    assert action.dtype == state.dtype == torch.float32


def test_without_a_network_bfloat16_changes_nothing() -> None:
    base = policy()
    assert all(value.dtype == torch.float32 for value in base.in_bfloat16().world_model.parameters())
