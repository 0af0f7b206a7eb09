"""An MCAP file or a rosbag2 folder as drives at 10 Hz: depth, odometry and commands, put side by side in time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from distill.recordings import FIELDS, depth_to_mm
from embodiments import registry
from embodiments.embodiment import Embodiment
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX
from export.runtime.robots.depth_image import Pinhole, canonical_depth
from export.runtime.robots.ros.geometry import pose_from, velocity_from
from export.runtime.robots.ros.images import metres, pinhole
from pipeline.data_formats import checks
from pipeline.data_formats.bag_clock import COMMAND_AFTER_S, Ticks, commands_at, segments
from pipeline.data_formats.drive import Drive
from pipeline.data_formats.import_options import SourceOptions

MISSING = "bags need a package: pip install rosbags==0.11.9"
_KINDS = {
    "depth": ("sensor_msgs/msg/Image",),
    "info": ("sensor_msgs/msg/CameraInfo",),
    "odometry": ("nav_msgs/msg/Odometry",),
    "command": ("geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"),
}
_OWN = {"route": "/route", "goal": "/goal_pose", "labels": "/labels", "semantic": "/semantic"}
"""What ``export_mcap`` writes besides; used where it is there for every image."""
_REPORT_EVERY = 1000
_UNITS_M = {"auto": None, "mm": 1e-3, "m": 1.0}


class Timed(NamedTuple):
    """Messages of one topic, turned into values."""

    time_s: list[float]
    values: list[Any]


@dataclass(kw_only=True)
class Bag:
    """What was read of a bag, each topic in order of time."""

    topics: dict[str, Timed] = field(default_factory=dict)
    robot: Embodiment
    split: str = "train"

    def add(self, name: str, time_s: float, value: Any) -> None:
        """Append a value."""
        there = self.topics.setdefault(name, Timed([], []))
        there.time_s.append(time_s)
        there.values.append(value)


def read(path: Path, options: SourceOptions, *, report: Callable[[int], None] = lambda _: None) -> list[Drive]:
    """Return the drives of a bag: one, or several where ``split_at_gaps`` allows gaps.

    Args:
        report: Called now and then with the number of messages that were read.

    Raises:
        ValueError: If it is damaged, or its topics, rates, frames or units are not what is needed; one line.
    """
    bag = _load(path, options, report)
    depth, odometry = bag.topics["depth"], bag.topics["odometry"]
    drives = []
    found = segments(depth.time_s, odometry.time_s, split_at_gaps=options.split_at_gaps, where=str(path))
    for number, ticks in enumerate(found):
        name = path.stem if len(found) == 1 else f"{path.stem}_{number}"
        drives.append(_drive(bag, ticks, options, name=name, where=str(path)))
    return drives


def _drive(bag: Bag, ticks: Ticks, options: SourceOptions, *, name: str, where: str) -> Drive:
    states = [bag.topics["odometry"].values[index] for index in ticks.odometry]
    pose, measured = (np.asarray([state[part] for state in states]) for part in (0, 1))
    sent = bag.topics["command"]
    command = commands_at(ticks.time_s, sent.time_s, np.asarray(sent.values), after_s=COMMAND_AFTER_S)
    velocity_b, command = (checks.in_radians(one, unit=options.yaw_unit) for one in (measured, command))
    checks.check_odometry(pose, velocity_b, ticks.time_s, where=where)
    checks.check_velocity(velocity_b, bag.robot, what="measured", where=where)
    checks.check_velocity(command, bag.robot, what="commanded", where=where)
    rows = {
        "depth_mm": np.stack([bag.topics["depth"].values[index] for index in ticks.depth]),
        "velocity_b": velocity_b.astype(np.float32),
        "command": command.astype(np.float32),
        **_own_rows(bag, [bag.topics["depth"].time_s[index] for index in ticks.depth]),
    }
    return Drive(name=name, embodiment=bag.robot.name, rows=rows, pose=pose, split=bag.split)  # type: ignore[arg-type]


def _own_rows(bag: Bag, time_s: list[float]) -> dict[str, np.ndarray]:
    """Return what topics of ``export_mcap`` say at the images' times; nothing of a topic that lacks one of them."""
    rows: dict[str, np.ndarray] = {}
    for name in _OWN:
        there = bag.topics.get(name, Timed([], []))
        at = dict(zip(there.time_s, there.values, strict=True))
        values = [at[time] for time in time_s if time in at]
        if len(values) < len(time_s):
            continue
        for key in values[0]:
            dtype, shape = FIELDS["teacher"][key]
            rows[key] = np.stack([value[key] for value in values]).astype(dtype).reshape(len(values), *shape)  # type: ignore[arg-type]
    return rows


def _load(path: Path, options: SourceOptions, report: Callable[[int], None]) -> Bag:
    reader_class, store = _rosbags()
    try:
        with reader_class([path], default_typestore=store) as reader:
            topics = _choose(reader.connections, options, path)
            names = {connection.id: name for name, connection in topics.items()}
            bag = Bag(robot=_robot(path, options), split="val" if path.name.startswith("val_") else "train")
            decoder = _Decoder(bag, options, path)
            for count, (connection, time_ns, data) in enumerate(reader.messages(connections=list(topics.values()))):
                if count % _REPORT_EVERY == 0:
                    report(count)
                message = reader.deserialize(data, connection.msgtype)
                decoder.take(names[connection.id], time_ns * 1e-9, message)
    except (ValueError, FileNotFoundError):
        raise
    except Exception as error:  # rosbags' own and what its parts raise, of no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        mend = f"mend it: mcap recover {path.name} -o MENDED.mcap" if path.suffix == ".mcap" else "record it again"
        raise ValueError(f"{path} is truncated or damaged ({reason}); {mend}") from None
    for name in ("depth", "odometry", "command"):
        if not bag.topics.get(name, Timed([], [])).time_s:
            raise ValueError(f"{path} holds no message on '{topics[name].topic}'; record that topic, too")
    return bag


