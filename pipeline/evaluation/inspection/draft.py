"""Text for a robot's file: the measured parts of one that exists, or a whole first file for a bare model."""

import math
from collections.abc import Sequence

from embodiments.embodiment import Disc
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.evaluation.inspection.measured import CameraPose, Measured, camera_link, camera_pose, wheel_pair

_FILE = '''"""{name}: say here in one line what it is."""

import math

from embodiments.embodiment import (
    ContactShape,
    DepthCamera,
    DifferentialDrive,
    Disc,
    Embodiment,
    Limits,
    RobotModel,
)

_WHEEL_RADIUS_M = {radius}
_TRACK_M = {track}

EMBODIMENT = Embodiment(
    name="{name}",
    family="wheeled",
    model=RobotModel(
        file="{file}",
        licence="",
        contact_shapes=(
            # Cylinders along z of the link's frame, turned so that they lie on their sides.
            ContactShape(link="{left.link}", kind="cylinder", size_m=(_WHEEL_RADIUS_M, {width}), rpy_rad={left_rpy}),
            ContactShape(link="{right.link}", kind="cylinder", size_m=(_WHEEL_RADIUS_M, {width}), rpy_rad={right_rpy}),
        ),
        ground_links=(),  # wheels and casters; empty: every link may touch the ground
    ),
    drive=DifferentialDrive(
        left_joint="{left.joint}",
        right_joint="{right.joint}",
        wheel_radius_m=_WHEEL_RADIUS_M,
        track_m=_TRACK_M,
    ),
    limits=Limits(  # cautious guesses: put in the maker's
        forward_mps=0.5,
        reverse_mps=0.2,
        lateral_mps=0.0,
        yaw_rate_radps=1.0,
        acceleration_mps2=0.5,
        yaw_acceleration_radps2=1.0,
        wheel_speed_mps={wheel_speed},
        half_track_m=_TRACK_M / 2.0,
        source="",
    ),
    {footprint}
    camera=DepthCamera(  # field of view and range are a RealSense D435's: put in your own
        {camera}
        hfov_rad=math.radians(87.0),
        vfov_rad=math.radians(58.0),
        min_range_m=0.28,
        max_range_m=10.0,
        source="",
    ),
    posture_rad={{}},
)
'''


def robot_file(model: Measured, discs: Sequence[tuple[Disc, ...]]) -> str:
    """Return a first robot file for a bare model, "" if it has no pair of wheels."""
    pair = wheel_pair(model)
    if pair is None:
        return ""
    left, right = pair
    link = camera_link(model)
    pose = camera_pose(model, link) if link else None
    half_track_m = (left.y_m - right.y_m) / 2.0
    return _FILE.format(
        name=model.name,
        file=model.file.name,
        left=left,
        right=right,
        radius=round(left.radius_m, 4),
        width=round(left.width_m, 3),
        track=round(2.0 * half_track_m, 4),
        wheel_speed=round(0.5 + half_track_m, 2),
        left_rpy=_lying(model, left.link),
        right_rpy=_lying(model, right.link),
        footprint=footprint_text(discs).replace("\n", "\n    "),
        camera=("\n        ").join(camera_lines(pose) if pose else _CAMERA_ABOVE),
    )


_CAMERA_ABOVE = ("x_m=0.0,  # the model names no camera: put in where yours is", "z_m=1.0,", "pitch_rad=0.3,")


def footprint_text(discs: Sequence[tuple[Disc, ...]]) -> str:
    """Return the field ``footprint`` of a robot's file."""
    lines = ["footprint=("]
    for (low_m, high_m), layer in zip(HEIGHT_LAYERS_M, discs, strict=True):
        if not layer:
            lines.append(f"    (),  # {low_m} to {high_m} m")
            continue
        lines.append(f"    (  # {low_m} to {high_m} m")
        lines += [f"        Disc(x_m={d.x_m}, y_m={d.y_m}, radius_m={d.radius_m})," for d in layer]
        lines.append("    ),")
    return "\n".join([*lines, "),"])


def camera_lines(pose: CameraPose) -> tuple[str, ...]:
    """Return the fields of ``DepthCamera`` that the model says."""
    aside = f"  # of {pose.link}; {pose.y_m:+.3f} m to the left, turned {math.degrees(pose.yaw_rad):+.1f} degrees"
    pitch = f"pitch_rad=math.radians({math.degrees(pose.pitch_rad):.1f}),"
    return f"x_m={pose.x_m:.3f},{aside}", f"z_m={pose.z_m:.3f},", pitch


def _lying(model: Measured, link: str) -> tuple[float, float, float]:
    """Return the angles in a link's frame that turn a shape's z axis to the robot's left [rad]."""
    x, y, z = model.poses[link][:3, :3].T @ (0.0, 1.0, 0.0)
    # Roll, then pitch: z is turned by the roll to (0, -sin, cos), and from there by the pitch.
    roll = math.asin(max(-1.0, min(1.0, -y)))
    pitch = math.atan2(x, z) if math.hypot(x, z) > 1e-6 else 0.0
    return round(roll, 4) + 0.0, round(pitch, 4) + 0.0, 0.0
