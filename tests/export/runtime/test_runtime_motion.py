"""Limiter, stop zone, recoveries and routes against values computed by hand and against the simulation's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from embodiments import registry
from export.runtime.driver.limiter import Limiter
from export.runtime.driver.messages import Report
from export.runtime.driver.stop_zone import StopZone
from export.runtime.navigator import between
from export.runtime.retry import Retry, RetryConfig
from export.runtime.robots.lidar import LIDAR_BLIND
from export.runtime.route import Route, plan, to_body
from pipeline.simulation.sensors import route as simulated
from scenes.grid import Grid
from scenes.path import resample
from tests.export.runtime.runtime_rig import Cruise, Rig
from world_model.local_planner import frames

STRETCH = registry.get("stretch3")
BODY_FRONT_M = max(disc.x_m + disc.radius_m for layer in STRETCH.footprint for disc in layer)
FRONT_M = max(BODY_FRONT_M, LIDAR_BLIND.x_m + LIDAR_BLIND.radius_m)
"""Of what the stop zone keeps clear: body and the lidar's blind range."""


BLIND = (LIDAR_BLIND,)


def wall(x_m: float) -> np.ndarray:
    """Return a scan (N, 2) of a wall across the path."""
    return np.stack([np.full(41, x_m), np.linspace(-1.0, 1.0, 41)], axis=-1)


def test_the_limiter_keeps_the_curvature_where_the_vendor_would_bend_it() -> None:
    limiter = Limiter(STRETCH, max_speed_mps=1.0)
    admitted = limiter.admissible(np.asarray([0.25, 0.0, 0.5]))
    assert admitted[2] / admitted[0] == pytest.approx(2.0)
    assert abs(admitted[0]) + 0.15765 * abs(admitted[2]) == pytest.approx(0.30)


def test_the_limiter_ramps_with_the_robots_acceleration() -> None:
    limiter = Limiter(STRETCH, max_speed_mps=0.2)
    speeds = [limiter.step(np.asarray([0.3, 0.0, 0.0]), dt_s=0.05)[0] for _ in range(20)]
    assert np.diff([0.0, *speeds]).max() == pytest.approx(0.30 * 0.05)
    assert speeds[-1] == pytest.approx(0.2)
    assert not limiter.step(np.asarray([np.nan, 0.0, 0.0]), dt_s=10.0).any()


@pytest.mark.parametrize("command", [(0.0, 0.0, 3.0), (0.1, 0.0, 3.0), (-0.2, 0.0, -1.0), (0.3, 0.0, 0.0)])
def test_the_speed_that_an_operator_allows_holds_for_turning_too(command: tuple[float, float, float]) -> None:
    """By hand: the outer wheel turns at |v| + 0.15765 m |yaw rate|; at the wheels' own 0.3 m/s nothing changes."""
    slow, full = (Limiter(STRETCH, max_speed_mps=speed).admissible(np.asarray(command)) for speed in (0.1, 0.3))
    assert abs(slow[0]) + 0.15765 * abs(slow[2]) == pytest.approx(0.1)
    assert slow[0] * full[2] == pytest.approx(slow[2] * full[0])
    own = Limiter(STRETCH, max_speed_mps=9.0).admissible(np.asarray(command))
    assert full == pytest.approx(own, rel=1e-6)


def test_the_limiter_lets_a_car_turn_only_as_it_can() -> None:
    """On the way to a turn on the spot, and from one turn to the opposite one, every step is one that it can drive."""
    car = registry.get("car")
    limiter, random = Limiter(car, max_speed_mps=0.3), np.random.default_rng(0)
    assert limiter.admissible(np.asarray([0.0, 0.0, 0.2])) == pytest.approx([0.2 * car.turning_radius_m, 0.0, 0.2])
    for target in random.uniform((-0.3, 0.0, -1.5), (1.0, 0.0, 1.5), (200, 3)):
        for _ in range(int(random.integers(1, 8))):
            command = limiter.step(target, dt_s=0.05)
            assert abs(command[2]) * car.turning_radius_m <= abs(command[0]) + 1e-6
            assert -0.2 - 1e-6 <= command[0] <= 0.3 + 1e-6
    assert limiter.halt().tolist() == [0.0, 0.0, 0.0]