class _Decoder:
    """Turns messages into values of a bag."""

    def __init__(self, bag: Bag, options: SourceOptions, path: Path) -> None:
        self._bag, self._options, self._path = bag, options, path
        self._info: Any = None
        self._waiting: list[tuple[float, Any]] = []

    def take(self, name: str, time_s: float, message: Any) -> None:
        """Take one message of the topic that serves as ``name``."""
        try:
            self._take(name, time_s, message)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from None

    def _take(self, name: str, time_s: float, message: Any) -> None:
        if name == "info":
            self._info = message
            for waiting_s, image in self._waiting:
                self._bag.add("depth", waiting_s, self._depth_mm(image))
            self._waiting = []
        elif name == "depth" and self._info is None:
            self._waiting.append((time_s, message))
        elif name == "depth":
            self._bag.add(name, time_s, self._depth_mm(message))
        elif name == "odometry":
            pose = pose_from(message.pose.pose.position, message.pose.pose.orientation)
            self._bag.add(name, time_s, (pose, velocity_from(message.twist.twist)))
        elif name == "command":
            self._bag.add(name, time_s, velocity_from(getattr(message, "twist", message)))
        else:
            value = _own_value(name, message)
            if value is not None:
                self._bag.add(name, time_s, value)

    def _depth_mm(self, image: Any) -> np.ndarray:
        lens, depth_m = pinhole(self._info, image), metres(image, unit_m=_UNITS_M[self._options.depth_unit])
        canonical = Pinhole(DEPTH_FOCAL_PX, DEPTH_FOCAL_PX, DEPTH_WIDTH_PX / 2.0 - 0.5, DEPTH_HEIGHT_PX / 2.0 - 0.5)
        if depth_m.shape != (DEPTH_HEIGHT_PX, DEPTH_WIDTH_PX) or not np.allclose(lens, canonical):
            depth_m = canonical_depth(depth_m, lens, camera=self._bag.robot.camera)
        return depth_to_mm(depth_m)


def _own_value(name: str, message: Any) -> Mapping[str, np.ndarray] | None:
    """Return fields of a recording that a message of ``export_mcap`` holds; None if it is another one of that name."""
    if name == "labels":
        ends = np.cumsum([part.size for part in message.layout.dim])
        parts = np.split(message.data, ends[:-1])
        return {part.label: values for part, values in zip(message.layout.dim, parts, strict=True)}
    if name == "semantic":
        return {"semantic": message.data.reshape(message.height, message.width)}
    if message.header.frame_id != "base_link":
        return None
    if name == "route":
        places = [(at.pose.position.x, at.pose.position.y) for at in message.poses]
        return {"route_xy_b_m": np.asarray(places)} if len(places) == FIELDS["teacher"]["route_xy_b_m"][1][0] else None
    x, y, yaw = pose_from(message.pose.position, message.pose.orientation)
    return {"goal_b": np.asarray([x, y, np.cos(yaw), np.sin(yaw)])}


def _choose(connections: list[Any], options: SourceOptions, path: Path) -> dict[str, Any]:
    """Return what each topic serves as -> its connection."""
    asked = {
        "depth": options.depth_topic,
        "info": options.info_topic,
        "odometry": options.odometry_topic,
        "command": options.command_topic,
    }
    by_topic = {connection.topic.strip("/"): connection for connection in connections}
    chosen = {}
    for name, topic in asked.items():
        found = by_topic.get(topic.strip("/"))
        if found is None or found.msgtype not in _KINDS[name]:
            alike = sorted(c.topic for c in connections if c.msgtype in _KINDS[name])
            kind = " or ".join(_KINDS[name])
            there = f"it has {', '.join(alike)}" if alike else "and no other topic of that type"
            raise ValueError(f"{path} has no topic '{topic}' of {kind}, {there}; give --{name}-topic NAME")
        chosen[name] = found
    own = {name: by_topic[topic.strip("/")] for name, topic in _OWN.items() if topic.strip("/") in by_topic}
    return chosen | own


def _robot(path: Path, options: SourceOptions) -> Embodiment:
    name = options.embodiment or _noted_robot(path)
    if not name:
        raise ValueError(
            f"{path} does not say which robot drove; give --embodiments, one of {', '.join(registry.names())}"
        )
    return registry.get(name)


def _noted_robot(path: Path) -> str:
    """Return the robot that the metadata of a file of ours names, or nothing."""
    if path.suffix != ".mcap":
        return ""
    try:
        from mcap.reader import make_reader
    except ImportError:
        return ""
    with path.open("rb") as stream:
        for record in make_reader(stream).iter_metadata():
            if record.name == "crossbody":
                return str(record.metadata.get("embodiment", "")).strip('"')
    return ""


def _rosbags() -> tuple[Any, Any]:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError:
        raise ValueError(MISSING) from None
    return AnyReader, get_typestore(Stores.ROS2_JAZZY)
