"""A training goes on after the death of an environment runner and after a NaN; what cannot be mended ends it soon."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.residual_rl.side_by_side import train_many
from pipeline.residual_rl.training import CURVE, Job
from tests.pipeline.residual_rl.faulty_dummy import make
from tests.pipeline.residual_rl.test_residual_rl import PPO
from tests.pipeline.residual_rl.test_residual_rl import job as good_job

pytestmark = pytest.mark.slow
STEPS = 6144


def job(folder: Path, name: str, *, fault: str, times: int, env_runners: int = 0) -> Job:
    """Return a training of six iterations with a fault in it."""
    ppo = replace(PPO, control_steps=STEPS, validation_episodes=0, env_runners=env_runners)
    faults = {"fault": fault, "times": times, "marks": str(folder / name / "marks")}
    whole = good_job(folder / name, ppo=ppo, name=name)
    return replace(whole, environment=make, environment_config={**whole.environment_config, **faults})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    """Trainings with a fault each: their folder, the figures of those that finished, and the error about the others."""
    folder = tmp_path_factory.mktemp("faulty")
    jobs = [
        job(folder, "nan_once", fault="nan", times=1),
        job(folder, "nan_always", fault="nan", times=10**6),
        job(folder, "dies_twice", fault="dies", times=2, env_runners=1),
        job(folder, "dies_always", fault="dies", times=10**6, env_runners=1),
        job(folder, "raises_always", fault="raises", times=10**6, env_runners=1),
    ]
    figures: dict[str, Any] = {}
    with pytest.raises(ValueError, match="failed") as found:
        train_many(jobs, begun=lambda job: None, done=lambda job, result: figures.update({job.name: result}))
    return folder, figures, str(found.value)


def curve(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return a finished training's figures, iteration by iteration."""
    return list(json.loads((folder / name / "out" / CURVE).read_text()))


def test_only_what_cannot_be_mended_fails(trained: tuple[Path, dict[str, Any], str]) -> None:
    _, figures, _ = trained
    assert set(figures) == {"nan_once", "dies_twice"}
    assert all(STEPS <= found["control_steps"] < STEPS + 1024 for found in figures.values())


def test_after_a_nan_the_training_is_back_at_its_last_checkpoint_and_counts_it(
    trained: tuple[Path, dict[str, Any], str],
) -> None:
    folder, _, _ = trained
    rows = curve(folder, "nan_once")
    assert [row["iteration"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row.get("rollbacks", 0) for row in rows] == [0] + [1] * (len(rows) - 1)


def test_a_nan_that_comes_back_ends_the_training(trained: tuple[Path, dict[str, Any], str]) -> None:
    _, _, error = trained
    assert "training of 'nan_always' failed: loss or weights were not finite in 3 iterations, the last one" in error
    assert "lower --ppo.actor-learning-rate" in error


def test_the_death_of_a_runner_costs_no_more_than_its_samples(trained: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, _ = trained
    assert len(list((folder / "dies_twice" / "marks").iterdir())) == 2
    steps = [row["control_steps"] for row in curve(folder, "dies_twice")]
    assert all(0 < after - before <= 1024 for before, after in itertools.pairwise(steps))


def test_a_runner_is_started_again_four_times(trained: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, error = trained
    assert "training of 'dies_always' failed: no environment runner is left, each was started again 4 times" in error
    assert len(list((folder / "dies_always" / "marks").iterdir())) == 5


def test_an_error_that_comes_back_ends_the_training_and_is_named(trained: tuple[Path, dict[str, Any], str]) -> None:
    folder, _, error = trained
    told = "RuntimeError: the wheels fell off (environment runner 1, seed 3)"
    assert f"training of 'raises_always' failed: an environment failed twice in the same way: {told}" in error
    assert len(list((folder / "raises_always" / "marks").iterdir())) == 2
    assert "\n" not in error
