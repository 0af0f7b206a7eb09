"""Triangles of a scene for ray casting and contact tests."""

import numpy as np

from scenes.scene import FLOOR, Mesh, Scene, Solid

GROUND_MARGIN_M = 12.0
"""The ground reaches this far beyond the extent: farther than the depth range, for maps without a closed wall."""


def to_mesh(scene: Scene) -> Mesh:
    """Return the triangles of a scene, a solid's outward facing, and of the ground plane z = 0 (class floor, known).

    A mesh file has its own floor: a plane would hide its holes.
    """
    vertices, triangles, semantic, known = [], [], [], []
    offset = 0
    if scene.mesh is None:
        vertices, triangles = [_ground_vertices(scene)], [np.asarray([(0, 1, 2), (0, 2, 3)])]
        semantic, known, offset = [FLOOR] * 2, [True] * 2, 4
    for solid in scene.solids:
        corners, faces = _prism(solid)
        vertices.append(corners)
        triangles.append(faces + offset)
        semantic += [solid.semantic] * len(faces)
        known += [solid.known] * len(faces)
        offset += len(corners)
    if scene.mesh is not None:
        vertices.append(scene.mesh.vertices_w_m)
        triangles.append(scene.mesh.triangles + offset)
        semantic += scene.mesh.semantic.tolist()
        known += scene.mesh.known.tolist()
    return Mesh(
        vertices_w_m=np.concatenate(vertices).astype(np.float32),
        triangles=np.concatenate(triangles).astype(np.uint32),
        semantic=np.asarray(semantic, dtype=np.uint8),
        known=np.asarray(known, dtype=bool),
    )


def _ground_vertices(scene: Scene) -> np.ndarray:
    x_min, y_min, x_max, y_max = scene.extent_w_m
    x_min, y_min, x_max, y_max = (
        x_min - GROUND_MARGIN_M,
        y_min - GROUND_MARGIN_M,
        x_max + GROUND_MARGIN_M,
        y_max + GROUND_MARGIN_M,
    )
    return np.asarray([(x_min, y_min, 0.0), (x_max, y_min, 0.0), (x_max, y_max, 0.0), (x_min, y_max, 0.0)])


def _prism(solid: Solid) -> tuple[np.ndarray, np.ndarray]:
    """Return (2N, 3) corners, lower ring first, and the faces of a convex prism; no bottom for one on the ground."""
    polygon = np.asarray(solid.polygon_xy_w_m)
    count = len(polygon)
    lower = np.column_stack([polygon, np.full(count, solid.z_min_m)])
    upper = np.column_stack([polygon, np.full(count, solid.z_max_m)])
    ring = np.arange(count)
    after = (ring + 1) % count
    fan = np.arange(1, count - 1)
    faces = [
        np.column_stack([ring, after, after + count]),
        np.column_stack([ring, after + count, ring + count]),
        np.column_stack([np.full(count - 2, count), fan + count, fan + 1 + count]),
    ]
    if solid.z_min_m > 0.0:
        faces.append(np.column_stack([np.zeros(count - 2, dtype=int), fan + 1, fan]))
    return np.concatenate([lower, upper]), np.concatenate(faces)
