"""Turn an MJCF robot into a URDF tree: bodies become links, hinges and slides joints, geoms visuals and collisions.

MuJoCo compiles the file, so that defaults, includes and angles are resolved. What a URDF cannot say is left out:
actuators, equalities, tendons. The robot is the heaviest body of the world; joints that move it there are dropped.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

_Pose = np.ndarray  # (4, 4)


def to_urdf(path: Path) -> ElementTree.Element:
    """Return the URDF tree of the robot in an MJCF file; its mesh paths are absolute.

    Raises:
        ValueError: In one line, if MuJoCo cannot read the file or a URDF cannot say what it holds.
    """
    import mujoco

    try:
        model = mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise ValueError(f"MuJoCo cannot read {path} ({' '.join(str(error).split())}); mend it") from None
    if model.nbody < 2:
        raise ValueError(f"{path} has no body in its worldbody; a robot needs one")
    robot = ElementTree.Element("robot", {"name": path.stem})
    tops = [body for body in range(1, model.nbody) if model.body_parentid[body] == 0]
    top = max(tops, key=lambda body: float(model.body_subtreemass[body]))
    shift = {top: np.zeros(3)}
    """Body -> origin of its link in the body's frame [m]: a URDF's link turns about its origin"""
    for body in range(top, model.nbody):
        if body != top and model.body_parentid[body] not in shift:
            continue
        if body != top:
            shift[body] = _add_joints(robot, model, body, parent_shift_m=shift[int(model.body_parentid[body])])
        robot.append(_link(model, body, shift_m=shift[body], path=path))
    return robot


def _add_joints(robot: ElementTree.Element, model: Any, body: int, *, parent_shift_m: np.ndarray) -> np.ndarray:
    """Add the joints between a body and its parent; return the origin of its link in the body's frame [m].

    A body with several joints gets links without mass between them.
    """
    pose = _translation(-parent_shift_m) @ _pose(model.body_pos[body], model.body_quat[body])
    name, parent = model.body(body).name, model.body(int(model.body_parentid[body])).name
    first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
    if count == 0:
        robot.append(_joint(f"{name}_fixed", "fixed", parent, name, pose))
        return np.zeros(3)
    at_m = np.zeros(3)
    for joint in range(first, first + count):
        here_m = np.asarray(model.jnt_pos[joint])
        child = name if joint == first + count - 1 else f"{name}_{joint - first}"
        kind = _kind(model, joint)
        element = _joint(model.joint(joint).name or f"{name}_joint", kind, parent, child, pose)
        element.find("origin").attrib.update(_attributes(pose @ _translation(here_m - at_m)))  # type: ignore[union-attr]
        ElementTree.SubElement(element, "axis", {"xyz": _text(model.jnt_axis[joint])})
        if kind != "continuous":
            low, high = model.jnt_range[joint] - model.qpos0[model.jnt_qposadr[joint]]
            limit = {"lower": repr(float(low)), "upper": repr(float(high)), "effort": "100", "velocity": "100"}
            ElementTree.SubElement(element, "limit", limit)
        robot.append(element)
        if child != name:
            robot.append(ElementTree.Element("link", {"name": child}))
        parent, pose, at_m = child, np.eye(4), here_m
    return at_m


def _kind(model: Any, joint: int) -> str:
    """Return the URDF's type of a joint.

    Raises:
        ValueError: For a ball joint, which a URDF does not have.
    """
    import mujoco

    kinds = {mujoco.mjtJoint.mjJNT_HINGE: "revolute", mujoco.mjtJoint.mjJNT_SLIDE: "prismatic"}
    kind = kinds.get(mujoco.mjtJoint(int(model.jnt_type[joint])))
    if kind is None:
        raise ValueError(f"joint '{model.joint(joint).name}' is a ball or free joint inside the robot; make it hinges")
    return "continuous" if kind == "revolute" and not model.jnt_limited[joint] else kind


def _link(model: Any, body: int, *, shift_m: np.ndarray, path: Path) -> ElementTree.Element:
    """Return a body's link: inertia, and geoms that collide or are only seen."""
    link = ElementTree.Element("link", {"name": model.body(body).name})
    here = _translation(-shift_m)
    inertial = ElementTree.SubElement(link, "inertial")
    pose = here @ _pose(model.body_ipos[body], model.body_iquat[body])
    ElementTree.SubElement(inertial, "origin", _attributes(pose))
    ElementTree.SubElement(inertial, "mass", {"value": repr(float(model.body_mass[body]))})
    moments = dict.fromkeys(("ixy", "ixz", "iyz"), "0")
    moments |= {f"i{a}{a}": repr(float(v)) for a, v in zip("xyz", model.body_inertia[body], strict=True)}
    ElementTree.SubElement(inertial, "inertia", moments)
    geoms = range(int(model.body_geomadr[body]), int(model.body_geomadr[body]) + int(model.body_geomnum[body]))
    collides = {geom: bool(model.geom_contype[geom] or model.geom_conaffinity[geom]) for geom in geoms}
    for geom in geoms:
        tags = ["collision"] if collides[geom] else ["visual"]
        if all(collides.values()):  # nothing is there only to be seen
            tags = ["collision", "visual"]
        for pose, shape in _shapes(model, geom, path):
            for tag in tags:
                element = ElementTree.SubElement(link, tag)
                ElementTree.SubElement(element, "origin", _attributes(here @ pose))
                ElementTree.SubElement(element, "geometry").append(ElementTree.Element(*shape))
    return link


