"""A house of small rooms with one narrow door from each to the next: does a body fit through where it just fits?"""

import numpy as np

from scenes import furniture
from scenes.layout import Layout, draw_connected
from scenes.rooms import along_walls, split_into_rooms
from scenes.scene import Scene

DOOR_WIDTH_M = (0.85, 0.95)
"""Clear width of usual inner doors (DIN 18101); buildings without barriers ask for 0.9 m"""
_RADIUS_M = 0.37
"""Rooms are connected for a disc of this radius: the widest body that drives through such doors is 0.68 m wide"""
_ROOM_M2 = 13.0


def generate(rng: np.random.Generator, *, name: str) -> Scene:
    """Draw a house of 12 to 14 m square."""
    return draw_connected(lambda: _draw(rng, name), radius_m=_RADIUS_M)


def _draw(rng: np.random.Generator, name: str) -> Scene:
    layout = Layout(rng, width_m=rng.uniform(12.0, 14.0), depth_m=rng.uniform(12.0, 14.0))
    rooms = split_into_rooms(layout, layout.inner(), max_area_m2=_ROOM_M2, second_door=0.0, door_width_m=DOOR_WIDTH_M)
    for room in rooms:
        along_walls(layout, room, furniture.cabinet, count=1)
        along_walls(layout, room, furniture.table, count=1)
        along_walls(layout, room, furniture.box_pile, count=1, askew_rad=0.4)
    return layout.scene(name=name, kind="doorways")
