"""Subscriptions to a robot's sensors: every message becomes the newest reading, or a fault in words."""

import time
from collections.abc import Callable
from typing import Any

from embodiments.embodiment import Embodiment
from export.runtime.robots.d435i import upright
from export.runtime.robots.depth_image import canonical_depth
from export.runtime.robots.robot import Depth, Odometry, Scan
from export.runtime.robots.ros.frames import Frames
from export.runtime.robots.ros.geometry import Mount, mount_of, pose_from, seen_in, velocity_from
from export.runtime.robots.ros.images import metres, pinhole
from export.runtime.robots.ros.lateness import Lateness
from export.runtime.robots.ros.node import SpinningNode, stamp_s

SENSORS = {
    "depth/image": "sensor_msgs/msg/Image",
    "depth/camera_info": "sensor_msgs/msg/CameraInfo",
    "odom": "nav_msgs/msg/Odometry",
    "joy": "sensor_msgs/msg/Joy",
    "scan": "sensor_msgs/msg/LaserScan",
}
"""Topic -> type; a scan alone may be missing."""


class Sensors:
    """The newest readings. Callbacks run in the node's thread; a reading is replaced as a whole."""

    def __init__(self, ros: SpinningNode, embodiment: Embodiment) -> None:
        """Subscribe.

        Raises:
            ValueError: If a parameter is wrong.
        """
        from nav_msgs.msg import Odometry as OdometryMessage
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import CameraInfo, Image, Joy, LaserScan

        self._embodiment = embodiment
        self._frames = Frames(ros.node)
        self.base_frame: str = ros.parameter("base_frame", "base_link")
        self._odometry_frame: str = ros.parameter("odom_frame", "odom")
        self._quarter_turns: int = ros.parameter("depth_quarter_turns", 0)
        self._button: int = ros.parameter("joy_button", 4)
        lidar_pose = list(ros.parameter("lidar_pose", [float("nan")] * 3))
        if len(lidar_pose) != 3:
            raise ValueError(f"parameter lidar_pose has {len(lidar_pose)} numbers, expected x [m], y [m], yaw [rad]")
        self._mount: Mount | None = None if lidar_pose[0] != lidar_pose[0] else mount_of(*lidar_pose)
        self.depth: Depth | None = None
        self.odometry: Odometry | None = None
        self.scan: Scan | None = None
        self.switch = (-float("inf"), False)
        """When the joystick was heard of last, monotonic clock [s], and whether the button was down"""
        self.fault = ""
        """The first message that cannot be used, one line with the mend; or empty"""
        self.waits_for = ""
        """Why scans come but cannot be used yet, or empty"""
        self._info: Any = None
        self._lateness = {topic: Lateness() for topic in ("depth/image", "odom", "joy", "scan")}
        for kind, topic, take in (
            (CameraInfo, "depth/camera_info", self._take_info),
            (Image, "depth/image", self._timed("depth/image", self._take_image)),
            (OdometryMessage, "odom", self._timed("odom", self._take_odometry)),
            (Joy, "joy", self._timed("joy", self._take_joy)),
            (LaserScan, "scan", self._timed("scan", self._take_scan)),
        ):
            ros.node.create_subscription(kind, topic, take, qos_profile_sensor_data)

    def missing(self) -> list[str]:
        """Return the topics of which no usable message has come yet."""
        found = {
            "depth/camera_info": self._info,
            "depth/image": self.depth,
            "odom": self.odometry,
            "joy": None if self.switch[0] < 0.0 else self.switch,
            "scan": self.scan,
        }
        return [topic for topic, reading in found.items() if reading is None]

    def _timed(self, topic: str, take: Callable[[Any, float], None]) -> Callable[[Any], None]:
        """Return a callback that drops what is not newer than the last message, and keeps what is wrong as a fault."""

        def callback(message: Any) -> None:
            received_s = self._lateness[topic].received_s(stamp_s(message.header), time.monotonic())
            if received_s is None:
                return
            try:
                take(message, received_s)
            except ValueError as error:
                self.fault = self.fault or str(error)

        return callback

    def _take_info(self, info: Any) -> None:
        self._info = info

    def _take_image(self, image: Any, received_s: float) -> None:
        if self._info is None:
            return
        intrinsics, depth_m = pinhole(self._info, image), metres(image)
        for _ in range(self._quarter_turns % 4):
            depth_m, intrinsics = upright(depth_m, intrinsics)
        try:
            image_m = canonical_depth(depth_m, intrinsics, camera=self._embodiment.camera)
        except ValueError as error:
            mend = "use another stream of the camera, or set depth_quarter_turns if it is mounted on its side"
            raise ValueError(f"{error} for {self._embodiment.name}; {mend}") from None
        sequence = 1 if self.depth is None else self.depth.sequence + 1
        self.depth = Depth(image_m=image_m, sequence=sequence, received_s=received_s)

    def _take_odometry(self, message: Any, received_s: float) -> None:
        if message.header.frame_id != self._odometry_frame:
            raise ValueError(
                f"odometry is in the frame '{message.header.frame_id}', expected '{self._odometry_frame}'; "
                f"give --ros-args -p odom_frame:={message.header.frame_id}"
            )
        pose = pose_from(message.pose.pose.position, message.pose.pose.orientation)
        velocity_b = velocity_from(message.twist.twist)
        sequence = 1 if self.odometry is None else self.odometry.sequence + 1
        self.odometry = Odometry(pose=pose, velocity_b=velocity_b, sequence=sequence, received_s=received_s)

    def _take_joy(self, message: Any, received_s: float) -> None:
        if not 0 <= self._button < len(message.buttons):
            raise ValueError(
                f"the joystick has buttons 0 to {len(message.buttons) - 1}, joy_button is {self._button}; "
                "press one, read the topic joy, and give --ros-args -p joy_button:=NUMBER"
            )
        self.switch = received_s, message.buttons[self._button] == 1

    def _take_scan(self, message: Any, received_s: float) -> None:
        frame = message.header.frame_id
        if self._mount is None and frame == self.base_frame:
            self._mount = mount_of(0.0, 0.0, 0.0)
        if self._mount is None:
            try:
                self._mount = self._frames.mount(self.base_frame, frame)
            except ValueError as error:
                self.waits_for = (
                    f"where is the lidar's frame '{frame}' on the robot? {error}; give "
                    "--ros-args -p lidar_pose:='[X, Y, YAW]'"
                )
                return
        points_b_m, blind, sees_behind = seen_in(message, self._mount, self._embodiment)
        sequence = 1 if self.scan is None else self.scan.sequence + 1
        self.scan = Scan(
            points_b_m=points_b_m,
            sequence=sequence,
            received_s=received_s,
            blind=(blind,),
            sees_behind=sees_behind,
        )
