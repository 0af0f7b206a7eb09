"""Goals and planned paths that come over ROS 2 while the program runs, see docs/ros2.md."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from export.runtime.robots.ros.frames import Frames
from export.runtime.robots.ros.geometry import pose_from
from export.runtime.robots.ros.node import SpinningNode
from export.runtime.route import Route

POLICY_NODE = "crossbody_policy"
SAME_GOAL_M, SAME_GOAL_RAD = 0.1, 0.1
"""A goal that differs by less is the same one, planned anew."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Where to go."""

    frame: str
    goal: np.ndarray | None
    """(3,) x, y [m], yaw [rad] in the frame; None: stay where you are"""
    path_xy_m: np.ndarray | None = None
    """(P, 2) planned path that ends at the goal; None for the straight line"""

    def resumes(self, other: "Task | None") -> bool:
        """Return whether this is the goal of another task, on a new path."""
        if other is None or other.goal is None or self.goal is None or self.frame != other.frame:
            return False
        x, y, yaw = self.goal - other.goal
        return bool(np.hypot(x, y) < SAME_GOAL_M and abs(np.arctan2(np.sin(yaw), np.cos(yaw))) < SAME_GOAL_RAD)

    def route(self, origin: np.ndarray) -> Route:
        """Return the route to the goal.

        Args:
            origin: (3,) pose of the frame in the odometry frame.
        """
        assert self.goal is not None
        return Route(self.goal, path_xy_m=self.path_xy_m, origin=origin)


class Goals(Protocol):
    """Whoever sets goals while the program runs; ``Ros2Goals`` does."""

    def newest(self) -> Task | None:
        """Return the newest task since the last call, or None."""

    def origin(self, frame: str) -> np.ndarray:
        """Return the pose (3,) of a frame in the odometry frame now.

        Raises:
            ValueError: If it is not known (any more); one line with the mend.
        """


class Ros2Goals:
    """Listens to ``goal_pose`` and ``plan``; the newest message of either counts."""

    def __init__(self, arguments: Sequence[str], *, announce: Callable[[str], None] = print) -> None:
        """Start a node and subscribe.

        Args:
            arguments: What follows ``--ros-args`` on the command line.
            announce: Gets a line about every message that cannot be used.

        Raises:
            OSError: If there is no rclpy.
            ValueError: If the arguments are wrong.
        """
        self._ros = SpinningNode(POLICY_NODE, arguments)
        from geometry_msgs.msg import PoseStamped
        from nav_msgs.msg import Path

        self._announce = announce
        self._odometry_frame: str = self._ros.parameter("odom_frame", "odom")
        self._frames = Frames(self._ros.node)
        self._waiting: Task | None = None
        for kind, topic, read in ((PoseStamped, "goal_pose", task_to), (Path, "plan", task_along)):
            self._ros.node.create_subscription(kind, topic, self._callback(read), 1)
        self._ros.spin()

    def newest(self) -> Task | None:
        """Return the newest task since the last call, or None."""
        task, self._waiting = self._waiting, None
        return task

    def origin(self, frame: str) -> np.ndarray:
        """Return the pose (3,) of a frame in the odometry frame now; see ``Goals``."""
        if frame in ("", self._odometry_frame):
            return np.zeros(3)
        try:
            return self._frames.pose(self._odometry_frame, frame)
        except ValueError as error:
            raise ValueError(f"a goal in '{frame}': {error}; give goals in '{self._odometry_frame}'") from error

    def close(self) -> None:
        """End the node."""
        self._ros.close()

    def _callback(self, read: Callable[[Any], Task]) -> Callable[[Any], None]:
        def callback(message: Any) -> None:
            try:
                self._waiting = read(message)
            except ValueError as error:
                self._announce(f"ignored: {error}")

        return callback


def task_to(message: Any) -> Task:
    """Return the task of a ``geometry_msgs/PoseStamped``.

    Raises:
        ValueError: If the pose is not one.
    """
    goal = pose_from(message.pose.position, message.pose.orientation)
    if not np.isfinite(goal).all():
        raise ValueError(f"a goal at {goal.tolist()}, which is not finite")
    return Task(frame=message.header.frame_id, goal=goal)


def task_along(message: Any) -> Task:
    """Return the task of a ``nav_msgs/Path``: to its last pose; an empty one means: stay.

    Raises:
        ValueError: If a pose is not one.
    """
    frame = message.header.frame_id
    if not message.poses:
        return Task(frame=frame, goal=None)
    goal = pose_from(message.poses[-1].pose.position, message.poses[-1].pose.orientation)
    places = [(stamped.pose.position.x, stamped.pose.position.y) for stamped in message.poses]
    path_xy_m = np.asarray(places, dtype=np.float64)
    if not (np.isfinite(path_xy_m).all() and np.isfinite(goal).all()):
        raise ValueError("a path that is not finite")
    is_path = len(path_xy_m) > 1 and float(np.hypot(*np.diff(path_xy_m, axis=0).T).sum()) > 0.0
    return Task(frame=frame, goal=goal, path_xy_m=path_xy_m if is_path else None)
