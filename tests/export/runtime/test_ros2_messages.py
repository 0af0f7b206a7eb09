"""ROS messages to readings, without ROS: encodings, row lengths, byte order, intrinsics, frames, scans, lateness."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from embodiments import registry
from embodiments.spaces import DEPTH_RANGE_M
from export.runtime.driver.driver import Driver, DriverConfig
from export.runtime.driver.messages import Order, pack_order
from export.runtime.goals import task_along, task_to
from export.runtime.navigator import Navigator
from export.runtime.robots.depth_image import canonical_depth
from export.runtime.robots.fake import FakeRobot
from export.runtime.robots.robot import Scan
from export.runtime.robots.ros import frames
from export.runtime.robots.ros.geometry import mount_from, mount_of, pose_from, seen_in
from export.runtime.robots.ros.images import FAR_M, metres, pinhole
from export.runtime.robots.ros.lateness import WINDOW_S, Lateness
from export.runtime.route import Route
from export.runtime.serve import Server
from tests.export.runtime.runtime_rig import Clock, Cruise, Rig

GO2 = registry.get("go2")
DEPTH_M = np.asarray([[1.0, 2.5, 0.0], [4.0, 9.999, 0.28]])


def of(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**fields)


def image(
    data: bytes, *, encoding: str = "16UC1", shape: tuple[int, int] = (2, 3), step: int = 6, big: bool = False
) -> SimpleNamespace:
    header = of(frame_id="depth")
    return of(
        header=header, data=data, encoding=encoding, height=shape[0], width=shape[1], step=step, is_bigendian=int(big)
    )


def camera_info(*, width: int = 128, height: int = 80, frame: str = "depth", **fields: Any) -> SimpleNamespace:
    fx, fy = width / 2.0 / math.tan(GO2.camera.hfov_rad / 2.0), height / 2.0 / math.tan(GO2.camera.vfov_rad / 2.0)
    k = [fx, 0.0, (width - 1) / 2.0, 0.0, fy, (height - 1) / 2.0, 0.0, 0.0, 1.0]
    given = {"header": of(frame_id=frame), "width": width, "height": height, "k": k, "p": [0.0] * 12, "d": []}
    return of(**given | fields)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["16UC1", "mono16", "32FC1"])
def test_an_image_is_in_metres_whatever_its_rows_and_byte_order(encoding: str, big: bool, padding: int) -> None:
    is_float = encoding == "32FC1"
    values = DEPTH_M if is_float else np.rint(1000.0 * DEPTH_M)
    typed = values.astype((">" if big else "<") + ("f4" if is_float else "u2"))
    rows = [row.tobytes() + b"\xff" * padding for row in typed]
    sent = image(b"".join(rows), encoding=encoding, step=len(rows[0]), big=big)
    assert metres(sent) == pytest.approx(DEPTH_M, abs=1e-6)


def test_what_rep_117_calls_no_reading_too_near_and_too_far() -> None:
    values = np.asarray([[np.nan, -np.inf, np.inf], [1.0, -1.0, 2.0]], dtype="<f4")
    assert metres(image(values.tobytes(), encoding="32FC1", step=12)).tolist() == [[0.0, 0.0, FAR_M], [1.0, 0.0, 2.0]]


def test_nothing_within_the_range_is_the_range() -> None:
    info, shape = camera_info(), (80, 128)
    far = image(np.full(shape, np.inf, "<f4").tobytes(), encoding="32FC1", shape=shape, step=4 * 128)
    seen = canonical_depth(metres(far), pinhole(info, far), camera=GO2.camera)
    assert seen[20, 32] == DEPTH_RANGE_M


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        (image(b"\0" * 18, encoding="rgb8", step=9), "encoding 'rgb8', expected 16UC1"),
        (image(b"\0" * 11), "damaged: 3 x 2 of 16UC1 in rows of 6 bytes, but 11 bytes came"),
        (image(b"\0" * 12, step=5), "damaged"),
        (image(np.full(6, 1500.0, "<f4").tobytes(), encoding="32FC1", step=12), "1500 m .* 32FC1 means metres"),
        (image(np.full(6, 3, "<u2").tobytes()), "0.003 m .* 16UC1 means millimetres"),
    ],
)
def test_an_image_that_cannot_be_meant_is_refused_in_one_line(sent: SimpleNamespace, line: str) -> None:
    with pytest.raises(ValueError, match=line) as refusal:
        metres(sent)
    assert "\n" not in str(refusal.value) and ";" in str(refusal.value)


@pytest.mark.parametrize(
    ("info", "line"),
    [
        (camera_info(frame="colour"), "that of 'colour', the depth image that of 'depth'"),
        (camera_info(width=640, height=400), "640 x 400 pixels, the depth image has 128 x 80"),
        (camera_info(k=[0.0] * 9), "focal lengths 0 and 0 px, so the camera is not calibrated"),
        (camera_info(d=[0.1, 0.0, 0.0, 0.0, 0.0]), "lens distortion"),
    ],
)
def test_a_wrong_camera_info_is_refused_in_one_line(info: SimpleNamespace, line: str) -> None:
    sent = image(b"", shape=(80, 128))
    with pytest.raises(ValueError, match=line) as refusal:
        pinhole(info, sent)
    assert "\n" not in str(refusal.value)


def test_the_projection_counts_where_there_is_one() -> None:
    """The image is rectified, and K and D may still be those of the raw one."""
    projection = [70.0, 0.0, 63.0, 0.0, 0.0, 71.0, 39.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    found = pinhole(camera_info(p=projection, d=[0.1] * 5), image(b"", shape=(80, 128)))
    assert found == (70.0, 71.0, 63.0, 39.0)


def test_a_tilted_plane_has_the_same_depth_in_the_canonical_image() -> None:
    """Planar depth of flat ground, worked out for both cameras from their own rays."""
    info = camera_info(width=424, height=240)
    camera, fy, cy = GO2.camera, info.k[4], info.k[5]
    down = (np.arange(240) - cy) / fy
    falling = math.cos(camera.pitch_rad) * down + math.sin(camera.pitch_rad)
    ground_m = np.where(falling > 0.05, camera.z_m / np.maximum(falling, 0.05), np.inf).astype("<f4")
    sent = image(np.repeat(ground_m, 424).tobytes(), encoding="32FC1", shape=(240, 424), step=4 * 424)
    seen = canonical_depth(metres(sent), pinhole(info, sent), camera=camera)
    row = 32
    slope = (row + 0.5 - 20.0) / (32.0 / math.tan(math.radians(87.0) / 2.0))
    expected_m = camera.z_m / (math.cos(camera.pitch_rad) * slope + math.sin(camera.pitch_rad))
    assert seen[row, 32] == pytest.approx(expected_m, rel=0.02)


def quaternion(yaw: float, *, scale: float = 1.0) -> SimpleNamespace:
    return of(x=0.0, y=0.0, z=scale * math.sin(yaw / 2.0), w=scale * math.cos(yaw / 2.0))


def test_a_pose_is_its_yaw_and_no_direction_is_refused() -> None:
    assert pose_from(of(x=1.0, y=-2.0, z=5.0), quaternion(2.0, scale=3.0)) == pytest.approx([1.0, -2.0, 2.0])
    with pytest.raises(ValueError, match="no direction"):
        pose_from(of(x=0.0, y=0.0, z=0.0), quaternion(0.0, scale=0.0))


def scan_of(range_m: np.ndarray, *, span_rad: float = 2.0 * math.pi) -> SimpleNamespace:
    step = span_rad / len(range_m)
    return of(angle_min=-span_rad / 2.0, angle_increment=step, range_min=0.1, range_max=20.0, ranges=range_m)


def test_a_scan_is_points_in_the_body_frame() -> None:
    """One thing straight ahead of a lidar that looks backwards, and what is no reading."""
    range_m = np.full(360, np.inf)
    range_m[180], range_m[10], range_m[20], range_m[30] = 2.0, np.nan, 0.05, 15.0
    seen = seen_in(scan_of(range_m), mount_of(0.2, 0.1, math.pi), GO2)
    assert seen.points_b_m == pytest.approx(np.asarray([[0.2 - 2.0, 0.1]]))
    assert (seen.blind.x_m, seen.blind.y_m, seen.blind.radius_m) == (0.2, 0.1, 0.1)


def test_a_lidar_that_hangs_upside_down_has_left_and_right_where_they_are() -> None:
    range_m = np.full(360, np.inf)
    range_m[270] = 2.0  # a quarter turn counter-clockwise, seen from its own top
    upside_down = of(translation=of(x=0.0, y=0.0, z=0.4), rotation=of(x=1.0, y=0.0, z=0.0, w=0.0))
    assert seen_in(scan_of(range_m), mount_from(upside_down), GO2).points_b_m == pytest.approx(
        np.asarray([[0.0, -2.0]]), abs=1e-6
    )


def test_the_robots_own_body_is_no_obstacle_and_hides_what_is_behind_it() -> None:
    range_m = np.full(360, 3.0)
    assert seen_in(scan_of(range_m), mount_of(0.0, 0.0, 0.0), GO2).sees_behind
    range_m[:40] = range_m[-40:] = 0.15  # on its own back
    seen = seen_in(scan_of(range_m), mount_of(0.0, 0.0, 0.0), GO2)
    assert len(seen.points_b_m) == 280 and not seen.sees_behind
    assert not seen_in(scan_of(np.full(270, 3.0), span_rad=1.5 * math.pi), mount_of(0.2, 0.0, 0.0), GO2).sees_behind


def test_a_lidar_that_does_not_see_behind_lets_nobody_reverse() -> None:
    def reverses(sees_behind: bool) -> bool:
        rig = Rig(Cruise((-0.1, 0.0, 0.0)))

        def half(reading: Scan) -> Scan:
            return Scan(**vars(reading) | {"sees_behind": sees_behind})

        rig.robot.on_scan = half
        rig.run(2.0)
        assert ("behind" in rig.reports[-1].free_m) == sees_behind
        return min(report.command[0] for report in rig.reports) < 0.0

    assert reverses(True) and not reverses(False)


def test_a_message_that_waited_has_its_true_age_whatever_the_senders_clock() -> None:
    lateness, ahead_s = Lateness(), 1e9
    for step in range(50):
        now_s = 100.0 + 0.1 * step
        assert lateness.received_s(ahead_s + now_s, now_s + 0.02) == pytest.approx(now_s + 0.02)
    assert lateness.received_s(ahead_s + 105.0, 105.52) == pytest.approx(105.02)  # half a second late
    assert lateness.received_s(ahead_s + 105.0, 105.6) is None  # the same once more
    assert lateness.received_s(ahead_s + 104.9, 105.6) is None  # overtaken
    assert lateness.received_s(0.0, 105.7) is None  # not stamped
    assert lateness.received_s(50.0, 106.0) == 106.0  # the sender's clock was set
    assert lateness.received_s(50.0 + WINDOW_S, 106.5 + WINDOW_S) == 106.5 + WINDOW_S  # and the old delay is forgotten


class Transforms:
    """Stands for tf2's buffer."""

    def __init__(self, transform: Any, stamp_s: float) -> None:
        self.found = of(transform=transform, header=of(stamp=of(sec=int(stamp_s), nanosec=0)))

    def lookup_transform(self, parent: str, frame: str, time: Any) -> Any:
        return self.found


