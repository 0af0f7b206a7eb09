"""What a robot's file lacks or has wrong beside its model, each in one line with the mend."""

import difflib
import math
from collections.abc import Iterable

import numpy as np

from embodiments.embodiment import AckermannDrive, DifferentialDrive, Embodiment, GaitDrive, WheeledDrive
from embodiments.registry import GAITS_FOLDER
from embodiments.spaces import DEPTH_RANGE_M, HEIGHT_LAYERS_M, LATERAL_LIMIT_MPS, REVERSE_LIMIT_MPS
from pipeline.evaluation.inspection.measured import Measured, camera_link, camera_pose
from pipeline.evaluation.inspection.model_findings import Finding, missing, note, wrong
from pipeline.simulation.physics.robot_model import driven_joints, standing_height_m

OUTSIDE_M, SLACK_M = 0.01, 0.05
"""How far a body may reach beyond its footprint, and the discs of a wheeled one beyond its body."""
CAMERA_M, CAMERA_RAD = 0.02, math.radians(2.0)
WHEEL_M, AIR_M = 0.002, 0.001
"""How far wheels may differ from their drive, and how high above the ground they may hang."""


def of_robot(model: Measured, robot: Embodiment) -> list[Finding]:
    """Return the findings of a robot's file."""
    names = _names(model, robot)
    found = [*names, *_limits(robot), *_footprint(model, robot), *_camera(model, robot)]
    if not robot.limits.source:
        found.append(note("limits.source is empty: say where the velocities come from"))
    if isinstance(robot.drive, GaitDrive):
        return found + _gait(robot.drive)
    return found if names else found + _wheels(model, robot, robot.drive)


def _names(model: Measured, robot: Embodiment) -> list[Finding]:
    """Return the joints and links that the file names and the model does not have."""
    joints = [joint.get("name", "") for joint in model.urdf.findall("joint")]
    shapes = [shape.link for shape in robot.model.contact_shapes]
    return [
        *_unknown("joint", [*driven_joints(robot), *robot.posture_rad, *robot.model.joint_ranges_rad], joints),
        *_unknown("link", [*shapes, *robot.model.ground_links, *robot.model.keep_links], list(model.poses)),
    ]


def _unknown(kind: str, wanted: Iterable[str], known: list[str]) -> list[Finding]:
    found = []
    for name in dict.fromkeys(wanted):
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"it has {', '.join(known) or 'none'}."
            found.append(wrong(f"{kind} '{name}' is not in the model; {hint}"))
    return found


def _limits(robot: Embodiment) -> list[Finding]:
    limits, found = robot.limits, []
    if not 0.0 <= limits.reverse_mps <= REVERSE_LIMIT_MPS:
        found.append(wrong(f"reverse_mps is {limits.reverse_mps:g}: 0 to {REVERSE_LIMIT_MPS:g}, nobody sees behind"))
    if not 0.0 <= limits.lateral_mps <= LATERAL_LIMIT_MPS:
        found.append(wrong(f"lateral_mps is {limits.lateral_mps:g}: 0 to {LATERAL_LIMIT_MPS:g}, nobody sees aside"))
    for name in ("forward_mps", "yaw_rate_radps", "acceleration_mps2", "yaw_acceleration_radps2"):
        if not getattr(limits, name) > 0.0:
            found.append(wrong(f"{name} is {getattr(limits, name):g}: it must be positive"))
    if limits.wheel_speed_mps < limits.forward_mps:
        found.append(
            wrong(f"wheel_speed_mps {limits.wheel_speed_mps:g} is below forward_mps; raise it to that at least")
        )
    return found


