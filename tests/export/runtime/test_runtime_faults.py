"""Every fault ends in zero velocity in time, holds, and lets go only where it may; on a simulated clock."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from embodiments.observation import Observation
from export.runtime.driver.cycle_log import CycleLog
from export.runtime.driver.driver import TICK_S
from export.runtime.driver.messages import Order
from export.runtime.robots.robot import Depth, Odometry, Scan
from tests.export.runtime.runtime_rig import Cruise, Rig, driving, frozen, frozen_scan

STOP_S, RESUME_S, HOLD_SHARE, FALSE_STOP_SHARE = 0.3, 0.6, 0.99, 0.01


def late(by_s: float) -> Callable[[Depth], Depth]:
    return lambda reading: replace(reading, received_s=reading.received_s - by_s)


def backwards() -> Callable[[Depth], Depth]:
    """Return a fault that delivers every picture with the number of one long gone."""
    return lambda reading: replace(reading, sequence=reading.sequence - 50)


def image(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Depth], Depth]:
    return lambda reading: replace(reading, image_m=change(reading.image_m).astype(np.float32))


def points(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Scan], Scan]:
    return lambda reading: replace(reading, points_b_m=change(reading.points_b_m))


def thinned(reading: Depth) -> Depth:
    """Lose nine pixels of ten, other ones in every image."""
    lost = np.random.default_rng(reading.sequence).random(reading.image_m.shape) < 0.9
    return replace(reading, image_m=np.where(lost, 0.0, reading.image_m).astype(np.float32))


DEPTH_FAULTS: dict[str, Callable[[Depth], Depth | None]] = {
    "lost": lambda reading: None,
    "stale": late(0.5),
    "future": lambda reading: replace(reading, received_s=reading.received_s + 1.0),
    "frozen": frozen(),
    "reordered": backwards(),
    "nan": lambda reading: replace(reading, image_m=np.where(reading.image_m > 3.0, np.nan, reading.image_m)),
    "inf": lambda reading: replace(reading, image_m=np.where(reading.image_m > 3.0, np.inf, reading.image_m)),
    "millimetres": lambda reading: replace(reading, image_m=reading.image_m * 1000.0),
    "negative": lambda reading: replace(reading, image_m=-reading.image_m),
    "sideways": lambda reading: replace(reading, image_m=np.rot90(reading.image_m).copy()),
    "upside down": lambda reading: replace(reading, image_m=np.rot90(reading.image_m, 2).copy()),
    "covered": lambda reading: replace(reading, image_m=np.zeros_like(reading.image_m)),
    "halved": image(lambda image_m: image_m / 2.0),
    "doubled": image(lambda image_m: np.minimum(image_m * 2.0, 10.0)),
    "mirrored": image(lambda image_m: image_m[:, ::-1]),
    "90 % lost": thinned,
    "constant": image(lambda image_m: np.full_like(image_m, 0.9)),
    "frozen under 0.1 mm of noise": frozen(noise_m=1e-4),
}
ODOMETRY_FAULTS: dict[str, Callable[[Odometry], Odometry | None]] = {
    "lost": lambda reading: None,
    "stale": lambda reading: replace(reading, received_s=reading.received_s - 0.4),
    "future": lambda reading: replace(reading, received_s=reading.received_s + 1.0),
    "nan": lambda reading: replace(reading, pose=reading.pose * np.nan),
    "of two numbers": lambda reading: replace(reading, pose=reading.pose[:2]),
    "inf velocity": lambda reading: replace(reading, velocity_b=np.asarray([np.inf, 0.0, 0.0])),
}


SCAN_FAULTS: dict[str, Callable[[Scan], Scan | None]] = {
    "missing": lambda reading: None,
    "stale": lambda reading: replace(reading, received_s=reading.received_s - 0.6),
    "nan": points(lambda points_b_m: points_b_m * np.nan),
    "inf": points(lambda points_b_m: np.full_like(points_b_m, np.inf)),
    "partly nan": points(lambda points_b_m: np.where(np.arange(len(points_b_m))[:, None] % 9 == 0, np.nan, points_b_m)),
    "millimetres": points(lambda points_b_m: points_b_m * 1000.0),
    "kilometres": points(lambda points_b_m: points_b_m / 1000.0),
    "empty": points(lambda points_b_m: points_b_m[:0]),
    "cut to a half": points(lambda points_b_m: points_b_m[: len(points_b_m) // 2]),
    "of three columns": points(lambda points_b_m: np.hstack([points_b_m, points_b_m[:, :1]])),
    "of one column": points(lambda points_b_m: points_b_m[:, 0]),
    "frozen": frozen_scan(),
    "frozen under 0.1 mm of noise": frozen_scan(noise_m=1e-4),
}


def check(rig: Rig, began_s: float, *, resumes: bool) -> None:
    """Hold everything against the figures that were promised; the fault lasts since ``began_s`` and is over now."""
    assert rig.time_to_stop_s(began_s) <= STOP_S + 1e-6
    held = [size == 0.0 for time_s, size in rig.commanded if time_s > began_s + STOP_S]
    assert len(held) > 50 and np.mean(held) >= HOLD_SHARE
    over_s = rig.clock.now_s
    rig.run(2.0)
    assert (rig.time_to_resume_s(over_s) <= RESUME_S) if resumes else (rig.time_to_resume_s(over_s) == np.inf)


@pytest.mark.parametrize("name", DEPTH_FAULTS)
def test_bad_pictures_stop_the_robot_and_good_ones_let_it_go_on(name: str) -> None:
    rig = driving()
    began_s, rig.robot.on_depth = rig.clock.now_s, DEPTH_FAULTS[name]
    rig.run(2.0)
    assert rig.reports[-1].gate.startswith("depth") and rig.reports[-1].depth_m is None
    rig.robot.on_depth = None
    check(rig, began_s, resumes=True)


@pytest.mark.parametrize("name", ODOMETRY_FAULTS)
def test_bad_odometry_stops_the_robot_and_good_one_lets_it_go_on(name: str) -> None:
    rig = driving()
    began_s, rig.robot.on_odometry = rig.clock.now_s, ODOMETRY_FAULTS[name]
    rig.run(2.0)
    assert rig.reports[-1].gate.startswith("odometry")
    rig.robot.on_odometry = None
    check(rig, began_s, resumes=True)


@pytest.mark.parametrize("name", SCAN_FAULTS)
def test_bad_scans_stop_the_robot_and_good_ones_let_it_go_on(name: str) -> None:
    rig = driving()
    began_s, rig.robot.on_scan = rig.clock.now_s, SCAN_FAULTS[name]
    rig.run(2.0)
    assert rig.reports[-1].gate.startswith("scan") and rig.reports[-1].depth_m is None
    rig.robot.on_scan = None
    check(rig, began_s, resumes=True)


@pytest.mark.parametrize("name", ["nan", "millimetres", "of three columns"])
def test_a_bad_scan_of_a_lidar_that_nobody_needs_stops_nothing(name: str) -> None:
    rig = Rig(needs_scan=False).run(2.0)
    rig.robot.on_scan = SCAN_FAULTS[name]
    rig.run(1.0)
    assert rig.moving() and rig.reports[-1].gate == ""


@pytest.mark.parametrize("name", ["answers old reports", "repeats itself", "is silent for a moment"])
def test_a_policy_that_is_late_stops_the_robot_and_one_in_time_lets_it_go_on(name: str) -> None:
    rig = driving()
    last = rig.on_order
    first: list[Order] = []

    def fault(order: Order) -> Order | None:
        first.append(order)
        old = {"answers old reports": replace(order, basis=max(0, order.basis - 10)), "repeats itself": first[0]}
        return old.get(name)

    began_s, rig.on_order = rig.clock.now_s, fault
    rig.run(0.9 if name == "is silent for a moment" else 2.0)
    assert rig.reports[-1].gate == "order_stale"
    rig.on_order = last
    assert rig.time_to_stop_s(began_s) <= STOP_S + 1e-6
    over_s = rig.clock.now_s
    rig.run(2.0)
    assert rig.time_to_resume_s(over_s) <= RESUME_S


def test_an_odometry_jump_stops_for_a_moment_and_makes_the_policy_forget() -> None:
    rig = driving()
    resets = rig.policy.resets
    rig.robot.pose = rig.robot.pose + np.asarray([1.0, 0.5, 0.0])
    began_s = rig.clock.now_s
    rig.run(1.0)
    assert any(report.jumped for report in rig.reports)
    assert rig.policy.resets > resets
    stops = [time_s for time_s, size in rig.commanded if time_s > began_s and size == 0.0]
    assert stops and stops[0] - began_s <= STOP_S
    assert rig.moving()


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"\x80\x04\x95",
        b"{}",
        b"[" * 900,
        b'{"sequence": 1e9, "basis": 1, "command": [0.1, 0, 0], "mode": "fly"}',
        b'{"sequence": 1e9, "basis": 1, "command": [0.1, 0], "mode": "drive"}',
        b'{"sequence": 1e9, "basis": 1, "command": [NaN, 0, 0], "mode": "drive"}',
        b'{"sequence": 1e9, "basis": 1, "command": [Infinity, 0, 0], "mode": "drive"}',
        b'{"sequence": Infinity, "basis": 1, "command": [0.1, 0, 0], "mode": "drive"}',
        b"x" * 5000,
    ],
)
def test_a_policy_that_talks_nonsense_is_never_obeyed_again(order: bytes) -> None:
    rig = driving()
    began_s = rig.clock.now_s
    rig._waiting = [order]
    rig.run(2.0)
    assert rig.driver.latched.startswith("policy:")
    check(rig, began_s, resumes=False)


def test_letting_go_of_the_dead_man_stops_and_holding_it_again_goes_on() -> None:
    rig = driving()
    began_s, hold = rig.clock.now_s, rig.robot.hold
    rig.robot.hold = lambda elapsed_s: False
    rig.run(2.0)
    assert rig.reports[-1].gate == "dead_man"
    rig.robot.hold = hold
    check(rig, began_s, resumes=True)


def test_a_pause_is_not_a_failed_try() -> None:
    rig = driving()
    rig.run(3.0)
    hold, before = rig.robot.hold, len(rig.reports)
    rig.robot.hold = lambda elapsed_s: False
    rig.run(20.0)
    rig.robot.hold = hold
    rig.run(2.0)
    assert rig.moving() and rig.navigator.recoveries == 0
    assert min(report.command[0] for report in rig.reports[before:]) >= 0.0


def test_ticks_that_come_a_little_early_or_late_do_not_slow_the_reports() -> None:
    """The policy's map counts a report as 0.1 s."""
    rig, jitter = Rig(), np.random.default_rng(0).uniform(-4e-4, 4e-4, 2000)
    times_s = []
    for tick, off_s in enumerate(jitter):
        rig.clock.now_s = 1000.0 + tick * TICK_S + float(off_s)
        if rig.driver.tick([]) is not None:
            times_s.append(rig.clock.now_s)
    assert np.diff(times_s).mean() == pytest.approx(0.1, abs=1e-4)
    assert np.diff(times_s).max() < 0.1 + TICK_S / 2.0
    rig.clock.now_s += 0.37  # a tick that takes long: no burst of reports after it
    assert rig.driver.tick([]) is not None
    rig.clock.now_s += TICK_S
    assert rig.driver.tick([]) is None


