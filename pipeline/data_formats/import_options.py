"""What a person says about files that are imported."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Names and units in files from elsewhere."""

    embodiment: Annotated[str | None, arg(name="embodiments")] = None
    """The robot that drove; needed where the files do not say it"""
    depth_unit: Literal["auto", "mm", "m"] = "auto"
    """auto: whole numbers are millimetres, others metres"""
    yaw_unit: Literal["rad", "deg"] = "rad"
    """Of yaw rates, measured and commanded"""
    depth_key: str = "observation.depth"
    """LeRobot: column with lossless depth"""
    state_key: str = "observation.state"
    """LeRobot: column with measured velocities x.vel, y.vel, theta.vel; y.vel may be missing"""
    action_key: str = "action"
    """LeRobot: column with commanded ones"""
    without_episodes: tuple[int, ...] = ()
    """LeRobot: episodes to leave out"""
    depth_topic: str = "depth/image"
    """Bag: sensor_msgs/Image, 16UC1 in mm or 32FC1 in m"""
    info_topic: str = "depth/camera_info"
    """Bag: its sensor_msgs/CameraInfo"""
    odometry_topic: str = "odom"
    """Bag: nav_msgs/Odometry"""
    command_topic: str = "cmd_vel"
    """Bag: geometry_msgs/Twist or TwistStamped"""
    split_at_gaps: bool = False
    """Bag: begin a new episode where images or odometry are missing, instead of refusing"""


BAG_SUFFIXES = (".mcap", ".db3")


def bags_in(source: Path) -> list[Path]:
    """Return the bags that a path names: a file, a rosbag2 folder, or every ``.mcap`` in a folder; maybe none."""
    if source.suffix in BAG_SUFFIXES or (source / "metadata.yaml").is_file():
        return [source]
    return sorted(path for path in source.glob("*.mcap") if not path.name.startswith("."))
