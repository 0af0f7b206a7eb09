"""What was learned is kept only as far as the robot arrives and stays more often with it."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.closed_loop_validation import ValidationCounts, best_scale, figures, validate
from pipeline.simulation.navigation.latent_step import LatentStep
from pipeline.simulation.navigation.tracker import SETTLE_S
from tests.pipeline.residual_rl.residual_dummy import FEATURES, PointEnvironment
from tests.pipeline.residual_rl.test_residual_rl import PPO, job, run
from world_model.base_head import BaseHead, BaseHeadConfig, base_feature_size
from world_model.checkpoint import load_module
from world_model.residual_head import ResidualHead, ResidualHeadConfig


def mended(step: LatentStep) -> torch.Tensor:
    """Return the residual that drives straight to the goal."""
    return step.teacher_action - step.base_action


def test_a_trial_drives_the_same_episodes_to_their_end() -> None:
    environment = PointEnvironment(num_envs=16, seed=0)
    straight = validate(environment, mended, episodes=40)
    assert len(straight.settled) == 40 and straight.rate == 1.0
    veering = validate(environment, lambda _: torch.zeros(16, 3), episodes=40)
    assert veering.rate == 0.0  # by time, after 30 steps

    def mends_some(step: LatentStep) -> torch.Tensor:
        return mended(step) * (environment.outcome_episode() % 2 == 0)[:, None]

    once, again = (validate(environment, mends_some, episodes=40) for _ in range(2))
    assert once.rate == 0.5 and (once.settled == again.settled).all()


def test_what_is_reached_and_not_held_does_not_count() -> None:
    environment = PointEnvironment(num_envs=16, seed=0, settles=False)
    passed = validate(environment, mended, episodes=40)
    assert passed.rate == 0.0 and passed.success.all()


def test_episodes_of_a_trial_go_on_until_a_success_has_settled() -> None:
    told: dict[str, object] = {}
    environment = SimpleNamespace(
        episodes=EpisodeStub(initial_geodesic_m=np.array([3.0, 5.0, 4.0])),
        settle_for=lambda seconds: told.update(settle_s=seconds),
        reseed=lambda seed: told.update(seed=seed),
        assign=lambda queue: told.update(queue=queue.tolist()),
    )
    chosen = LatentEnvironment.assign_validation(SimpleNamespace(environment=environment), 3)  # type: ignore[arg-type]
    assert told == {"settle_s": SETTLE_S, "seed": 0, "queue": [1, 2, 0]} and chosen.tolist() == [1, 2, 0]
    assert SETTLE_S > 2.0  # a mean over a second, held for a second


class EpisodeStub(SimpleNamespace):
    """As many episodes as it has lengths."""

    def __len__(self) -> int:
        return len(self.initial_geodesic_m)


def counts(*settled: tuple[int, bool]) -> ValidationCounts:
    """Return a counts of so many episodes that did or did not settle, and so on."""
    held = np.concatenate([np.full(count, held) for count, held in settled])
    return ValidationCounts(settled=held, success=held)


def test_a_share_is_kept_that_settles_more_often_beyond_chance() -> None:
    worse, better, good = (
        counts((20, True), (80, False)),
        counts((40, True), (60, False)),
        counts((39, True), (61, False)),
    )
    assert best_scale({0.0: worse, 0.5: better, 1.0: good}) == 0.5
    assert best_scale({0.0: good, 0.5: better, 1.0: worse}) == 0.0  # one episode of a hundred is chance
    assert best_scale({0.0: better, 0.5: better, 1.0: better}) == 0.0
    # the same rates, but won and lost in other episodes: 4 ± 5 points, and, in the same ones, 4 ± 2
    mixed = counts((10, False), (54, True), (36, False))
    assert best_scale({0.0: counts((50, True), (50, False)), 0.5: mixed}) == 0.0
    assert best_scale({0.0: counts((50, True), (50, False)), 0.5: counts((54, True), (46, False))}) == 0.5
    assert figures({0.0: worse, 1.0: better}) == {
        "validation/settled_0": 0.2,
        "validation/settled_1": 0.4,
        "validation/episodes": 100,
        "validation/scale": 1.0,
    }


def test_a_share_of_the_actor_is_tried_in_the_active_dimensions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ResidualVectorEnvironment(PointEnvironment(num_envs=2, seed=0), reward_scale=1.0)
    actor = ResidualHead(ResidualHeadConfig(feature_size=FEATURES))
    torch.nn.init.constant_(actor.layers[-1].bias, 100.0)
    taken: list[torch.Tensor] = []
    step = environment.environment.step
    monkeypatch.setattr(environment.environment, "step", lambda share: taken.append(share) or step(share))
    environment.validate(actor, scale=0.5, episodes=2)
    assert torch.stack(taken[1:4]).tolist() == [[[0.5, 0.0, 0.5]] * 2] * 3


def test_the_actor_is_asked_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ResidualVectorEnvironment(PointEnvironment(num_envs=2, seed=0), reward_scale=1.0)
    answered: list[str] = []
    monkeypatch.setattr(
        environment, "_residual", lambda active: answered.append(active.device.type) or torch.zeros(2, 3)
    )
    elsewhere = ResidualHead(ResidualHeadConfig(feature_size=FEATURES)).to("meta")  # as a GPU is to the CPU
    environment.validate(elsewhere, scale=0.5, episodes=2)
    assert set(answered) == {"meta"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Two short trainings of one Ray: one that a worker simulates, and one that learns nothing."""
    folder = tmp_path_factory.mktemp("trained")
    short = replace(PPO, control_steps=1, validation_episodes=40)
    apart = job(folder / "apart", ppo=replace(short, env_runners=1), name="apart")
    useless = job(folder / "useless", ppo=replace(short, actor_learning_rate=0.0), name="useless")
    return folder, run([apart, useless])


@pytest.mark.slow
def test_a_worker_that_simulates_runs_the_trial(trained: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    assert trained[1]["apart"]["validation/episodes"] == 40


@pytest.mark.slow
def test_a_specialist_that_is_no_better_than_its_base_is_left_out(
    trained: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    out, result = trained[0] / "useless" / "out", trained[1]["useless"]
    assert result["validation/scale"] == 0.0 and result["validation/episodes"] == 40
    kept = load_module(ResidualHead, out, "residual_head")
    assert kept.config.residual_scale == 0.0
    assert json.loads((out / "residual_head.json").read_text())["notes"]["validation/scale"] == 0.0


def test_a_base_head_answers_with_a_share_of_its_correction_of_the_way() -> None:
    torch.manual_seed(0)
    head = BaseHead(BaseHeadConfig(latent_size=20)).eval()
    torch.nn.init.normal_(head.layers[-1].weight, std=0.3)
    features = torch.randn(5, base_feature_size(20)) * 0.1
    way = features[:, 17:20]
    whole, half, none = (head.corrected(share)(features)[0] for share in (1.0, 0.5, 0.0))
    torch.testing.assert_close(none, way)
    torch.testing.assert_close(half - way, (whole - way) / 2.0)
    assert (whole - way).abs().max() > 0.05 and head.config.correction == 1.0
