"""Any robot that takes ``cmd_vel`` over ROS 2, see docs/ros2.md. NOT yet run on hardware.

A thread of its own turns messages into readings; the driver takes the newest ones. A message that is wrong in itself
(encoding, calibration, frame) is a hindrance: the driver latches it. One that is late or missing shows by its age.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from embodiments.embodiment import Embodiment
from export.runtime.robots.robot import Depth, Health, Odometry, Scan
from export.runtime.robots.ros.node import SpinningNode
from export.runtime.robots.ros.sensors import SENSORS, Sensors

DRIVER_NODE = "crossbody_driver"
HELD_S = 0.25
"""A dead-man's switch that was not heard of for this long counts as released."""
WAIT_S = 10.0
"""For the first message of every topic."""
_LAST_COMMAND_S = 0.5


class Ros2Robot:
    """A robot behind ROS topics; implements ``export.runtime.robots.robot.Robot``."""

    def __init__(self, embodiment: Embodiment, arguments: Sequence[str] = (), *, wait_s: float = WAIT_S) -> None:
        """Connect to nothing yet.

        Args:
            embodiment: The robot.
            arguments: What follows ``--ros-args`` on the command line.
            wait_s: For the first message of every topic.
        """
        self.embodiment = embodiment
        self._arguments, self._wait_s = arguments, wait_s
        self._ros: SpinningNode | None = None
        self._sensors: Sensors | None = None
        self._publish: Callable[[np.ndarray], None] | None = None
        self._publisher: Any = None

    def start(self) -> None:
        """Subscribe, and wait for the first message of every topic; nothing is published.

        Raises:
            OSError: If a topic does not come, or brings what cannot be used; one line that says what to do.
            ValueError: If the arguments or parameters are wrong.
        """
        try:
            self._ros = SpinningNode(DRIVER_NODE, self._arguments)
            self._sensors = Sensors(self._ros, self.embodiment)
            self._advertise(self._ros)
            self._ros.spin()
            self._await_messages(self._ros, self._sensors)
        except BaseException:
            self._close()
            raise

    def stop(self) -> None:
        """Command zero once more, wait until it is delivered, and end the node."""
        try:
            if self._publish is not None:
                from rclpy.duration import Duration

                self._publish(np.zeros(3))
                self._publisher.wait_for_all_acked(Duration(seconds=_LAST_COMMAND_S))
        finally:
            self._close()

    def health(self) -> Health:
        """Return the first message that could not be used; ROS has no common topic for a run-stop."""
        assert self._ros is not None and self._sensors is not None
        ended = f"the ROS node stopped: {self._ros.failure}; restart" if self._ros.failure else ""
        return Health(run_stopped=False, hindrance=self._sensors.fault or ended)

    def depth(self) -> Depth | None:
        """Return the newest image."""
        return None if self._sensors is None else self._sensors.depth

    def odometry(self) -> Odometry | None:
        """Return the newest odometry."""
        return None if self._sensors is None else self._sensors.odometry

    def scan(self) -> Scan | None:
        """Return the newest scan."""
        return None if self._sensors is None else self._sensors.scan

    def held(self) -> bool:
        """Return whether the last message of the joystick, not older than ``HELD_S``, says that the button is down."""
        assert self._sensors is not None
        received_s, is_pressed = self._sensors.switch
        return is_pressed and time.monotonic() - received_s <= HELD_S

    def drive(self, command: np.ndarray, *, acceleration: np.ndarray) -> None:
        """Publish one admissible command; the robot's own driver does not learn of the acceleration.

        Args:
            command: (3,) vx, vy [m/s], yaw rate [rad/s], body frame.
            acceleration: (2,) limits that the driver's ramps already obey.

        Raises:
            ValueError: If something is not finite, or sideways for a robot with wheels.
            OSError: If it cannot be published.
        """
        values = np.asarray(command, dtype=np.float64)
        if values.shape != (3,) or not np.isfinite(values).all():
            raise ValueError(f"command is {values.tolist()}, expected three finite numbers")
        if not self.embodiment.moves_sideways and values[1] != 0.0:
            raise ValueError(f"lateral velocity {values[1]:g} m/s: this base has none")
        assert self._publish is not None
        try:
            self._publish(values)
        except Exception as error:  # rclpy's own, of no common base
            raise OSError(f"the command could not be published ({type(error).__name__}: {error})") from error

    def _advertise(self, ros: SpinningNode) -> None:
        from geometry_msgs.msg import Twist, TwistStamped

        assert self._sensors is not None
        is_stamped, base_frame = ros.parameter("enable_stamped_cmd_vel", False), self._sensors.base_frame
        kind: Any = TwistStamped if is_stamped else Twist
        publisher = self._publisher = ros.node.create_publisher(kind, "cmd_vel", 1)

        def publish(command: np.ndarray) -> None:
            message = kind()
            twist = message.twist if is_stamped else message
            twist.linear.x, twist.linear.y, twist.angular.z = (float(value) for value in command)
            if is_stamped:
                message.header.stamp = ros.node.get_clock().now().to_msg()
                message.header.frame_id = base_frame
            publisher.publish(message)

        self._publish = publish

    def _await_messages(self, ros: SpinningNode, sensors: Sensors) -> None:
        ends_s = time.monotonic() + self._wait_s
        while sensors.missing() and not sensors.fault and not ros.failure and time.monotonic() < ends_s:
            time.sleep(0.02)
        if sensors.fault or ros.failure:
            raise OSError(sensors.fault or ros.failure)
        missing = sensors.missing()
        needed = [topic for topic in missing if topic != "scan"]
        if needed:
            raise OSError(self._absence(ros, needed[0], sensors.waits_for))
        if missing:  # a drive without lidar goes on, any other stands
            print(f"{self._absence(ros, 'scan', sensors.waits_for)}; or give --without-lidar", file=sys.stderr)

    def _absence(self, ros: SpinningNode, topic: str, waits_for: str) -> str:
        """Return the line about a topic that did not come, with those of its type that there are."""
        if topic == "scan" and waits_for:
            return waits_for
        name, kind = ros.node.resolve_topic_name(topic), SENSORS[topic]
        others = sorted(other for other, kinds in ros.node.get_topic_names_and_types() if kind in kinds)
        there = [other for other in others if ros.node.count_publishers(other)]
        known = f"published are {', '.join(there)}" if there else "nobody publishes any"
        line = f"no {kind} with a time stamp came on {name} within {self._wait_s:g} s; {known}"
        return f"{line}; start it, or remap: --ros-args -r {topic}:=TOPIC"

    def _close(self) -> None:
        if self._ros is not None:
            self._ros.close()
        self._ros = self._sensors = self._publish = self._publisher = None


def make(embodiment: Embodiment, *arguments: str) -> Ros2Robot:
    """Return the robot, not yet started.

    Args:
        arguments: What follows ``--ros-args`` on the command line.
    """
    return Ros2Robot(embodiment, arguments)
