"""The two processes for real: the driver outlives a policy process that is killed or stopped, and stops the robot."""

import json
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embodiments import registry
from export.runtime.__main__ import main
from export.runtime.driver import process
from export.runtime.driver.driver import Driver, DriverConfig
from export.runtime.driver.messages import Order, Report, pack_order
from export.runtime.driver.process import DriverProcess, DriverTask, make_robot, robot_names
from export.runtime.robots.fake import ROOM, FakeRobot
from scenes import nav2_map
from scenes.grid import Grid
from tests import own_robot, specialist_file
from tests.export.runtime.policy_process import OVERRUN_S, burn, obey

POLICY = Path(__file__).parents[3] / "export" / "pretrained" / "generalist.onnx"
pytestmark = pytest.mark.slow
STOP_S, RESUME_S = 0.3, 0.6


class Pair:
    """A driver in a thread here, so that its fake can be looked into, and a policy process that can be shot."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        self.is_slow, self.answered_s = context.Event(), context.Value("d", 0.0)
        self.policy = context.Process(target=obey, args=(there, self.is_slow, self.answered_s), daemon=True)
        self.policy.start()
        there.close()
        self.robot = FakeRobot()
        # The operator waits for the policy: a policy that starts late would disarm the robot (link_lost).
        self.robot.hold = lambda elapsed_s: self.answered_s.value > 0.0
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
        time.sleep(4.0)  # longer than the pipe has room for reports
        assert time.monotonic() - pair.robot.commands[-1][0] < STOP_S  # it is commanded to stand all the time
    assert pair.stopped_after_s(shot_s) <= STOP_S
    if how == signal.SIGSTOP:
        os.kill(pair.policy.pid, signal.SIGCONT)
        went_on_s = time.monotonic()
        time.sleep(1.0)
        assert not any(speed for time_s, speed, _ in pair.robot.commands if time_s > went_on_s), "not armed again"
        hold, pair.robot.hold = pair.robot.hold, lambda elapsed_s: False
        time.sleep(0.2)
        pair.robot.hold = hold
        pair.wait(lambda: pair.robot.commands[-1][1] > 0.0)
    pair.close()


def test_a_driver_process_that_was_stopped_stands_until_it_is_armed_again(tmp_path: Path) -> None:
    """The fake's operator holds the switch all the time, so the robot stands for the rest of the drive."""
    driver = DriverProcess(
        DriverTask(robot="fake", embodiment="stretch3", config=DriverConfig(), log=tmp_path / "log.jsonl")
    )
    assert driver.process.pid is not None

    def drive(seconds: float) -> list[Report]:
        found, ends_s = [], time.monotonic() + seconds
        while time.monotonic() < ends_s:
            report = driver.receive(1.0)
            assert report is not None
            found.append(report)
            command = (0.1, 0.0, 0.0)
            driver.send(Order(sequence=report.sequence, basis=report.sequence, command=command))
        return found

    assert drive(3.0)[-1].command[0] > 0.05
    os.kill(driver.process.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.kill(driver.process.pid, signal.SIGCONT)
    driver.receive(1.0)
    after = drive(2.0)
    assert not any(report.command[0] for report in after)
    assert after[-1].gate == "disarmed: driver_paused"
    driver.close()


def test_a_step_that_overruns_under_load_stops_the_robot_and_in_time_steps_let_it_go_on() -> None:
    """Every core is busy, and a step takes longer than an order may be old; of five times the median counts."""
    context = multiprocessing.get_context("spawn")
    burning = [context.Process(target=burn, daemon=True) for _ in range(os.cpu_count() or 1)]
    for process_ in burning:
        process_.start()
    pair = Pair()
    stops_s, resumes_s, held = [], [], []
    for _ in range(5):
        pair.is_slow.set()
        time.sleep(3.0 * OVERRUN_S)
        last_s = pair.answered_s.value
        stops_s.append(pair.stopped_after_s(last_s))
        held += [speed == 0.0 for time_s, speed, _ in pair.robot.commands if time_s > last_s + stops_s[-1]]
        pair.is_slow.clear()
        pair.wait(lambda last_s=last_s: pair.answered_s.value > last_s)
        first_s = pair.answered_s.value
        pair.wait(lambda: pair.robot.commands[-1][1] > 0.1)
        resumes_s.append(min(time_s for time_s, speed, _ in pair.robot.commands if speed > 0.0 and time_s > first_s))
        resumes_s[-1] -= first_s
    pair.close()
    for process_ in burning:
        process_.kill()
    assert np.median(stops_s) <= STOP_S, stops_s
    assert np.median(resumes_s) <= RESUME_S, resumes_s
    assert len(held) > 50 and np.mean(held) >= 0.99


def test_a_flood_of_orders_leaves_the_driver_its_watchdog() -> None:
    """However many wait, a tick takes in a few: order by order, none of them lost."""
    here, there = multiprocessing.Pipe()
    flood = [pack_order(Order(sequence=n, basis=1, command=(0.1, 0.0, 0.0))) for n in range(100)]
    for order in flood:
        there.send_bytes(order)
    taken = [process._waiting(here) for _ in range(5)]
    assert [order for orders in taken for order in orders or []] == flood
    assert max(len(orders or []) for orders in taken) <= 32
    there.close()
    assert process._waiting(here) is None


def test_an_order_that_stops_in_the_middle_ends_the_driver() -> None:
    here, there = multiprocessing.Pipe()
    os.write(there.fileno(), b"\x00\x00")  # half of a message's length
    driver = Driver(FakeRobot(), DriverConfig())
    thread = threading.Thread(target=process._drive, args=(driver, here, lambda: False), daemon=True)
    thread.start()
    thread.join(5.0)
    assert not thread.is_alive()
    there.close()


def test_the_driver_brakes_and_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    driver = DriverProcess(
        DriverTask(robot="fake", embodiment="stretch3", config=DriverConfig(), log=tmp_path / "log.jsonl")
    )
    number = 0
    ends_s = time.monotonic() + 20.0
    while time.monotonic() < ends_s:
        report = driver.receive(1.0)
        assert report is not None
        number += 1
        driver.send(Order(sequence=number, basis=report.sequence, command=(0.1, 0.0, 0.0)))
        if report.command[0] > 0.05:
            break
    driver.send(Order(sequence=number + 1, basis=report.sequence, command=(0.0, 0.0, 0.0), mode="quit"))
    driver.process.join(10.0)
    assert driver.process.exitcode == 0
    driver.close()
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) > 5


