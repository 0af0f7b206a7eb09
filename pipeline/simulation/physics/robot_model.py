"""The robot's URDF prepared for the simulator: locked joints, contact shapes, absolute mesh paths."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from embodiments.embodiment import AckermannDrive, ContactShape, DifferentialDrive, Embodiment, GaitDrive
from pipeline.robot_models.model_file import mesh_path, missing_meshes, model_path, read

_KIND_SIZES = {"sphere": ("radius",), "cylinder": ("radius", "length"), "box": ("size",)}


@dataclass(frozen=True, kw_only=True)
class NeutralMesh:
    """The robot in its standing or stowed posture: base frame with yaw 0, ground at z = 0."""

    vertices_b: np.ndarray
    """(V, 3) float64."""
    triangles: np.ndarray
    """(F, 3) int64."""
    links: tuple[str, ...]
    """Names of the links in ``triangle_link``."""
    triangle_link: np.ndarray
    """(F,) int64, index into ``links``."""


def driven_joints(embodiment: Embodiment) -> tuple[str, ...]:
    """Return the joints that the drive moves, in drive order; every other joint is locked."""
    drive = embodiment.drive
    if isinstance(drive, DifferentialDrive):
        return drive.left_joint, drive.right_joint
    if isinstance(drive, AckermannDrive):
        return drive.steering_joints + drive.rolling_joints + drive.driven_joints
    return drive.joints


def neutral_angles_rad(embodiment: Embodiment) -> dict[str, float]:
    """Return joint name -> angle (or metres) of the standing or stowed posture, driven joints included."""
    drive = embodiment.drive
    if not isinstance(drive, GaitDrive):
        return dict(embodiment.posture_rad)
    return dict(embodiment.posture_rad) | dict(zip(drive.joints, drive.default_rad, strict=True))


def build_urdf(embodiment: Embodiment, *, all_links_collide: bool) -> ElementTree.Element:
    """Return the URDF tree that the simulator loads.

    Locked joints become fixed at their posture, so that the solver merges their links. Missing joint limits are added,
    visuals are removed, contact shapes replace meshes, and mesh paths become absolute.

    Args:
        all_links_collide: Use the collision geometry of every link, not only of those that may touch the ground.

    Raises:
        ValueError: If the robot file names a joint or link that the model does not have.
        FileNotFoundError: If the model or a mesh of a link that collides is not there.
    """
    path = model_path(embodiment.model)
    root = read(embodiment.model)
    _check_names(embodiment, root, path)
    for joint in root.findall("joint"):
        if joint.get("name") not in driven_joints(embodiment):
            _lock(joint, embodiment.posture_rad.get(joint.get("name", ""), 0.0))
        elif joint.get("name") in embodiment.model.joint_ranges_rad:
            _limit(joint, *embodiment.model.joint_ranges_rad[joint.get("name", "")])
    replaced = {shape.link for shape in embodiment.model.contact_shapes}
    ground = set(embodiment.model.ground_links)
    for link in root.findall("link"):
        name = link.get("name", "")
        keep = all_links_collide or not ground or name in ground
        for child in link.findall("visual") + link.findall("collision"):
            if child.tag == "visual" or not keep or name in replaced:
                link.remove(child)
        if keep:
            link.extend(_collision(shape) for shape in embodiment.model.contact_shapes if shape.link == name)
    for tag in root.findall("gazebo") + root.findall("transmission"):
        root.remove(tag)
    if missing := missing_meshes(root, path):
        raise FileNotFoundError(missing[0])
    for mesh in root.iter("mesh"):
        mesh.set("filename", str(mesh_path(mesh.get("filename", ""), path)))
    return root


def neutral_mesh(embodiment: Embodiment) -> NeutralMesh:
    """Return the collision geometry of the whole robot in its standing or stowed posture, resting on the ground."""
    root = build_urdf(embodiment, all_links_collide=True)
    poses = link_poses(root, neutral_angles_rad(embodiment))
    vertices, triangles, owner, count = [], [], [], 0
    names: list[str] = []
    for link in root.findall("link"):
        for collision in link.findall("collision"):
            mesh = _load_geometry(collision)
            points = trimesh.transform_points(mesh.vertices, poses[link.get("name", "")] @ origin_pose(collision))
            vertices.append(points)
            triangles.append(np.asarray(mesh.faces) + count)
            owner.append(np.full(len(mesh.faces), len(names)))
            count += len(points)
        names.append(link.get("name", ""))
    stacked = np.concatenate(vertices)
    stacked[:, 2] -= stacked[:, 2].min()
    return NeutralMesh(
        vertices_b=stacked,
        triangles=np.concatenate(triangles),
        links=tuple(names),
        triangle_link=np.concatenate(owner),
    )


def standing_height_m(embodiment: Embodiment) -> float:
    """Return the height of the root link's origin above the ground when the neutral posture rests on it."""
    root = build_urdf(embodiment, all_links_collide=False)
    poses = link_poses(root, neutral_angles_rad(embodiment))
    lowest = np.inf
    for link in root.findall("link"):
        for collision in link.findall("collision"):
            pose = poses[link.get("name", "")] @ origin_pose(collision)
            lowest = min(lowest, trimesh.transform_points(_load_geometry(collision).vertices, pose)[:, 2].min())
    return float(-lowest)


