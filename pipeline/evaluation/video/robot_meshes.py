"""What a robot looks like: the visual meshes of its own model, moved by its joint angles."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from embodiments.embodiment import Embodiment, RobotModel
from pipeline.evaluation.video.rendering import Surface
from pipeline.robot_models.model_file import mesh_path, model_path, read
from pipeline.simulation.physics.robot_model import link_poses, neutral_angles_rad, origin_pose

FILM_TRIANGLES = 1000
"""Per visual mesh in a film, where a robot is small; beyond it a mesh is simplified."""
PLAIN = (0.72, 0.74, 0.77)


@dataclass(frozen=True, kw_only=True)
class ModelParts:
    """The visual meshes of a model, each in its link's frame; the collision shapes of one that has no visuals."""

    urdf: ElementTree.Element
    links: tuple[str, ...]
    vertices_l_m: tuple[np.ndarray, ...]
    triangles: tuple[np.ndarray, ...]
    colours: tuple[np.ndarray, ...]
    """Per part (F, 3) RGB"""


@dataclass(frozen=True, kw_only=True)
class RobotParts(ModelParts):
    """The visual meshes of a robot."""

    embodiment: Embodiment


def load_parts(embodiment: Embodiment, *, max_triangles: int | None = None) -> RobotParts:
    """Read the robot's visual meshes.

    Args:
        embodiment: The robot.
        max_triangles: A mesh with more is simplified; None keeps them all.

    Raises:
        FileNotFoundError: If the robot's model is not there.
    """
    return RobotParts(embodiment=embodiment, **vars(model_parts(embodiment.model, max_triangles=max_triangles)))


def model_parts(model: RobotModel, *, max_triangles: int | None = None) -> ModelParts:
    """Read a model's visual meshes, or its collision shapes where it has no visuals; else as ``load_parts``."""
    path = model_path(model)
    urdf = read(model)
    materials = {m.get("name", ""): _rgb(m) for m in urdf.findall("material")}
    tag = "visual" if urdf.find("link/visual") is not None else "collision"
    links, vertices, triangles, colours = [], [], [], []
    for link in urdf.findall("link"):
        for visual in link.findall(tag):
            for mesh, rgb in _load(visual, path, max_triangles):
                links.append(link.get("name", ""))
                vertices.append(trimesh.transform_points(mesh.vertices, origin_pose(visual)))
                triangles.append(np.asarray(mesh.faces))
                colours.append(np.tile(_colour(rgb, visual, materials), (len(mesh.faces), 1)))
    return ModelParts(
        urdf=urdf,
        links=tuple(links),
        vertices_l_m=tuple(vertices),
        triangles=tuple(triangles),
        colours=tuple(colours),
    )


def place(parts: RobotParts, *, base_w: np.ndarray, angles_rad: Mapping[str, float]) -> Surface:
    """Return the robot's surface in the world.

    Args:
        parts: The robot.
        base_w: (4, 4) pose of the root link.
        angles_rad: Joint name -> angle; joints not named stay in the neutral posture.
    """
    poses = link_poses(parts.urdf, neutral_angles_rad(parts.embodiment) | dict(angles_rad))
    points = [
        trimesh.transform_points(vertices, poses[link])
        for link, vertices in zip(parts.links, parts.vertices_l_m, strict=True)
    ]
    first = np.cumsum([0] + [len(p) for p in points])
    return Surface(
        vertices_w_m=trimesh.transform_points(np.concatenate(points), base_w),
        triangles=np.concatenate([t + n for t, n in zip(parts.triangles, first[:-1], strict=True)]),
        colours=np.concatenate(parts.colours),
    )


def _load(
    visual: ElementTree.Element, urdf: Path, max_triangles: int | None
) -> list[tuple[trimesh.Trimesh, np.ndarray | None]]:
    """Return the meshes of one visual, simplified, with the colours that the mesh file itself gives.

    A file that cannot be read gives none: a picture does without it.
    """
    shape = next(iter(visual.find("geometry")))  # type: ignore[arg-type]
    if shape.tag == "sphere":
        return [(trimesh.creation.icosphere(radius=float(shape.get("radius", 0.0)), subdivisions=2), None)]
    if shape.tag == "cylinder":
        radius, length = float(shape.get("radius", 0.0)), float(shape.get("length", 0.0))
        return [(trimesh.creation.cylinder(radius=radius, height=length, sections=32), None)]
    if shape.tag == "box":
        return [(trimesh.creation.box(extents=[float(v) for v in shape.get("size", "0 0 0").split()]), None)]
    try:
        parts = trimesh.load_scene(mesh_path(shape.get("filename", ""), urdf)).dump()
    except (OSError, ValueError, KeyError):
        return []
    scale = [float(v) for v in shape.get("scale", "1 1 1").split()]
    return [
        _simplified(mesh, scale, max_triangles)
        for mesh in parts
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)
    ]


def _simplified(
    mesh: trimesh.Trimesh, scale: list[float], max_triangles: int | None
) -> tuple[trimesh.Trimesh, np.ndarray | None]:
    rgb = _mesh_rgb(mesh)
    plain = trimesh.Trimesh(vertices=mesh.vertices * scale, faces=mesh.faces, process=True)
    if max_triangles is not None and len(plain.faces) > max_triangles:
        plain = plain.simplify_quadric_decimation(face_count=max_triangles)
    return plain, rgb


def _mesh_rgb(mesh: trimesh.Trimesh) -> np.ndarray | None:
    """Return the mean colour that the mesh file itself gives; None if it gives none."""
    visual = mesh.visual
    if visual is None or not visual.defined:
        return None
    if isinstance(visual, trimesh.visual.TextureVisuals):
        rgba = visual.material.main_color
    else:
        rgba = visual.face_colors.mean(axis=0)
    return np.asarray(rgba, dtype=float)[:3] / 255.0


def _colour(
    mesh_rgb: np.ndarray | None, visual: ElementTree.Element, materials: Mapping[str, np.ndarray | None]
) -> np.ndarray:
    """Return RGB: the mesh file's own colour, else the model's material, else plain grey."""
    if mesh_rgb is not None:
        return mesh_rgb
    material = visual.find("material")
    rgb = None if material is None else _rgb(material)
    if rgb is None and material is not None:
        rgb = materials.get(material.get("name", ""))
    return np.asarray(PLAIN) if rgb is None else rgb


def _rgb(material: ElementTree.Element) -> np.ndarray | None:
    colour = material.find("color")
    if colour is None:
        return None
    return np.asarray([float(v) for v in colour.get("rgba", "0.7 0.7 0.7 1").split()[:3]])
