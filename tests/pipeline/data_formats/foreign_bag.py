"""A bag as somebody else's robot records it: topics at rates of their own, 16UC1 or 32FC1, sqlite3 or MCAP.

A Go2 drives an arc for ``SECONDS`` towards a wall that is 6 m ahead at the start. Written by ``rosbags``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from embodiments import registry
from pipeline.commands.implementation import import_recordings
from pipeline.commands.import_recordings import Config

ROBOT, SECONDS, SPEED_MPS, TURN_RADPS, WALL_M = "go2", 9.0, 0.4, 0.2, 6.0
WIDTH, HEIGHT = 128, 80
STORE = get_typestore(Stores.ROS2_JAZZY)
_T = STORE.types


@dataclass(kw_only=True)
class Made:
    """What the bag is like; every field can be made wrong."""

    encoding: str = "16UC1"
    depth_scale: float = 1.0
    image_hz: float = 15.0
    odometry_hz: float = 50.0
    command_hz: float = 20.0
    yaw_scale: float = 1.0
    speed_scale: float = 1.0
    lost_s: tuple[float, float] = (0.0, 0.0)
    """No images between these"""
    without: tuple[str, ...] = ()
    frame: str = "camera"
    stamped: bool = False


def write(path: Path, made: Made, *, mcap: bool = False) -> Path:
    """Write the bag; return what to import: the folder, or the MCAP file in it."""
    plugin = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
    kind = "geometry_msgs/msg/TwistStamped" if made.stamped else "geometry_msgs/msg/Twist"
    kinds = {
        "/camera/depth": "sensor_msgs/msg/Image",
        "/camera/info": "sensor_msgs/msg/CameraInfo",
        "/odom": "nav_msgs/msg/Odometry",
        "/cmd_vel": kind,
    }
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        topics = {t: writer.add_connection(t, k, typestore=STORE) for t, k in kinds.items() if t not in made.without}
        events = [(time_s, topic) for topic, hz in _rates(made).items() for time_s in np.arange(0.0, SECONDS, 1.0 / hz)]
        for time_s, topic in sorted(events):
            lost = topic == "/camera/depth" and made.lost_s[0] < time_s < made.lost_s[1]
            if topic in topics and not lost:
                message = _message(topic, float(time_s), made)
                data = STORE.serialize_cdr(message, kinds[topic])
                writer.write(topics[topic], 1_000_000_000 + round(time_s * 1e9), data)
    return next(path.glob("*.mcap")) if mcap else path


def imported(source: Path, run: Path, **options: object) -> Path:
    """Import a foreign bag and return the folder of recordings."""
    named = {"depth_topic": "camera/depth", "info_topic": "camera/info", "embodiment": ROBOT}
    settings = {**named, "episode_s": 3.0, "val_fraction": 0.3, "sequence_steps": 20, **options}
    import_recordings.main(Config(source=(source,), run=run, **settings))  # type: ignore[arg-type]
    return run / "collect_teacher"


def pose_at(time_s: float) -> np.ndarray:
    """Return x, y, yaw (3,) on the arc."""
    yaw = TURN_RADPS * time_s
    radius = SPEED_MPS / TURN_RADPS
    return np.asarray([radius * np.sin(yaw), radius * (1.0 - np.cos(yaw)), yaw])


def _rates(made: Made) -> dict[str, float]:
    images = {"/camera/depth": made.image_hz, "/camera/info": made.image_hz}
    return images | {"/odom": made.odometry_hz, "/cmd_vel": made.command_hz}


def _message(topic: str, time_s: float, made: Made) -> Any:
    seconds, rest = divmod(round(time_s * 1e9), 10**9)
    stamp = _T["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)

    def header(frame: str) -> Any:
        return _T["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)

    if topic == "/camera/depth":
        return _image(header(made.frame), time_s, made)
    if topic == "/camera/info":
        return _info(header("camera"))
    if topic == "/odom":
        return _odometry(header("odom"), time_s, made)
    twist = _twist(0.45, 0.22 * made.yaw_scale)
    return _T["geometry_msgs/msg/TwistStamped"](header=header("base_link"), twist=twist) if made.stamped else twist


def _image(header: Any, time_s: float, made: Made) -> Any:
    depth_m = np.full((HEIGHT, WIDTH), WALL_M - SPEED_MPS * time_s)
    if made.encoding == "16UC1":
        values = np.rint(depth_m * 1000.0 * made.depth_scale).astype("<u2")
    else:
        values = (depth_m * made.depth_scale).astype("<f4")
    return _T["sensor_msgs/msg/Image"](
        header=header,
        height=HEIGHT,
        width=WIDTH,
        encoding=made.encoding,
        is_bigendian=0,
        step=WIDTH * values.itemsize,
        data=np.frombuffer(values.tobytes(), np.uint8),
    )


def _info(header: Any) -> Any:
    camera = registry.get(ROBOT).camera
    fx = 0.5 * WIDTH / np.tan(0.5 * camera.hfov_rad)
    fy = 0.5 * HEIGHT / np.tan(0.5 * camera.vfov_rad)
    k = np.asarray([fx, 0.0, WIDTH / 2 - 0.5, 0.0, fy, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0])
    region = _T["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return _T["sensor_msgs/msg/CameraInfo"](
        header=header,
        height=HEIGHT,
        width=WIDTH,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=k,
        r=np.eye(3).ravel(),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=region,
    )


def _odometry(header: Any, time_s: float, made: Made) -> Any:
    x, y, yaw = pose_at(time_s)
    point = _T["geometry_msgs/msg/Point"](x=x, y=y, z=0.0)
    turn = _T["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2))
    pose = _T["geometry_msgs/msg/Pose"](position=point, orientation=turn)
    twist = _twist(SPEED_MPS * made.speed_scale, TURN_RADPS * made.yaw_scale)
    return _T["nav_msgs/msg/Odometry"](
        header=header,
        child_frame_id="base_link",
        pose=_T["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.zeros(36)),
        twist=_T["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.zeros(36)),
    )


def _twist(forward: float, turn: float) -> Any:
    vector = _T["geometry_msgs/msg/Vector3"]
    return _T["geometry_msgs/msg/Twist"](linear=vector(x=forward, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=turn))