def test_a_robot_without_wheels_turns_as_its_curvature_asks() -> None:
    limiter = Limiter(registry.get("go2"), max_speed_mps=0.1)
    assert limiter.admissible(np.asarray([0.0, 0.0, 0.8])) == pytest.approx([0.0, 0.0, 0.8])
    assert limiter.admissible(np.asarray([0.2, 0.0, 0.8])) == pytest.approx([0.1, 0.0, 0.4])


@pytest.mark.slow
def test_a_million_fuzzed_commands_stay_admissible() -> None:
    limiter, random, limits = Limiter(STRETCH, max_speed_mps=0.25), np.random.default_rng(0), STRETCH.limits
    worst = np.zeros(3)
    for command in np.concatenate([random.standard_cauchy((999_990, 3)) * 0.3, np.full((10, 3), np.inf)]):
        sent = limiter.step(command, dt_s=0.02)
        demand = abs(sent[0]) + limits.half_track_m * abs(sent[2])
        worst = np.maximum(worst, [demand if np.isfinite(demand) else np.inf, sent[0], -sent[0]])
    assert (worst <= np.asarray([limits.wheel_speed_mps, 0.25, limits.reverse_mps]) + 1e-9).all()


@pytest.mark.parametrize("speed", [0.1, 0.2, 0.3])
def test_the_stop_zone_stops_where_braking_still_helps(speed: float) -> None:
    """Stopping distance by hand: latency and v^2/2a, and the margin."""
    zone, command = StopZone(STRETCH), np.asarray([speed, 0.0, 0.0])
    needed = speed * 0.25 + speed**2 / (2 * 0.30) + 0.05
    assert zone.check(command, wall(FRONT_M + needed - 0.03), blind=BLIND).zone == "stop"
    assert zone.check(command, wall(FRONT_M + needed + 0.03), blind=BLIND).factor > 0.0
    assert zone.check(command, wall(FRONT_M + 1.0), blind=BLIND).factor == 1.0


def test_the_stop_zone_lets_the_robot_leave_and_ignores_a_single_speck() -> None:
    zone, close = StopZone(STRETCH), wall(FRONT_M + 0.02)
    assert zone.check(np.asarray([0.1, 0.0, 0.0]), close, blind=BLIND).factor == 0.0
    assert zone.check(np.asarray([-0.1, 0.0, 0.0]), close, blind=BLIND).factor > 0.0
    assert zone.check(np.asarray([0.2, 0.0, 0.0]), np.asarray([[FRONT_M + 0.02, 0.0]])).factor == 1.0


def test_the_stop_zone_sees_where_a_turn_sweeps_the_body() -> None:
    """Stretch is longer behind than beside: turning on the spot swings its back into what stands beside it."""
    rear = max(np.hypot(disc.x_m, disc.y_m) + disc.radius_m for layer in STRETCH.footprint for disc in layer)
    bearing = np.deg2rad(180.0 - 40.0)
    post = (rear - 0.02) * np.asarray([[np.cos(bearing), np.sin(bearing)]] * 3)
    zone = StopZone(STRETCH)
    nearing, leaving = (zone.check(np.asarray([0.0, 0.0, turn]), post).factor for turn in (-0.8, 0.8))
    assert nearing < leaving


def test_a_wall_ahead_is_never_touched() -> None:
    rig = Rig(Cruise((0.3, 0.0, 0.0)), goal=(50.0, 0.0, 0.0)).run(40.0)
    assert {report.zone for report in rig.reports} >= {"approach"}
    assert rig.robot.pose[0] + BODY_FRONT_M > 5.5  # it does come near
    assert max(report.pose[0] for report in rig.reports) + FRONT_M < 6.0


@pytest.mark.parametrize("aside_m", [0.0, 0.05])
@pytest.mark.parametrize("speed", [0.08, 0.15, 0.3])
def test_a_post_that_is_too_near_for_the_lidar_is_never_touched(speed: float, aside_m: float) -> None:
    """6 cm wide: nearer than 0.15 m to the lidar all of it is lost from sight."""
    rig = Rig(Cruise((speed, 0.0, 0.0)), goal=(50.0, 0.0, 0.0))
    rig.navigator._retry = Retry(STRETCH, RetryConfig(patience_s=1e9, blocked_s=1e9))
    post = [0.8, aside_m - 0.03, 0.0, 0.86, aside_m + 0.03, 0.4]
    rig.robot._boxes = np.concatenate([rig.robot._boxes, [post]])
    rig.run(0.8 / speed + 12.0)
    room_m = [0.8 - BODY_FRONT_M - report.pose[0] for report in rig.reports]
    assert 0.0 < min(room_m) < 0.25, "it comes near"
    assert max(report.velocity_b[0] for report in rig.reports[-30:]) < 0.01, "and stays there"