def test_frames_without_tf2_and_stale_ones_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    node = of(get_clock=lambda: of(now=lambda: of(nanoseconds=100_000_000_000)))
    without = frames.Frames(node)
    with pytest.raises(ValueError, match="tf2_ros is not installed"):
        without.pose("odom", "map")
    monkeypatch.setitem(__import__("sys").modules, "rclpy.time", of(Time=lambda: None))
    monkeypatch.setitem(__import__("sys").modules, "rclpy", of(time=of(Time=lambda: None)))
    transform = of(translation=of(x=1.0, y=2.0, z=0.0), rotation=quaternion(0.5))
    without._buffer = Transforms(transform, 100.0)
    assert without.pose("odom", "map") == pytest.approx([1.0, 2.0, 0.5])
    without._buffer = Transforms(transform, 98.0)
    with pytest.raises(ValueError, match=r"from odom to map is 2\.0 s old"):
        without.pose("odom", "map")
    without._buffer = Transforms(transform, 0.0)  # a static one has no time
    assert without.pose("odom", "map") == pytest.approx([1.0, 2.0, 0.5])


def stamped(x: float, y: float, yaw: float, *, frame: str = "odom") -> SimpleNamespace:
    return of(header=of(frame_id=frame), pose=of(position=of(x=x, y=y, z=0.0), orientation=quaternion(yaw)))


