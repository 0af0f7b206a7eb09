"""The bench: what is timed, the efficiency ratio, the table, and PPO's rate on an environment that is already there."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands.implementation import bench
from pipeline.residual_rl.config import PpoConfig
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from tests.pipeline.simulation.navigation.navigation_dummy import PlaneNavigation, plane, small_base


class Clock:
    """Time that advances only by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the bench's clock."""
    clock = Clock()
    monkeypatch.setattr(bench.time, "perf_counter", clock)
    return clock


class TimedNavigation(PlaneNavigation):
    """A plane whose physics takes 6 ms a control step, a cast 2 ms, everything else of an environment step 2 ms."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(num_envs=4)
        self._clock = clock
        self.steps: list[int] = []
        self.physics = SimpleNamespace(step=self._physics)
        caster = SimpleNamespace(cast=lambda *_: self._pass(2e-3))
        self.camera = SimpleNamespace(_raycaster=caster)

    def _pass(self, seconds: float) -> None:
        self._clock.now_s += seconds

    def _physics(self, steps: int) -> None:
        self.steps.append(steps)
        self._pass(6e-3 * steps / bench.PHYSICS_STEPS)

    def step(self, action: Any) -> SimpleNamespace:
        """Take the time of physics, camera and the rest."""
        self._physics(bench.PHYSICS_STEPS)
        self.render()
        self._pass(2e-3)
        return super().step(action)

    def render(self) -> None:
        """Cast."""
        self.camera._raycaster.cast("scenes", "origins", "directions")


def test_efficiency_is_bare_physics_and_casts_over_the_environment_step(clock: Clock) -> None:
    navigation = TimedNavigation(clock)
    environment = LatentEnvironment(navigation, small_base())  # type: ignore[arg-type]
    seconds = bench._simulation_seconds(environment, steps=5)
    assert seconds["environment"] == pytest.approx(10e-3)
    assert seconds["physics"] == pytest.approx(6e-3)
    assert seconds["casts"] == pytest.approx(2e-3)
    assert set(navigation.steps) == {20}  # 200 Hz physics, 10 Hz control
    assert (seconds["physics"] + seconds["casts"]) / seconds["environment"] == pytest.approx(0.8)


def test_medians_ignore_an_outlier(clock: Clock) -> None:
    delays = itertools.cycle([1.0, 1.0, 1.0, 50.0, 1.0])

    def work() -> None:
        clock.now_s += next(delays)

    assert bench.seconds({"work": work}, times=7)["work"] == pytest.approx(1.0)


def test_the_table_shows_a_dash_for_a_missing_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    bench._print_table([{"embodiment": "tiago", "num_envs": 64, "environment_hz": 1000.0, "efficiency": 0.7}])
    shown = capsys.readouterr().out
    assert "tiago" in shown and "1000.0" in shown and "0.7" in shown
    assert shown.splitlines()[1].split()[-1] == "-"


@pytest.mark.slow
def test_ppo_is_timed_on_the_environment_that_is_there() -> None:
    from pipeline.residual_rl import throughput

    environment = plane(num_envs=8)
    ppo = PpoConfig(num_envs=8, horizon=8, minibatch=32, epochs=1)
    assert throughput.training_hz(environment, ppo, iterations=1, device="cpu") > 1.0
    navigation = environment.environment
    assert isinstance(navigation, PlaneNavigation)
    assert len(navigation.actions) >= 2 * 8


def runners_plane(worker: int) -> LatentEnvironment:
    """Build an environment runner's batch."""
    assert worker > 0
    return plane(num_envs=8, seed=worker)


@pytest.mark.slow
def test_ppo_with_an_environment_runner_is_timed_beside_ppo_in_one_process() -> None:
    from pipeline.residual_rl import throughput

    environment = plane(num_envs=8)
    ppo = PpoConfig(num_envs=8, horizon=8, minibatch=32, epochs=1)
    found = throughput.runners_hz(environment, ppo, make=runners_plane, counts=(1,), iterations=1, device="cpu")
    assert list(found) == [0, 1] and min(found.values()) > 1.0
    navigation = environment.environment
    assert isinstance(navigation, PlaneNavigation)
    assert 2 * 8 <= len(navigation.actions) < 3 * 8  # two iterations in this process; the runner's are its own


@pytest.mark.slow
def test_a_real_robot_is_measured() -> None:
    config = bench.Config(control_steps=3, iterations=0, scenes_per_kind=1, cores=0)
    figures = bench.measure(config, "tiago", 8)
    assert 0.0 < figures["efficiency"] < 1.5
    assert figures["environment_hz"] <= figures["depth_hz"] * 1.5
    assert 0.1 < figures["memory_gb"] < 16.0
