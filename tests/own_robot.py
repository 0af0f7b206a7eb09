"""A robot from outside of the repository, for tests: the cart of docs/add_a_robot.md, in a folder of its own."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from embodiments.registry import ROBOT_FILES
from pipeline.runs.provenance import ROOT

PAGE = ROOT / "docs" / "add_a_robot.md"
ROBOT_FILE = """
from embodiments.embodiment import *

EMBODIMENT = Embodiment(
    name="cart",
    family="wheeled",
    model=RobotModel(file="cart.urdf"),
    drive=DifferentialDrive(
        left_joint="left_wheel_joint", right_joint="right_wheel_joint", wheel_radius_m=0.1, track_m=0.4
    ),
    limits=Limits(
        forward_mps=0.5,
        reverse_mps=0.2,
        lateral_mps=0.0,
        yaw_rate_radps=1.0,
        acceleration_mps2=0.5,
        yaw_acceleration_radps2=1.0,
        wheel_speed_mps=0.7,
        half_track_m=0.2,
        source="a guess",
    ),
    footprint=((Disc(x_m=-0.06, y_m=0.0, radius_m=0.32),), (Disc(x_m=0.0, y_m=0.0, radius_m=0.04),), (), ()),
    camera=DepthCamera(
        x_m=0.03, z_m=0.95, pitch_rad=0.35, hfov_rad=1.5, vfov_rad=1.0, min_range_m=0.28, max_range_m=9.0, source="D435"
    ),
)
"""


def urdf() -> str:
    """Return the URDF on the page."""
    found = re.search(r"```xml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def write(folder: Path, *, robot_file: str = ROBOT_FILE, model: str | None = None) -> Path:
    """Write robot file and model; return the robot file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cart.urdf").write_text(model or urdf(), encoding="utf-8")
    path = folder / "cart.py"
    path.write_text(robot_file, encoding="utf-8")
    return path


@contextmanager
def no_robot_files() -> Iterator[None]:
    """Let no robot file count before, and none that the test adds after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ROBOT_FILES, "")
        yield
