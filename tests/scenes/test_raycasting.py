"""Ray casting against distances computed by hand."""

import math

import numpy as np
import pytest

from scenes import registry
from scenes.raycasting import SceneRaycaster
from scenes.scene import BOX, FLOOR, OTHER, WALL, Scene, Solid, box


def solid(
    x: float, y: float, length: float, width: float, *, semantic: int = WALL, z: float = 0.0, high: float = 2.0
) -> Solid:
    return box(
        centre_xy_w_m=(x, y), size_m=(length, width, high), yaw_rad=0.0, z_min_m=z, semantic=semantic, known=True
    )


def scene(*solids: Solid, extent: tuple[float, float, float, float] = (-5.0, -5.0, 5.0, 5.0)) -> Scene:
    return Scene(name="scene/test/0", kind="scene", solids=solids, extent_w_m=extent)


def cast_one(caster: SceneRaycaster, index: int, origin: tuple, direction: tuple) -> tuple[float, int]:
    distance, semantic = caster.cast(
        np.asarray([index]), np.asarray([origin], dtype=float), np.asarray([[[direction]]], dtype=np.float32)
    )
    return float(distance[0, 0, 0]), int(semantic[0, 0, 0])


def test_distance_is_in_units_of_the_direction() -> None:
    """A wall's face at x = 3: with a component of 1 along x every ray reads 3, whatever its slant."""
    caster = SceneRaycaster([scene(solid(3.5, 0.0, 1.0, 9.0))])
    for direction in ((1.0, 0.0, 0.0), (1.0, 0.7, 0.2), (1.0, -1.0, 0.3)):
        distance, semantic = cast_one(caster, 0, (0.0, 0.0, 0.5), direction)
        assert distance == pytest.approx(3.0, abs=1e-3)
        assert semantic == WALL
    assert cast_one(caster, 0, (0.0, 0.0, 0.5), (2.0, 0.0, 0.0))[0] == pytest.approx(1.5, abs=1e-3)


def test_floor_and_sky() -> None:
    caster = SceneRaycaster([scene()])
    distance, semantic = cast_one(caster, 0, (1.0, -2.0, 0.5), (1.0, 0.0, -0.25))
    assert distance == pytest.approx(2.0, abs=1e-4) and semantic == FLOOR
    distance, semantic = cast_one(caster, 0, (1.0, -2.0, 0.5), (1.0, 0.0, 0.1))
    assert math.isinf(distance) and semantic == OTHER


def test_table_top_is_seen_from_below_and_above() -> None:
    caster = SceneRaycaster([scene(solid(0.0, 0.0, 1.0, 1.0, semantic=BOX, z=0.72, high=0.04))])
    assert cast_one(caster, 0, (0.0, 0.0, 0.2), (0.0, 0.0, 1.0)) == (pytest.approx(0.52, abs=1e-4), BOX)
    assert cast_one(caster, 0, (0.0, 0.0, 1.0), (0.0, 0.0, -1.0)) == (pytest.approx(0.24, abs=1e-4), BOX)


def test_scenes_do_not_see_each_other() -> None:
    """Many tiles, each with a wall at its own distance; origins are in each scene's own frame, off centre too."""
    count = 200
    scenes = [scene(solid(2.0 + 0.01 * i, 0.0, 0.2, 4.0), extent=(-5.0 + i, -5.0, 5.0 + i, 5.0)) for i in range(count)]
    caster = SceneRaycaster(scenes)
    index = np.arange(count)
    origin = np.stack([np.zeros(count), np.zeros(count), np.full(count, 0.5)], axis=1)
    ahead, _ = caster.cast(index, origin, np.broadcast_to(np.float32([1.0, 0.0, 0.0]), (count, 1, 1, 3)))
    assert ahead[:, 0, 0] == pytest.approx(1.9 + 0.01 * index, abs=1e-3)
    # Nothing stands behind: not even a ray that goes on for ever meets another scene's ground within sensor range.
    behind, _ = caster.cast(index, origin, np.broadcast_to(np.float32([-1.0, 0.0, -0.01]), (count, 1, 1, 3)))
    assert (behind > 10.0).all()


def test_a_tilted_pinhole_sees_the_floor_as_a_plane() -> None:
    """Pitched down by 0.5 rad at 1 m: planar depth of the floor at image row v is 1 / (sin p + v cos p)."""
    caster = SceneRaycaster([scene()])
    pitch, rows = 0.5, np.linspace(-0.2, 0.6, 9)
    forward = np.asarray([math.cos(pitch), 0.0, -math.sin(pitch)])
    down = np.asarray([-math.sin(pitch), 0.0, -math.cos(pitch)])
    directions = (forward + rows[:, None] * down)[None, :, None].astype(np.float32)
    depth, _ = caster.cast(np.asarray([0]), np.asarray([[0.0, 0.0, 1.0]]), directions)
    assert depth[0, :, 0] == pytest.approx(1.0 / (math.sin(pitch) + rows * math.cos(pitch)), abs=1e-3)


def test_shapes_and_types_of_a_batch() -> None:
    caster = SceneRaycaster([registry.generate("office", split="val", index=index) for index in range(2)])
    directions = np.random.default_rng(0).normal(size=(6, 4, 5, 3)).astype(np.float32)
    distance, semantic = caster.cast(np.arange(6) % 2, np.tile([0.0, 0.0, 0.6], (6, 1)), directions)
    assert distance.shape == semantic.shape == (6, 4, 5)
    assert distance.dtype == np.float32 and semantic.dtype == np.uint8
    # The same scene from the same place looks the same in every entry of the batch.
    again, _ = caster.cast(np.zeros(6, dtype=int), np.tile([0.0, 0.0, 0.6], (6, 1)), directions[[0] * 6])
    assert (again == again[0]).all()
    assert again[0] == pytest.approx(distance[0])


def test_no_scene_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one scene"):
        SceneRaycaster([])