def test_no_key_and_no_closed_terminal_reaches_the_driver() -> None:
    driver = DriverProcess(DriverTask(robot="fake", embodiment="stretch3", config=DriverConfig()))
    assert driver.process.pid is not None
    assert os.getpgid(driver.process.pid) != os.getpgid(0)  # Ctrl-C, Ctrl-Z and Ctrl-\\ go to a group
    os.kill(driver.process.pid, signal.SIGHUP)
    for _ in range(5):
        assert driver.receive(2.0) is not None
    driver.close()
    assert driver.process.exitcode == 0


def test_an_interruption_while_it_connects_ends_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Connection, timeout: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Connection, "poll", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DriverProcess(DriverTask(robot="fake", embodiment="stretch3", config=DriverConfig()))
    assert not [child for child in multiprocessing.active_children() if child.name == "driver"]


def test_a_goal_on_a_map_is_reached_along_a_planned_route(tmp_path: Path) -> None:
    """The fake's own room as a map that is turned and shifted against where the robot stands."""
    turn, shift = np.pi / 2.0, np.asarray([4.0, 3.0])
    start, goal = np.asarray([0.0, 0.0, 0.0]), np.asarray([1.3, 0.4, 0.3])
    cells = np.stack(np.meshgrid(np.arange(140), np.arange(200)), axis=-1)  # (H, W) of column, row
    at = (cells + 0.5) * 0.05 - shift
    x, y = at[..., 1], -at[..., 0]  # turned back
    occupied = np.zeros(x.shape, dtype=bool)
    for x_min, y_min, _, x_max, y_max, _ in ROOM:
        occupied |= (x_min <= x) & (x <= x_max) & (y_min <= y) & (y <= y_max)
    nav2_map.save(Grid(values=occupied, origin_xy_w_m=(0.0, 0.0), resolution_m=0.05), tmp_path / "room.yaml")

    def on_map(pose: np.ndarray) -> list[str]:
        return [f"{value:.6f}" for value in (shift[0] - pose[1], shift[1] + pose[0], pose[2] + turn)]

    log = tmp_path / "log.jsonl"
    arguments = ["--policy", str(POLICY), "--robot", "fake", "--max-speed", "0.3", "--max-seconds", "60"]
    arguments += ["--map", str(tmp_path / "room.yaml"), "--start", *on_map(start), "--goal", *on_map(goal)]
    assert main([*arguments, "--log", str(log)]) == 0
    pose = json.loads(log.read_text().splitlines()[-1])["pose"]
    assert np.hypot(*(np.asarray(pose[:2]) - goal[:2])) < 0.55
    inside_the_chest = on_map(np.asarray([2.9, 1.2, 0.0]))
    assert main([*arguments[:-3], *inside_the_chest]) == 2


