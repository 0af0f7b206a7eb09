"""Gait training and its figures: late targets, a curriculum that rises and falls, figures computed by hand."""

import json

import numpy as np
import pytest
import torch

from embodiments.embodiment import GaitDrive
from embodiments.registry import get, names
from embodiments.spaces import DRIVE_HZ
from pipeline.commands import evaluate_gait
from pipeline.evaluation.episodes import statistics
from pipeline.evaluation.report import gait_figures
from pipeline.simulation.gait.curriculum import BAD_FRACTION, EASIEST_RANGE, GOOD_FRACTION, Curriculum
from pipeline.simulation.gait.trials import command_grid, command_range
from pipeline.simulation.physics.dynamics import FACTORS, GaitDynamics, GaitRandomisation

ROBOTS = [name for name in names() if isinstance(get(name).drive, GaitDrive)]
COMMANDS = torch.tensor([[0.6, 0.0, 0.0], [-0.3, 0.0, 0.0], [0.0, 0.2, 0.0], [0.0, 0.0, 0.8]])


class RecordingPhysics:
    """Takes targets and randomisation like ``RobotPhysics`` and remembers the targets of every physics step."""

    def __init__(self, count: int) -> None:
        self.num_envs, self.device, self.dt_s = count, torch.device("cpu"), 0.005
        self.joint_names = ("a", "b")
        self.variation = self
        self.targets: list[list[float]] = []
        self.pushed = torch.zeros(count, 2)

    def set_position_targets(self, position_rad: torch.Tensor) -> None:
        self.now = position_rad

    def step(self, count: int, *, before) -> None:
        for index in range(count):
            before(index)
            self.targets.append(self.now[:, 0].tolist())

    def randomise(self, mask: torch.Tensor, **block: object) -> torch.Tensor:
        return torch.ones(len(mask), FACTORS - 1)

    def push(self, mask: torch.Tensor, velocity_w: torch.Tensor) -> None:
        self.pushed = torch.where(mask[:, None], velocity_w, 0.0)


def test_targets_arrive_after_each_robots_latency():
    physics = RecordingPhysics(3)
    dynamics = GaitDynamics(physics, GaitRandomisation(latency_s=(0.0, 0.02)), seed=0)
    dynamics.resample(torch.ones(3, dtype=torch.bool))
    dynamics._delay_steps = torch.tensor([0, 1, 4])
    dynamics.step(torch.full((3, 2), 1.0))
    dynamics.step(torch.full((3, 2), 2.0))
    assert physics.targets[:4] == [[1.0, 1.0, 1.0]] * 4  # nothing is older than the first
    assert physics.targets[4:] == [[2.0, 1.0, 1.0], [2.0, 2.0, 1.0], [2.0, 2.0, 1.0], [2.0, 2.0, 1.0]]
    dynamics.hold(torch.tensor([False, False, True]), torch.zeros(3, 2))
    dynamics.step(torch.full((3, 2), 3.0))
    assert physics.targets[8] == [3.0, 2.0, 0.0]


def test_latency_is_drawn_from_its_interval_and_known_to_the_critic():
    dynamics = GaitDynamics(RecordingPhysics(200), GaitRandomisation(latency_s=(0.005, 0.015)), seed=0)
    dynamics.resample(torch.ones(200, dtype=torch.bool))
    assert set(dynamics._delay_steps.tolist()) == {1, 2, 3}
    assert torch.allclose(dynamics.factors[:, -1], dynamics._delay_steps * 0.25)
    assert dynamics.factors.shape == (200, FACTORS)


def test_pushes_have_the_speed_asked_for_in_all_directions():
    physics = RecordingPhysics(400)
    dynamics = GaitDynamics(physics, GaitRandomisation(), seed=0)
    mask = torch.arange(400) % 2 == 0
    dynamics.push(mask, torch.full((400,), 0.5))
    assert torch.allclose(physics.pushed.norm(dim=-1), 0.5 * mask)
    assert physics.pushed[mask].mean(0).abs().max() < 0.1


def test_noise_stays_inside_its_half_widths():
    dynamics = GaitDynamics(RecordingPhysics(50), GaitRandomisation(noise=2.0), seed=0)
    widths = dynamics._noise
    assert (dynamics.noise().abs() <= widths).all()
    assert dynamics.noise().abs().max(dim=0).values[widths > 0].min() > 0.5 * widths[widths > 0].min()


@pytest.mark.parametrize(
    ("fallen", "yields", "direction"),
    [
        ([False] * 4, (1.0, 1.0, 1.0, 1.0), 1),
        ([False] * 4, (0.0, 1.0, 1.0, 1.0), -1),  # does not walk forwards
        ([False] * 4, (1.0, 1.0, 0.1, 1.0), -1),  # nor sideways
        ([True, False, False, False], (1.0, 1.0, 1.0, 1.0), -1),
        ([False] * 4, (0.5 * (GOOD_FRACTION + BAD_FRACTION), 1.0, 1.0, 1.0), 0),
    ],
)
def test_curriculum_goes_both_ways(fallen, yields, direction):
    curriculum = Curriculum(0.5)
    forward, backward, sideways, turn = yields
    error = COMMANDS * (1.0 - torch.tensor([[forward, 1, 1], [backward, 1, 1], [1, sideways, 1], [1, 1, turn]]))
    for _ in range(round(20 * DRIVE_HZ)):  # longer than its memory
        curriculum.update(torch.tensor(fallen), COMMANDS, error)
    start = curriculum.level
    for _ in range(round(3 * DRIVE_HZ)):
        curriculum.update(torch.tensor(fallen), COMMANDS, error)
    assert np.sign(round(curriculum.level - start, 2)) == direction
    assert 0.0 <= curriculum.push_fraction <= 1.0
    assert EASIEST_RANGE <= curriculum.command_fraction <= 1.0


