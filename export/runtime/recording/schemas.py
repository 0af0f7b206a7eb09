"""Definitions of the ROS 2 messages that a recording holds, as an MCAP file carries them.

Fields and types are those of ROS 2's common interfaces; a test compares them with another package's.
"""

from collections.abc import Mapping

IMAGE = "sensor_msgs/msg/Image"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
ODOMETRY = "nav_msgs/msg/Odometry"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
PATH = "nav_msgs/msg/Path"
OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"
FLOATS = "std_msgs/msg/Float32MultiArray"
STRING = "std_msgs/msg/String"

_XYZ = ("float64 x", "float64 y", "float64 z")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "builtin_interfaces/Time": ("int32 sec", "uint32 nanosec"),
    "std_msgs/Header": ("builtin_interfaces/Time stamp", "string frame_id"),
    "std_msgs/String": ("string data",),
    "std_msgs/MultiArrayDimension": ("string label", "uint32 size", "uint32 stride"),
    "std_msgs/MultiArrayLayout": ("std_msgs/MultiArrayDimension[] dim", "uint32 data_offset"),
    "std_msgs/Float32MultiArray": ("std_msgs/MultiArrayLayout layout", "float32[] data"),
    "geometry_msgs/Vector3": _XYZ,
    "geometry_msgs/Point": _XYZ,
    "geometry_msgs/Quaternion": ("float64 x 0", "float64 y 0", "float64 z 0", "float64 w 1"),
    "geometry_msgs/Pose": ("geometry_msgs/Point position", "geometry_msgs/Quaternion orientation"),
    "geometry_msgs/PoseStamped": ("std_msgs/Header header", "geometry_msgs/Pose pose"),
    "geometry_msgs/PoseWithCovariance": ("geometry_msgs/Pose pose", "float64[36] covariance"),
    "geometry_msgs/Twist": ("geometry_msgs/Vector3 linear", "geometry_msgs/Vector3 angular"),
    "geometry_msgs/TwistStamped": ("std_msgs/Header header", "geometry_msgs/Twist twist"),
    "geometry_msgs/TwistWithCovariance": ("geometry_msgs/Twist twist", "float64[36] covariance"),
    "geometry_msgs/Transform": ("geometry_msgs/Vector3 translation", "geometry_msgs/Quaternion rotation"),
    "geometry_msgs/TransformStamped": (
        "std_msgs/Header header",
        "string child_frame_id",
        "geometry_msgs/Transform transform",
    ),
    "nav_msgs/Odometry": (
        "std_msgs/Header header",
        "string child_frame_id",
        "geometry_msgs/PoseWithCovariance pose",
        "geometry_msgs/TwistWithCovariance twist",
    ),
    "nav_msgs/Path": ("std_msgs/Header header", "geometry_msgs/PoseStamped[] poses"),
    "nav_msgs/MapMetaData": (
        "builtin_interfaces/Time map_load_time",
        "float32 resolution",
        "uint32 width",
        "uint32 height",
        "geometry_msgs/Pose origin",
    ),
    "nav_msgs/OccupancyGrid": ("std_msgs/Header header", "nav_msgs/MapMetaData info", "int8[] data"),
    "sensor_msgs/RegionOfInterest": (
        "uint32 x_offset",
        "uint32 y_offset",
        "uint32 height",
        "uint32 width",
        "bool do_rectify",
    ),
    "sensor_msgs/CameraInfo": (
        "std_msgs/Header header",
        "uint32 height",
        "uint32 width",
        "string distortion_model",
        "float64[] d",
        "float64[9] k",
        "float64[9] r",
        "float64[12] p",
        "uint32 binning_x",
        "uint32 binning_y",
        "sensor_msgs/RegionOfInterest roi",
    ),
    "sensor_msgs/Image": (
        "std_msgs/Header header",
        "uint32 height",
        "uint32 width",
        "string encoding",
        "uint8 is_bigendian",
        "uint32 step",
        "uint8[] data",
    ),
    "tf2_msgs/TFMessage": ("geometry_msgs/TransformStamped[] transforms",),
}
"""Type without ``msg`` -> its fields."""
_RULE = "=" * 80


def definition(name: str) -> str:
    """Return the text of a message type and of every type in it, as schemas of encoding ``ros2msg`` are written.

    Args:
        name: Such as ``sensor_msgs/msg/Image``.

    Raises:
        KeyError: If this module does not know the type.
    """
    short = name.replace("/msg/", "/")
    parts = ["\n".join(_FIELDS[short])]
    parts += [f"{_RULE}\nMSG: {other}\n" + "\n".join(_FIELDS[other]) for other in _inside(short)]
    return "\n".join(parts) + "\n"


def _inside(short: str) -> list[str]:
    """Return the types that a type holds, however deep, each once."""
    found: list[str] = []
    waiting = [short]
    while waiting:
        for field in _FIELDS[waiting.pop()]:
            kind = field.split()[0].partition("[")[0]
            if kind in _FIELDS and kind not in found:
                found.append(kind)
                waiting.append(kind)
    return found
