"""Every discovered kind of scene, in every split, keeps the contract of ``scenes/scene.py``."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from embodiments.spaces import HEIGHT_LAYERS_M
from scenes import registry
from scenes.fields import distance_field
from scenes.mesh import to_mesh
from scenes.occupancy import layer_occupancy
from scenes.scene import BOX, FLOOR, PERSON, RACK, WALL, Scene
from scenes.storage import load_scenes, save_scenes

WIDEST_BODY_M = 0.50
NARROW_BODY_M = 0.36
"""Half of G1's width and 2 cm"""
"""Radius of the widest body, 0.45 m, and 0.05 m of reserve."""
KINDS = registry.names()


@pytest.fixture(params=[(kind, split) for kind in KINDS for split in registry.SPLITS], ids="/".join, scope="module")
def scene(request: pytest.FixtureRequest) -> Scene:
    kind, split = request.param
    return registry.generate(kind, split=split, index=3)


def test_the_kinds_of_the_evaluation_exist() -> None:
    assert set(KINDS) >= {"office", "warehouse_single", "warehouse_multi", "combined", "clutter"}


def test_name_and_extent(scene: Scene) -> None:
    assert scene.name.split("/")[0] == scene.kind
    x_min, y_min, x_max, y_max = scene.extent_w_m
    assert 12.0 <= x_max - x_min <= 20.0
    assert 12.0 <= y_max - y_min <= 20.0


def test_solids_are_convex_counter_clockwise_and_inside(scene: Scene) -> None:
    x_min, y_min, x_max, y_max = scene.extent_w_m
    for solid in scene.solids:
        polygon = np.asarray(solid.polygon_xy_w_m)
        edge = np.roll(polygon, -1, axis=0) - polygon
        after = np.roll(edge, -1, axis=0)
        assert (edge[:, 0] * after[:, 1] - edge[:, 1] * after[:, 0] > 0.0).all(), solid
        assert solid.z_max_m > solid.z_min_m >= 0.0
        assert (polygon >= np.asarray([x_min, y_min]) - 1e-6).all(), solid
        assert (polygon <= np.asarray([x_max, y_max]) + 1e-6).all(), solid


def test_map_shows_walls_and_racks_but_no_boxes_and_people(scene: Scene) -> None:
    for solid in scene.solids:
        assert solid.known or solid.semantic not in (WALL, RACK)
        assert not (solid.known and solid.semantic in (BOX, PERSON))
    assert not all(solid.known for solid in scene.solids)


def test_a_wide_body_gets_nearly_everywhere(scene: Scene) -> None:
    distance = distance_field(layer_occupancy(scene, layers_m=((0.05, 1.8),)))
    free = distance.values[0] > (NARROW_BODY_M if scene.kind == "doorways" else WIDEST_BODY_M)
    pieces, _ = scipy.ndimage.label(free)
    assert free.mean() > 0.1
    assert np.bincount(pieces.ravel())[1:].max() / free.sum() > 0.9


def test_outer_walls_close_the_scene(scene: Scene) -> None:
    """Nothing but walls would still enclose the floor: every rim cell inside of the extent is a wall."""
    walls = dataclasses.replace(scene, solids=tuple(solid for solid in scene.solids if solid.semantic == WALL))
    for layer in layer_occupancy(walls, layers_m=HEIGHT_LAYERS_M).values:
        inner = layer[3:-3, 3:-3]
        assert inner[0].all() and inner[-1].all() and inner[:, 0].all() and inner[:, -1].all()


@pytest.mark.parametrize("kind", KINDS)
def test_same_key_same_scene_and_splits_differ(kind: str) -> None:
    first = registry.generate(kind, split="train", index=5)
    assert first == registry.generate(kind, split="train", index=5)
    others = [registry.generate(kind, split=split, index=5) for split in ("val", "test")]
    others.append(registry.generate(kind, split="train", index=6))
    assert all(first.solids != other.solids for other in others)


def test_random_key_is_the_same_on_every_machine() -> None:
    assert registry.random_key("office", "train", 0).integers(1_000_000, size=3).tolist() == RANDOM_KEY_DRAW


RANDOM_KEY_DRAW = [890876, 474492, 312162]


@pytest.mark.parametrize("kind", KINDS)
def test_a_low_body_has_more_room_than_a_tall_one(kind: str) -> None:
    """Under tables and open racks: fewer cells are taken in the two lower layers than in all four, over some scenes."""
    low, tall = 0, 0
    for index in range(3):
        taken = layer_occupancy(registry.generate(kind, split="val", index=index), layers_m=HEIGHT_LAYERS_M).values
        low, tall = low + taken[:2].any(axis=0).sum(), tall + taken.any(axis=0).sum()
    assert low < tall


def test_mesh_is_closed_and_knows_its_classes(scene: Scene) -> None:
    mesh = to_mesh(scene)
    assert mesh.vertices_w_m.dtype == np.float32 and mesh.triangles.dtype == np.uint32
    assert len(mesh.triangles) == len(mesh.semantic) == len(mesh.known)
    assert mesh.triangles.max() < len(mesh.vertices_w_m)
    assert (mesh.semantic[:2] == FLOOR).all()
    assert set(mesh.semantic) == {FLOOR} | {solid.semantic for solid in scene.solids}
    corners = mesh.vertices_w_m[mesh.triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.linalg.norm(normal, axis=1) > 1e-6).all()
    # Outward faces: the solids' volumes by the divergence theorem; the floor, at z = 0, adds nothing.
    grounded = sum(_volume(np.asarray(solid.polygon_xy_w_m), solid.z_max_m - solid.z_min_m) for solid in scene.solids)
    assert np.einsum("ij,ij->i", corners[2:, 0], normal[2:]).sum() / 6.0 == pytest.approx(grounded, rel=1e-3)


def _volume(polygon: np.ndarray, height: float) -> float:
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2.0 * height)


def test_unknown_names_are_explained() -> None:
    with pytest.raises(ValueError, match="did you mean 'office'"):
        registry.generate("ofice", split="train", index=0)
    with pytest.raises(ValueError, match="did you mean 'test'"):
        registry.generate("office", split="tets", index=0)
    with pytest.raises(ValueError, match="negative"):
        registry.generate("office", split="test", index=-1)
    with pytest.raises(ValueError, match=r"Known kinds: .*office"):
        registry.load("castle")


def test_storage_gives_back_equal_scenes(tmp_path: Path) -> None:
    scenes = [registry.generate(kind, split="train", index=0) for kind in KINDS]
    save_scenes(tmp_path / "scenes.npz", scenes)
    assert load_scenes(tmp_path / "scenes.npz") == scenes


def test_storage_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="run the stage make_scenes"):
        load_scenes(tmp_path / "none.npz")
    path = tmp_path / "scenes.npz"
    save_scenes(path, [registry.generate("clutter", split="train", index=0)])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="damaged") as error:
        load_scenes(path)
    assert "\n" not in str(error.value)
