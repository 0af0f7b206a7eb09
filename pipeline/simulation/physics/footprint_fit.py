"""Discs that cover a body in one height layer, fitted to points of its surface."""

import numpy as np
import trimesh
from scipy.spatial import ConvexHull, QhullError

from embodiments.embodiment import Disc

SPACING_M = 0.01
"""Distance between sampled points, and between candidate centres."""
_MARGIN_M = 0.002
"""A disc reaches this far beyond the points that it was chosen for: they are samples."""


def layer_points(mesh: trimesh.Trimesh, low_m: float, high_m: float) -> np.ndarray:
    """Return points (P, 2) of the surface between two heights, about ``SPACING_M`` apart."""
    heights = mesh.triangles[..., 2]  # (F, 3)
    faces = mesh.faces[(heights.min(axis=1) < high_m) & (heights.max(axis=1) > low_m)]
    if not len(faces):
        return np.empty((0, 2))
    part = trimesh.Trimesh(mesh.vertices, faces, process=False)
    vertices, _ = trimesh.remesh.subdivide_to_size(part.vertices, part.faces, max_edge=2.0 * SPACING_M, max_iter=20)
    found = [vertices[(vertices[:, 2] > low_m) & (vertices[:, 2] < high_m), :2]]
    for height_m in (low_m, high_m):
        cut = trimesh.intersections.mesh_plane(part, (0.0, 0.0, 1.0), (0.0, 0.0, height_m))
        found.append(np.asarray(cut).reshape(-1, 3)[:, :2])
    fine_m = SPACING_M / 10.0
    return np.asarray(np.unique(np.round(np.concatenate(found) / fine_m), axis=0) * fine_m)


def fit_discs(points: np.ndarray, *, slack_m: float) -> tuple[Disc, ...]:
    """Return discs that cover the points and reach at most ``slack_m`` beyond their convex hull, largest gain first.

    Args:
        points: (P, 2) in the body frame.

    Raises:
        ValueError: If the points have no area.
    """
    try:
        planes = ConvexHull(points).equations  # (F, 3): outward normal, offset; negative inside
    except QhullError:
        raise ValueError(f"a footprint needs points with an area; got {len(points)} without one") from None
    centres = _candidates(points, planes)
    inside_m = -(centres @ planes[:, :2].T + planes[:, 2]).max(axis=1)
    radii = inside_m + slack_m
    reach_sq = np.square(radii - _MARGIN_M)
    left, discs = points, []
    while len(left):
        covered = np.square(centres[:, None] - left[None]).sum(axis=-1) <= reach_sq[:, None]
        best = int(covered.sum(axis=1).argmax())
        needed = np.sqrt(np.square(left[covered[best]] - centres[best]).sum(axis=-1).max()) + _MARGIN_M
        x, y = (round(float(value), 3) + 0.0 for value in centres[best])  # + 0.0: -0.0 is 0.0
        discs.append(Disc(x_m=x, y_m=y, radius_m=round(float(needed) + 0.0005, 3)))
        left = left[~covered[best]]
    return tuple(discs)


def _candidates(points: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Return possible centres (C, 2): a grid inside the hull, and the points themselves, thinned out."""
    (x_low, y_low), (x_high, y_high) = points.min(axis=0), points.max(axis=0)
    grid = np.stack(np.meshgrid(np.arange(x_low, x_high, SPACING_M), np.arange(y_low, y_high, SPACING_M)), axis=-1)
    inside = grid.reshape(-1, 2)
    inside = inside[(inside @ planes[:, :2].T + planes[:, 2]).max(axis=1) < 0.0]
    thinned = np.unique(np.round(points / SPACING_M), axis=0) * SPACING_M
    within = (thinned @ planes[:, :2].T + planes[:, 2]).max(axis=1) < SPACING_M / 2.0
    return np.concatenate([inside, thinned[within]])


def body_mesh(
    links: tuple[str, ...],
    vertices_l_m: tuple[np.ndarray, ...],
    triangles: tuple[np.ndarray, ...],
    *,
    poses: dict[str, np.ndarray],
    height_m: float,
) -> trimesh.Trimesh:
    """Return the visual meshes as one, in the body frame with the ground at z = 0.

    Args:
        links: Link of each part.
        vertices_l_m: Per part (V, 3) in its link's frame.
        triangles: Per part (F, 3).
        poses: Link -> (4, 4) pose in the base link.
        height_m: Of the base link above the ground.
    """
    lift = trimesh.transformations.translation_matrix((0.0, 0.0, height_m))
    vertices, faces, count = [], [], 0
    for link, points, part in zip(links, vertices_l_m, triangles, strict=True):
        vertices.append(trimesh.transform_points(points, lift @ poses[link]))
        faces.append(part + count)
        count += len(points)
    return trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False)
