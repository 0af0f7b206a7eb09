"""The ROS 2 adapter with real rclpy: the fake robot as a node, and the program as on a robot, over the loopback.

Both run in ``.venv-ros``, which ``.ci/setup_ros`` makes. The clock is real: a machine that is too busy skips a test.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
POLICY = "export/pretrained/generalist.onnx"
PYTHON = ROOT / ".venv-ros" / "bin" / "python"
LIDAR = ["--ros-args", "-p", "lidar_pose:=[0.004, 0.0, 0.0]"]
STOP_S = 0.25
LONGEST_GAP_S = 0.15
"""Between two odometry messages at 25 Hz, as the odometry gate has it: with longer ones it rightly closes."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _environment() -> None:
    made = subprocess.run([ROOT / ".ci" / "setup_ros"], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no rclpy: {made.stderr.strip().splitlines()[-1]}")


class Node:
    """The fake robot as a node."""

    def __init__(self, folder: Path, domain: int, **script: Any) -> None:
        self.path, self.environment = folder / "fake.jsonl", environment(domain)
        script["log"] = str(self.path)
        command = [str(PYTHON), "-m", "tests.export.runtime.ros_fake_robot", json.dumps(script)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment)

    def rows(self, kind: str | None = None) -> list[dict[str, Any]]:
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [row for row in found if kind is None or kind in row]

    def skip_if_starved(self) -> None:
        """Skip the test on a machine that could not keep the node's clock."""
        moving_s = [row["time_s"] for row in self.rows("command") if any(row["command"])]
        times_s = [row["time_s"] for row in self.rows("pose") if not moving_s or row["time_s"] >= moving_s[0]]
        gap_s = float(np.diff(times_s).max()) if len(times_s) > 1 else np.inf
        if gap_s > LONGEST_GAP_S:
            pytest.skip(f"this machine is too busy for a real clock: odometry came {gap_s:.2f} s late")

    def wait_until_it_moves(self) -> None:
        ends_s = time.monotonic() + 40.0
        while not any(any(row["command"]) for row in self.rows("command")):
            if time.monotonic() > ends_s:
                self.skip_if_starved()
                raise AssertionError("it never moved")
            time.sleep(0.05)


def environment(domain: int) -> dict[str, str]:
    """Return what keeps a test's topics to itself and to this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ROS_", "RMW_"))}
    own = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    return kept | own | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain)}


@contextmanager
def fake(folder: Path, domain: int, **script: Any) -> Iterator[Node]:
    node = Node(folder, domain, **script)
    try:
        yield node
    finally:
        node.process.terminate()
        node.process.wait(10.0)


@contextmanager
def program(folder: Path, domain: int, *options: str) -> "Iterator[subprocess.Popen[str]]":
    log = folder / f"cycles_{domain}.jsonl"
    fixed = ["--policy", POLICY, "--robot", "ros2", "--embodiment", "go2", "--log", str(log)]
    command = [str(PYTHON), "-m", "export.runtime", *fixed, *options]
    pipe = subprocess.PIPE
    run = subprocess.Popen(command, cwd=ROOT, env=environment(domain), stdout=pipe, stderr=pipe, text=True)
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def test_a_go2_reaches_its_goal_although_images_are_lost_late_and_frozen(tmp_path: Path) -> None:
    pauses = {"freezes_at_m": (3.2, 3.5, 3.8), "late_at_m": 4.1, "drop_every": 5}
    options = ["--goal", "1.9", "0", "0", "--max-speed", "0.4", "--max-seconds", "40", *LIDAR]
    with (
        fake(tmp_path, 81, start=(3.0, -2.0, 0.0), **pauses) as node,  # odometry begins anywhere
        program(tmp_path, 81, *options) as run,
    ):
        said, complained = run.communicate(timeout=90.0)
        node.skip_if_starved()
        assert run.returncode == 0, said + complained
        assert "reached" in said and "standing: depth_stale" in said
        rows, moving = node.rows(), [row for row in node.rows("command") if any(row["command"])]
    assert not any(node.rows("command")[-1]["command"])
    assert np.hypot(*np.subtract(node.rows("pose")[-1]["pose"][:2], [4.9, -2.0])) < 0.55
    assert len(moving) > 40
    stops = [(row.get("frozen") or row.get("late"), row["time_s"]) for row in rows if "frozen" in row or "late" in row]
    stopped_s = []
    for last_image_s, begins_s in stops:
        zero_s = [r["time_s"] for r in rows if "command" in r and r["time_s"] > begins_s and not any(r["command"])]
        stopped_s.append(zero_s[0] - last_image_s)
    assert len(stopped_s) == 4
    assert np.median(stopped_s) <= STOP_S and max(stopped_s) < 2.0 * STOP_S, stopped_s


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_last_command_is_zero_however_the_program_ends(tmp_path: Path, how: signal.Signals) -> None:
    with (
        fake(tmp_path, 82, goal=(3.0, 0.0, 0.0)) as node,
        program(tmp_path, 82, "--max-speed", "0.3", *LIDAR) as run,
    ):
        node.wait_until_it_moves()
        run.send_signal(how)
        said, _ = run.communicate(timeout=20.0)
        time.sleep(1.5)
        assert not any(node.rows("command")[-1]["command"])
        assert time.monotonic() - node.rows("command")[-1]["time_s"] > 0.3, "nobody commands it any more"
    assert "to (3.00, 0.00, 0.00) in 'odom', straight" in said
    assert run.returncode in (1, -signal.SIGKILL)


def test_millimetres_and_metres_give_the_same_command(tmp_path: Path) -> None:
    asked = []
    for encoding in ("16UC1", "32FC1"):
        (tmp_path / encoding).mkdir()
        options = ["--goal", "2", "0.5", "0", "--dry-run", *LIDAR]
        with (
            fake(tmp_path / encoding, 83, encoding=encoding, noisy=False),
            program(tmp_path / encoding, 83, *options) as run,
        ):
            said, complained = run.communicate(timeout=60.0)
        assert run.returncode == 0, said + complained
        asked.append(said.partition("would ask for ")[2].partition(";")[0])
    assert asked[0] == asked[1] != ""


def test_what_does_not_come_or_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    goal = ["--goal", "1", "0", "0"]
    with program(tmp_path, 84, *goal, *LIDAR) as alone:
        with fake(tmp_path, 85, encoding="rgb8"), program(tmp_path, 85, *goal, "--dry-run", *LIDAR) as wrong:
            _, complained = wrong.communicate(timeout=60.0)
        assert wrong.returncode == 2 and "encoding 'rgb8'" in complained and complained.count("\n") == 1, complained
        _, complained = alone.communicate(timeout=60.0)
    assert alone.returncode == 2 and complained.count("\n") == 1, complained
    assert "no sensor_msgs/msg/CameraInfo" in complained
    assert "-r depth/camera_info:=TOPIC" in complained and "nobody publishes any" in complained
