"""A scene from above, as polygons: what films and the report's maps draw."""

from functools import lru_cache

import numpy as np

from embodiments.spaces import HEIGHT_LAYERS_M
from scenes.grid import rectangles
from scenes.occupancy import BORDER_CELLS, layer_occupancy
from scenes.scene import Scene

ENDING_COLOURS = {
    "success": "#0b7a75",
    "collision": "#d1495b",
    "fall": "#6d3b8e",
    "timeout": "#c78a00",
    "broken": "#444444",
}
KNOWN_COLOUR, UNKNOWN_COLOUR = "#9aa5b1", "#d8a657"
_MESH_CELL_M = 0.05


def ground_plan(scene: Scene) -> list[tuple[str, bool, list[np.ndarray]]]:
    """Return what stands in the way of some body: (colour, whether it reaches the ground, polygons), topmost last.

    What hangs higher than the tallest body, like the wall above a door, is left out.
    """
    if scene.mesh is not None:
        return _mesh_plan(scene)
    solids = [solid for solid in scene.solids if solid.z_min_m < HEIGHT_LAYERS_M[-1][1]]
    groups = []
    for known, colour in ((True, KNOWN_COLOUR), (False, UNKNOWN_COLOUR)):
        for is_low in (False, True):
            chosen = [s for s in solids if s.known == known and (s.z_min_m <= HEIGHT_LAYERS_M[0][0]) == is_low]
            groups.append((colour, is_low, [np.asarray(solid.polygon_xy_w_m) for solid in chosen]))
    return groups


@lru_cache(maxsize=4)
def _mesh_plan(scene: Scene) -> list[tuple[str, bool, list[np.ndarray]]]:
    """Return the same of a mesh, as bodies are kept from it: rectangles of cells that it touches or has no floor in."""
    grid = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, resolution_m=_MESH_CELL_M, known_only=False)
    inner = slice(BORDER_CELLS, -BORDER_CELLS)
    low, *higher = grid.values[:, inner, inner]
    groups = []
    for is_low, occupied in ((False, np.logical_or.reduce(higher) & ~low), (True, low)):
        corners = [((c0, r0), (c1, r0), (c1, r1), (c0, r1)) for r0, r1, c0, c1 in rectangles(occupied)]
        cells = [np.asarray(corner) + BORDER_CELLS for corner in corners]
        groups.append((KNOWN_COLOUR, is_low, [cell * _MESH_CELL_M + np.asarray(grid.origin_xy_w_m) for cell in cells]))
    return groups
