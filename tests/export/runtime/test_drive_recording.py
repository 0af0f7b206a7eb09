"""Drives as MCAP: what is written is what another package reads, in ROS 2's own types, units and frames."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from embodiments import registry
from embodiments.embodiment import DepthCamera
from export.runtime.__main__ import main
from export.runtime.drive_recording import DriveRecording, RecordedDriver
from export.runtime.driver.messages import Order, Report
from export.runtime.recording import messages, schemas
from export.runtime.recording.mcap_file import TOPICS, McapFile
from export.runtime.robots.depth_image import canonical_depth
from export.runtime.robots.ros.geometry import mount_from, pose_from, velocity_from
from export.runtime.robots.ros.images import metres, pinhole
from export.runtime.route import Route
from scenes.grid import Grid
from tests.export.runtime.mcap_reading import read

POLICY = Path(__file__).parents[3] / "export" / "pretrained" / "generalist.onnx"
GOAL = (2.0, 0.5, 0.3)


def report(number: int, **changes: Any) -> Report:
    depth_m = np.linspace(0.0, 9.9, 40 * 64).reshape(40, 64).astype(np.float32) if number % 2 else None
    fields: dict[str, Any] = {
        "sequence": number,
        "time_s": 5.0 + 0.1 * number,
        "gate": "",
        "latched": "",
        "zone": "",
        "jumped": False,
        "pose": (0.1 * number, 0.02 * number, 0.03 * number),
        "velocity_b": (0.2, -0.1, 0.3),
        "command": (0.15, 0.0, 0.25),
        "ages_s": {"odometry": 0.01},
        "free_m": {"ahead": 1.5},
        "depth_m": depth_m,
    }
    return Report(**fields | changes)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Return a recording of ten cycles, every second one with an image."""
    path = tmp_path / "drive.mcap"
    recording = DriveRecording(path, registry.get("go2"), facts={"robot": "fake", "goal": list(GOAL)})
    for number in range(10):
        order = Order(sequence=number, basis=number, command=(0.3, 0.0, 0.1))
        recording.add(report(number), order, Route(np.asarray(GOAL)))
    recording.close()
    assert not recording.failure
    return path


@pytest.mark.parametrize("name", sorted(set(TOPICS.values())))
def test_definitions_are_those_of_ros_2(name: str) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    ours = get_types_from_msg(schemas.definition(name), name)
    assert name in ours
    for kind, (_, fields) in ours.items():
        assert fields == store.fielddefs[kind][1], kind


def test_a_drive_is_read_by_another_package(drive: Path) -> None:
    found = read(drive)
    assert found.kinds.items() <= TOPICS.items()
    assert len(found.messages["/odom"]) == 10 and len(found.messages["/depth/image"]) == 5
    assert np.diff(found.times_ns["/odom"]) == pytest.approx(1e8)
    odometry, number = found.messages["/odom"][3], 3
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
    pose = pose_from(odometry.pose.pose.position, odometry.pose.pose.orientation)
    assert pose == pytest.approx(report(number).pose)
    assert velocity_from(odometry.twist.twist) == pytest.approx(report(number).velocity_b)
    stamp = odometry.header.stamp
    assert stamp.sec * 10**9 + stamp.nanosec == found.times_ns["/odom"][3]
    assert velocity_from(found.messages["/cmd_vel"][0].twist) == pytest.approx((0.15, 0.0, 0.25))
    assert velocity_from(found.messages["/policy/cmd_vel"][0].twist) == pytest.approx((0.3, 0.0, 0.1))
    status = json.loads(found.messages["/status"][0].data)
    assert status["free_m"] == {"ahead": 1.5} and status["gate"] == ""


def test_depth_is_what_the_ros_adapter_takes_for_the_same_image(drive: Path) -> None:
    found = read(drive)
    image, info = found.messages["/depth/image"][0], found.messages["/depth/camera_info"][0]
    assert image.encoding == "16UC1" and image.step == 128
    written = report(1).depth_m
    assert written is not None
    assert np.abs(metres(image) - written).max() <= 5.1e-4
    camera = DepthCamera(
        x_m=0.0,
        z_m=0.5,
        pitch_rad=0.0,
        hfov_rad=np.deg2rad(87.0),
        vfov_rad=2.0 * np.arctan(20.0 / pinhole(info, image).fx_px),
        min_range_m=0.0,
        max_range_m=10.0,
        source="",
    )
    again = canonical_depth(metres(image), pinhole(info, image), camera=camera)
    assert np.array_equal(again, metres(image))


def test_route_goal_and_frames_agree(drive: Path) -> None:
    found = read(drive)
    pose, route = np.asarray(report(4).pose), Route(np.asarray(GOAL))
    path = found.messages["/route"][4]
    points = np.asarray([(at.pose.position.x, at.pose.position.y) for at in path.poses])
    assert path.header.frame_id == "base_link" and points == pytest.approx(route.ahead_b(pose))
    goal = found.messages["/goal_pose"][4].pose
    x, y, cos, sin = route.goal_b(pose)
    assert pose_from(goal.position, goal.orientation) == pytest.approx((x, y, np.arctan2(sin, cos)))
    body, lens = found.messages["/tf"][4].transforms
    assert (body.header.frame_id, body.child_frame_id) == ("odom", "base_link")
    assert pose_from(body.transform.translation, body.transform.rotation) == pytest.approx(pose)
    assert (lens.header.frame_id, lens.child_frame_id) == ("base_link", "depth_optical_frame")


