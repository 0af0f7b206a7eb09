"""Nav2 maps: origin, row order, thresholds, errors; and a map as a scene."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from embodiments.spaces import HEIGHT_LAYERS_M
from scenes import registry
from scenes.grid import Grid
from scenes.nav2_map import load, load_scene, save
from scenes.occupancy import BORDER_CELLS, layer_occupancy

KEYS = {
    "image": "map.pgm",
    "resolution": 0.1,
    "origin": [-1.0, 2.0, 0.0],
    "negate": 0,
    "occupied_thresh": 0.65,
    "free_thresh": 0.25,
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a map from pixel rows (top row first) and changed keys; a key set to None is left out."""

    def write_map(pixels: object = ((254, 254), (254, 254)), **changes: object) -> Path:
        Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(tmp_path / "map.pgm")
        keys = {name: value for name, value in {**KEYS, **changes}.items() if value is not None}
        (tmp_path / "map.yaml").write_text(yaml.safe_dump(keys))
        return tmp_path / "map.yaml"

    return write_map


def test_bottom_left_pixel_is_the_origin(write: Callable[..., Path]) -> None:
    """One black pixel in the top row, second column of a 3 x 4 image: highest y."""
    pixels = np.full((3, 4), 254)
    pixels[0, 1] = 0
    grid = load(write(pixels))
    assert grid.values.shape == (3, 4)
    assert grid.at(np.asarray([-0.85, 2.25]))  # x = -1 + 1.5 cells, y = 2 + 2.5 cells
    assert grid.values.sum() == 1
    assert grid.values[2, 1]


@pytest.mark.parametrize("suffix", [".pgm", ".png"])
def test_an_asymmetric_map_survives_a_round_trip(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    grid = Grid(values=rng.random((7, 11)) < 0.3, origin_xy_w_m=(-3.25, 1.5), resolution_m=0.05)
    save(grid, tmp_path / "asymmetric.yaml", image_suffix=suffix)
    back = load(tmp_path / "asymmetric.yaml")
    assert np.array_equal(back.values, grid.values)
    assert back.origin_xy_w_m == grid.origin_xy_w_m and back.resolution_m == grid.resolution_m
    assert (tmp_path / f"asymmetric{suffix}").is_file()
    top_row = np.asarray(Image.open(tmp_path / f"asymmetric{suffix}"))[0]
    assert np.array_equal(top_row == 0, grid.values[-1])


def test_thresholds_are_trinary(write: Callable[..., Path]) -> None:
    """Occupancy is 1 - grey: 0 -> 1, 89 -> 0.651, 90 -> 0.647, 192 -> 0.247, 191 -> 0.251, 254 -> 0.004."""
    path = write([[0, 89, 90, 191, 192, 254]])
    assert load(path).values[0].tolist() == [True, True, True, True, False, False]
    assert load(path, unknown_is_occupied=False).values[0].tolist() == [True, True, False, False, False, False]


def test_negate_swaps_black_and_white(write: Callable[..., Path]) -> None:
    assert load(write([[0, 254]], negate=1)).values[0].tolist() == [False, True]


def test_colour_and_16_bit_images(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(image="other.png")
    Image.fromarray(np.asarray([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)).save(tmp_path / "other.png")
    assert load(path).values[0].tolist() == [True, False]
    Image.fromarray(np.asarray([[0, 65535]], dtype=np.uint16)).save(tmp_path / "other.png")
    assert load(path).values[0].tolist() == [True, False]
    black, white, nothing = [0, 0, 0, 255], [255, 255, 255, 255], [255, 255, 255, 0]
    Image.fromarray(np.asarray([[black, white, nothing]], dtype=np.uint8)).save(tmp_path / "other.png")
    assert load(path).values[0].tolist() == [True, False, True]  # nobody drew there: unknown
    assert load(path, unknown_is_occupied=False).values[0].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": None}, "lacks the key 'resolution'"),
        ({"free_thresh": None}, "lacks the key 'free_thresh'"),
        ({"resolution": 0.0}, "resolution 0"),
        ({"resolution": -0.05}, "resolution -0.05"),
        ({"resolution": 50.0}, "resolution 50"),
        ({"resolution": "fine"}, "number is expected"),
        ({"origin": [0.0, 0.0]}, "bottom left pixel"),
        ({"origin": [0.0, 0.0, 0.3]}, "turn the image"),
        ({"mode": "raw"}, "only 'trinary'"),
        ({"free_thresh": 0.9}, "free_thresh <= occupied_thresh"),
    ],
)
def test_bad_keys_are_explained_in_one_line(write: Callable[..., Path], changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        load(write(**changes))
    assert "\n" not in str(error.value) and "map.yaml" in str(error.value)


def test_missing_and_broken_files_are_explained(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no map at"):
        load(tmp_path / "none.yaml")
    with pytest.raises(FileNotFoundError, match=r"names the image 'gone\.png'"):
        load(write(image="gone.png"))
    path = write()
    (tmp_path / "map.pgm").write_text("no image")
    with pytest.raises(ValueError, match="cannot be read"):
        load(path)
    path.write_text("image: [")
    with pytest.raises(ValueError, match="not valid yaml") as error:
        load(path)
    assert "\n" not in str(error.value)


def asymmetric_room() -> Grid:
    """Return a room of 3 x 2 m with an L of walls inside, at a negative origin."""
    values = np.zeros((40, 60), dtype=bool)
    values[0] = values[-1] = values[:, 0] = values[:, -1] = True
    values[10:13, 5:30] = True
    values[13:30, 27:30] = True
    return Grid(values=values, origin_xy_w_m=(-2.0, -1.0), resolution_m=0.05)


def test_a_map_becomes_a_scene_with_the_same_occupancy(tmp_path: Path) -> None:
    grid = asymmetric_room()
    save(grid, tmp_path / "room.yaml")
    scene = load_scene(tmp_path / "room.yaml")
    assert scene.extent_w_m == pytest.approx((-2.0, -1.0, 1.0, 1.0))
    assert len(scene.solids) < 10  # merged, not one box per cell
    assert all(solid.known and solid.z_max_m == 2.0 for solid in scene.solids)
    occupied = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M)
    inner = (slice(None), slice(BORDER_CELLS, -BORDER_CELLS), slice(BORDER_CELLS, -BORDER_CELLS))
    assert all(np.array_equal(layer, grid.values) for layer in occupied.values[inner])


def test_a_scene_leaves_out_the_unknown_around_the_map(write: Callable[..., Path]) -> None:
    """205 is what map savers write for unknown: occupancy 0.1961."""
    pixels = np.full((30, 50), 205)
    pixels[10:15, 20:30] = 254
    scene = load_scene(write(pixels, free_thresh=0.196))
    assert scene.extent_w_m == pytest.approx((-1.0 + 1.9, 2.0 + 1.4, -1.0 + 3.1, 2.0 + 2.1))


def test_a_map_without_free_space_is_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="no free cell"):
        load_scene(write([[0, 0]]))


def test_registry_loads_a_map_by_its_path(tmp_path: Path) -> None:
    save(asymmetric_room(), tmp_path / "room.yaml")
    scene = registry.load(tmp_path / "room.yaml")
    assert scene.kind == "map" and scene.name == str(tmp_path / "room.yaml")
    assert registry.load("office", split="val", index=2) == registry.generate("office", split="val", index=2)
    with pytest.raises(FileNotFoundError, match="no map at"):
        registry.load("maps/none.yaml")
