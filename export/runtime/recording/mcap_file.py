"""An MCAP file of ROS 2 messages, which Foxglove and rosbag2 open."""

from pathlib import Path
from typing import Any

from export.runtime.recording import messages, schemas

TOPICS = {
    "/depth/image": schemas.IMAGE,
    "/depth/camera_info": schemas.CAMERA_INFO,
    "/odom": schemas.ODOMETRY,
    "/cmd_vel": schemas.TWIST_STAMPED,
    "/policy/cmd_vel": schemas.TWIST_STAMPED,
    "/route": schemas.PATH,
    "/goal_pose": schemas.POSE_STAMPED,
    "/tf": schemas.TF_MESSAGE,
    "/known_map": schemas.OCCUPANCY_GRID,
    "/status": schemas.STRING,
    "/semantic": schemas.IMAGE,
    "/labels": schemas.FLOATS,
}
"""Everything that a recording may hold; docs/data_formats.md says what each is."""
_CHUNK_BYTES = 256 * 1024
"""A crash loses at most this much: some four seconds of a drive."""
MISSING = "MCAP files need two packages: pip install mcap==1.6.0 mcap-ros2-support==0.6.0"


class McapFile:
    """Writes messages of ``TOPICS`` to an MCAP file."""

    def __init__(self, path: Path) -> None:
        """Begin a new file.

        Args:
            path: File to write; its folder is made if needed.

        Raises:
            ValueError: If the packages that write MCAP are not installed.
            FileExistsError: If the file is there: a recording is never overwritten.
        """
        writer = _writer_class()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("xb")
        self._writer = writer(self._stream, chunk_size=_CHUNK_BYTES)
        self._schemas: dict[str, Any] = {}

    def write(self, topic: str, message: messages.Message, *, time_ns: int) -> None:
        """Append one message.

        Args:
            topic: One of ``TOPICS``.
            time_ns: Time [ns since 1970]; not before that of an earlier message.
        """
        kind = TOPICS[topic]
        if kind not in self._schemas:
            self._schemas[kind] = self._writer.register_msgdef(kind, schemas.definition(kind))
        self._writer.write_message(topic, self._schemas[kind], message, log_time=time_ns, publish_time=time_ns)

    def note(self, facts: dict[str, str]) -> None:
        """Write facts about the whole recording as metadata ``crossbody``."""
        self._writer.add_metadata("crossbody", facts)

    def close(self) -> None:
        """Write the index and close the file."""
        try:
            self._writer.finish()
        finally:
            self._stream.close()

    def abandon(self) -> None:
        """Close the file without its index, after an error."""
        self._stream.close()


def check_installed() -> None:
    """Refuse before any work if the packages are missing.

    Raises:
        ValueError: With the mend.
    """
    _writer_class()


def _writer_class() -> Any:
    try:
        from mcap_ros2.writer import Writer
    except ImportError:
        raise ValueError(MISSING) from None
    return Writer