def _footprint(model: Measured, robot: Embodiment) -> list[Finding]:
    """Return where the body is outside of its discs, and where the discs are too wide."""
    if len(robot.footprint) != len(HEIGHT_LAYERS_M):
        return [wrong(f"footprint has {len(robot.footprint)} layers, expected {len(HEIGHT_LAYERS_M)}; () where empty")]
    found, bare = [], []
    for layer, points in enumerate(model.layers):
        low_m, high_m = HEIGHT_LAYERS_M[layer]
        discs = robot.footprint[layer]
        if len(points) and not discs:
            bare.append(f"{low_m}–{high_m} m")
        if not discs or not len(points):
            continue
        table = np.asarray([(d.x_m, d.y_m, d.radius_m) for d in discs])
        outside = (np.linalg.norm(points[:, None] - table[:, :2], axis=-1) - table[:, 2]).min(axis=1)
        worst = int(outside.argmax())
        where = f"the footprint at {low_m}–{high_m} m"
        if outside[worst] > OUTSIDE_M:
            x, y = points[worst]
            text = f"{where} leaves out {1e3 * outside[worst]:.0f} mm of the body at ({x:.2f}, {y:.2f})"
            found.append(wrong(f"{text}; enlarge a disc, or paste the proposal"))
        slack_m = _slack_m(points, table)
        if slack_m > SLACK_M and robot.family == "wheeled":
            found.append(note(f"{where} reaches {1e3 * slack_m:.0f} mm beyond the body: narrow doors close for it"))
    if bare:
        found.append(wrong(f"the footprint is empty at {', '.join(bare)}, where the body is; paste the proposal"))
    return found


def _slack_m(points: np.ndarray, table: np.ndarray) -> float:
    """Return how far discs (D, 3) reach beyond the convex hull of points (P, 2)."""
    angles = np.linspace(0.0, 2.0 * np.pi, 180, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])  # (2, 180)
    reach = (table[:, :2] @ directions + table[:, 2:]).max(axis=0)
    return float((reach - (points @ directions).max(axis=0)).max())


def _camera(model: Measured, robot: Embodiment) -> list[Finding]:
    camera, found = robot.camera, []
    if not 0.1 < camera.z_m < 2.0:
        found.append(wrong(f"camera.z_m is {camera.z_m:g}: the height above the ground in metres, 0.1 to 2"))
    if not 0.0 <= camera.min_range_m < camera.max_range_m <= DEPTH_RANGE_M:
        found.append(wrong(f"camera ranges must be 0 <= min < max <= {DEPTH_RANGE_M:g} m"))
    if not all(0.3 < angle < math.pi for angle in (camera.hfov_rad, camera.vfov_rad)):
        found.append(wrong("camera.hfov_rad and vfov_rad are in radians: use math.radians(...) of the data sheet's"))
    link = camera_link(model)
    if not link:
        return found
    pose = camera_pose(model, link)
    off_m = math.hypot(pose.x_m - camera.x_m, pose.z_m - camera.z_m)
    if off_m > CAMERA_M or abs(pose.pitch_rad - camera.pitch_rad) > CAMERA_RAD:
        is_at = f"x {pose.x_m:.3f} m, z {pose.z_m:.3f} m, {math.degrees(pose.pitch_rad):.1f} degrees down"
        found.append(note(f"the camera is not where link '{link}' is ({is_at}); take that if it is the depth camera"))
    return found


def _wheels(model: Measured, robot: Embodiment, drive: WheeledDrive) -> list[Finding]:
    """Return how the wheels differ from what the drive says; their links exist."""
    found = []
    half_tracks_m = _half_tracks_m(drive)
    joints = {joint.get("name", ""): joint for joint in model.urdf.findall("joint")}
    shapes = {shape.link: shape for shape in robot.model.contact_shapes}
    for name, half_track_m in half_tracks_m.items():
        joint = joints[name]
        if joint.get("type") != "continuous":
            found.append(wrong(f"joint '{name}' is {joint.get('type')}: a driven wheel's joint must be continuous"))
        link = joint.find("child").get("link", "")  # type: ignore[union-attr]
        y_m = float(model.poses[link][1, 3])
        if link not in shapes and half_track_m is not None and abs(y_m - half_track_m) > WHEEL_M:
            text = f"wheel '{name}' is at y {y_m:+.3f} m, the drive's track says {half_track_m:+.3f}"
            found.append(wrong(f"{text}; mend track_m, or left and right are exchanged"))
        if link in model.links and link not in shapes:
            low, high = model.links[link][:, 2].min(), model.links[link][:, 2].max()
            if abs((high - low) / 2.0 - drive.wheel_radius_m) > WHEEL_M:
                found.append(wrong(f"wheel '{name}' has a radius of {(high - low) / 2.0:.3f} m in the model; mend it"))
    if isinstance(drive, AckermannDrive):
        found += _car(model, drive)
    if isinstance(drive, DifferentialDrive) and abs(robot.limits.half_track_m - drive.track_m / 2.0) > 1e-4:
        found.append(wrong("limits.half_track_m must be half of the drive's track_m"))
    return found + _air(model, robot, drive)


