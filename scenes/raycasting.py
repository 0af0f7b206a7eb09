"""Rays against many scenes at once, on CPU through Open3D."""

import sys
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from scenes.mesh import GROUND_MARGIN_M, to_mesh
from scenes.scene import OTHER, Scene

TILE_GAP_M = 40.0
"""Gap between the grounds of two tiles: more than any sensor's range."""


def _imported() -> ModuleType:
    """Import Open3D without its figures in a browser, whose libraries take two thirds of the time."""
    name = "open3d.visualization.draw_plotly"
    unused = ModuleType(name)
    unused.get_plotly_fig = unused.draw_plotly = unused.draw_plotly_server = None  # type: ignore[attr-defined]
    sys.modules.setdefault(name, unused)
    import open3d

    return open3d


open3d = _imported()


class SceneRaycaster:
    """Casts rays against scenes that stand side by side, far apart, in one bounding volume hierarchy."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        """Build the hierarchy.

        Tiles are laid out around the origin: even 4,096 scenes stay within 3 km of it, where float32 resolves 0.25 mm.

        Raises:
            ValueError: If there is no scene.
        """
        if not scenes:
            raise ValueError("SceneRaycaster needs at least one scene; got none.")
        self._offset_xy_m = _tile_offsets(scenes)  # (N, 2)
        meshes = [to_mesh(scene) for scene in scenes]
        first_vertex = np.cumsum([0] + [len(mesh.vertices_w_m) for mesh in meshes])
        vertices = np.concatenate(
            [mesh.vertices_w_m + np.append(offset, 0.0) for mesh, offset in zip(meshes, self._offset_xy_m, strict=True)]
        )
        triangles = np.concatenate([mesh.triangles + first for mesh, first in zip(meshes, first_vertex, strict=False)])
        # One entry more, for rays that hit nothing.
        self._semantic = np.append(np.concatenate([mesh.semantic for mesh in meshes]), np.uint8(OTHER)).astype(np.uint8)
        self._scene = open3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            open3d.core.Tensor(vertices.astype(np.float32)), open3d.core.Tensor(triangles.astype(np.uint32))
        )

    def cast(
        self, scene_index: np.ndarray, origin_w_m: np.ndarray, directions_w: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return where rays hit first.

        Args:
            scene_index: (B,) which scene each batch entry looks into.
            origin_w_m: (B, 3) in that scene's own world frame.
            directions_w: (B, ..., 3), any length.

        Returns:
            distance (B, ...) float32 in units of each direction's own length, inf on a miss: with directions whose
            component along the optical axis is 1 it is planar depth in metres; semantic (B, ...) uint8, ``OTHER`` on a
            miss.
        """
        origin = np.array(origin_w_m, dtype=np.float64)
        origin[:, :2] += self._offset_xy_m[scene_index]
        rays = np.empty((*directions_w.shape[:-1], 6), dtype=np.float32)
        rays[..., :3] = origin.reshape(len(origin), *([1] * (directions_w.ndim - 2)), 3)
        rays[..., 3:] = directions_w
        hits = self._scene.cast_rays(open3d.core.Tensor(rays))
        primitive = hits["primitive_ids"].numpy()
        return hits["t_hit"].numpy(), self._semantic[np.minimum(primitive, len(self._semantic) - 1)]


class MeshRaycaster:
    """Casts rays against one mesh that is no scene, such as the robot's own body."""

    def __init__(self, vertices_m: np.ndarray, triangles: np.ndarray) -> None:
        """Build the hierarchy of a mesh with vertices (V, 3) and triangles (F, 3)."""
        self._scene = open3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            open3d.core.Tensor(np.asarray(vertices_m, dtype=np.float32)),
            open3d.core.Tensor(np.asarray(triangles, dtype=np.uint32)),
        )

    def cast(self, origin_m: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return where rays hit first.

        Args:
            origin_m: (3,) or one per ray (..., 3).
            directions: (..., 3), any length.

        Returns:
            distance (...) float32 in units of each direction's own length, inf on a miss; triangle (...) int64, -1 on
            a miss.
        """
        origin = np.broadcast_to(np.asarray(origin_m), directions.shape)
        rays = np.concatenate([origin, directions], axis=-1).astype(np.float32)
        hits = self._scene.cast_rays(open3d.core.Tensor(rays))
        distance = hits["t_hit"].numpy()
        return distance, np.where(np.isfinite(distance), hits["primitive_ids"].numpy().astype(np.int64), -1)


def cast_mesh(
    vertices_m: np.ndarray, triangles: np.ndarray, origin_m: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cast rays once against a mesh, see ``MeshRaycaster.cast``."""
    return MeshRaycaster(vertices_m, triangles).cast(origin_m, directions)


def _tile_offsets(scenes: Sequence[Scene]) -> np.ndarray:
    extents = np.asarray([scene.extent_w_m for scene in scenes])
    pitch = float((extents[:, 2:] - extents[:, :2]).max()) + 2.0 * GROUND_MARGIN_M + TILE_GAP_M
    columns = int(np.ceil(np.sqrt(len(scenes))))
    tile = np.stack([np.arange(len(scenes)) % columns, np.arange(len(scenes)) // columns], axis=1)
    centres = (extents[:, :2] + extents[:, 2:]) / 2.0
    return np.round((tile - (columns - 1) / 2.0) * pitch - centres)
