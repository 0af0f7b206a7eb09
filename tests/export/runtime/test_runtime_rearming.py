"""Faults that show only in motion, and pauses: the robot stops in time and moves again only when it is armed again.

A stuck odometry and images that contradict the motion can be seen once the commands amount to 2.5 cm or 0.05 rad,
or the odometry has covered 4 cm or 0.05 rad; the deadline of 0.3 s holds from 0.1 m/s on.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from export.runtime.driver.depth_gate import DepthGateConfig
from export.runtime.driver.driver import TICK_S
from export.runtime.driver.gates import GateConfig
from export.runtime.driver.messages import Order
from export.runtime.robots.robot import Depth
from tests.export.runtime.runtime_rig import Cruise, Rig, driving, frozen, stuck

STOP_S = 0.3


def pause(rig: Rig, seconds: float) -> None:
    """Let time pass for everything but the driver's loop."""
    rig.clock.now_s += seconds


def check_rearming(rig: Rig, cause: str) -> None:
    """Whoever only goes on holding the switch does not arm; releasing and holding it does."""
    held_s = rig.clock.now_s
    rig.run(2.0)
    assert rig.time_to_resume_s(held_s) == np.inf
    assert rig.reports[-1].gate == f"disarmed: {cause}"
    hold, rig.robot.hold = rig.robot.hold, lambda elapsed_s: False
    rig.run(0.4)
    assert not rig.moving()
    rig.robot.hold, pressed_s = hold, rig.clock.now_s
    rig.run(1.0)
    assert rig.time_to_resume_s(pressed_s) <= 0.6


@pytest.mark.parametrize("command", [(0.25, 0.0, 0.0), (0.1, 0.0, 0.0), (-0.1, 0.0, 0.0), (0.0, 0.0, 0.5)])
@pytest.mark.parametrize("velocity_b", [(0.0, 0.0, 0.0), None])
def test_a_stuck_odometry_stops_the_robot(
    command: tuple[float, float, float], velocity_b: tuple[float, float, float] | None
) -> None:
    rig = driving(command)
    began_s, rig.robot.on_odometry = rig.clock.now_s, stuck(velocity_b=velocity_b)
    rig.run(1.0)
    assert rig.time_to_stop_s(began_s) <= STOP_S + TICK_S
    rig.robot.on_odometry = None
    check_rearming(rig, "odometry_stuck")


