"""The two processes for real: the driver outlives a policy process that is killed or stopped, and stops the robot."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from export.runtime import process
from export.runtime.driver import Driver, DriverConfig
from export.runtime.messages import Order, pack_order, unpack_report
from export.runtime.process import DriverProcess, DriverTask, make_robot, robot_names
from export.runtime.robots.fake import FakeRobot

pytestmark = pytest.mark.slow
STOP_S = 0.3


def obey(connection: Connection) -> None:
    """Be a policy process that wants to go ahead."""
    number = 0
    while True:
        basis = unpack_report(connection.recv_bytes()).sequence
        number += 1
        connection.send_bytes(pack_order(Order(sequence=number, basis=basis, command=(0.15, 0.0, 0.0))))


class Pair:
    """A driver in a thread here, so that its fake can be looked into, and a policy process that can be shot."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self.policy = context.Process(target=obey, args=(there,), daemon=True)
        self.policy.start()
        there.close()
        self.robot = FakeRobot()
        self.driver = Driver(self.robot, DriverConfig())
        self.thread = threading.Thread(target=process._drive, args=(self.driver, here, lambda: self.ends), daemon=True)
        self.ends = False
        self.thread.start()
        self.wait(lambda: bool(self.robot.commands) and self.robot.commands[-1][1] > 0.1)

    def wait(self, holds, *, limit_s: float = 20.0) -> None:  # type: ignore[no-untyped-def]
        ends_s = time.monotonic() + limit_s
        while not holds():
            assert time.monotonic() < ends_s, f"it never came; last commands {self.robot.commands[-3:]}"
            time.sleep(0.01)

    def close(self) -> None:
        self.ends = True
        self.thread.join(10.0)
        self.policy.kill()

    def stopped_after_s(self, since_s: float) -> float:
        """Return how long after a moment the last command other than zero was in force."""
        moving = [time_s for time_s, speed, _ in self.robot.commands if speed != 0.0 and time_s >= since_s]
        after = [
            time_s for time_s, speed, _ in self.robot.commands if speed == 0.0 and time_s >= max(moving, default=0.0)
        ]
        return after[0] - since_s


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_policy_process_that_is_gone_stops_the_robot_in_time(how: signal.Signals) -> None:
    pair = Pair()
    assert pair.policy.pid is not None
    shot_s = time.monotonic()
    os.kill(pair.policy.pid, how)
    if how == signal.SIGKILL:
        pair.thread.join(5.0)
        assert not pair.thread.is_alive()  # nobody to obey: it ends
        pair.driver.halt()  # as run_driver does on its way out
    else:
        time.sleep(1.0)
    assert pair.stopped_after_s(shot_s) <= STOP_S
    if how == signal.SIGSTOP:
        os.kill(pair.policy.pid, signal.SIGCONT)
        pair.wait(lambda: pair.robot.commands[-1][1] > 0.0)
    pair.close()


def test_the_driver_brakes_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    driver = DriverProcess(DriverTask(robot="fake", config=DriverConfig(), log=tmp_path / "log.jsonl"))
    number = 0
    ends_s = time.monotonic() + 20.0
    while time.monotonic() < ends_s:
        report = driver.receive(1.0)
        assert report is not None
        number += 1
        driver.send(Order(sequence=number, basis=report.sequence, command=(0.1, 0.0, 0.0)))
        if report.command[0] > 0.05:
            break
    driver.send(Order(sequence=number + 1, basis=report.sequence, command=(0.0, 0.0, 0.0), wish="quit"))
    driver.process.join(10.0)
    assert driver.process.exitcode == 0
    driver.close()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) > 5


def test_a_robot_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(OSError, match="stretch_body"):
        DriverProcess(DriverTask(robot="stretch3", config=DriverConfig()))


def test_every_adapter_is_known_by_its_file() -> None:
    assert set(robot_names()) >= {"fake", "stretch3"}
    with pytest.raises(ValueError, match="no robot 'stretch9'"):
        make_robot("stretch9")


def test_the_fake_clips_wheels_apart_and_refuses_what_stretch_cannot() -> None:
    robot = FakeRobot()
    with pytest.raises(ValueError, match="lateral"):
        robot.drive(np.asarray([0.1, 0.1, 0.0]), acceleration=np.ones(2))
    with pytest.raises(ValueError, match="finite"):
        robot.drive(np.asarray([np.nan, 0.0, 0.0]), acceleration=np.ones(2))
    robot.drive(np.asarray([0.25, 0.0, 0.5]), acceleration=np.ones(2))
    outer, inner = robot._target[0] + 0.15765 * robot._target[1], robot._target[0] - 0.15765 * robot._target[1]
    assert outer == pytest.approx(0.30)  # not 0.329: the curve is bent
    assert inner == pytest.approx(0.25 - 0.15765 * 0.5)
