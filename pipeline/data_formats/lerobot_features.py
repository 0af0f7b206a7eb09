"""How the fields of a recording are called in a LeRobot dataset (v3.0), and in which units."""

from typing import Any, NamedTuple

from distill.recordings import FIELDS
from embodiments.spaces import DESCRIPTOR_FIELDS

VELOCITY_NAMES = ("x.vel", "y.vel", "theta.vel")
"""As LeRobot's own mobile robot names them; here m/s, m/s, rad/s."""
PREVIEW = "observation.images.depth"
PREVIEW_SCALE = 2
"""The preview video is larger than the image: codecs blur small ones."""
DEPTH = "observation.depth"
STATE, ACTION = "observation.state", "action"
TASK = "drive to the goal"
FPS = 10


class Column(NamedTuple):
    """A column of a dataset."""

    field: str
    """Field of ``distill.recordings.FIELDS["teacher"]``"""
    names: tuple[str, ...]
    """Of the values of a vector, of the axes of anything larger"""
    unit: str
    is_label: bool = False
    """Whether only training with this project needs it"""


COLUMNS = {
    STATE: Column("velocity_b", VELOCITY_NAMES, "m/s, m/s, rad/s"),
    ACTION: Column("command", VELOCITY_NAMES, "m/s, m/s, rad/s"),
    DEPTH: Column("depth_mm", ("height", "width"), "mm"),
    "observation.previous_action": Column("previous_command", VELOCITY_NAMES, "m/s, m/s, rad/s"),
    "observation.route": Column("route_xy_b_m", ("point", "axis"), "m"),
    "observation.goal": Column("goal_b", ("x", "y", "cos", "sin"), "m, m, 1, 1"),
    "episode.first": Column("first", ("first",), ""),
    "episode.outcome": Column("outcome", ("outcome",), ""),
    "observation.descriptor": Column("embodiment", DESCRIPTOR_FIELDS, "SI", is_label=True),
    "observation.semantic": Column("semantic", ("height", "width"), "", is_label=True),
    "observation.plan_features": Column("plan_features", ("feature",), "", is_label=True),
    "teacher.action": Column("teacher_action", ("vx", "vy", "yaw_rate"), "fraction of the limit", is_label=True),
    "teacher.labelled": Column("labelled", ("labelled",), "", is_label=True),
}
"""Name in the dataset -> what it is."""


def features(*, labels: bool) -> dict[str, dict[str, Any]]:
    """Return the features of a dataset as LeRobot declares them.

    Args:
        labels: With those columns that only this project's training needs.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, column in COLUMNS.items():
        if column.is_label and not labels:
            continue
        dtype, shape = FIELDS["teacher"][column.field]
        found[key] = {
            "dtype": dtype,
            "shape": shape or (1,),
            "names": list(column.names),
            "info": {"unit": column.unit},
        }
    height, width = (PREVIEW_SCALE * int(size or 0) for size in FIELDS["teacher"]["depth_mm"][1])
    found[PREVIEW] = {"dtype": "video", "shape": (height, width, 3), "names": ["height", "width", "channels"]}
    return found