def test_pushes_begin_when_the_whole_range_is_walked():
    easy, half, hard = Curriculum(0.0), Curriculum(0.5), Curriculum(1.0)
    assert (easy.command_fraction, half.command_fraction, hard.command_fraction) == (EASIEST_RANGE, 1.0, 1.0)
    assert (easy.push_fraction, half.push_fraction, hard.push_fraction) == (0.0, 0.0, 1.0)


def test_standing_still_is_not_rewarded_with_harder_commands():
    curriculum = Curriculum()
    for _ in range(round(20 * DRIVE_HZ)):
        curriculum.update(torch.zeros(4, dtype=torch.bool), 0.1 * COMMANDS, 0.1 * COMMANDS)
    assert curriculum.level == 0.0


@pytest.mark.parametrize("name", ROBOTS)
def test_the_grid_covers_the_range(name):
    embodiment = get(name)
    grid, (low, high) = command_grid(embodiment), command_range(embodiment)
    assert torch.equal(grid.amin(0), low)
    assert torch.equal(grid.amax(0), high)
    assert len(grid.unique(dim=0)) == len(grid)
    assert low[0] <= -embodiment.limits.reverse_mps  # navigation stays inside what is measured
    assert high.tolist() == pytest.approx(
        [embodiment.limits.forward_mps, embodiment.limits.lateral_mps, embodiment.limits.yaw_rate_radps]
    )


@pytest.mark.parametrize(("count", "bound"), [(0, 2.9957), (1, 4.7439), (12, 19.4426)])
def test_poisson_bound(count, bound):
    assert statistics.poisson_upper(count) == pytest.approx(bound, abs=1e-3)  # table of the exact one-sided bound


def test_tracking_by_hand():
    command = np.asarray([[0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.3, 0.0]])
    velocity = np.asarray([[0.4, 0.1, 0.0], [0.6, -0.1, 0.2], [0.0, 0.0, 0.8], [np.nan] * 3])
    figures = gait_figures.tracking(command, velocity)
    assert figures["rms_velocity_mps"] == pytest.approx(np.sqrt((0.02 + 0.02 + 0.0) / 3.0))
    assert figures["rms_yaw_radps"] == pytest.approx(np.sqrt((0.0 + 0.04 + 0.04) / 3.0))
    assert figures["tracking_fell_share"] == 0.25
    low, high = figures["rms_velocity_ci95"]
    assert low <= figures["rms_velocity_mps"] <= high
    measured = {tuple(row["command"]): row["measured"] for row in figures["by_command"]}
    assert measured == {(0.5, 0.0, 0.0): [0.5, 0.0, 0.1], (0.0, 0.0, 1.0): [0.0, 0.0, 0.8]}


def test_falls_and_stops_by_hand():
    falls = gait_figures.falling(falls=3, minutes=600.0, broken=0)
    assert falls["falls_per_30min"] == pytest.approx(0.15)
    assert falls["falls_per_30min_upper95"] == pytest.approx(7.7537 / 20.0, abs=1e-3)
    drift = np.asarray([0.01, 0.05, 0.2, np.nan])
    stops = gait_figures.stopping(
        stopped=np.asarray([True, True, True, False]), drift_m=drift, quiet_share=np.asarray([1.0, 1.0, 0.7, 0.0])
    )
    assert stops["stop_share"] == 0.75
    assert stops["stop_drift_below_10cm_share"] == 0.5
    assert stops["stop_quiet_share"] == pytest.approx(0.9)
    assert 0.19 < stops["stop_drift_m"] <= 0.2


def test_robustness_is_the_share_lost():
    usual = {"rms_velocity_mps": 0.10, "rms_yaw_radps": 0.1, "stop_drift_m": 0.05, "stop_share": 1.0, "by_command": []}
    other = {**usual, "rms_velocity_mps": 0.12, "stop_share": 0.9}
    lost = gait_figures.robustness(usual, {"physics_400hz": other})["physics_400hz"]["lost_share"]
    assert lost == pytest.approx(
        {"rms_velocity_mps": 0.2, "rms_yaw_radps": 0.0, "stop_drift_m": 0.0, "stop_share": 0.1}
    )


def test_evaluation_names_what_is_wrong(tmp_path):
    with pytest.raises(ValueError, match="'tiago' has no gait"):
        evaluate_gait.main(evaluate_gait.Config(embodiments=("tiago",), out=tmp_path))
    missing = evaluate_gait.Config(embodiments=("go2",), out=tmp_path, weights=tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="train_gait --embodiments go2"):
        evaluate_gait.main(missing)


@pytest.mark.slow  # builds a simulation: 15 s
def test_a_small_evaluation_writes_its_file_once(tmp_path, monkeypatch):
    config = evaluate_gait.Config(
        embodiments=("go2",), out=tmp_path, num_envs=8, rounds=1, minutes=0.4, robust_minutes=0.0, workers=1
    )
    evaluate_gait.main(config)
    figures = json.loads((tmp_path / "gait.json").read_text())["robots"]["go2"]
    wanted = {"rms_velocity_mps", "rms_yaw_radps", "falls_per_30min", "falls_per_30min_upper95", "stop_share"}
    assert wanted | {"stop_drift_m", "minutes", "robust"} <= set(figures)
    assert figures["minutes"] == pytest.approx(0.4)
    assert figures["rms_velocity_mps"] < 0.4  # standing still gives 0.6
    assert (tmp_path / "gait.png").is_file()
    monkeypatch.setattr(evaluate_gait.processes, "spawned", lambda *_, **__: pytest.fail("measured again"))
    evaluate_gait.main(config)