def test_the_room_to_the_body_does_not_count_the_lidars_blind_range() -> None:
    zone, ahead = StopZone(STRETCH), np.asarray([0.1, 0.0, 0.0])
    assert zone.gap_m(wall(0.5)) == pytest.approx(0.5 - BODY_FRONT_M, abs=0.005)
    assert zone.check(ahead, wall(0.2), blind=BLIND).factor == 0.0 < zone.check(ahead, wall(0.2)).factor


@pytest.mark.parametrize("every", [1, 2])
def test_what_a_map_makes_of_the_reports_is_the_motion_even_where_some_are_lost(every: int) -> None:
    """The policy's map adds up velocities, 0.1 s each; an image that never came is no reason to leave one out."""
    rig = Rig(Cruise((0.2, 0.0, 0.3)), goal=(50.0, 0.0, 0.0))
    rig.navigator._retry = Retry(STRETCH, RetryConfig(patience_s=1e9, spins=1e9))
    rig.on_report = lambda report: report if report.sequence % every == 0 else None
    rig.run(3.0)
    rig.policy.reset()
    resets, began = rig.policy.resets, next(r for r in reversed(rig.reports) if r.sequence % every == 0)
    rig.run(12.0)
    ended = next(r for r in reversed(rig.reports) if r.sequence % every == 0)
    pose = torch.tensor([began.pose])
    for seen in rig.policy.since_reset:
        pose = frames.moved(pose, torch.from_numpy(seen.velocity_b))
    x, y, yaw = (pose[0] - torch.tensor(ended.pose)).tolist()
    assert np.hypot(x, y) < 0.01 and np.abs(np.angle(np.exp(1j * yaw))) < 0.01
    assert rig.policy.resets == resets
    blank = [not seen.depth_m.any() for seen in rig.policy.since_reset]
    assert blank == ([True] * (every - 1) + [False]) * ((ended.sequence - began.sequence) // every)


def test_steps_between_two_looks_share_the_motion_across_the_end_of_a_turn() -> None:
    last = Report(
        sequence=1, time_s=5.0, gate="", latched="", zone="", jumped=False, pose=(1.0, 0.0, np.pi - 0.1),
        velocity_b=(0.0, 0.0, 0.0), command=(0.0, 0.0, 0.0), ages_s={}, free_m={}, depth_m=np.ones((40, 64)),
    )  # fmt: skip
    now = replace(last, sequence=4, time_s=5.31, pose=(0.94, 0.0, -np.pi + 0.2), velocity_b=(0.2, 0.0, 1.0))
    first, second = between(last, now)
    assert first.pose == pytest.approx((0.98, 0.0, np.pi)) and second.pose == pytest.approx((0.96, 0.0, np.pi + 0.1))
    for missed in (first, second):
        assert missed.velocity_b == pytest.approx((0.2, -0.015, 1.0), abs=1e-3)
        assert missed.depth_m is not None and not missed.depth_m.any()
    assert between(last, replace(now, time_s=5.12)) == []


def test_without_a_lidar_it_does_not_reverse() -> None:
    rig = Rig(Cruise((-0.1, 0.0, 0.0)), goal=(-1.5, 0.0, 0.0), needs_scan=False).run(3.0)
    assert rig.robot.pose[0] == 0.0
    assert Rig(Cruise((-0.1, 0.0, 0.0)), goal=(-1.5, 0.0, 0.0)).run(3.0).robot.pose[0] < -0.05


def test_it_notices_that_it_gets_nowhere_backs_off_and_gives_up_with_a_reason() -> None:
    rig = Rig(Cruise((0.0, 0.0, 0.5)), goal=(50.0, 0.0, 0.0))
    rig.navigator._retry = Retry(STRETCH, RetryConfig(patience_s=3.0, tries=2))
    rig.run(40.0)
    assert rig.navigator.outcome.startswith("gave up after 2 tries")
    assert min(report.command[0] for report in rig.reports) < 0.0  # it did back off
    assert rig.policy.resets >= 2
    assert not rig.moving()


@pytest.mark.parametrize("reason", ["blocked", "spinning", "no progress"])
def test_every_reason_for_another_try(reason: str) -> None:
    retry = Retry(STRETCH, RetryConfig(patience_s=6.0))
    yaw_rate = 2.0 if reason == "spinning" else 0.0
    for step in range(200):
        zone = "stop" if reason == "blocked" else ""
        report = Report(
            sequence=step, time_s=step * 0.1, gate="", latched="", zone=zone, jumped=False, pose=(0.0, 0.0, 0.0),
            velocity_b=(0.0, 0.0, yaw_rate), command=(0.0, 0.0, 0.0), ages_s={}, free_m={}, depth_m=None,
        )  # fmt: skip
        if retry.step(report, left_m=5.0) is not None:
            break
    assert retry.reason.startswith(reason)
    assert retry.recoveries == 1


def test_it_reaches_a_goal_and_stands() -> None:
    rig = Rig(Cruise((0.2, 0.0, 0.0)), goal=(1.5, 0.0, 0.0))
    rig.navigator._goal = type(rig.navigator._goal)(speed_mps=0.25)
    rig.run(12.0)
    assert rig.navigator.outcome == "reached"
    assert not rig.moving()
    assert abs(rig.robot.pose[0] - 1.5) < 0.5


@pytest.mark.parametrize("planned", [False, True])
def test_routes_and_goals_are_those_of_the_simulation(planned: bool) -> None:
    random, goal = np.random.default_rng(1), np.asarray([3.0, -2.0, 0.7])
    share = np.linspace(0.0, 1.0, 1000)
    path = resample(np.stack([3.0 * share, -2.0 * share**2], axis=-1), 129)  # equal distances
    route = Route(goal, path_xy_m=path if planned else None)
    steps = np.hypot(*np.diff(path, axis=0).T)
    spacing, along = torch.tensor([float(steps.mean())]), torch.zeros(1)
    for share in np.linspace(0.0, 1.0, 12):
        spot = np.asarray([3.0 * share, -2.0 * share**2]) + random.normal(0.0, 0.05, 2)
        pose = np.asarray([*spot, random.uniform(-3.0, 3.0)])
        pose_w = torch.tensor(pose[None], dtype=torch.float32)
        goal_w = torch.tensor(goal[None], dtype=torch.float32)
        route_w = torch.tensor(path[None], dtype=torch.float32)
        along = simulated.project_on_route(route_w, spacing, pose_w[:, :2], along)
        points = simulated.planned_route(route_w, spacing, along)
        expected = points if planned else simulated.straight_route(goal_w, pose_w)
        assert np.abs(route.ahead_b(pose) - frames.to_body(expected, pose_w)[0].numpy()).max() < 0.12
        assert np.allclose(route.goal_b(pose), frames.goal_in_body(goal_w, pose_w)[0].numpy(), atol=1e-5)


def map_with_a_door() -> Grid:
    """Return a map of two rooms, 8 x 4 m, with a door of 1.2 m at its upper end."""
    occupied = np.zeros((80, 160), dtype=bool)
    occupied[:, 80] = True
    occupied[52:76, 80] = False
    return Grid(values=occupied, origin_xy_w_m=(-2.0, -1.0), resolution_m=0.05)


def test_a_planned_path_goes_through_the_door_with_room_on_both_sides() -> None:
    path = plan(map_with_a_door(), np.asarray([0.0, 0.0]), np.asarray([4.0, 0.0]), STRETCH)
    assert np.allclose(path[[0, -1]], [[0.0, 0.0], [4.0, 0.0]])
    through = path[np.abs(path[:, 0] - 2.0).argmin()]
    assert -1.0 + 2.6 + 0.2 < through[1] < -1.0 + 3.8 - 0.2


def test_impossible_plans_are_refused_with_a_reason() -> None:
    grid = map_with_a_door()
    with pytest.raises(ValueError, match="off the map"):
        plan(grid, np.asarray([0.0, 0.0]), np.asarray([40.0, 0.0]), STRETCH)
    with pytest.raises(ValueError, match=r"goal is 0\.00 m from an obstacle"):
        plan(grid, np.asarray([0.0, 0.0]), np.asarray([2.02, 0.0]), STRETCH)
    grid.values[:, 80] = True
    with pytest.raises(ValueError, match="no path leads"):
        plan(grid, np.asarray([0.0, 0.0]), np.asarray([4.0, 0.0]), STRETCH)


def test_points_turn_into_the_body_frame() -> None:
    assert np.allclose(to_body(np.asarray([1.0, 2.0]), np.asarray([1.0, 0.0, np.pi / 2])), [2.0, 0.0])
