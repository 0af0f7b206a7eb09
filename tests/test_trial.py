"""What was learned is kept only as far as the robot arrives more often with it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from pipeline.simulation.latent import LatentStep
from pipeline.simulation.trial import Tally, best_share, figures, trial
from tests.residual_dummy import FEATURES, PointEnvironment
from tests.test_residual_rl import PPO, job, run
from world_model.base_head import BaseHead, BaseHeadConfig, base_feature_size
from world_model.checkpoint import load_module
from world_model.residual_head import ResidualHead, ResidualHeadConfig


def mended(step: LatentStep) -> torch.Tensor:
    """Return the residual that drives straight to the goal."""
    return step.guidance - step.base_share


def test_a_trial_counts_whole_episodes() -> None:
    straight = trial(PointEnvironment(num_envs=16, seed=0), mended, steps=50)
    veering = trial(PointEnvironment(num_envs=16, seed=0), lambda _: torch.zeros(16, 3), steps=50)
    assert straight.success == 1.0 and 4 * 16 <= straight.episodes <= 6 * 16  # 2 m at 0.14 to 0.2 m a step
    assert veering.successes == 0 and veering.episodes == 2 * 16  # by time, after 30 steps


def test_a_trial_shorter_than_the_time_limit_sees_the_time_outs() -> None:
    def two_ways(step: LatentStep) -> torch.Tensor:
        return mended(step) * (torch.arange(16) < 8)[:, None]  # the other half needs all of its 30 steps and fails

    tally = trial(PointEnvironment(num_envs=16, seed=0), two_ways, steps=5)
    assert (tally.episodes, tally.successes) == (16, 8)


def test_a_share_is_kept_that_succeeds_more_often_beyond_chance() -> None:
    assert best_share({0.0: Tally(1000, 800), 0.5: Tally(1000, 850), 1.0: Tally(1000, 845)}) == 0.5
    assert best_share({0.0: Tally(100, 80), 0.5: Tally(100, 84), 1.0: Tally(100, 83)}) == 0.0  # the error is 5 points
    assert best_share({0.0: Tally(100, 40), 0.5: Tally(100, 80), 1.0: Tally(100, 84)}) == 0.5
    assert best_share({1.0: Tally(10, 8), 0.5: Tally(20, 16), 0.0: Tally(5, 4)}) == 0.0
    assert best_share({0.0: Tally(0, 0), 1.0: Tally(0, 0)}) == 0.0
    assert figures({0.0: Tally(100, 50), 1.0: Tally(80, 60)}) == {
        "trial/success_0": 0.5,
        "trial/success_1": 0.75,
        "trial/episodes": 80,
        "trial/kept": 1.0,
    }


def test_a_share_of_the_actor_is_tried_in_the_active_dimensions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = ResidualVectorEnvironment(PointEnvironment(num_envs=2, seed=0), reward_scale=1.0)
    actor = ResidualHead(ResidualHeadConfig(feature_size=FEATURES))
    torch.nn.init.constant_(actor.layers[-1].bias, 100.0)
    taken: list[torch.Tensor] = []
    step = environment.environment.step
    monkeypatch.setattr(environment.environment, "step", lambda share: taken.append(share) or step(share))
    environment.try_out(actor, share=0.5, steps=3)
    assert torch.stack(taken[-3:]).tolist() == [[[0.5, 0.0, 0.5]] * 2] * 3


@pytest.mark.slow
def test_a_specialist_that_is_no_better_than_its_base_is_left_out(tmp_path: Path) -> None:
    useless = job(tmp_path, ppo=replace(PPO, control_steps=1, actor_learning_rate=0.0, trial_steps=40))
    result = run([useless])["point"]
    assert result["trial/kept"] == 0.0 and result["trial/episodes"] > 0
    kept = load_module(ResidualHead, tmp_path / "out", "residual_head")
    assert kept.config.residual_scale == 0.0
    assert json.loads((tmp_path / "out" / "residual_head.json").read_text())["notes"]["trial/kept"] == 0.0


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
