"""One update of a specialist and some of the generalist on CUDA."""

import copy
from typing import Any

import pytest
import torch

from distill.config import FitConfig
from distill.fitting import Transitions, fit
from distill.generalist import Generalist, GeneralistConfig
from embodiments import registry
from tests.separate_process import call

FEATURES = 32
UPDATES = 20
WEIGHTS = 2e-3
"""Largest difference of a weight after ``UPDATES``; a weight moves by up to 0.02"""


def update_specialist(device: str) -> dict[str, Any]:
    """Run one PPO iteration on a plane with the learner on a device; return what it did to the actor."""
    from pipeline.residual_rl import throughput
    from pipeline.residual_rl.config import PpoConfig
    from tests.pipeline.simulation.navigation.navigation_dummy import plane
    from world_model.residual_head import ResidualHeadConfig

    environment = plane(num_envs=8)
    ppo = PpoConfig(num_envs=8, horizon=8, minibatch=32, epochs=1, critic_warmup_steps=1)
    actor = ResidualHeadConfig(feature_size=environment.feature_size, hidden=(16,))
    with throughput.algorithm_on(environment, ppo, gamma=0.9, seed=0, actor=actor, device=device) as learner:
        learner.train()  # the critic's warm-up
        module = learner.learner_group._learner.module["default_policy"].unwrapped()
        before = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        learner.train()
        after = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        return {
            "device": next(module.parameters()).device.type,
            "finite": all(bool(value.isfinite().all()) for value in after.values()),
            "moved": sorted(name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])),
        }


def test_an_update_of_a_specialist(device: str) -> None:
    found = call(update_specialist, device)
    assert found["device"] == torch.device(device).type
    assert found["finite"] and {"actor", "critic"} <= set(found["moved"])


def rows(robot: str) -> Transitions:
    """Return random transitions."""
    generator = torch.Generator().manual_seed(len(robot))
    descriptor = torch.from_numpy(registry.get(robot).descriptor())
    return Transitions(
        features=torch.randn(256, FEATURES, generator=generator),
        descriptor=descriptor.repeat(256, 1),
        mean=torch.rand(256, 3, generator=generator) * 2.0 - 1.0,
        log_std=torch.full((256, 3), -1.0),
    )


@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_updates_of_the_generalist(device: str, loss: str) -> None:
    """The same seed and rows give nearly the same weights and losses as on the CPU."""
    torch.manual_seed(0)
    here = Generalist(GeneralistConfig(feature_size=FEATURES, hidden=(32,)))
    start = copy.deepcopy(here.state_dict())
    there = copy.deepcopy(here).to(device)
    losses: dict[str, list[float]] = {"here": [], "there": []}
    robots = {robot: rows(robot) for robot in ("tiago", "go2")}
    for name, student in (("here", here), ("there", there)):
        fit(
            student,
            robots,
            FitConfig(loss=loss, batch=128),
            updates=UPDATES,
            seed=0,
            report=lambda _, value, rate, name=name: losses[name].append(value),
        )
    assert losses["there"] == pytest.approx(losses["here"], rel=1e-3)
    for name, value in here.state_dict().items():
        found = there.state_dict()[name]
        assert found.device.type == torch.device(device).type
        torch.testing.assert_close(found.cpu(), value, atol=WEIGHTS, rtol=0.0)
    assert any(not torch.equal(start[name], value) for name, value in here.state_dict().items())
