"""Every installed library learns from what happened, and ends its episodes where they ended."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.learners import learner
from pipeline.learners.features_environment import BlankedEnvironment, FeaturesVectorEnv
from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from tests.pipeline.learners.taped import ENVS, HORIZON, LIMIT, PPO, SETTINGS, TapedEnvironment

OTHERS = tuple(name for name in learner.NAMES if name != learner.BASELINE)
RATE = 1e-2


@contextmanager
def made(name: str, environment: TapedEnvironment) -> Iterator[Any]:
    """Yield a learner, or skip where its package is missing."""
    if package := learner.missing(name):
        pytest.skip(f"{package} is not installed: pip install -r requirements-learners.txt")
    with closing(learner.make(name, environment, SETTINGS)) as found:  # type: ignore[type-var]
        yield found


def stored_by_stable_baselines(found: Any) -> dict[str, np.ndarray]:
    buffer = found.model.rollout_buffer
    flat = {"features": buffer.observations, "return": buffer.returns}  # it flattens them, environment by environment
    stored = {name: value.reshape(ENVS, HORIZON, -1).swapaxes(0, 1) for name, value in flat.items()}
    return {**stored, "return": stored["return"][..., 0], "reward": buffer.rewards}


def stored_by_rsl(found: Any) -> dict[str, np.ndarray]:
    storage = found.runner.alg.storage
    return {
        "features": storage.observations["features"].numpy(),
        "reward": storage.rewards[..., 0].numpy(),
        "return": storage.returns[..., 0].numpy(),
    }


def stored_by_skrl(found: Any) -> dict[str, np.ndarray]:
    memory = found.agent.memory.tensors
    return {
        "features": memory["observations"].numpy(),
        "reward": memory["rewards"][..., 0].numpy(),
        "return": memory["returns"][..., 0].numpy(),
    }


STORED: dict[str, Callable[[Any], dict[str, np.ndarray]]] = {
    "stable_baselines3": stored_by_stable_baselines,
    "rsl_rl": stored_by_rsl,
    "skrl": stored_by_skrl,
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_learner_stores_what_happened_and_ends_episodes_where_they_ended(name: str) -> None:
    environment = TapedEnvironment()
    with made(name, environment) as found:
        found.iterate(actor_rate=RATE)
        stored = STORED[name](found)
    assert len(environment.tape) == HORIZON + 1  # the reset, and one step per row: nothing is reset twice
    ended = environment.ended()
    assert ended[:, 0].sum() >= 2 and environment.taped("truncated").any()
    expected = environment.taped("features")[:HORIZON]
    expected[ended[:HORIZON]] = 0.0
    np.testing.assert_allclose(stored["features"], expected, atol=1e-6)
    reward = PPO.reward_scale * environment.taped("reward")[1:]
    np.testing.assert_allclose(stored["reward"], reward, atol=1e-6)
    # After an end nothing counts, also where time ran out: the return is the reward.
    last = ended[1:]
    np.testing.assert_allclose(stored["return"][last], reward[last], atol=1e-5)
    assert not np.allclose(stored["return"][~last], reward[~last], atol=1e-2)


@pytest.mark.parametrize("name", OTHERS)
def test_a_learner_begins_as_the_base_policy_and_its_actor_waits_for_the_critic(name: str) -> None:
    features = torch.randn(5, TapedEnvironment().feature_size)
    with made(name, TapedEnvironment()) as found, torch.no_grad():
        assert found.mean_action(features).tolist() == [[0.0, 0.0]] * 5
        with torch.enable_grad():
            found.iterate(actor_rate=0.0)
        assert not found.mean_action(features).any()
        with torch.enable_grad():
            found.iterate(actor_rate=RATE)
        moved = found.mean_action(features)
        assert moved.any() and moved.abs().max() < 1.0


@pytest.mark.parametrize("name", OTHERS)
def test_a_learner_may_be_validated_and_go_on(name: str) -> None:
    environment = TapedEnvironment()
    with made(name, environment) as found:
        found.iterate(actor_rate=RATE)
        vector = ResidualVectorEnvironment(environment, reward_scale=1.0)
        counts = vector.validate_actions(found.mean_action, episodes=6)
        assert len(counts.settled) == len(counts.success) == 6
        environment.reset()
        environment.step(torch.zeros(ENVS, 3))


@pytest.mark.parametrize("name", OTHERS)
def test_networks_are_those_of_the_specialists_and_equal_for_all(name: str) -> None:
    with made(name, TapedEnvironment()) as found:
        adam = {
            "stable_baselines3": lambda: found.model.policy.optimizer,
            "rsl_rl": lambda: found.runner.alg.optimizer,
            "skrl": lambda: found.agent.optimizer,
        }[name]()
        actor, critic = (sorted(p.shape.numel() for p in group["params"]) for group in adam.param_groups)
        # 12 features, 2 hidden layers of 16, 2 actions with a log std each; 1 value
        assert actor == sorted([12 * 16, 16, 16 * 16, 16, 16 * 2, 2, 2])
        assert critic == sorted([12 * 16, 16, 16 * 16, 16, 16, 1])
        first = next(p for p in adam.param_groups[1]["params"] if p.shape == (16, 12))
        assert adam.param_groups[1]["lr"] == PPO.critic_learning_rate
        torch.manual_seed(SETTINGS.seed)
        from pipeline.learners import networks

        assert first.equal(networks.build(SETTINGS, features=12, actions=2).critic[0].weight)
        found.iterate(actor_rate=RATE)
        assert [group["lr"] for group in adam.param_groups] == [RATE, PPO.critic_learning_rate]
        assert not first.equal(networks.build(SETTINGS, features=12, actions=2).critic[0].weight)


def test_the_step_after_an_end_opens_the_next_episode() -> None:
    taped = TapedEnvironment()
    blanked = BlankedEnvironment(ResidualVectorEnvironment(taped, reward_scale=1.0), device="cpu")
    assert blanked.reset().equal(taped.tape[-1].features)
    before = torch.zeros(ENVS, dtype=torch.bool)
    for _ in range(3 * LIMIT):
        found, step = blanked.step(torch.zeros(ENVS, 2)), taped.tape[-1]
        assert found.ended.equal(step.terminated | step.truncated)
        assert not found.features[found.ended].any() and found.features[~found.ended].equal(step.features[~found.ended])
        assert step.first.equal(before) and not found.reward[before].any() and not found.ended[before].any()
        before = found.ended


def test_what_the_environment_keeps_may_be_written_to_after_a_step_in_inference_mode() -> None:
    taped = TapedEnvironment()
    blanked = BlankedEnvironment(ResidualVectorEnvironment(taped, reward_scale=1.0), device="cpu")
    blanked.reset()
    with torch.inference_mode():
        found = blanked.step(torch.zeros(ENVS, 2))
    assert not taped._goal.is_inference() and not found.features.is_inference()
    assert not taped._goal.requires_grad


def test_the_features_environment_has_the_space_of_one_array() -> None:
    envs = FeaturesVectorEnv(ResidualVectorEnvironment(TapedEnvironment(), reward_scale=1.0))
    features, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(features) and envs.single_observation_space.shape == features.shape[1:]
    assert envs.step(np.zeros((ENVS, 2), dtype=np.float32))[0].shape == features.shape


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(ValueError, match="no learner 'tianshou'; there are rllib, stable_baselines3, rsl_rl, skrl"):
        learner.missing("tianshou")


@pytest.mark.slow
def test_our_own_learner_begins_as_the_base_policy_and_moves() -> None:
    environment = TapedEnvironment()
    features = torch.randn(5, environment.feature_size)
    with made(learner.BASELINE, environment) as found:
        with torch.no_grad():
            assert not found.mean_action(features).any()
        found.iterate(actor_rate=0.0)  # RLlib follows its own schedule
        found.iterate(actor_rate=0.0)
        found.iterate(actor_rate=0.0)
        with torch.no_grad():
            moved = found.mean_action(features)
        assert moved.shape == (5, 2) and moved.any()