def test_a_switch_that_was_never_released_does_not_arm() -> None:
    rig = Rig()
    rig.robot.hold = lambda elapsed_s: True
    assert not rig.run(3.0).moving()
    assert rig.reports[-1].gate == "disarmed"


def test_the_run_stop_latches_and_is_never_cleared_by_software() -> None:
    rig = driving()
    began_s = rig.clock.now_s
    rig.robot.run_stop()
    rig.run(2.0)
    assert rig.robot.run_stopped and rig.driver.latched == "run_stop"
    assert rig.navigator.outcome == "stopped: run_stop"
    rig.robot.run_stopped = False  # the operator pulls it out again
    check(rig, began_s, resumes=False)


def test_a_disk_that_is_full_ends_the_drive_standing_with_a_reason() -> None:
    class Full(CycleLog):
        def __init__(self) -> None: ...

        def write(self, report: object, *, asked: object) -> None:
            raise OSError(28, "No space left on device")

    rig = driving()
    began_s, rig.driver._log = rig.clock.now_s, Full()
    rig.run(2.0)
    assert rig.driver.latched == "log: [Errno 28] No space left on device"
    assert rig.navigator.outcome == f"stopped: {rig.driver.latched}"
    check(rig, began_s, resumes=False)


def test_wall_clock_jumps_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    calm, jumping, real = Rig(), Rig(), time.time
    calm.run(4.0)
    for hours in (1.0, -1.0, 0.0, 5.0):
        monkeypatch.setattr(time, "time", lambda hours=hours: real() + 3600.0 * hours)
        jumping.run(1.0)
    assert calm.commanded == jumping.commanded


