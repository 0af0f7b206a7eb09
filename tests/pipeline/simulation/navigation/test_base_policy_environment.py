"""The latent environment: features, the composition of base and residual, recurrent state across episodes."""

from pathlib import Path

import pytest
import torch

from pipeline.agents import go_straight
from pipeline.simulation.navigation.base_policy_environment import PRIVILEGED_SIZE, load_base
from pipeline.simulation.navigation.config import Disturbance
from pipeline.simulation.navigation.curriculum import EpisodeCurriculum
from pipeline.simulation.navigation.recording import Noise, outcome_rates, record
from tests.pipeline.simulation.navigation.navigation_dummy import PlaneNavigation, plane, small_base
from world_model.base_head import base_features, policy_features
from world_model.checkpoint import save_module
from world_model.residual_head import ResidualHead, ResidualHeadConfig


def specialist(feature_size: int) -> ResidualHead:
    """Return a residual that has learned something."""
    torch.manual_seed(5)
    head = ResidualHead(ResidualHeadConfig(feature_size=feature_size, hidden=(16,)))
    torch.nn.init.normal_(head.layers[-1].weight, std=0.5)  # type: ignore[arg-type]
    return head


def test_features_are_those_that_the_heads_define() -> None:
    environment = plane()
    step = environment.reset()
    base, seen = environment.base, step.observation
    _, latent = base.world_model.observe_step(seen, base.initial_state(environment.num_envs))
    action, _ = base.head(base_features(latent, seen))
    expected = policy_features(latent, seen, base_action=action)
    assert expected.shape == (environment.num_envs, environment.feature_size)
    torch.testing.assert_close(step.features, expected)
    torch.testing.assert_close(step.base_action, action)


def test_a_zero_residual_is_the_base_policy_and_sums_are_clipped() -> None:
    environment = plane()
    navigation = environment.environment
    assert isinstance(navigation, PlaneNavigation)
    base_action = environment.reset().base_action
    environment.step(torch.zeros(environment.num_envs, 3))
    torch.testing.assert_close(navigation.actions[-1], base_action)
    base_action = environment.last.base_action
    environment.step(torch.full((environment.num_envs, 3), 5.0))
    torch.testing.assert_close(navigation.actions[-1], (base_action + 1.0).clamp(-1.0, 1.0))


def test_the_recurrent_state_starts_from_zero_with_every_episode() -> None:
    environment, replay = plane(seed=1), None
    environment.reset()
    for _ in range(40):
        step = environment.step(torch.zeros(environment.num_envs, 3))
        if not step.first.any():
            continue
        base, seen = environment.base, step.observation
        _, replay = base.world_model.observe_step(seen, base.initial_state(environment.num_envs))
        size = base.world_model.latent_size
        torch.testing.assert_close(step.features[step.first][:, :size], replay[step.first])
    assert replay is not None


def test_the_curriculum_draws_what_fails_more_often() -> None:
    curriculum = EpisodeCurriculum(4)
    torch.testing.assert_close(curriculum.weights, torch.full((4,), 0.15 + 0.85 * 0.3))
    curriculum.update(torch.tensor([0, 1, 1]), torch.tensor([True, False, True]))
    # (1 + 0.7) / 2 and (1 + 0.7) / 3 succeed; the others have not run
    torch.testing.assert_close(curriculum.weights, 0.15 + 0.85 * torch.tensor([0.15, 1.3 / 3.0, 0.3, 0.3]))
    for _ in range(30):
        curriculum.update(torch.tensor([0, 1]), torch.tensor([True, False]))
    # 1 / (1 - 0.7) runs are remembered
    known = 1.0 / 0.3
    rates = torch.tensor([(known + 0.7) / (known + 1.0), 0.7 / (known + 1.0)])
    torch.testing.assert_close(curriculum.weights[:2], 0.15 + 0.85 * (1.0 - rates), atol=1e-3, rtol=0.0)


