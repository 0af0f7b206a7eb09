"""How far off a robot's idea of its own pose is."""

import pytest
import torch

from pipeline.simulation.sensors.odometry import Odometry

COUNT = 4000


def travelled(odometry: Odometry, *, metres: float, step_m: float, **options: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    for _ in range(round(metres / step_m)):
        odometry.travel(torch.full((COUNT,), step_m), generator=generator, **options)
    return odometry.believed_w(torch.zeros(COUNT, 3))


@pytest.mark.parametrize("step_m", [0.05, 0.5])
def test_the_error_grows_with_the_root_of_the_way_however_it_is_divided(step_m: float) -> None:
    odometry = Odometry(COUNT, drift_xy_per_m=0.02, drift_yaw_per_m=0.01, device="cpu")
    deviation = travelled(odometry, metres=4.0, step_m=step_m).std(dim=0)
    assert deviation.tolist() == pytest.approx([0.04, 0.04, 0.02], rel=0.05)


def test_more_drift_adds_to_the_usual() -> None:
    odometry = Odometry(COUNT, drift_xy_per_m=0.02, drift_yaw_per_m=0.0, device="cpu")
    deviation = travelled(odometry, metres=1.0, step_m=0.1, extra_rates=torch.full((COUNT, 3), 0.01)).std(dim=0)
    assert deviation.tolist() == pytest.approx([0.03, 0.03, 0.01], rel=0.05)


def test_perfect_odometry_draws_nothing() -> None:
    generator, untouched = (torch.Generator().manual_seed(1) for _ in range(2))
    odometry = Odometry(2, drift_xy_per_m=0.0, drift_yaw_per_m=0.0, device="cpu")
    odometry.travel(torch.ones(2), generator=generator)
    assert odometry.believed_w(torch.ones(2, 3)).tolist() == torch.ones(2, 3).tolist()
    assert generator.get_state().tolist() == untouched.get_state().tolist()


def test_an_episode_begins_with_the_error_it_is_given() -> None:
    odometry = Odometry(2, drift_xy_per_m=0.1, drift_yaw_per_m=0.1, device="cpu")
    odometry.travel(torch.ones(2), generator=torch.Generator().manual_seed(2))
    before = odometry.believed_w(torch.zeros(2, 3))
    odometry.begin(torch.tensor([True, False]), torch.tensor([[0.5, -0.5, 0.1]] * 2))
    after = odometry.believed_w(torch.zeros(2, 3))
    assert after[0].tolist() == pytest.approx([0.5, -0.5, 0.1]) and torch.equal(after[1], before[1])
    odometry.begin(torch.tensor([True, True]))
    assert not odometry.believed_w(torch.zeros(2, 3)).any()
