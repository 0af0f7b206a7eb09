"""When an episode ends, step by step."""

import numpy as np
import pytest
import torch

from embodiments.spaces import CONTROL_DT_S, STAND_SPEED_MPS, STAND_YAW_RATE_RADPS
from pipeline.simulation.navigation.tracker import EpisodeTracker, StepInfo

LIMIT = torch.tensor([25.6])
RUNNING = torch.tensor([True])


def step_info(
    *,
    distance_m: float = 3.0,
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0),
    heading: float = 0.0,
    position: tuple[float, float] = (0.0, 0.0),
    collision: bool = False,
    work_j: float = 0.0,
) -> StepInfo:
    one = torch.ones(1)
    return StepInfo(
        position_w=torch.tensor([position]),
        velocity_b=torch.tensor([velocity]),
        velocity_w=torch.tensor([velocity[:2]]),
        distance_m=one * distance_m,
        heading_error_rad=one * heading,
        geodesic_m=one * distance_m,
        clearance_m=one,
        work_j=one * work_j,
        person_gap_m=torch.full((1,), torch.inf),
        person_bumped=torch.tensor([False]),
        collision=torch.tensor([collision]),
        fall=torch.tensor([False]),
        broken=torch.tensor([False]),
    )


def tracker(*, settle_s: float = 0.0, needs_heading: bool = True, radius_m: float = 0.5) -> EpisodeTracker:
    made = EpisodeTracker(1, radius_m=radius_m, needs_heading=needs_heading, settle_s=settle_s, device="cpu")
    made.begin(RUNNING, torch.zeros(1, 2))
    return made


@pytest.mark.parametrize(
    ("kwargs", "arrives"),
    [
        ({"distance_m": 0.49}, True),
        ({"distance_m": 0.51}, False),
        ({"distance_m": 0.1, "velocity": (0.11, 0.0, 0.0)}, False),
        ({"distance_m": 0.1, "velocity": (0.08, 0.08, 0.0)}, False),
        ({"distance_m": 0.1, "velocity": (0.0, 0.0, -0.11)}, False),
        ({"distance_m": 0.1, "heading": -0.11}, False),
        ({"distance_m": 0.1, "heading": -0.09, "velocity": (0.09, 0.0, 0.09)}, True),
        ({"distance_m": 0.1, "collision": True}, False),
    ],
)
def test_compass_success_needs_position_heading_and_standstill_at_once(kwargs: dict, arrives: bool) -> None:
    termination = tracker().update(step_info(**kwargs), RUNNING, LIMIT)
    assert bool(termination["succeeded"]) is arrives
    assert bool(termination["ended"]) is (arrives or kwargs.get("collision", False))


def test_pointnav_needs_no_heading() -> None:
    termination = tracker(needs_heading=False, radius_m=0.25).update(
        step_info(distance_m=0.2, heading=2.0), RUNNING, LIMIT
    )
    assert bool(termination["succeeded"])


def test_the_time_limit_is_reached_after_256_steps() -> None:
    run = tracker()
    ends = [bool(run.update(step_info(), RUNNING, LIMIT)["timeout"]) for _ in range(256)]
    assert ends.index(True) == 255


def test_settled_needs_a_second_of_a_one_second_mean() -> None:
    run = tracker(settle_s=2.5)
    terminations = [run.update(step_info(distance_m=0.2), RUNNING, LIMIT) for _ in range(25)]
    ended = [bool(v["ended"]) for v in terminations]
    # The mean exists from the 10th step on and must hold for 10 steps.
    assert ended.index(True) == 18
    outcome = run.outcome(step_info(distance_m=0.2), torch.zeros(1).long(), terminations[18]["timeout"])
    assert bool(outcome.success) and bool(outcome.success_settled)
    assert outcome.time_s.item() == pytest.approx(0.1)


def test_the_settling_time_can_be_set_later() -> None:
    run = tracker(settle_s=0.0)
    run.settle_for(2.5)
    ended = [bool(run.update(step_info(distance_m=0.2), RUNNING, LIMIT)["ended"]) for _ in range(25)]
    assert ended.index(True) == 18


def test_a_robot_that_only_passes_through_succeeds_but_does_not_settle() -> None:
    run = tracker(settle_s=2.0)
    run.update(step_info(distance_m=0.3), RUNNING, LIMIT)
    for _ in range(30):
        termination = run.update(step_info(distance_m=2.0, velocity=(0.5, 0.0, 0.0)), RUNNING, LIMIT)
        if bool(termination["ended"]):
            break
    outcome = run.outcome(step_info(), torch.zeros(1).long(), termination["timeout"])
    assert bool(outcome.success) and not bool(outcome.success_settled)
    assert outcome.distance_to_goal_m.item() == pytest.approx(0.3)


