"""An open hall full of items of all shapes at any angle, few of them on the known map."""

import numpy as np

from scenes import furniture
from scenes.furniture import Make
from scenes.layout import Layout, draw_connected
from scenes.rooms import along_walls, scatter
from scenes.scene import Scene

_THINGS: tuple[tuple[Make, float], ...] = (
    (furniture.wedge, 0.24),
    (furniture.box_pile, 0.18),
    (furniture.pallet, 0.10),
    (furniture.table, 0.12),
    (furniture.screen, 0.06),
    (furniture.nook, 0.10),
    (furniture.person, 0.10),
    (furniture.bench, 0.06),
    (furniture.plant, 0.04),
    (furniture.chair, 0.06),
)
"""Items of the hall and their weights."""


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw a cluttered hall of 12 to 15 m square."""
    return draw_connected(lambda: _draw(rng, name))


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(12.0, 15.0), depth_m=rng.uniform(12.0, 15.0))
    hall = layout.inner()
    weights = np.asarray([weight for _, weight in _THINGS])
    for _ in range(round(hall.area_m2 * rng.uniform(0.26, 0.36))):
        make = _THINGS[int(rng.choice(len(_THINGS), p=weights / weights.sum()))][0]
        scatter(layout, hall, make, count=1, tries=24)
    along_walls(layout, hall, furniture.box_pile, count=4, askew_rad=0.4)
    return layout.scene(name=name, kind="clutter")