def test_a_route_in_a_frame_of_its_own_is_the_same_in_the_body_frame() -> None:
    origin, pose, goal = np.asarray([3.0, -1.0, 0.7]), np.asarray([3.5, -0.5, 1.1]), np.asarray([2.0, 1.0, 0.3])
    there = Route(goal, path_xy_m=np.asarray([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0]]), origin=origin)
    turn = np.asarray([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    moved = np.append(turn @ goal[:2] + origin[:2], goal[2] + 0.7)
    path = np.asarray([[0.0, 0.0], [2.0, 0.0], [2.0, 1.0]]) @ turn.T + origin[:2]
    here = Route(moved, path_xy_m=path)
    assert there.ahead_b(pose) == pytest.approx(here.ahead_b(pose))
    assert there.goal_b(pose) == pytest.approx(here.goal_b(pose))
    assert there.left_m(pose) == pytest.approx(here.left_m(pose))


class FakeGoals:
    """Goals that a test sets; ``error`` says why a frame is not known."""

    def __init__(self) -> None:
        self.waiting: Any = None
        self.error = ""

    def newest(self) -> Any:
        task, self.waiting = self.waiting, None
        return task

    def origin(self, frame: str) -> np.ndarray:
        if self.error:
            raise ValueError(self.error)
        return np.zeros(3)


class Drive:
    """A server, a driver and a fake Go2 on a simulated clock."""

    def __init__(self) -> None:
        self.clock, self.goals, self.said, self.policy = Clock(), FakeGoals(), [], Cruise((0.2, 0.0, 0.0))
        self.robot = FakeRobot(GO2, clock=self.clock)
        self.driver = Driver(self.robot, DriverConfig(max_speed_mps=0.3), clock=self.clock)
        navigator = Navigator(self.policy, GO2, None, announce=lambda line: None)
        self.server = Server(navigator, self.goals, seconds=20.0, announce=self.said.append)
        self._waiting: list[bytes] = []

    def run(self, seconds: float) -> Order:
        for _ in range(round(seconds / 0.02)):
            self.clock.now_s += 0.02
            orders, self._waiting = self._waiting, []
            report = self.driver.tick(orders)
            if report is not None:
                order = self.server.step(report)
                self._waiting = [pack_order(order)]
        return order


def test_goals_come_one_after_the_other() -> None:
    drive = Drive()
    assert drive.run(1.0).mode == "stand"
    drive.goals.waiting = task_to(stamped(1.0, 0.0, 0.0))
    assert drive.run(1.0).mode == "drive" and drive.said == ["to (1.00, 0.00, 0.00) in 'odom', straight"]
    resets = drive.policy.resets
    drive.goals.waiting = task_along(of(header=of(frame_id="odom"), poses=[stamped(0.0, 0, 0), stamped(1.0, 0, 0)]))
    drive.run(0.3)
    assert drive.policy.resets == resets, "the same goal on a new path is no new goal"
    drive.policy.command = (0.0, 0.0, 0.0)
    drive.run(1.0)
    drive.goals.waiting = task_to(stamped(float(drive.robot.pose[0]), 0.0, 0.0))
    drive.run(0.5)
    assert drive.said[-1] == "reached; waiting for the next goal" and drive.server.last == "reached"
    drive.policy.command = (0.2, 0.0, 0.0)
    drive.goals.waiting = task_to(stamped(4.0, 0.0, 0.0))
    assert drive.run(0.5).mode == "drive"
    drive.goals.waiting = task_along(of(header=of(frame_id="odom"), poses=[]))
    assert drive.run(0.5).mode == "stand" and drive.said[-1].startswith("cancelled")


def test_a_goal_in_a_frame_that_nobody_knows_is_refused_and_one_that_is_lost_stops_the_robot() -> None:
    drive = Drive()
    drive.goals.error = "a goal in 'map': tf2_ros is not installed"
    drive.goals.waiting = task_to(stamped(2.0, 0.0, 0.0, frame="map"))
    assert drive.run(1.0).mode == "stand" and drive.said == ["refused: a goal in 'map': tf2_ros is not installed"]
    drive.goals.error = ""
    drive.goals.waiting = task_to(stamped(2.0, 0.0, 0.0, frame="map"))
    assert drive.run(1.0).mode == "drive"
    drive.goals.error = "the transform is old"
    assert drive.run(1.0).mode == "stand" and drive.said[-1] == "standing: the transform is old"
    drive.goals.error = ""
    assert drive.run(0.5).mode == "drive"
    assert drive.run(25.0).mode == "stand" and "waiting for the next goal" in drive.said[-1]


def test_a_pose_or_path_that_is_not_finite_is_no_goal() -> None:
    with pytest.raises(ValueError, match="not finite"):
        task_to(stamped(math.nan, 0.0, 0.0))
    with pytest.raises(ValueError, match="not finite"):
        task_along(of(header=of(frame_id="odom"), poses=[stamped(math.inf, 0.0, 0.0), stamped(1.0, 0.0, 0.0)]))
