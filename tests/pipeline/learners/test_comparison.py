"""What counts as the learner's time, which figures are compared, and what the bench refuses."""

from typing import Any

import pytest
import torch

from pipeline.commands.implementation import bench_learners
from pipeline.commands.implementation.bench_learners import Config
from pipeline.learners import comparison, learner, timed_environment
from pipeline.learners.timed_environment import TimedEnvironment
from pipeline.runs.provenance import ROOT
from tests import separate_process
from tests.pipeline.learners.taped import ENVS, HORIZON, PPO, SETTINGS, TapedEnvironment


class Clock:
    """Time that advances only by hand; the process computes for half of it."""

    now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s

    def process_time(self) -> float:
        return self.now_s / 2.0


class SlowEnvironment(TapedEnvironment):
    """Every step takes 10 ms."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        super().__init__()

    def step(self, residual_action: torch.Tensor) -> Any:
        """Take time."""
        self._clock.now_s += 0.01
        return super().step(residual_action)


class SlowLearner:
    """A rollout without exploration and 0.5 s of learning; the first update takes 60 s more."""

    def __init__(self, environment: Any, clock: Clock) -> None:
        self.environment, self._clock, self.rates, self.closed = environment, clock, list[float](), False
        environment.reset()

    def iterate(self, *, actor_rate: float) -> None:
        self._clock.now_s += 0.5 if self.rates else 60.5
        self.rates.append(actor_rate)
        for _ in range(HORIZON):
            self.environment.step(torch.zeros(ENVS, 3))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the time of the bench."""
    clock = Clock()
    monkeypatch.setattr(comparison, "time", clock)
    monkeypatch.setattr(timed_environment, "time", clock)
    return clock


def test_what_is_not_spent_in_the_environments_step_is_the_learners(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner, "make", lambda name, environment, settings: SlowLearner(environment, clock))
    environment = SlowEnvironment(clock)
    with comparison.trained("slow", environment, SETTINGS) as (made, figures):
        pass
    assert isinstance(made, SlowLearner) and made.closed
    counted = figures["iterations"][1:]
    steps = [each["environment_hz"] * 0.01 * HORIZON for each in counted]  # without those that only reset
    assert all(step < ENVS * HORIZON for step in steps) and min(steps) > 0.7 * ENVS * HORIZON
    for each, count in zip(counted, steps, strict=True):
        assert each["learner_s"] == pytest.approx(0.5 / count * 1e6)
        assert each["learner_cpu_s"] == pytest.approx(0.25 / count * 1e6)
        assert each["training_hz"] == pytest.approx(count / (0.5 + 0.01 * HORIZON))
    assert figures["learner_s"] < 0.5 / min(steps) * 1e6 + 1.0  # the first iteration does not count
    assert figures["control_steps"] == sum(int((~step.first).sum()) for step in environment.tape[1:])
    assert len(figures["iterations"]) == PPO.control_steps / (ENVS * HORIZON)
    ended, success = environment.ended(), [step.outcome.success for step in environment.tape]
    assert figures["training_episodes"] == ended.sum()
    assert figures["training_success"] == pytest.approx(float(torch.stack(success).sum() / ended.sum()), abs=1e-4)


def test_the_actors_rate_is_that_of_the_schedule(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner, "make", lambda name, environment, settings: SlowLearner(environment, clock))
    with comparison.trained("slow", SlowEnvironment(clock), SETTINGS) as (made, _):
        pass
    assert isinstance(made, SlowLearner)
    assert made.rates[0] == 0.0  # the critic's warm-up is one iteration long
    assert all(0.1 * PPO.actor_learning_rate <= rate < PPO.actor_learning_rate for rate in made.rates[1:])
    assert sorted(made.rates[1:], reverse=True) == made.rates[1:]


def test_a_validation_is_no_part_of_the_training() -> None:
    timed = TimedEnvironment(TapedEnvironment())
    timed.reset()
    assert timed.spent.control_steps == 0 and not timed.last_successes
    timed.step(torch.zeros(ENVS, 3))
    assert timed.spent.control_steps == ENVS and timed.spent.wall_s > 0.0


def row(name: str, *, learner_s: float, training_hz: float = 300.0, success: float | None = None) -> dict[str, Any]:
    found = {"learner": name, "learner_s": learner_s, "learner_cpu_s": 50.0, "training_hz": training_hz}
    return found if success is None else {**found, "success": success}


