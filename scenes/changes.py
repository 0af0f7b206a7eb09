"""How a scene differs from what its generator and its map say: narrower doors, furniture that was moved.

Conditions ``field`` use both. The scene that a robot drives in stays connected: doors keep ``NARROW_DOOR_M``, and it is
the map that shows furniture where it no longer stands.
"""

from dataclasses import replace

import numpy as np
import scipy.sparse.csgraph

from scenes.layout import DOOR_HEIGHT_M, MIN_CONNECTED_FRACTION, connected_fraction
from scenes.scene import FURNITURE, WALL, Scene, Solid, box, moved

NARROW_DOOR_M = (0.8, 1.0)
"""Clear width; usual inner doors are 0.8 to 0.9 m wide (DIN 18101), and buildings without barriers ask for 0.9 m"""
MOVED_FRACTION = 0.3
"""Fraction of the pieces of furniture that have been moved since the map was made"""
MOVED_M, TURNED_RAD = (0.3, 1.2), 0.5
"""How far a piece was moved, and at most turned"""
_TOUCH_M = 0.03
_TRIES = 8


def with_narrow_doors(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene with jambs in every doorway; the map shows them. Unchanged where there are no doors."""
    jambs = []
    for solid in scene.solids:
        if solid.semantic == WALL and abs(solid.z_min_m - DOOR_HEIGHT_M) < 1e-6:
            jambs += _jambs(solid, clear_m=rng.uniform(*NARROW_DOOR_M), fraction=rng.uniform(0.2, 0.8))
    return replace(scene, solids=(*scene.solids, *jambs))


def with_moved_furniture(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene with a map that shows some furniture where it no longer stands.

    What was moved is not on the map where it is now. The map stays passable for the widest body.
    """
    pieces = _pieces(scene)
    if not pieces:
        return scene
    for _ in range(_TRIES):
        chosen = [piece for piece in pieces if rng.random() < MOVED_FRACTION]
        gone = [solid for piece in chosen for solid in _elsewhere([scene.solids[i] for i in piece], rng)]
        unknown = {index for piece in chosen for index in piece}
        solids = tuple(
            replace(solid, known=False) if index in unknown else solid for index, solid in enumerate(scene.solids)
        )
        shown = tuple(solid for solid in solids if solid.known)
        if connected_fraction(replace(scene, solids=(*shown, *gone))) >= MIN_CONNECTED_FRACTION:
            return replace(scene, solids=solids, map_only=tuple(gone))
    return scene


def _jambs(lintel: Solid, *, clear_m: float, fraction: float) -> list[Solid]:
    """Return what narrows a doorway under its lintel to a clear width; that ``fraction`` stands at the first end."""
    corners = np.asarray(lintel.polygon_xy_w_m)
    along, across = corners[1] - corners[0], corners[2] - corners[1]
    width_m, thickness_m = float(np.linalg.norm(along)), float(np.linalg.norm(across))
    if width_m <= clear_m:
        return []
    unit, middle = along / width_m, corners[0] + across / 2.0
    first_m = fraction * (width_m - clear_m)
    return [
        box(
            centre_xy_w_m=middle + unit * (begin + end) / 2.0,
            size_m=(end - begin, thickness_m, DOOR_HEIGHT_M),
            yaw_rad=float(np.arctan2(unit[1], unit[0])),
            z_min_m=0.0,
            semantic=WALL,
            known=True,
        )
        for begin, end in ((0.0, first_m), (first_m + clear_m, width_m))
    ]


def _pieces(scene: Scene) -> list[list[int]]:
    """Return the known furniture as lists of indices into ``solids``: what touches belongs together."""
    indices = [i for i, solid in enumerate(scene.solids) if solid.known and solid.semantic == FURNITURE]
    if not indices:
        return []
    corners = [np.asarray(scene.solids[i].polygon_xy_w_m) for i in indices]
    low = np.stack([points.min(axis=0) for points in corners]) - _TOUCH_M
    high = np.stack([points.max(axis=0) for points in corners])
    touch = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(axis=-1)
    count, label = scipy.sparse.csgraph.connected_components(touch, directed=False)
    return [[indices[i] for i in np.flatnonzero(label == piece)] for piece in range(count)]


def _elsewhere(solids: list[Solid], rng: np.random.Generator) -> list[Solid]:
    """Return a piece of furniture where it stood before: turned about its centre and shifted."""
    centre = np.concatenate([np.asarray(solid.polygon_xy_w_m) for solid in solids]).mean(axis=0)
    angle, reach_m = rng.uniform(-np.pi, np.pi), rng.uniform(*MOVED_M)
    shift = centre + reach_m * np.asarray([np.cos(angle), np.sin(angle)])
    turn_rad = float(rng.uniform(-TURNED_RAD, TURNED_RAD))
    return [moved(moved(solid, -centre, 0.0), shift, turn_rad) for solid in solids]