def test_blocked_wheels_look_like_stuck_odometry_and_stop_the_robot(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = driving()
    blocked, began_s = rig.robot.pose.copy(), rig.clock.now_s
    advance = rig.robot._move

    def move() -> None:
        advance()
        rig.robot.pose, rig.robot.velocity = blocked.copy(), np.zeros(3)

    monkeypatch.setattr(rig.robot, "_move", move)
    rig.run(1.0)
    assert rig.reports[-1].gate == "disarmed: odometry_stuck"
    assert rig.time_to_stop_s(began_s) <= STOP_S


@pytest.mark.parametrize("command", [(0.25, 0.0, 0.0), (0.15, 0.0, 0.3), (0.0, 0.0, 0.5)])
def test_a_frozen_image_under_the_noise_of_a_real_camera_stops_the_robot(command: tuple[float, float, float]) -> None:
    rig = driving(command)
    began_s, rig.robot.on_depth = rig.clock.now_s, frozen(noise_m=5e-3)
    rig.run(1.0)
    assert rig.time_to_stop_s(began_s) <= STOP_S + TICK_S
    rig.robot.on_depth = None
    check_rearming(rig, "depth_against_motion")


@pytest.mark.parametrize("command", [(0.0, 0.0, 0.5), (0.15, 0.0, 0.3)])
def test_an_image_that_is_mirrored_from_the_start_stops_the_robot_at_the_first_turn(
    command: tuple[float, float, float],
) -> None:
    rig = Rig(Cruise(command))
    rig.robot.on_depth = lambda reading: replace(reading, image_m=reading.image_m[:, ::-1].copy())
    rig.run(3.0)
    moving_s = [time_s for time_s, size in rig.commanded if size > 0.0]
    assert moving_s[-1] - moving_s[0] < 0.6
    assert rig.reports[-1].gate == "disarmed: depth_against_motion"


def test_on_blocks_the_wheels_turn_although_the_images_stand_still() -> None:
    gates = GateConfig(depth=DepthGateConfig(follows_motion=False))
    rig = Rig(Cruise((0.1, 0.0, 0.0)), gates=gates).run(1.5)
    rig.robot.on_depth = frozen(noise_m=5e-3)
    rig.run(2.0)
    assert rig.moving()


@pytest.mark.parametrize("seconds", [0.6, 2.0, 30.0])
def test_a_driver_that_was_stopped_and_goes_on_is_disarmed(seconds: float) -> None:
    rig = driving()
    pause(rig, seconds)
    went_on_s = rig.clock.now_s
    rig.run(TICK_S)
    assert not rig.moving() and rig.time_to_stop_s(went_on_s) <= TICK_S + 1e-6
    check_rearming(rig, "driver_paused")


def test_a_tick_that_takes_long_is_no_pause() -> None:
    rig = driving()
    pause(rig, 0.4)
    rig.run(0.6)
    assert rig.moving()


def test_a_policy_process_that_sends_nothing_is_lost() -> None:
    rig = driving()
    answer, began_s = rig.on_order, rig.clock.now_s
    silence: Callable[[Order], Order | None] = lambda order: None  # noqa: E731
    rig.on_order = silence
    rig.run(1.5)
    assert rig.time_to_stop_s(began_s) <= STOP_S
    rig.on_order = answer
    check_rearming(rig, "link_lost")


def test_an_image_at_a_wrong_scale_from_the_start_never_arms() -> None:
    rig = Rig()
    rig.robot.on_depth = lambda reading: replace(reading, image_m=reading.image_m / 2.0)
    rig.run(3.0)
    assert not rig.moving() and rig.reports[-1].gate == "depth_no_ground"
    rig.robot.on_depth = None
    rig.run(1.0)
    assert rig.moving()


def test_a_changed_scene_is_accepted_when_the_operator_starts_over() -> None:
    rig = driving()
    rig.robot._boxes = np.vstack([rig.robot._boxes, [0.9, -0.6, 0.0, 1.2, 0.6, 1.4]])  # a large box comes close
    rig.run(1.0)
    assert rig.reports[-1].gate == "depth_jump"
    hold, rig.robot.hold = rig.robot.hold, lambda elapsed_s: False
    rig.run(0.4)
    rig.robot.hold = hold
    rig.run(0.5)
    assert not rig.reports[-1].gate.startswith(("depth", "disarmed"))


def test_images_that_are_a_tenth_of_a_second_old_do_not_contradict_a_turn_that_begins() -> None:
    """A real camera's images are older than their receipt."""
    rig, waiting = Rig(Cruise((0.0, 0.0, 1.5))), list[Depth]()

    def late(reading: Depth) -> Depth | None:
        if not waiting or waiting[-1].sequence != reading.sequence:
            waiting.append(reading)
        ready = [old for old in waiting if old.received_s <= rig.clock.now_s - 0.1]
        return replace(ready[-1], received_s=ready[-1].received_s + 0.1) if ready else None

    rig.robot.on_depth = late
    rig.run(1.5)
    for command in ((0.0, 0.0, -1.5), (0.2, 0.0, 0.5), (0.0, 0.0, 0.0), (0.0, 0.0, 1.5)):
        rig.policy.command = command
        rig.run(0.7)
    assert not [report.gate for report in rig.reports if "motion" in report.gate or "jump" in report.gate]
    assert abs(rig.robot.pose[2]) > 0.5


@pytest.mark.parametrize(
    "command", [(0.05, 0.0, 0.0), (0.02, 0.0, 0.02), (0.0, 0.0, 0.06), (0.06, 0.0, 0.0), (0.25, 0.0, 0.0)]
)
def test_slow_commands_and_starts_are_no_stuck_odometry(command: tuple[float, float, float]) -> None:
    rig = Rig(Cruise(command)).run(6.0)
    assert not [report.gate for report in rig.reports if "stuck" in report.gate]
