"""A drive as an MCAP file of ROS 2 messages."""

from pathlib import Path

import numpy as np

from embodiments.embodiment import DepthCamera
from embodiments.spaces import CAMERA_FIELDS, CAMERA_SLICE, CONTROL_DT_S
from export.runtime.recording import messages
from export.runtime.recording.mcap_file import McapFile
from pipeline.data_formats.drive import Drive
from scenes.grid import Grid
from world_model import atomic_files

EPOCH_NS = 946_684_800 * 10**9
"""When a simulated drive begins: 2000-01-01, so that the same drive gives the same file."""
LABELS = (
    "previous_command",
    "embodiment",
    "first",
    "outcome",
    "teacher_action",
    "labelled",
    "plan_features",
)
"""Fields of a recording for which ROS has no message: one vector after the other in ``/labels``, with their names."""


def write(path: Path, drive: Drive, *, known_map: Grid | None = None) -> None:
    """Write a drive, whole or not at all.

    Args:
        drive: With poses.
        known_map: (H, W) bool, in the frame of the poses.

    Raises:
        ValueError: If the packages that write MCAP are not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files.replacing(path) as temporary:
        temporary.unlink(missing_ok=True)
        file = McapFile(temporary)
        try:
            file.note({"name": drive.name, "embodiment": drive.embodiment, "split": drive.split})
            if known_map is not None:
                file.write("/known_map", messages.occupancy_grid(EPOCH_NS, known_map), time_ns=EPOCH_NS)
            for row in range(len(drive)):
                _write_row(file, drive, row, time_ns=EPOCH_NS + round(row * CONTROL_DT_S * 1e9))
        finally:
            file.close()


def _write_row(file: McapFile, drive: Drive, row: int, *, time_ns: int) -> None:
    rows, pose = drive.rows, drive.pose[row].tolist()
    made = {
        "/depth/image": messages.depth_image(time_ns, rows["depth_mm"][row]),
        "/depth/camera_info": messages.camera_info(time_ns),
        "/odom": messages.odometry(time_ns, pose, rows["velocity_b"][row].tolist()),
        "/tf": messages.transforms(time_ns, pose, _camera(rows["embodiment"][row])),
        "/cmd_vel": messages.twist(time_ns, rows["command"][row].tolist()),
        "/route": messages.route(time_ns, rows["route_xy_b_m"][row]),
        "/goal_pose": messages.goal(time_ns, rows["goal_b"][row].tolist()),
        "/labels": messages.floats({name: rows[name][row] for name in LABELS if name in rows}),
    }
    if "semantic" in rows:
        made["/semantic"] = messages.class_image(time_ns, rows["semantic"][row])
    for topic, message in made.items():
        file.write(topic, message, time_ns=time_ns)


def _camera(descriptor: np.ndarray) -> DepthCamera:
    """Return the camera that a descriptor (E,) describes."""
    names = (name.removeprefix("camera_") for name in CAMERA_FIELDS)
    values = dict(zip(names, descriptor[CAMERA_SLICE].tolist(), strict=True))
    return DepthCamera(**values, source="descriptor")
