"""A robot's model, measured in its standing posture: surface, wheels, camera, proposed footprint."""

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from embodiments.embodiment import Disc, Embodiment, RobotModel
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.evaluation.video.robot_meshes import model_parts
from pipeline.robot_models.model_file import model_path, read
from pipeline.simulation.physics import footprint_fit, robot_model

WHEEL_NEAR_GROUND_M = 0.03
"""A joint's link that ends this near the ground may be a wheel."""
_CAMERA_WORDS = (
    "depth_optical_frame",
    "depth_frame",
    "optical_frame",
    "camera_link",
    "camera",
    "depth",
    "d435",
    "xtion",
    "realsense",
)
"""Parts of a camera link's name, the best first."""


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A link that turns about a horizontal axis near the ground."""

    joint: str
    link: str
    x_m: float
    y_m: float
    radius_m: float
    width_m: float


@dataclass(frozen=True, kw_only=True)
class CameraPose:
    """Where a link of the model is, as a camera."""

    link: str
    x_m: float
    y_m: float
    z_m: float
    pitch_rad: float
    yaw_rad: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A model in its posture: base frame, ground at z = 0."""

    name: str
    robot: Embodiment | None
    """None for a model without a robot file"""
    file: Path
    urdf: ElementTree.Element
    poses: dict[str, np.ndarray]
    """Link -> (4, 4)"""
    links: dict[str, np.ndarray]
    """Link -> (P, 3) vertices of its meshes, links without meshes left out"""
    layers: tuple[np.ndarray, ...]
    """Per height layer (P, 2) points of the body's surface"""
    body: trimesh.Trimesh
    height_m: float
    """Of the root link above the ground"""


def measure(model: RobotModel, *, name: str, robot: Embodiment | None = None) -> Measured:
    """Measure a model.

    Args:
        model: Where it lies.
        name: What it is called.
        robot: The robot file's content; without it every joint stands at 0.

    Raises:
        FileNotFoundError: If the model is not there.
        ValueError: If it cannot be read, or has no mesh that can.
    """
    parts = model_parts(model)
    if not parts.links:
        raise ValueError(f"{model_path(model)} has no shape that can be read: it needs visual or collision geometry")
    angles = {} if robot is None else robot_model.neutral_angles_rad(robot)
    poses = robot_model.link_poses(parts.urdf, angles)
    placed = [trimesh.transform_points(v, poses[link]) for link, v in zip(parts.links, parts.vertices_l_m, strict=True)]
    height_m = _standing_height_m(robot, lowest_m=min(float(points[:, 2].min()) for points in placed))
    body = footprint_fit.body_mesh(parts.links, parts.vertices_l_m, parts.triangles, poses=poses, height_m=height_m)
    lift = trimesh.transformations.translation_matrix((0.0, 0.0, height_m))
    by_link: dict[str, list[np.ndarray]] = {}
    for link, points in zip(parts.links, placed, strict=True):
        by_link.setdefault(link, []).append(points + np.asarray([0.0, 0.0, height_m]))
    return Measured(
        name=name,
        robot=robot,
        file=model_path(model),
        urdf=read(model),
        poses={link: lift @ pose for link, pose in poses.items()},
        links={link: np.concatenate(points) for link, points in by_link.items()},
        layers=tuple(footprint_fit.layer_points(body, low_m, high_m) for low_m, high_m in HEIGHT_LAYERS_M),
        body=body,
        height_m=height_m,
    )


def wheels(model: Measured) -> tuple[Wheel, ...]:
    """Return the links that may be driven wheels: continuous joints about a lateral axis, near the ground."""
    found = []
    for joint in model.urdf.findall("joint"):
        link = _child(joint)
        if joint.get("type") != "continuous" or link not in model.links:
            continue
        axis = joint.find("axis")
        direction = [float(v) for v in ((axis.get("xyz") if axis is not None else None) or "1 0 0").split()]
        lateral = abs(float((model.poses[link][:3, :3] @ direction)[1]))
        low, high = model.links[link].min(axis=0), model.links[link].max(axis=0)
        if lateral > 0.9 and low[2] < WHEEL_NEAR_GROUND_M:
            x, y = (float(v) for v in model.poses[link][:2, 3])
            sizes = {"radius_m": float(high[2] - low[2]) / 2.0, "width_m": float(high[1] - low[1])}
            found.append(Wheel(joint=joint.get("name", ""), link=link, x_m=x, y_m=y, **sizes))
    return tuple(sorted(found, key=lambda wheel: -wheel.radius_m))


def wheel_pair(model: Measured) -> tuple[Wheel, Wheel] | None:
    """Return the largest wheels to the left and to the right, at the same x; None if there are none."""
    found = wheels(model)
    for left in (wheel for wheel in found if wheel.y_m > 0.0):
        for right in (wheel for wheel in found if wheel.y_m < 0.0):
            if abs(left.x_m - right.x_m) < 0.01 and abs(left.radius_m - right.radius_m) < 0.005:
                return left, right
    return None


def camera_link(model: Measured) -> str:
    """Return the link that is most likely the depth camera, "" if none's name says so."""
    for word in _CAMERA_WORDS:
        for link in model.poses:
            if word in link.lower():
                return link
    return ""


def camera_pose(model: Measured, link: str) -> CameraPose:
    """Return where a link is as a camera: its axis is z if ``optical`` is in its name, else x.

    Raises:
        ValueError: If there is no such link.
    """
    if link not in model.poses:
        raise ValueError(f"{model.file.name} has no link '{link}'; its links: {', '.join(model.poses)}.")
    pose = model.poses[link]
    axis = pose[:3, 2] if "optical" in link else pose[:3, 0]
    x, y, z = (float(value) for value in pose[:3, 3])
    pitch_rad = math.atan2(-axis[2], math.hypot(axis[0], axis[1]))
    return CameraPose(link=link, x_m=x, y_m=y, z_m=z, pitch_rad=pitch_rad, yaw_rad=math.atan2(axis[1], axis[0]))


def footprint(model: Measured, *, slack_m: float) -> tuple[tuple[Disc, ...], ...]:
    """Return discs per height layer that cover the body and reach at most ``slack_m`` beyond its convex hull."""
    layers = []
    for points in model.layers:
        try:
            layers.append(footprint_fit.fit_discs(points, slack_m=slack_m) if len(points) else ())
        except ValueError:  # a rod or a sheet without an area
            centre = points.mean(axis=0)
            radius_m = float(np.linalg.norm(points - centre, axis=1).max()) + slack_m / 2.0
            x, y = (round(float(value), 3) for value in centre)
            layers.append((Disc(x_m=x, y_m=y, radius_m=round(radius_m, 3)),))
    return tuple(layers)


def _standing_height_m(robot: Embodiment | None, *, lowest_m: float) -> float:
    """Return the height that the simulation sets; that of the lowest mesh if it cannot, which findings explain."""
    if robot is not None:
        try:
            return robot_model.standing_height_m(robot)
        except (OSError, ValueError):
            pass
    return -lowest_m


def _child(joint: ElementTree.Element) -> str:
    child = joint.find("child")
    return "" if child is None else child.get("link", "")