def _shapes(model: Any, geom: int, path: Path) -> list[tuple[_Pose, tuple[str, dict[str, str]]]]:
    """Return a geom's shapes as poses in the body's frame and URDF elements; planes and height fields have none."""
    import mujoco

    kind = mujoco.mjtGeom(int(model.geom_type[geom])).name.removeprefix("mjGEOM_").lower()
    pose = _pose(model.geom_pos[geom], model.geom_quat[geom])
    size = [float(value) for value in model.geom_size[geom]]
    if kind == "mesh":
        return [_mesh(model, int(model.geom_dataid[geom]), pose, path)]
    if kind == "sphere":
        return [(pose, ("sphere", {"radius": repr(size[0])}))]
    if kind in ("box", "ellipsoid"):
        return [(pose, ("box", {"size": _text(2.0 * np.asarray(size))}))]
    if kind in ("cylinder", "capsule"):
        found = [(pose, ("cylinder", {"radius": repr(size[0]), "length": repr(2.0 * size[1])}))]
        ends = (-size[1], size[1]) if kind == "capsule" else ()
        caps = [pose @ _translation(np.asarray([0.0, 0.0, end_m])) for end_m in ends]
        return found + [(cap, ("sphere", {"radius": repr(size[0])})) for cap in caps]
    return []


def _mesh(model: Any, mesh: int, pose: _Pose, path: Path) -> tuple[_Pose, tuple[str, dict[str, str]]]:
    """Return a mesh as its own file; MuJoCo has moved its vertices to their centre of mass, which is undone.

    Raises:
        ValueError: If the mesh has no file of a format that a URDF may name.
    """
    start = int(model.mesh_pathadr[mesh])
    file = bytes(model.paths[start:]).partition(b"\0")[0].decode() if start >= 0 else ""
    if not file.lower().endswith((".stl", ".obj", ".dae", ".ply")):
        raise ValueError(f"{path}: mesh '{model.mesh(mesh).name}' is no STL or OBJ file; convert it to one")
    raw = pose @ np.linalg.inv(_pose(model.mesh_pos[mesh], model.mesh_quat[mesh]))
    return raw, ("mesh", {"filename": str((path.parent / file).resolve()), "scale": _text(model.mesh_scale[mesh])})


def _joint(name: str, kind: str, parent: str, child: str, pose: _Pose) -> ElementTree.Element:
    joint = ElementTree.Element("joint", {"name": name, "type": kind})
    ElementTree.SubElement(joint, "origin", _attributes(pose))
    ElementTree.SubElement(joint, "parent", {"link": parent})
    ElementTree.SubElement(joint, "child", {"link": child})
    return joint


def _pose(xyz: np.ndarray, quat_wxyz: np.ndarray) -> _Pose:
    pose: np.ndarray = trimesh.transformations.quaternion_matrix(np.asarray(quat_wxyz, dtype=float))
    pose[:3, 3] = xyz
    return pose


def _translation(xyz: np.ndarray) -> _Pose:
    pose: np.ndarray = trimesh.transformations.translation_matrix(xyz)
    return pose


def _attributes(pose: _Pose) -> dict[str, str]:
    rpy = trimesh.transformations.euler_from_matrix(pose, "sxyz")
    return {"xyz": _text(pose[:3, 3]), "rpy": _text(rpy)}


def _text(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)
