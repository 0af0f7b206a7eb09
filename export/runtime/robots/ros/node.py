"""A ROS 2 node that a thread of its own spins. The only place that starts and ends rclpy."""

import threading
from collections.abc import Sequence
from typing import Any


class SpinningNode:
    """Owns a context, so that a signal ends nothing before the last command is out."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        """Start the node; nothing spins before ``spin``.

        Args:
            name: Of the node.
            arguments: What follows ``--ros-args`` on the command line.

        Raises:
            OSError: If there is no rclpy.
            ValueError: If it does not understand the arguments.
        """
        try:
            import rclpy
            from rclpy.executors import SingleThreadedExecutor
            from rclpy.signals import SignalHandlerOptions
        except ImportError as error:
            reason = str(error).partition("\n")[0]
            raise OSError(f"rclpy does not load ({reason}); source /opt/ros/DISTRO/setup.bash first") from error
        self._context = rclpy.Context()
        given = ["--ros-args", *arguments] if arguments else []
        try:
            rclpy.init(args=given, context=self._context, signal_handler_options=SignalHandlerOptions.NO)
            self.node: Any = rclpy.create_node(name, context=self._context)
        except Exception as error:  # rclpy's own, of no common base
            self._context.try_shutdown()
            reason = " ".join(str(error).split())
            raise ValueError(f"ROS does not take the arguments after --ros-args: {reason}") from error
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.failure = ""
        """Why no message will come any more, or empty"""
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def spin(self) -> None:
        """Call back from now on, in the thread."""
        self._thread.start()

    def parameter(self, name: str, default: Any) -> Any:
        """Return a parameter of the node.

        Raises:
            ValueError: If it was given with another type than that of its default.
        """
        try:
            return self.node.declare_parameter(name, default).value
        except Exception as error:  # rclpy's own, of no common base
            raise ValueError(f"parameter {name}: {' '.join(str(error).split())}") from error

    def close(self) -> None:
        """End the node."""
        self._executor.shutdown(timeout_sec=1.0)
        if self._thread.is_alive():
            self._thread.join(2.0)
        self.node.destroy_node()
        self._context.try_shutdown()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except Exception as error:  # whatever a callback or the middleware raises must not end unseen
            self.failure = f"{type(error).__name__}: {error}"


def stamp_s(header: Any) -> float:
    """Return the time of a ``std_msgs/Header`` [s]."""
    return float(header.stamp.sec) + 1e-9 * float(header.stamp.nanosec)