def test_a_robot_that_sways_about_the_opposite_heading_has_not_settled() -> None:
    run = tracker(settle_s=2.0)
    for step in range(30):
        termination = run.update(step_info(distance_m=0.2, heading=3.12 if step % 2 else -3.12), RUNNING, LIMIT)
    outcome = run.outcome(step_info(), torch.zeros(1).long(), termination["timeout"])
    assert not bool(outcome.success) and not bool(outcome.success_settled)


def test_a_collision_after_success_does_not_undo_it() -> None:
    run = tracker(settle_s=2.0)
    run.update(step_info(distance_m=0.3), RUNNING, LIMIT)
    termination = run.update(step_info(distance_m=0.3, collision=True), RUNNING, LIMIT)
    outcome = run.outcome(step_info(collision=True), torch.zeros(1).long(), termination["timeout"])
    assert bool(termination["ended"]) and bool(outcome.success) and not bool(outcome.collision)


def test_path_is_measured_between_positions_one_second_apart() -> None:
    run = tracker()
    for step in range(1, 21):
        sway = 0.05 if step % 2 else 0.0
        termination = run.update(step_info(position=(0.1 * step, sway)), RUNNING, LIMIT)
    outcome = run.outcome(step_info(), torch.zeros(1).long(), termination["timeout"])
    assert outcome.path_m.item() == pytest.approx(2.0, abs=1e-5)


def test_what_a_tracker_counts_is_what_a_whole_episode_gives() -> None:
    """The running sums of a batch against the same figures of whole episodes."""
    rng = np.random.default_rng(0)
    velocity = rng.uniform(-0.12, 0.12, size=(40, 3)).astype(np.float32)
    velocity[::3] *= 0.3
    work_j = rng.uniform(0.0, 5.0, size=40)
    position = np.cumsum(velocity[:, :2] * CONTROL_DT_S, axis=0)
    run = tracker()
    for row in range(40):
        vx, vy, turn = (float(value) for value in velocity[row])
        now = step_info(velocity=(vx, vy, turn), position=tuple(position[row].tolist()), work_j=work_j[row])
        termination = run.update(now, RUNNING, LIMIT)
    outcome = run.outcome(now, torch.zeros(1).long(), termination["timeout"])
    slow = np.linalg.norm(velocity[:, :2], axis=1) < STAND_SPEED_MPS
    stopped_s = float((slow & (np.abs(velocity[:, 2]) < STAND_YAW_RATE_RADPS)).sum() * CONTROL_DT_S)
    assert 0.3 < stopped_s < 3.0 and outcome.stopped_s.item() == pytest.approx(stopped_s, abs=1e-5)
    assert outcome.energy_j.item() == pytest.approx(work_j.sum(), rel=1e-5)
    second_difference = np.diff(velocity[:, :2], n=2, axis=0)
    jerk = np.linalg.norm(second_difference, axis=1).mean() / CONTROL_DT_S**2
    assert outcome.jerk_mps3.item() == pytest.approx(jerk, rel=1e-4)
    seconds = np.concatenate([np.zeros((1, 2)), position[9::10]])
    path_m = np.linalg.norm(np.diff(seconds, axis=0), axis=1).sum()
    assert outcome.path_m.item() == pytest.approx(path_m, rel=1e-4)


def test_jerk_of_less_than_three_steps_is_undefined() -> None:
    run = tracker()
    for step in range(3):
        now = step_info(velocity=(0.1 * step**2, 0.0, 0.0))
        termination = run.update(now, RUNNING, LIMIT)
        jerk = run.outcome(now, torch.zeros(1).long(), termination["timeout"]).jerk_mps3
        assert bool(torch.isnan(jerk)) == (step < 2)
    assert jerk.item() == pytest.approx(20.0, rel=1e-4)


def test_energy_that_nobody_measures_is_undefined() -> None:
    run = tracker()
    termination = run.update(step_info(work_j=float("nan")), RUNNING, LIMIT)
    assert run.outcome(step_info(), torch.zeros(1).long(), termination["timeout"]).energy_j.isnan().all()


def test_a_new_episode_forgets_the_last_one() -> None:
    run = tracker()
    run.update(step_info(distance_m=0.3), RUNNING, LIMIT)
    run.begin(RUNNING, torch.zeros(1, 2))
    termination = run.update(step_info(distance_m=3.0), RUNNING, LIMIT)
    outcome = run.outcome(step_info(), torch.zeros(1).long(), termination["timeout"])
    assert not bool(outcome.success)
    assert run.steps.item() == 1