def _check_names(embodiment: Embodiment, root: ElementTree.Element, path: Path) -> None:
    joints = {joint.get("name") for joint in root.findall("joint")}
    links = {link.get("name") for link in root.findall("link")}
    wanted_links = set(embodiment.model.keep_links) | set(embodiment.model.ground_links)
    wanted_links |= {shape.link for shape in embodiment.model.contact_shapes}
    wanted_joints = {*driven_joints(embodiment), *embodiment.posture_rad, *embodiment.model.joint_ranges_rad}
    missing = sorted(wanted_joints - joints)
    missing += sorted(wanted_links - links)
    if missing:
        raise ValueError(f"robot '{embodiment.name}' names {', '.join(missing)}, which {path.name} does not have")


def _lock(joint: ElementTree.Element, value: float) -> None:
    """Turn a joint into a fixed one at ``value`` (rad or m)."""
    if joint.get("type") != "fixed":
        pose = origin_pose(joint) @ _motion(joint, value)
        for tag in ("origin", "mimic", "limit", "dynamics", "safety_controller", "calibration"):
            for child in joint.findall(tag):
                joint.remove(child)
        rpy = trimesh.transformations.euler_from_matrix(pose, "sxyz")
        attributes = {"xyz": " ".join(map(repr, map(float, pose[:3, 3]))), "rpy": " ".join(map(repr, map(float, rpy)))}
        joint.append(ElementTree.Element("origin", attributes))
        joint.set("type", "fixed")


def _limit(joint: ElementTree.Element, lower_rad: float, upper_rad: float) -> None:
    """Add the limits that a joint lacks in its file."""
    limit = joint.find("limit")
    if limit is None:
        limit = ElementTree.SubElement(joint, "limit")
    limit.set("lower", str(lower_rad))
    limit.set("upper", str(upper_rad))


def _collision(shape: ContactShape) -> ElementTree.Element:
    collision = ElementTree.Element("collision")
    origin = {"xyz": " ".join(map(str, shape.xyz_m)), "rpy": " ".join(map(str, shape.rpy_rad))}
    collision.append(ElementTree.Element("origin", origin))
    geometry = ElementTree.SubElement(collision, "geometry")
    if shape.kind == "box":
        attributes = {"size": " ".join(map(str, shape.size_m))}
    else:
        attributes = {key: str(size) for key, size in zip(_KIND_SIZES[shape.kind], shape.size_m, strict=True)}
    ElementTree.SubElement(geometry, shape.kind, attributes)
    return collision


def _floats(text: str | None, default: tuple[float, ...]) -> np.ndarray:
    return np.asarray([float(value) for value in text.split()] if text else default)


def origin_pose(element: ElementTree.Element) -> np.ndarray:
    """Return the (4, 4) pose in an element's ``origin`` child."""
    origin = element.find("origin")
    xyz = _floats(origin.get("xyz") if origin is not None else None, (0.0, 0.0, 0.0))
    rpy = _floats(origin.get("rpy") if origin is not None else None, (0.0, 0.0, 0.0))
    if len(rpy) < 3:  # G1's camera joint gives two angles only
        rpy = np.pad(rpy, (0, 3 - len(rpy)))
    pose: np.ndarray = trimesh.transformations.euler_matrix(rpy[0], rpy[1], rpy[2], axes="sxyz")
    pose[:3, 3] = xyz
    return pose


def _motion(joint: ElementTree.Element, value: float) -> np.ndarray:
    """Return the (4, 4) motion of a joint from zero to ``value`` (rad or m)."""
    if joint.get("type") == "fixed":  # their axis may be (0, 0, 0)
        return np.eye(4)
    axis = joint.find("axis")
    direction = _floats(axis.get("xyz") if axis is not None else None, (1.0, 0.0, 0.0))
    if joint.get("type") == "prismatic":
        pose: np.ndarray = trimesh.transformations.translation_matrix(direction * value)
    else:
        pose = trimesh.transformations.rotation_matrix(value, direction)
    return pose


def link_poses(root: ElementTree.Element, angles_rad: dict[str, float]) -> dict[str, np.ndarray]:
    """Return link name -> (4, 4) pose in the frame of the root link."""
    joints = {joint.find("child").get("link"): joint for joint in root.findall("joint")}  # type: ignore[union-attr]
    poses: dict[str, np.ndarray] = {}

    def pose(link: str) -> np.ndarray:
        if link not in poses:
            joint = joints.get(link)
            if joint is None:
                poses[link] = np.eye(4)
            else:
                value = angles_rad.get(joint.get("name", ""), 0.0)
                parent = joint.find("parent").get("link")  # type: ignore[union-attr]
                poses[link] = pose(parent or "") @ origin_pose(joint) @ _motion(joint, value)
        return poses[link]

    for link in root.findall("link"):
        pose(link.get("name", ""))
    return poses


def _load_geometry(collision: ElementTree.Element) -> trimesh.Trimesh:
    shape = next(iter(collision.find("geometry")))  # type: ignore[arg-type]
    if shape.tag == "sphere":
        return trimesh.creation.icosphere(radius=float(shape.get("radius", 0.0)), subdivisions=2)
    if shape.tag == "cylinder":
        radius, length = float(shape.get("radius", 0.0)), float(shape.get("length", 0.0))
        return trimesh.creation.cylinder(radius=radius, height=length, sections=48)
    if shape.tag == "box":
        return trimesh.creation.box(extents=_floats(shape.get("size"), (0.0, 0.0, 0.0)))
    file = shape.get("filename", "")
    try:
        mesh = trimesh.load(file, force="mesh")
    except Exception as error:  # of many kinds, by format
        raise ValueError(f"mesh {file} cannot be read ({type(error).__name__}); export it again as STL") from error
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        raise ValueError(f"mesh {file} holds no triangles; export it again as STL")
    mesh.apply_scale(_floats(shape.get("scale"), (1.0, 1.0, 1.0)))
    return mesh
