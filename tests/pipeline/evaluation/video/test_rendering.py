"""Pictures by ray casting: what stands where, in which colour, and how high the walls are."""

import numpy as np
import pytest

from pipeline.evaluation.video.chase import PERSON_RGB, person
from pipeline.evaluation.video.rendering import SEMANTIC_COLOURS, SKY, View, render, scene_surface
from scenes.scene import BOX, FLOOR, WALL, Scene, box


def one_box(semantic: int, *, height_m: float) -> Scene:
    solid = box(
        centre_xy_w_m=(3.0, 0.0), size_m=(1.0, 1.0, height_m), yaw_rad=0.0, z_min_m=0.0, semantic=semantic, known=False
    )
    return Scene(name="one box", kind="one box", solids=(solid,), extent_w_m=(-5.0, -5.0, 5.0, 5.0))


@pytest.mark.parametrize(("semantic", "height_m"), [(WALL, 1.0), (BOX, 2.5)])
def test_walls_alone_are_cut_off(semantic: int, height_m: float) -> None:
    surface = scene_surface(one_box(semantic, height_m=2.5), wall_height_m=1.0)
    standing = (surface.colours == SEMANTIC_COLOURS[semantic]).all(axis=1)
    assert surface.vertices_w_m[surface.triangles[standing], 2].max() == pytest.approx(height_m)
    assert standing.any() and (surface.colours == SEMANTIC_COLOURS[FLOOR]).all(axis=1).any()


def test_a_wall_that_hangs_higher_is_left_out() -> None:
    lintel = box(centre_xy_w_m=(3.0, 0.0), size_m=(1.0, 1.0, 0.5), yaw_rad=0.0, z_min_m=2.0, semantic=WALL, known=True)
    scene = Scene(name="lintel", kind="lintel", solids=(lintel,), extent_w_m=(-5.0, -5.0, 5.0, 5.0))
    assert scene_surface(scene, wall_height_m=1.0).vertices_w_m[:, 2].max() <= 0.0


def test_edges_are_smooth() -> None:
    """Beside the slanted edge of a box there are pixels that mix its colour with that of the sky."""
    view = View(eye_w_m=(0.0, -0.8, 1.6), target_w_m=(3.0, 0.2, 2.4), width_px=64, height_px=40)
    image = render([scene_surface(one_box(BOX, height_m=2.5))], view) / 255.0
    to_sky = np.abs(image - SKY).max(axis=2)
    assert ((to_sky > 0.05) & (to_sky < 0.2)).any() and (to_sky < 0.01).any() and (to_sky > 0.3).any()


def test_a_picture_shows_what_stands_where() -> None:
    crate = box(centre_xy_w_m=(3.0, 0.0), size_m=(1.0, 1.0, 1.0), yaw_rad=0.0, z_min_m=0.0, semantic=BOX, known=False)
    scene = Scene(name="crate", kind="crate", solids=(crate,), extent_w_m=(-5.0, -5.0, 5.0, 5.0))
    view = View(eye_w_m=(0.0, 0.0, 0.5), target_w_m=(3.0, 0.0, 0.5), width_px=60, height_px=40, sun_w=(-1.0, 0.0, 1.0))
    image = render([scene_surface(scene)], view) / 255.0
    centre, sky = image[20, 30], image[1, 2]
    # the crate's face, lit from the front, keeps its hue; above the horizon there is nothing but sky
    np.testing.assert_allclose(centre / centre[0], SEMANTIC_COLOURS[BOX] / SEMANTIC_COLOURS[BOX][0], atol=0.02)
    np.testing.assert_allclose(sky, SKY, atol=0.01)
    # 2.5 m away and 1 m wide: 60 px / (2 tan(hfov / 2)) / 2.5 px on the screen
    hue = image / image.max(axis=2, keepdims=True)
    crate_hue = SEMANTIC_COLOURS[BOX] / SEMANTIC_COLOURS[BOX].max()
    wide = (np.abs(hue[20] - crate_hue).max(axis=1) < 0.03).sum()
    assert abs(int(wide) - 60 / (2 * np.tan(view.hfov_rad / 2)) / 2.5) <= 1.5


def test_a_person_is_drawn_as_wide_and_high_as_depth_sees_it() -> None:
    surface = person(np.asarray([3.0, -1.0]))
    assert surface.vertices_w_m[:, 2].max() == pytest.approx(1.7, abs=0.01)
    assert np.hypot(*(surface.vertices_w_m[:, :2] - (3.0, -1.0)).T).max() == pytest.approx(0.25)
    view = View(
        eye_w_m=(0.0, -1.0, 1.0), target_w_m=(3.0, -1.0, 1.0), width_px=60, height_px=40, sun_w=(-1.0, 0.0, 1.0)
    )
    image = render([surface], view) / 255.0
    assert np.abs(image[20, 30] / image[20, 30].max() - np.asarray(PERSON_RGB) / max(PERSON_RGB)).max() < 0.05