@pytest.mark.parametrize("pitch_rad", [0.0, 0.4, 0.83])
def test_the_optical_frame_points_where_the_camera_points(pitch_rad: float) -> None:
    class Transform:
        translation = type("Vector3", (), {"x": 0.1, "y": 0.0, "z": 0.5})
        rotation = type("Quaternion", (), messages.optical(pitch_rad))

    rotation = mount_from(Transform).rotation
    assert rotation @ [0.0, 0.0, 1.0] == pytest.approx([np.cos(pitch_rad), 0.0, -np.sin(pitch_rad)])  # optical axis
    assert rotation @ [1.0, 0.0, 0.0] == pytest.approx([0.0, -1.0, 0.0])  # right in the image
    assert rotation @ [0.0, 1.0, 0.0] == pytest.approx([-np.sin(pitch_rad), 0.0, -np.cos(pitch_rad)])  # down


def test_a_map_and_named_vectors_are_read_again(tmp_path: Path) -> None:
    values = np.zeros((3, 4), dtype=bool)
    values[0, 1] = values[2, 3] = True
    file = McapFile(tmp_path / "map.mcap")
    grid = Grid(values=values, origin_xy_w_m=(-1.0, 2.0), resolution_m=0.05)
    file.write("/known_map", messages.occupancy_grid(7, grid), time_ns=7)
    file.write("/labels", messages.floats({"a": np.arange(2), "b": np.asarray(5.0)}), time_ns=7)
    file.close()
    found = read(tmp_path / "map.mcap").messages
    known, labels = found["/known_map"][0], found["/labels"][0]
    assert np.array_equal(known.data.reshape(known.info.height, known.info.width) == 100, values)
    assert (known.info.origin.position.x, known.info.origin.position.y) == (-1.0, 2.0)
    assert [(part.label, part.size) for part in labels.layout.dim] == [("a", 2), ("b", 1)]
    assert labels.data.tolist() == [0.0, 1.0, 5.0]


def test_a_recorded_report_is_written_once_and_the_route_is_left_as_it_is(tmp_path: Path) -> None:
    class Driver:
        def __init__(self) -> None:
            self.sent: list[Order] = []

        def receive(self, timeout_s: float) -> Report | None:
            return report(1)

        def send(self, order: Order) -> None:
            self.sent.append(order)

    route = Route(np.asarray([3.0, 0.0, 0.0]), path_xy_m=np.asarray([[0.0, 0.0], [3.0, 0.0]]))
    recording = DriveRecording(tmp_path / "drive.mcap", registry.get("stretch3"), facts={})
    plain = Driver()
    driver = RecordedDriver(plain, [recording], lambda: route)
    driver.receive(0.1)
    for number in range(2):  # the last order of a drive follows without a report
        driver.send(Order(sequence=number, basis=1, command=(0.0, 0.0, 0.0)))
    recording.close()
    assert len(plain.sent) == 2 and len(read(tmp_path / "drive.mcap").messages["/cmd_vel"]) == 1
    assert route._along_m == 0.0


def test_a_full_disk_ends_the_recording_and_not_the_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = DriveRecording(tmp_path / "drive.mcap", registry.get("stretch3"), facts={})

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(McapFile, "write", full)
    for number in range(3):
        recording.add(report(number), Order(sequence=0, basis=number, command=(0.0, 0.0, 0.0)), None)
    recording.close()
    assert "ended early" in recording.failure and "No space left" in recording.failure


def test_what_cannot_be_recorded_is_refused_before_the_drive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--policy", str(POLICY), "--robot", "fake", "--goal", "1", "0", "0", "--record"]
    there = tmp_path / "there.mcap"
    there.touch()
    imported = builtins.__import__

    def without(name: str, *others: Any, **named: Any) -> Any:
        if name.startswith("mcap_ros2"):
            raise ImportError(name)
        return imported(name, *others, **named)

    for path, extra, message in (
        (there, [], "exists already"),
        (tmp_path / "drive.bag", [], "must end in .mcap"),
        (tmp_path / "new.mcap", ["--dry-run"], "leave one out"),
        (tmp_path / "new.mcap", [], "pip install mcap"),
    ):
        if message.startswith("pip"):
            monkeypatch.setattr(builtins, "__import__", without)
        assert main([*arguments, str(path), *extra]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, said
    assert not (tmp_path / "new.mcap").exists()


@pytest.mark.slow
def test_a_robot_that_cannot_be_reached_leaves_no_recording(tmp_path: Path) -> None:
    arguments = ["--policy", str(POLICY), "--robot", "stretch3", "--goal", "1", "0", "0"]
    recorded = tmp_path / "drive.mcap"
    assert main([*arguments, "--log", str(tmp_path / "log.jsonl"), "--record", str(recorded)]) == 2
    assert not recorded.exists()


@pytest.mark.slow
def test_the_runtime_records_a_drive(tmp_path: Path) -> None:
    path = tmp_path / "drive.mcap"
    arguments = ["--policy", str(POLICY), "--robot", "fake", "--goal", "0.9", "0", "0", "--max-speed", "0.3"]
    assert main([*arguments, "--log", str(tmp_path / "log.jsonl"), "--record", str(path)]) == 0
    found, lines = read(path), (tmp_path / "log.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines[1:]]
    poses = [pose_from(m.pose.pose.position, m.pose.pose.orientation) for m in found.messages["/odom"]]
    assert len(poses) >= 0.8 * len(logged)
    assert poses[-1] == pytest.approx(logged[-1]["pose"], abs=0.02)
    assert {"/depth/image", "/route", "/goal_pose", "/tf", "/cmd_vel"} <= found.kinds.keys()