def _half_tracks_m(drive: WheeledDrive) -> dict[str, float | None]:
    """Return the wheels' joints and where the drive says that each stands to the left [m]; None: as in the model."""
    if isinstance(drive, DifferentialDrive):
        return {drive.left_joint: drive.track_m / 2.0, drive.right_joint: -drive.track_m / 2.0}
    if isinstance(drive, AckermannDrive):
        pairs = (drive.rolling_joints, drive.driven_joints)
        return {
            name: side * drive.track_m / 2.0 for pair in pairs for name, side in zip(pair, (1.0, -1.0), strict=True)
        }
    return dict.fromkeys(drive.joints)


def _car(model: Measured, drive: AckermannDrive) -> list[Finding]:
    """Return whether axles and steering are where a car's drive needs them."""
    joints = {joint.get("name", ""): joint for joint in model.urdf.findall("joint")}
    found = []
    for names, x_m in ((drive.driven_joints, 0.0), (drive.rolling_joints, drive.wheel_base_m)):
        for name in names:
            at_m = float(model.poses[joints[name].find("child").get("link", "")][0, 3])  # type: ignore[union-attr]
            if abs(at_m - x_m) > WHEEL_M:
                text = f"wheel '{name}' is at x {at_m:+.3f} m, a car's drive needs it at {x_m:+.3f}"
                found.append(wrong(f"{text}; the base link belongs between the rear wheels, mend that or wheel_base_m"))
    for name in drive.steering_joints:
        if joints[name].get("type") not in ("revolute", "continuous"):
            found.append(wrong(f"joint '{name}' is {joints[name].get('type')}: a steering joint must be revolute"))
    return found


def _air(model: Measured, robot: Embodiment, drive: WheeledDrive) -> list[Finding]:
    """Return whether the wheels carry the robot."""
    try:
        height_m = standing_height_m(robot)
    except (OSError, ValueError):  # other findings say why
        return []
    joints = {joint.get("name", ""): joint for joint in model.urdf.findall("joint")}
    found = []
    for name in _half_tracks_m(drive):
        link = joints[name].find("child").get("link", "")  # type: ignore[union-attr]
        shape = next((shape for shape in robot.model.contact_shapes if shape.link == link), None)
        axle_m = float(model.poses[link][2, 3]) - model.height_m + height_m
        air_m = axle_m - drive.wheel_radius_m
        if shape is None or shape.xyz_m == (0.0, 0.0, 0.0):
            if air_m > AIR_M:
                text = f"wheel '{name}' hangs {1e3 * air_m:.1f} mm above the ground, on which something else stands"
                found.append(wrong(f"{text}; make casters smaller, or name ground_links"))
            elif air_m < -WHEEL_M:
                text = (
                    f"wheel '{name}' of radius {drive.wheel_radius_m:g} m would be {-1e3 * air_m:.1f} mm in the ground"
                )
                found.append(wrong(f"{text}; its shape is smaller than wheel_radius_m"))
    return found


def _gait(drive: GaitDrive) -> list[Finding]:
    if (GAITS_FOLDER / drive.weights).is_file():
        return []
    return [missing(f"gait weights {drive.weights}: train them with python -m pipeline train_gait")]
