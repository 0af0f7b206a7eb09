"""The fake robot as a ROS 2 node, and an operator: run by ``test_ros2_drive.py`` in the environment that has rclpy.

    python -m tests.export.runtime.ros_fake_robot '{"log": "FILE", ...}'      see Script for the keys

It writes a line of JSON for every command that it gets and every image that it sends or means to send.
"""

import array
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, Joy, LaserScan

from embodiments import registry
from export.runtime.robots.fake import FakeRobot
from export.runtime.robots.lidar import LIDAR_HEIGHT_M, LIDAR_RANGE_M, LIDAR_X_M

WIDTH_PX, HEIGHT_PX = 128, 80
BUTTON = 4
PATIENCE_S = 3.0
"""A robot that stands for this long may be disarmed: the operator releases the switch and holds it again."""


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the node does."""

    log: str
    embodiment: str = "go2"
    encoding: str = "16UC1"
    noisy: bool = True
    drop_every: int = 0
    """Of the images; 0 = none"""
    freezes_at_m: tuple[float, ...] = ()
    """No images for ``pause_s`` from where the robot passes these x"""
    late_at_m: float = float("inf")
    """From here on the images come half a second late, for ``pause_s``"""
    pause_s: float = 0.8
    goal: tuple[float, float, float] | None = None
    """Published as ``goal_pose``, in the odometry frame, once somebody listens"""
    start: tuple[float, float, float] = (0.0, 0.0, 0.0)


class FakeNode:
    """Publishes what the fake measures, executes what it is commanded."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.robot = FakeRobot(registry.get(script.embodiment))
        self.robot.pose = np.asarray(script.start)
        self.log = Path(script.log).open("w", buffering=1, encoding="utf-8")  # noqa: SIM115
        self.node: Any = rclpy.create_node("fake_robot")
        camera = self.robot.embodiment.camera
        self.fx_px = WIDTH_PX / 2.0 / np.tan(camera.hfov_rad / 2.0)
        self.fy_px = HEIGHT_PX / 2.0 / np.tan(camera.vfov_rad / 2.0)
        publishers = {"depth/image": Image, "depth/camera_info": CameraInfo, "odom": Odometry, "joy": Joy}
        publishers["scan"] = LaserScan
        self.publishers = {
            topic: self.node.create_publisher(kind, topic, qos_profile_sensor_data)
            for topic, kind in publishers.items()
        }
        self.goals = self.node.create_publisher(PoseStamped, "goal_pose", 1)
        self.node.create_subscription(Twist, "cmd_vel", self.obey, 1)
        self.images = 0
        self.waiting: list[tuple[float, Image]] = []
        self.released_s: float | None = None
        self.moved_s = 0.0
        self.pause_ends_s, self.pauses = 0.0, list(script.freezes_at_m)
        self.late_ends_s: float | None = None
        self.has_goal, self.last_s = False, 0.0
        for rate_hz, tick in ((15.0, self.see), (25.0, self.roll), (10.0, self.sweep), (20.0, self.hold)):
            self.node.create_timer(1.0 / rate_hz, tick)

    def obey(self, message: Twist) -> None:
        command = np.asarray([message.linear.x, message.linear.y, message.angular.z])
        self.note(command=command.tolist())
        self.moved_s = time.monotonic() if command.any() else self.moved_s
        limits = self.robot.embodiment.limits
        rates = np.asarray([limits.acceleration_mps2, limits.yaw_acceleration_radps2])
        self.robot.drive(command, acceleration=rates)

    def see(self) -> None:
        column, row = np.arange(WIDTH_PX), np.arange(HEIGHT_PX)
        left = ((WIDTH_PX - 1) / 2.0 - column) / self.fx_px
        up = ((HEIGHT_PX - 1) / 2.0 - row) / self.fy_px
        if not self.script.noisy:
            self.robot._random = np.random.default_rng(0)
        depth_mm = np.rint(1000.0 * self.robot.measure(left, up)).astype("<u2")
        image = Image(height=HEIGHT_PX, width=WIDTH_PX, encoding=self.script.encoding)
        self.stamp(image, "camera")
        is_float = self.script.encoding == "32FC1"
        metres = np.where(depth_mm > 0, depth_mm.astype("<f4") * np.float32(0.001), np.nan).astype("<f4")
        image.data = array.array("B", metres.tobytes() if is_float else depth_mm.tobytes())
        image.step = WIDTH_PX * (4 if is_float else 2)
        info = CameraInfo(height=HEIGHT_PX, width=WIDTH_PX, distortion_model="plumb_bob", d=[0.0] * 5)
        self.stamp(info, "camera")
        info.k = [self.fx_px, 0.0, (WIDTH_PX - 1) / 2.0, 0.0, self.fy_px, (HEIGHT_PX - 1) / 2.0, 0.0, 0.0, 1.0]
        self.publishers["depth/camera_info"].publish(info)
        self.send_image(image)

    def send_image(self, image: Image) -> None:
        now_s, x_m = time.monotonic(), float(self.robot.pose[0])
        self.images += 1
        if self.script.drop_every and self.images % self.script.drop_every == 0:
            return
        if self.pauses and x_m > self.pauses[0]:
            self.pauses.pop(0)
            self.pause_ends_s = now_s + self.script.pause_s
            self.note(frozen=self.last_s)
        if x_m > self.script.late_at_m and self.late_ends_s is None:
            self.late_ends_s = now_s + self.script.pause_s
            self.note(late=self.last_s)
        if now_s < self.pause_ends_s:
            return
        delay_s = 0.5 if self.late_ends_s is not None and now_s < self.late_ends_s else 0.0
        self.waiting.append((now_s + delay_s, image))
        for due in [entry for entry in self.waiting if entry[0] <= now_s]:
            self.waiting.remove(due)
            self.publishers["depth/image"].publish(due[1])
            self.last_s = time.monotonic()
            self.note(image=self.images)

    def roll(self) -> None:
        reading = self.robot.odometry()
        assert reading is not None
        message = Odometry(child_frame_id="base_link")
        self.stamp(message, "odom")
        x, y, yaw = (float(value) for value in reading.pose)
        message.pose.pose.position.x, message.pose.pose.position.y = x, y
        turn = message.pose.pose.orientation
        turn.z, turn.w = float(np.sin(yaw / 2)), float(np.cos(yaw / 2))
        twist = message.twist.twist
        twist.linear.x, twist.linear.y, twist.angular.z = (float(value) for value in reading.velocity_b)
        self.publishers["odom"].publish(message)
        self.note(pose=[x, y, yaw])

    def sweep(self) -> None:
        self.robot.odometry()  # bring it up to now
        angle = np.linspace(-np.pi, np.pi, 360, endpoint=False)
        directions = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
        range_m = self.robot.cast(np.asarray([LIDAR_X_M, 0.0, LIDAR_HEIGHT_M]), directions)
        message = LaserScan(angle_min=-np.pi, angle_max=float(angle[-1]), angle_increment=2.0 * np.pi / 360.0)
        self.stamp(message, "laser")
        message.range_min, message.range_max = LIDAR_RANGE_M
        message.ranges = array.array("f", range_m.astype(np.float32).tobytes())
        self.publishers["scan"].publish(message)

    def hold(self) -> None:
        """Release the switch until somebody has listened for a second, then hold it; when it stands, press it again."""
        now_s = time.monotonic()
        if self.released_s is None and self.node.count_subscribers("joy"):
            self.released_s = self.moved_s = now_s
        if self.released_s is not None and now_s - self.moved_s > PATIENCE_S:
            self.released_s = self.moved_s = now_s
        buttons = [0] * (BUTTON + 1)
        buttons[BUTTON] = int(self.released_s is not None and now_s - self.released_s > 1.0)
        message = Joy(buttons=buttons)
        self.stamp(message, "joy")
        self.publishers["joy"].publish(message)
        if self.script.goal is not None and not self.has_goal and self.node.count_subscribers("goal_pose"):
            self.has_goal = True
            goal = PoseStamped()
            self.stamp(goal, "odom")
            goal.pose.position.x, goal.pose.position.y, yaw = self.script.goal
            goal.pose.orientation.z, goal.pose.orientation.w = float(np.sin(yaw / 2)), float(np.cos(yaw / 2))
            self.goals.publish(goal)

    def stamp(self, message: Any, frame: str) -> None:
        message.header.stamp = self.node.get_clock().now().to_msg()
        message.header.frame_id = frame

    def note(self, **fields: Any) -> None:
        self.log.write(json.dumps({"time_s": time.monotonic()} | fields) + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    fake = FakeNode(Script(**json.loads(sys.argv[1])))
    with contextlib.suppress(KeyboardInterrupt):
        rclpy.spin(fake.node)
