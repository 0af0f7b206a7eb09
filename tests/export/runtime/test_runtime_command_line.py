"""The command line of the robot's side, with a stand-in for the driver process."""

import os
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.runtime import __main__ as command_line
from export.runtime import serve
from export.runtime.driver.messages import Order, Report
from export.runtime.driver.process import DriverGoneError, DriverTask
from tests.export.runtime.runtime_rig import Cruise, Rig

Run = Callable[..., int]


class TalkingDriver:
    """Stands for the driver process; its reports are those of a fake robot."""

    made: list["TalkingDriver"]
    reports: list[Report]

    def __init__(self, task: DriverTask) -> None:
        self.task, self.process, self.closed = task, SimpleNamespace(pid=4711), False
        self.orders: list[Order] = []
        self.made.append(self)

    def receive(self, timeout_s: float) -> Report | None:
        if not self.reports:
            raise DriverGoneError
        return self.reports.pop(0)

    def send(self, order: Order) -> None:
        self.orders.append(order)

    def close(self) -> None:
        self.closed = True


@cache
def reports() -> list[Report]:
    return Rig().run(2.0).reports


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Return what runs the command line and gives back the exit code."""
    policy = Cruise()
    policy.__dict__.update(sha256="of the file", nav_sha256="in the file")
    monkeypatch.setattr(command_line.policies, "load", lambda *_, **__: policy)
    monkeypatch.setattr(command_line, "DriverProcess", TalkingDriver)
    monkeypatch.setattr(TalkingDriver, "made", [], raising=False)
    monkeypatch.setattr(TalkingDriver, "reports", list(reports()), raising=False)
    fixed = ["--policy", "x.onnx", "--robot", "fake", "--log", str(tmp_path / "log.jsonl"), "--goal", "4", "0", "0"]
    return lambda *arguments: command_line.main([*fixed, *arguments])


def test_a_dry_run_that_finds_nothing_wrong_is_a_success_and_orders_nothing(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run") == command_line.REACHED
    driver = TalkingDriver.made[-1]
    assert not driver.orders and driver.closed
    printed = capsys.readouterr().out
    assert "the driver is process 4711" in printed and "dry run: the policy would ask for [0.2" in printed


def test_a_dry_run_that_sees_nothing_is_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TalkingDriver, "receive", lambda *_: None)
    assert run("--dry-run", "--max-seconds", "0.1") == command_line.MISSED


def test_a_driver_that_is_gone_or_silent_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == command_line.DRIVER_DIED
    assert "the driver process died" in capsys.readouterr().err and TalkingDriver.made[-1].orders
    monkeypatch.setattr(serve, "DRIVER_SILENT_S", 0.05)
    monkeypatch.setattr(TalkingDriver, "receive", lambda *_: None)
    assert run() == command_line.DRIVER_DIED


def test_a_closed_terminal_is_no_dead_driver(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(TalkingDriver, "receive", lambda *_: reports()[-1])
    with os.fdopen(writer, "w") as broken, redirect_stdout(broken):
        assert run("--max-seconds", "0.2") == command_line.MISSED
    assert TalkingDriver.made[-1].closed


def test_a_start_without_a_map_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--start", "1", "0", "0") == command_line.REFUSED
    assert not TalkingDriver.made
    printed = capsys.readouterr().err
    assert "--start" in printed and "--map" in printed and printed.count("\n") == 1


def test_the_log_begins_with_policy_goal_and_limits(run: Run) -> None:
    run("--dry-run", "--max-speed", "0.2", "--without-lidar")
    assert TalkingDriver.made[-1].task.header == {
        "policy": "x.onnx",
        "sha256": "of the file",
        "nav_sha256": "in the file",
        "robot": "fake",
        "embodiment": "stretch3",
        "goal": [4.0, 0.0, 0.0],
        "max_speed_mps": 0.2,
        "needs_scan": False,
        "on_blocks": False,
    }


def test_a_drive_on_blocks_is_slow_and_its_images_need_not_show_motion(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run", "--on-blocks") == command_line.REFUSED
    assert "--max-speed 0.1" in capsys.readouterr().err and not TalkingDriver.made
    assert run("--dry-run", "--on-blocks", "--max-speed", "0.1") == command_line.REACHED
    task = TalkingDriver.made[-1].task
    assert not task.config.gates.depth.follows_motion and task.header["on_blocks"]
