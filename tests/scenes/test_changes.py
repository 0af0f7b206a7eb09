"""Scenes that differ from their maps: narrow doors and moved furniture."""

import numpy as np
import pytest
import scipy.ndimage

from scenes import registry
from scenes.changes import NARROW_DOOR_M, with_moved_furniture, with_narrow_doors
from scenes.fields import distance_field
from scenes.layout import DOOR_HEIGHT_M, connected_fraction
from scenes.occupancy import layer_occupancy
from scenes.scene import FURNITURE, WALL, Scene
from scenes.storage import save_scenes

WAIST_M = ((0.05, 1.8),)


@pytest.fixture(scope="module")
def office() -> Scene:
    return registry.generate("office", split="val", index=0)


def regions(scene: Scene, radius_m: float) -> int:
    """Return the number of separate places of more than 1 m2 for a disc."""
    distance = distance_field(layer_occupancy(scene, layers_m=WAIST_M))
    labels, _ = scipy.ndimage.label(distance.values[0] > radius_m)
    return int((np.bincount(labels.ravel())[1:] > 400).sum())


def test_narrow_doors_let_a_person_through_and_no_wide_body(office: Scene) -> None:
    narrow = with_narrow_doors(office, np.random.default_rng(0))
    doors = sum(s.semantic == WALL and abs(s.z_min_m - DOOR_HEIGHT_M) < 1e-6 for s in office.solids)
    assert len(narrow.solids) == len(office.solids) + 2 * doors and doors > 3
    assert regions(office, NARROW_DOOR_M[1] / 2 + 0.05) == regions(narrow, NARROW_DOOR_M[0] / 2 - 0.1) == 1
    assert regions(narrow, NARROW_DOOR_M[1] / 2 + 0.05) > 3


def test_moved_furniture_is_where_it_was_and_on_the_map_elsewhere(office: Scene) -> None:
    changed = with_moved_furniture(office, np.random.default_rng(0))
    true, known = (layer_occupancy(changed, layers_m=WAIST_M, known_only=known).values for known in (False, True))
    assert np.array_equal(true, layer_occupancy(office, layers_m=WAIST_M).values)
    assert (known != layer_occupancy(office, layers_m=WAIST_M, known_only=True).values).any()
    gone = [s for s, now in zip(office.solids, changed.solids, strict=True) if s.known and not now.known]
    assert len(gone) == len(changed.map_only) > 0
    assert {solid.semantic for solid in gone} == {FURNITURE}
    shown = tuple(solid for solid in changed.solids if solid.known)
    as_mapped = Scene(name="x", kind="office", solids=(*shown, *changed.map_only), extent_w_m=office.extent_w_m)
    assert connected_fraction(as_mapped) > 0.9


def test_a_hall_without_doors_and_furniture_stays_as_it_is() -> None:
    hall = registry.generate("warehouse_multi", split="val", index=0)
    rng = np.random.default_rng(0)
    assert with_narrow_doors(with_moved_furniture(hall, rng), rng).solids == hall.solids


def test_a_changed_map_is_not_stored_silently(office: Scene, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="cannot be stored: office/val/0"):
        save_scenes(tmp_path / "x.npz", [with_moved_furniture(office, np.random.default_rng(0))])
