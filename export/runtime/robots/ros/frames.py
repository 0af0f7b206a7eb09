"""Where frames are, by tf2 where it is installed."""

from typing import Any

import numpy as np

from export.runtime.robots.ros.geometry import Mount, mount_from, pose_from
from export.runtime.robots.ros.node import stamp_s

STALE_S = 0.5
"""A moving transform that is older than this no longer says where a goal is."""
WITHOUT_TF2 = "tf2_ros is not installed, so frames cannot be looked up"


class Frames:
    """Looks up transforms; without tf2 there are none."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._buffer: Any = None
        try:
            import tf2_ros
        except ImportError:
            return
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def mount(self, base: str, frame: str) -> Mount:
        """Return where a sensor's frame is in the base frame.

        Raises:
            ValueError: If nobody says so (yet).
        """
        return mount_from(self._newest(base, frame).transform)

    def pose(self, parent: str, frame: str) -> np.ndarray:
        """Return the pose (3,) x, y [m], yaw [rad] of a frame in its parent.

        Raises:
            ValueError: If nobody says so (yet), or not any more; one line.
        """
        found = self._newest(parent, frame)
        age_s = self._node.get_clock().now().nanoseconds * 1e-9 - stamp_s(found.header)
        is_static = stamp_s(found.header) == 0.0
        if age_s > STALE_S and not is_static:
            raise ValueError(f"the transform from {parent} to {frame} is {age_s:.1f} s old; check the localisation")
        return pose_from(found.transform.translation, found.transform.rotation)

    def _newest(self, parent: str, frame: str) -> Any:
        if self._buffer is None:
            raise ValueError(WITHOUT_TF2)
        from rclpy.time import Time

        try:
            return self._buffer.lookup_transform(parent, frame, Time())
        except Exception as error:  # tf2's own, of no common base
            reason = " ".join(str(error).split())
            raise ValueError(f"no transform from {parent} to {frame}: {reason}") from error