def test_clean_driving_is_hardly_ever_stopped() -> None:
    """Around the room and back, with the policy turning all the time: false stops are the gates' cost."""
    rig = Rig(Cruise((0.1, 0.0, 0.25)), goal=(50.0, 0.0, 0.0))
    rig.navigator._retry._config = replace(rig.navigator._retry._config, patience_s=1e9, spins=1e9)
    rig.run(120.0)
    armed = [report for report in rig.reports if report.gate != "disarmed"]
    assert len(armed) > 1000
    assert np.mean([report.gate != "" for report in armed]) <= FALSE_STOP_SHARE
    assert not rig.driver.latched


def test_the_policys_own_failure_is_a_stop() -> None:
    class Broken(Cruise):
        def step(self, observation: Observation[np.ndarray]) -> np.ndarray:
            if self.seen > 5:
                raise ValueError("the policy answered NaN or Inf; its state has been reset, stop the robot")
            return super().step(observation)

    rig = Rig(Broken()).run(4.0)
    assert rig.navigator.outcome.startswith("stopped: the policy answered NaN")
    assert not rig.moving()


def test_stretch_is_on_its_own_when_the_driver_dies() -> None:
    """The vendor's time-out, measured on the fake: a second of driving on, then coasting, never braking."""
    rig = driving()
    speed = float(rig.robot.velocity[0])
    for _ in range(25):  # 0.5 s after the last command
        rig.clock.now_s += 0.02
        rig.robot.odometry()
    assert rig.robot.velocity[0] >= speed
    for _ in range(100):
        rig.clock.now_s += 0.02
        rig.robot.odometry()
    assert 0.2 * speed < rig.robot.velocity[0] < 0.7 * speed


def test_fuzzed_orders_never_leave_the_admissible_set() -> None:
    rig, random = driving(), np.random.default_rng(0)
    limits = rig.robot.embodiment.limits
    half_track = limits.half_track_m
    for number in range(3000):
        command = (random.standard_cauchy(3) * 10.0 ** random.integers(-3, 6)).tolist()
        order = {"sequence": 10_000 + number, "basis": rig.reports[-1].sequence, "command": command, "mode": "drive"}
        rig._waiting = [json.dumps(order).encode()]
        rig.on_order = lambda order: None
        rig.run(0.02)
        sent = rig.driver.command
        assert np.isfinite(sent).all() and sent[1] == 0.0
        assert abs(sent[0]) + half_track * abs(sent[2]) <= limits.wheel_speed_mps + 1e-9
        assert -limits.reverse_mps - 1e-9 <= sent[0] <= 0.25 + 1e-9
    assert not rig.driver.latched