def test_a_maps_unknown_is_no_place_to_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What Nav2's map_saver writes: grey 205 for unknown, and a free_thresh of 0.25 that calls it free."""
    grey = np.full((100, 200), 205, dtype=np.uint8)
    grey[20:80, 20:80] = grey[20:80, 120:180] = 254
    Image.fromarray(grey).save(tmp_path / "two_rooms.pgm")
    lines = ["image: two_rooms.pgm", "resolution: 0.05", "origin: [0, 0, 0]", "negate: 0", "occupied_thresh: 0.65"]
    (tmp_path / "two_rooms.yaml").write_text("\n".join([*lines, "free_thresh: 0.25"]))
    arguments = ["--policy", str(POLICY), "--robot", "fake", "--log", str(tmp_path / "log.jsonl"), "--dry-run"]
    arguments += ["--map", str(tmp_path / "two_rooms.yaml"), "--start", "2", "2.5", "0"]
    assert main([*arguments, "--goal", "7.5", "2.5", "0"]) == 2
    said = capsys.readouterr()
    assert "64.0% of its cells have grey 205" in said.out and said.err.startswith("error: no path leads")
    assert main([*arguments, "--goal", "3", "2.5", "0"]) == 0
    (tmp_path / "log.jsonl").unlink()  # a log is never overwritten
    (tmp_path / "two_rooms.yaml").write_text("a: &a [x, x]\nmode: *a\n")
    capsys.readouterr()
    assert main([*arguments, "--goal", "3", "2.5", "0"]) == 2
    refused = capsys.readouterr().err
    assert "anchors or aliases" in refused and refused.count("\n") == 1


def test_a_robot_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(OSError, match="stretch_body"):
        DriverProcess(DriverTask(robot="stretch3", embodiment="stretch3", config=DriverConfig()))


def test_a_robot_of_the_users_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The driver process knows it, too; a generalist takes it, a specialist does not."""
    file = own_robot.write(tmp_path)
    arguments = ["--robot", "fake", "--embodiment", "cart", "--robot-file", str(file), "--goal", "2", "0", "0"]
    arguments += ["--dry-run", "--log", str(tmp_path / "log.jsonl")]
    with own_robot.no_robot_files():
        assert main(["--policy", str(POLICY.parent / "generalist.onnx"), *arguments]) == 0
        assert "'cart' was not trained on" in capsys.readouterr().out
        (tmp_path / "log.jsonl").unlink()
        assert main(["--policy", str(specialist_file.write(tmp_path, "tiago")), *arguments]) == 2
        assert "specialist of another robot; 'cart' needs a generalist" in capsys.readouterr().err
    with own_robot.no_robot_files():
        file.write_text("raise ValueError('no wheels')")
        assert main(["--policy", "x.onnx", *arguments]) == 2
        assert "raises ValueError: no wheels; mend that line" in capsys.readouterr().err


def test_every_adapter_is_known_by_its_file() -> None:
    assert set(robot_names()) >= {"fake", "stretch3"}
    with pytest.raises(ValueError, match="no robot 'stretch9'"):
        make_robot("stretch9", registry.get("stretch3"))


def test_the_fake_clips_wheels_apart_and_refuses_what_stretch_cannot() -> None:
    robot = FakeRobot()
    with pytest.raises(ValueError, match="lateral"):
        robot.drive(np.asarray([0.1, 0.1, 0.0]), acceleration=np.ones(2))
    with pytest.raises(ValueError, match="finite"):
        robot.drive(np.asarray([np.nan, 0.0, 0.0]), acceleration=np.ones(2))
    robot.drive(np.asarray([0.25, 0.0, 0.5]), acceleration=np.ones(2))
    outer, inner = robot._target[0] + 0.15765 * robot._target[2], robot._target[0] - 0.15765 * robot._target[2]
    assert outer == pytest.approx(0.30)  # not 0.329: the curve is bent
    assert inner == pytest.approx(0.25 - 0.15765 * 0.5)