def test_the_environment_tells_the_curriculum_how_episodes_ended() -> None:
    environment = plane(curriculum=True)
    navigation = environment.environment
    assert isinstance(navigation, PlaneNavigation)
    driver = go_straight.GoStraightAgent(num_envs=environment.num_envs, device="cpu", seed=0)
    step = environment.reset()
    succeeded = torch.zeros(8, dtype=torch.bool)
    drives = (torch.arange(environment.num_envs) % 2 == 0)[:, None]  # the others stand and run out of time
    for _ in range(40):
        step = environment.step_action(drives * driver.act(step.observation, navigation.privileged))
        succeeded[navigation.episode[step.outcome.success & step.terminated]] = True
    weights, unseen = navigation.weights, navigation.weights[-1]
    stood = torch.arange(len(weights)) % 2 == 1
    stood[environment.num_envs :] = False
    assert succeeded.any() and not (succeeded & stood).any()
    assert weights[succeeded].max() < weights[stood].min() and unseen < weights[stood].min()


def test_active_dimensions_follow_the_body_and_privileged_inputs_the_setting() -> None:
    assert plane(robot="tiago").active == (0, 2)
    assert plane().reset().privileged.shape == (6, 0)
    seen = plane(privileged=True)
    assert seen.privileged_size == PRIVILEGED_SIZE
    assert seen.reset().privileged.shape == (6, PRIVILEGED_SIZE)


def test_the_teachers_action_is_carried_and_the_teacher_starts_anew_with_every_episode() -> None:
    teacher = go_straight.GoStraightAgent(num_envs=6, device="cpu", seed=0)
    environment, alone = plane(teacher=teacher), go_straight.GoStraightAgent(num_envs=6, device="cpu", seed=0)
    assert not plane().has_teacher and plane().reset().teacher_action.shape == (6, 0)
    assert environment.has_teacher
    step = environment.reset()
    ended = 0
    for _ in range(60):
        alone.reset(step.first)
        assert torch.equal(step.teacher_action, alone.act(step.observation, environment.environment.privileged))
        step = environment.step_action(step.teacher_action)
        ended += int((step.terminated | step.truncated).sum())
    assert ended > 0


def test_the_base_policy_loads_frozen(tmp_path: Path) -> None:
    base = small_base(seed=3)
    save_module(base.world_model, tmp_path, "world_model")
    save_module(base.head, tmp_path, "base_head")
    loaded = load_base(tmp_path)
    assert loaded.feature_size == base.feature_size
    assert not any(p.requires_grad for part in (loaded.world_model, loaded.head) for p in part.parameters())
    with pytest.raises(FileNotFoundError):
        load_base(tmp_path / "nowhere")


def test_recordings_hold_the_label_for_what_was_seen_and_the_command_that_followed() -> None:
    environment = plane(num_envs=8)
    head = specialist(environment.feature_size)
    environment.reset()
    rows = record(environment, head, lambda step: torch.full((8, 3), 0.5), steps=30)
    assert {name: value.shape[:2] for name, value in rows.items()} == dict.fromkeys(rows, (30, 8))
    features = torch.from_numpy(rows["features"])
    with torch.no_grad():
        expected = features[..., -3:] + head(features)[0]
    torch.testing.assert_close(torch.from_numpy(rows["mean"]), expected)
    assert rows["first"][0].all()
    ended = rows["outcome"][:-1] != 0
    assert ended.any()
    assert (rows["first"][1:] == ended).all()
    follows = ~ended  # the command executed after row t is the previous command of row t + 1
    assert (rows["command"][:-1][follows] == rows["previous_command"][1:][follows]).all()
    assert (rows["command"][:-1][ended] == 0.0).all()
    assert outcome_rates(rows["outcome"])["episodes"] == (rows["outcome"] != 0).sum()


def test_noise_is_correlated_bounded_to_its_environments_and_repeatable() -> None:
    disturbance = Disturbance(envs=0.5, deviation=0.3, correlation=0.9)
    noise, again = (Noise(disturbance, num_envs=1000, seed=1, device="cpu") for _ in range(2))
    values = torch.stack([noise.next() for _ in range(60)])
    torch.testing.assert_close(values[0], again.next())
    disturbed = (values != 0.0).any(dim=0).all(dim=1)
    assert disturbed.float().mean() == pytest.approx(0.5, abs=0.01)
    late = values[40:, disturbed]
    assert late.std() == pytest.approx(0.3, rel=0.05)
    assert (late[1:] * late[:-1]).mean() / late.square().mean() == pytest.approx(0.9, abs=0.03)
