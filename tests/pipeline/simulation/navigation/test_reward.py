"""The reward of one control step, computed by hand."""

import math

import pytest
import torch

from pipeline.simulation.navigation.config import RewardConfig
from pipeline.simulation.navigation.reward import StepReward
from pipeline.simulation.navigation.tracker import StepInfo

PER_STEP = -0.02
"""The default time penalty of a control step at 1 m/s"""


def step_info(
    *,
    distance_m: float = 4.0,
    heading_rad: float = 0.0,
    clearance_m: float = 1.0,
    hit: bool = False,
    fell: bool = False,
) -> StepInfo:
    nothing = torch.zeros(1)
    return StepInfo(
        position_w=torch.zeros(1, 2),
        velocity_b=torch.zeros(1, 3),
        velocity_w=torch.zeros(1, 2),
        distance_m=torch.tensor([distance_m]),
        heading_error_rad=torch.tensor([heading_rad]),
        geodesic_m=nothing,
        clearance_m=torch.tensor([clearance_m]),
        work_j=nothing,
        person_gap_m=torch.full((1,), torch.inf),
        person_bumped=torch.tensor([False]),
        collision=torch.tensor([hit]),
        fall=torch.tensor([fell]),
        broken=torch.tensor([False]),
    )


def after(
    meter: StepReward,
    what: StepInfo,
    *,
    cost_to_go_m: float = 5.0,
    success: bool = False,
    change: tuple[float, float, float] = (0.0, 0.0, 0.0),
    forward_mps: float = 1.0,
) -> float:
    reward = meter.after(
        what,
        cost_to_go_m=torch.tensor([cost_to_go_m]),
        success=torch.tensor([success]),
        command_change=torch.tensor([change]),
        forward_mps=torch.tensor([forward_mps]),
    )
    assert reward.shape == (1,)
    return float(reward)


def begun(config: RewardConfig | None = None, **where: float) -> StepReward:
    meter = StepReward(1, config or RewardConfig(), device="cpu")
    after(meter, step_info(**where))
    return meter


def test_progress_along_the_geodesic_pays_its_metres_and_at_most_one() -> None:
    meter = begun()
    assert after(meter, step_info(), cost_to_go_m=4.9) == pytest.approx(0.1 + PER_STEP, abs=1e-5)
    assert after(meter, step_info(), cost_to_go_m=5.2) == pytest.approx(-0.3 + PER_STEP, abs=1e-5)
    assert after(meter, step_info(), cost_to_go_m=0.0) == pytest.approx(1.0 + PER_STEP)


def test_there_and_back_costs_only_its_time() -> None:
    """Also by heading: otherwise turning back and forth would pay."""
    meter = begun(distance_m=0.5, heading_rad=1.0)
    there = after(meter, step_info(distance_m=0.2, heading_rad=0.1), cost_to_go_m=4.7)
    back = after(meter, step_info(distance_m=0.5, heading_rad=1.0), cost_to_go_m=5.0)
    assert there > 0.3
    assert there + back == pytest.approx(2 * PER_STEP, abs=1e-5)


def test_heading_counts_only_near_the_goal() -> None:
    far, near = begun(distance_m=2.0, heading_rad=math.pi), begun(distance_m=0.75, heading_rad=math.pi)
    assert after(far, step_info(distance_m=2.0)) == pytest.approx(PER_STEP, abs=1e-5)
    assert after(near, step_info(distance_m=0.75)) == pytest.approx(0.5 + PER_STEP, abs=1e-5)


def test_how_an_episode_ends() -> None:
    assert after(begun(), step_info(), success=True) == pytest.approx(8.0 + PER_STEP)
    assert after(begun(), step_info(hit=True)) == pytest.approx(-6.0 + PER_STEP)
    assert after(begun(), step_info(fell=True)) == pytest.approx(-6.0 + PER_STEP)


def test_closeness_and_jerks_cost_a_little() -> None:
    assert after(begun(), step_info(clearance_m=0.075)) == pytest.approx(-0.025 + PER_STEP)
    assert after(begun(), step_info(), change=(0.5, 0.0, -0.5)) == pytest.approx(-0.01 + PER_STEP)


def test_time_costs_a_slow_body_less() -> None:
    assert after(begun(), step_info(), forward_mps=0.3) == pytest.approx(0.3 * PER_STEP)


def test_the_reward_of_compass() -> None:
    config = RewardConfig(kind="compass")
    assert after(begun(config), step_info(distance_m=3.0)) == pytest.approx(-0.3)
    assert after(begun(config), step_info(distance_m=0.2), success=True) == pytest.approx(199.98)
    assert after(begun(config), step_info(distance_m=3.0, hit=True)) == pytest.approx(-100.3)
