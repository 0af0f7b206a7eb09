"""The film's decoration: it is seen, it carries the robot's looks, and it changes nothing of what the robot does."""

import ctypes.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import trimesh

from embodiments.registry import get
from pipeline.simulation.physics.film_scene import FilmSet, Prop
from pipeline.simulation.physics.robot_model import build_urdf
from tests.separate_process import call

SIZE_PX = (96, 64)


def box(centre: tuple[float, float, float], size: tuple[float, float, float], **kind: object) -> Prop:
    mesh = trimesh.creation.box(extents=size, transform=trimesh.transformations.translation_matrix(centre))
    return Prop(vertices_m=mesh.vertices, triangles=mesh.faces, **kind)  # type: ignore[arg-type]


def test_the_robot_wears_its_looks(tmp_path: Path) -> None:
    urdf = build_urdf(get("go2"), all_links_collide=False)
    assert not urdf.findall(".//visual")
    props = [box((0, 0, 0), (1, 1, 1), rgb=(1.0, 0.5, 0.0), link="base"), box((9, 0, 0), (1, 1, 1), rgb=(0, 0, 0))]
    FilmSet(props, size_px=SIZE_PX, hfov_rad=1.0, folder=tmp_path).dress(urdf)
    (visual,) = urdf.findall(".//visual")
    assert urdf.find(".//link[@name='base']/visual") is visual
    assert visual.find("material/color").attrib == {"rgba": "1.000 0.500 0.000 1.000"}  # type: ignore[union-attr]
    file = visual.find("geometry/mesh").get("filename")  # type: ignore[union-attr]
    np.testing.assert_allclose(trimesh.load(file).extents, [1.0, 1.0, 1.0])
    assert ElementTree.tostring(urdf)


def drive(folder: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return TIAGo's way through a box that is only decoration, and a picture of it. Runs in a process of its own."""
    import torch

    from pipeline.simulation.physics.drives import make_drive
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    tiago, film_set = get("tiago"), None
    if folder is not None:
        # A red wall that the robot drives into, and a green block on its own link.
        props = [box((0.6, 0.0, 0.5), (0.2, 2.0, 1.0), rgb=(0.9, 0.0, 0.0))]
        props += [box((0.0, 0.0, 0.6), (0.4, 0.4, 1.0), rgb=(0.0, 0.8, 0.0), link="base_link")]
        film_set = FilmSet(props, size_px=SIZE_PX, hfov_rad=1.0, folder=Path(folder))
    physics = RobotPhysics(tiago, num_envs=1, film_set=film_set)
    wheels = make_drive(tiago, physics)
    way = []
    for _ in range(150):  # 3 s
        wheels.step(torch.tensor([[0.3, 0.0, 0.0]]))
        way.append(physics.position_w[0].numpy().copy())
    picture = film_set.picture(eye_w_m=(0.0, -4.0, 0.8), target_w_m=(0.6, 0.0, 0.5)) if film_set else None
    return np.asarray(way), picture


@pytest.mark.slow  # builds two simulated scenes
def test_decoration_is_seen_and_touches_nothing(tmp_path: Path) -> None:
    plain, _ = call(drive, None)
    if ctypes.util.find_library("EGL") is None:
        pytest.skip("the simulator's camera needs OpenGL (EGL)")
    dressed, picture = call(drive, str(tmp_path))
    assert plain[-1, 0] > 0.7  # through where the wall is shown
    np.testing.assert_array_equal(plain, dressed)
    assert picture is not None and picture.shape == (SIZE_PX[1], SIZE_PX[0], 3)
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    assert (green > 2 * np.maximum(red, blue)).sum() > 50 and (red > 2 * np.maximum(green, blue)).sum() > 50