def test_a_learner_is_named_that_is_better_by_more_than_a_fifth() -> None:
    rows = [
        row("rllib", learner_s=100.0, success=0.6),
        row("skrl", learner_s=75.0, success=0.8),
        row("rsl_rl", learner_s=85.0, success=0.7, training_hz=420.0),
    ]
    assert comparison.verdicts(rows) == [
        "skrl is better than rllib in learner seconds by 25%",
        "skrl is better than rllib in success without noise by 33%",
        "rsl_rl is better than rllib in RL steps/s by 40%",
    ]
    assert [each["learner_ratio"] for each in comparison.with_ratios(rows)] == [1.0, 0.75, 0.85]
    quick = {**row("skrl", learner_s=100.0), "learner_cpu_s": 30.0}
    assert comparison.verdicts([rows[0], quick]) == ["skrl is better than rllib in CPU seconds by 40%"]
    assert comparison.verdicts([rows[0], row("skrl", learner_s=81.0)]) == [
        "no learner is better than rllib by more than 20%"
    ]
    assert comparison.verdicts(rows[1:]) == ["rllib was not measured: nothing to compare with"]
    assert comparison.with_ratios(rows[1:]) == rows[1:]


def test_a_missing_package_is_named_and_its_learner_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(learner, "missing", lambda name: "skrl" if name == "skrl" else None)
    assert bench_learners._installed(("skrl", "rllib", "rllib")) == ["rllib"]
    [line] = capsys.readouterr().out.splitlines()
    assert line == f"skrl is left out: the package skrl is not installed; {bench_learners.MEND}"
    with pytest.raises(ValueError, match="none of the learners is installed"):
        bench_learners._installed(("skrl",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learners": ()}, "at least one of --learners"),
        ({"num_envs": 1}, "num_envs is 1"),
        ({"num_envs": 10, "horizon": 10, "minibatch": 64}, "no multiple of the minibatch 64"),
        ({"embodiment": "tiagoo"}, "tiago"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bench_learners.main(Config(**options))


def test_settings_are_those_of_a_specialist() -> None:
    from pipeline.residual_rl.config import PpoConfig
    from pipeline.stages.train_specialist import Config as SpecialistConfig

    specialist, found = SpecialistConfig(), bench_learners.settings(Config(control_steps=350_000))
    assert found.ppo == PpoConfig() == specialist.ppo
    assert found.initial_log_std == specialist.initial_log_std and found.hidden == specialist.hidden
    assert found.gamma == pytest.approx(0.99)  # TIAGo drives 1 m/s


def test_the_table_shows_the_base_policy_and_what_was_not_measured(capsys: pytest.CaptureFixture[str]) -> None:
    found = {**row("rllib", learner_s=61.5), "environment_hz": 400.0, "training_success": None}
    bench_learners._print_table([found], {"success": 0.81, "settled": 0.8})
    head, ours, base, *_ = capsys.readouterr().out.splitlines()
    assert "learner s/M" in head and "61.5" in ours.split() and ours.split()[-1] == "-"
    assert base.split() == ["base", *["-"] * 6, "0.81", "0.8"]  # nothing of its speed


def test_pins_are_those_of_the_other_requirements() -> None:
    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))

    optional, tests = pins("requirements-learners.txt"), pins("requirements-dev.txt")
    assert optional["stable-baselines3"] == tests["stable-baselines3"]
    assert bench_learners.MEND.endswith("requirements-learners.txt")


@pytest.mark.slow
@pytest.mark.parametrize("name", learner.NAMES)
def test_a_learner_trains_on_a_real_robot(name: str) -> None:
    if learner.missing(name):
        pytest.skip(f"{name} is not installed: pip install -r requirements-learners.txt")
    config = Config(
        control_steps=400,
        num_envs=8,
        horizon=16,
        minibatch=64,
        epochs=1,
        critic_warmup_steps=100,
        hidden=(32, 32),
        validation_episodes=4,
        train_scenes_per_kind=1,
        val_scenes_per_kind=1,
    )
    figures = separate_process.call(_measure, config, name)
    assert 400 < figures["control_steps"] < 4 * 8 * 17
    assert figures["learner_s"] > 0.0 and 0.0 < figures["training_hz"] < figures["environment_hz"]
    for found in (figures, figures["base"]):
        assert found["validation_episodes"] == 4 and 0.0 <= found["settled"] <= found["success"] <= 1.0


def _measure(config: Config, name: str) -> Any:
    return bench_learners.measure(config, name, validates_base=True)
