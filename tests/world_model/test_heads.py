"""Base head, residual head, critic and generalist."""

from dataclasses import replace

import pytest
import torch

from distill.generalist import Generalist, GeneralistConfig
from embodiments import registry
from embodiments.observation import Observation
from embodiments.spaces import DESCRIPTOR_SIZE
from world_model.base_head import (
    BaseHead,
    BaseHeadConfig,
    Mixture,
    base_action_of,
    base_feature_size,
    base_features,
    policy_feature_size,
    policy_features,
)
from world_model.losses import behaviour_cloning
from world_model.residual_head import Critic, CriticConfig, ResidualHead, ResidualHeadConfig

LATENT = 16
FEATURES = policy_feature_size(LATENT)


def observation(batch: int = 5) -> Observation[torch.Tensor]:
    """Return an observation of TIAGo."""
    torch.manual_seed(3)
    return Observation(
        depth_m=torch.zeros(batch, 1, 40, 64),
        velocity_b=torch.randn(batch, 3),
        previous_command=torch.randn(batch, 3),
        route_xy_b_m=torch.randn(batch, 10, 2),
        goal_b=torch.randn(batch, 4),
        descriptor=torch.from_numpy(registry.get("tiago").descriptor()).expand(batch, -1),
    )


def test_feature_sizes_and_the_place_of_the_base_action() -> None:
    seen, action = observation(), torch.rand(5, 3)
    features = policy_features(torch.zeros(5, LATENT), seen, base_action=action)
    assert features.shape == (5, FEATURES)
    torch.testing.assert_close(base_action_of(features), action)
    base = base_features(torch.zeros(5, LATENT), seen)
    assert base.shape == (5, base_feature_size(LATENT))
    torch.testing.assert_close(features[:, : base.shape[1]], base)


def test_features_are_finite_at_the_goal() -> None:
    goal_b = torch.tensor([[0.0, 0.0, 1.0, 0.0]]).expand(5, 4).clone().requires_grad_()
    features = policy_features(
        torch.zeros(5, LATENT), replace(observation(), goal_b=goal_b), base_action=torch.zeros(5, 3)
    )
    (gradient,) = torch.autograd.grad(features.sum(), goal_b)
    assert features.isfinite().all() and gradient.isfinite().all()


def test_a_zero_residual_and_a_fresh_generalist_are_the_base_policy() -> None:
    features = torch.randn(7, FEATURES)
    residual, _ = ResidualHead(ResidualHeadConfig(feature_size=FEATURES))(features)
    assert torch.equal(residual, torch.zeros(7, 3))
    mean, log_std = Generalist(GeneralistConfig(feature_size=FEATURES))(features, torch.rand(7, DESCRIPTOR_SIZE))
    assert torch.equal(mean, features[:, -3:])
    torch.testing.assert_close(log_std, torch.full((7, 3), -1.2))


@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_residuals_stay_within_their_bound(scale: float) -> None:
    head = ResidualHead(ResidualHeadConfig(feature_size=FEATURES, residual_scale=scale))
    torch.nn.init.normal_(head.layers[-1].weight, std=100.0)
    mean, _ = head(torch.randn(64, FEATURES))
    assert mean.abs().max() <= scale and mean.abs().max() > 0.9 * scale


def test_a_residual_beyond_the_limits_is_refused() -> None:
    with pytest.raises(ValueError, match="residual_scale"):
        ResidualHead(ResidualHeadConfig(feature_size=4, residual_scale=1.5))


def test_the_mixture_density_by_hand() -> None:
    mixture = Mixture(torch.zeros(1, 2), torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]), torch.zeros(3))
    normaliser = 1.5 * torch.log(torch.tensor(2.0 * torch.pi))
    expected = torch.log(0.5 * (torch.exp(torch.tensor(0.0)) + torch.exp(torch.tensor(-0.5)))) - normaliser
    torch.testing.assert_close(mixture.log_prob(torch.zeros(1, 3)), expected[None])
    other = mixture.log_prob(torch.tensor([[0.5, 0.0, 0.0]]))
    masked = behaviour_cloning(
        mixture, torch.tensor([[0.5, 0.0, 0.0], [9.0, 9.0, 9.0]]), labelled=torch.tensor([True, False])
    )
    torch.testing.assert_close(masked, -other[0])


def test_two_ways_round_are_not_averaged() -> None:
    """Half of the teachers go left, half right: the answer is one of the two, never straight on."""
    torch.manual_seed(0)
    head = BaseHead(BaseHeadConfig(latent_size=LATENT, hidden=(32,)))
    features = 0.01 * torch.randn(256, base_feature_size(LATENT))
    share = torch.zeros(256, 3)
    share[:, 2] = torch.where(torch.arange(256) % 2 == 0, 0.8, -0.8)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(200):
        loss = behaviour_cloning(head.mixture(features), share, labelled=torch.ones(256, dtype=torch.bool))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    means = head.mixture(features[:1]).means[0, :, 2]
    assert means.max() > 0.6 and means.min() < -0.6
    mixture = head.mixture(features)
    decided = (mixture.logits.softmax(dim=-1).max(dim=-1).values > 0.8).nonzero()
    if len(decided):
        assert head(features)[0][decided[0, 0], 2].abs() > 0.5


def test_the_critic_takes_privileged_inputs_beside_or_behind_the_features() -> None:
    critic = Critic(CriticConfig(feature_size=FEATURES, privileged_size=4))
    features, privileged = torch.randn(5, FEATURES), torch.randn(5, 4)
    torch.testing.assert_close(critic(features, privileged), critic(torch.cat([features, privileged], dim=1)))
    assert Critic(CriticConfig(feature_size=FEATURES))(features).shape == (5,)


def test_an_untrained_head_answers_with_the_ways_own_share() -> None:
    head = BaseHead(BaseHeadConfig(latent_size=LATENT))
    features = 0.5 * torch.randn(20, base_feature_size(LATENT)).clamp(-1.0, 1.0)
    mean, _ = head(features)
    torch.testing.assert_close(mean, features[:, LATENT - 3 : LATENT], rtol=0.0, atol=1e-6)


def test_a_silenced_base_head_answers_nothing_and_leaves_the_original_alone() -> None:
    head = BaseHead(BaseHeadConfig(latent_size=LATENT))
    features = torch.randn(5, base_feature_size(LATENT))
    before, _ = head(features)
    share, _ = head.silenced()(features)
    assert torch.count_nonzero(share) == 0 and share.shape == (5, 3)
    torch.testing.assert_close(head(features)[0], before)
    assert torch.count_nonzero(before) > 0


def test_one_hot_bodies_are_told_apart_by_the_nearest_descriptor() -> None:
    names = ("tiago", "go2", "g1")
    bodies = torch.stack([torch.from_numpy(registry.get(name).descriptor()) for name in names])
    known = tuple(tuple(row) for row in bodies.tolist())
    generalist = Generalist(GeneralistConfig(feature_size=FEATURES, hidden=(8,), one_hot=known))
    torch.nn.init.normal_(generalist.layers[-1].weight)  # type: ignore[arg-type]
    features = torch.randn(1, FEATURES).expand(3, -1)
    mean, log_std = generalist(features, bodies)
    assert mean.shape == log_std.shape == (3, 3) and len(torch.unique(mean.detach(), dim=0)) == 3
    jittered, _ = generalist(features, 1.02 * bodies)
    torch.testing.assert_close(jittered, mean)  # which body it is does not change by a few percent
