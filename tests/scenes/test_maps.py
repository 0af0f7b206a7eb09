"""Nav2 maps: origin, row order, thresholds, errors; and a map as a scene."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import yaml
from PIL import Image

from embodiments.spaces import HEIGHT_LAYERS_M
from scenes import registry
from scenes.grid import Grid
from scenes.nav2_map import load, load_scene, save
from scenes.occupancy import BORDER_CELLS, layer_occupancy
from scenes.scene import content_key

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
    """Occupancy is 1 - grey / 255: 0 -> 1, 89 -> 0.651, 90 -> 0.647, 192 -> 0.247, 191 -> 0.251, 254 -> 0.004."""
    path = write([[0, 89, 90, 191, 192, 254]])
    assert load(path).values[0].tolist() == [True, True, True, True, False, False]
    assert load(path, unknown_is_occupied=False).values[0].tolist() == [True, True, False, False, False, False]


def test_a_grey_on_a_threshold_belongs_to_it(write: Callable[..., Path]) -> None:
    """Nav2 includes its thresholds: grey 51 has an occupancy of exactly 0.8, grey 204 of 0.2."""
    path = write([[51, 52, 203, 204]], occupied_thresh=0.8, free_thresh=0.2)
    assert load(path).values[0].tolist() == [True, True, True, False]
    assert load(path, unknown_is_occupied=False).values[0].tolist() == [True, False, False, False]


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
        ({"resolution": True}, "number is expected"),
        ({"resolution": 10**400}, "number is expected"),
        ({"resolution": 1e-4}, "0.005 to 1 metres per pixel"),
        ({"resolution": [0.05]}, "number is expected"),
        ({"origin": [0.0, 0.0]}, "bottom left pixel"),
        ({"origin": [0.0, 4.5e6, 0.0]}, "farther than 10000 m"),
        ({"negate": 7}, "0 or 1 is expected"),
        ({"image": ""}, "path of an image"),
        ({"mode": "raw"}, "only 'trinary'"),
        ({"free_thresh": 0.9}, "free_thresh <= occupied_thresh"),
    ],
)
def test_bad_keys_are_explained_in_one_line(write: Callable[..., Path], changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        load(write(**changes))
    assert "\n" not in str(error.value) and "map.yaml" in str(error.value)


def room_in_the_unknown() -> np.ndarray:
    """Return a room of 6 x 4 pixels with walls, in the middle of what map savers write for unknown."""
    grey = np.full((20, 30), 205, dtype=np.uint8)
    grey[8:12, 10:16] = 254
    grey[[7, 12], 9:17] = grey[7:13, [9]] = grey[7:13, [16]] = 0
    return grey


@pytest.mark.parametrize("free_thresh", [0.196, 0.25])
def test_what_a_map_saver_writes_for_unknown_is_unknown(write: Callable[..., Path], free_thresh: float) -> None:
    """Nav2's map_saver writes free_thresh 0.25, by which grey 205, an occupancy of 0.196, would be free."""
    path, remarks = write(room_in_the_unknown(), free_thresh=free_thresh), []
    grid = load(path, say=remarks.append)
    assert (~grid.values).sum() == 24 and grid.at(np.asarray([0.3, 3.0])) == np.False_
    assert (~load(path, unknown_is_occupied=False).values).sum() == 600 - 24  # all but the walls
    assert load_scene(path).extent_w_m == pytest.approx((-0.1, 2.7, 0.7, 3.3))
    assert load_scene(path, unknown_is_occupied=False).extent_w_m == pytest.approx((-1.0, 2.0, 2.0, 4.0))
    assert load_scene(path).remarks == tuple(remarks)
    assert len(remarks) == (free_thresh == 0.25)
    assert all("92.0% of its cells have grey 205" in line and "\n" not in line for line in remarks)


@pytest.mark.parametrize("first", [254, 250])
def test_few_cells_of_grey_205_are_unknown_only_in_a_map_savers_greys(write: Callable[..., Path], first: int) -> None:
    """A drawing has many greys, one pixel of 205 among them; a map saver has three."""
    pixels = np.full((20, 20), 254)
    pixels[0, :2] = 205, first
    assert load(write(pixels)).values.sum() == (first == 254)
    assert load(write(np.full((20, 20), 205))).values.sum() == 0  # nothing is lighter: 205 is its white


@pytest.mark.parametrize(
    ("channels", "suffix"),
    [
        ("L", "png"),
        ("LA", "png"),
        ("RGB", "png"),
        ("RGBA", "png"),
        ("P", "png"),
        ("L", "tif"),
        ("RGBA", "tif"),
        ("L", "bmp"),
    ],
)
def test_an_opaque_image_reads_alike_in_every_mode(
    write: Callable[..., Path], tmp_path: Path, channels: str, suffix: str
) -> None:
    grey = Image.fromarray(room_in_the_unknown())
    grey.convert("RGB" if channels == "P" else channels).convert(channels).save(tmp_path / f"other.{suffix}")
    expected = load(write(room_in_the_unknown(), free_thresh=0.196)).values
    assert np.array_equal(load(write(image=f"other.{suffix}", free_thresh=0.196)).values, expected)


def test_numbers_are_read_as_yaml_cpp_reads_them(write: Callable[..., Path]) -> None:
    path = write(room_in_the_unknown())
    path.write_text(
        "image: map.pgm\nresolution: 1e-1\t# metres\norigin:\t['-1.0', 2, \t0.0]\n"
        'negate: "0"\noccupied_thresh:\t.65\nfree_thresh: "0.196"\nmode: "trinary"\n'
    )
    assert load(path).resolution_m == 0.1 and load(path).origin_xy_w_m == (-1.0, 2.0)
    assert (~load(path).values).sum() == 24
    path.write_text(path.read_text().replace('negate: "0"', "negate: false"))
    assert (~load(path).values).sum() == 24


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_an_origins_quarter_turns_turn_the_map(write: Callable[..., Path], quarter_turns: int) -> None:
    """About the origin, anticlockwise: what was to its right lies above it after one turn."""
    pixels = np.full((3, 5), 254)
    pixels[2, 4] = 0  # bottom right: x from 0.4 to 0.5, y from 0 to 0.1
    grid = load(write(pixels, origin=[2.0, 1.0, quarter_turns * np.pi / 2.0]))
    assert np.array_equal(grid.values, np.rot90(load(write(pixels)).values, -quarter_turns))
    x, y = {1: (1.95, 1.45), 2: (1.55, 0.95), 3: (2.05, 0.55)}[quarter_turns]
    assert grid.at(np.asarray([x, y])) and grid.values.sum() == 1


def test_a_turned_map_keeps_its_walls_shut(write: Callable[..., Path]) -> None:
    pixels = np.full((40, 60), 205)
    pixels[5:35, 5:55] = 254
    pixels[[5, 34], 5:55] = pixels[5:35, [5]] = pixels[5:35, [54]] = 0
    straight = load(write(pixels, resolution=0.05, origin=[1.0, -2.0, 0.0]))
    grid = load(write(pixels, resolution=0.05, origin=[1.0, -2.0, 0.7]), unknown_is_occupied=False)
    rooms, count = scipy.ndimage.label(~grid.values, structure=np.ones((3, 3)))  # corners connect, too
    inside = np.argwhere(~straight.values)
    turn = np.asarray([(np.cos(0.7), -np.sin(0.7)), (np.sin(0.7), np.cos(0.7))])
    centres = (straight.centre(inside) - (1.0, -2.0)) @ turn.T + (1.0, -2.0)
    centres = centres[~grid.at(centres)]
    assert count == 2 and len(set(rooms[tuple(grid.cell(centres).T)].tolist())) == 1
    assert len(centres) > 0.9 * len(inside)


def test_a_tiny_yaw_is_none(write: Callable[..., Path]) -> None:
    level = load(write(room_in_the_unknown()))
    tiny = load(write(room_in_the_unknown(), origin=[-1.0, 2.0, 1e-5]))
    assert np.array_equal(tiny.values, level.values) and tiny.origin_xy_w_m == level.origin_xy_w_m


def plain_yaml(path: Path) -> str:
    return path.read_text()


def alias_bomb(path: Path) -> str:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)]
    return "a0: &a0 [x]\n" + "".join(levels) + plain_yaml(path) + "mode: *a8\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (alias_bomb, "anchors or aliases"),
        (lambda path: plain_yaml(path) + "resolution: 0.2\n", "key 'resolution' twice"),
        (lambda path: plain_yaml(path) + "extra: " + "[" * 5000 + "]" * 5000, "more than 8 deep"),
        (lambda path: plain_yaml(path) + "# " + "x" * 70_000, "more than 64 KiB"),
        (lambda path: "- 1\n- 2\n", "holds no keys"),
        (lambda path: "", "not valid yaml"),
        (lambda path: plain_yaml(path) + "? [a, b]\n: 1\n", "a key that is no word"),
        (lambda path: plain_yaml(path) + "mode: " + "x" * 5000, r"mode 'x{40}\.\.\.'"),
    ],
)
def test_a_hostile_yaml_is_one_short_line(
    write: Callable[..., Path], change: Callable[[Path], str], message: str
) -> None:
    path = write()
    path.write_text(change(path))
    with pytest.raises(ValueError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400 + len(str(path))


@pytest.mark.parametrize("kind", ["psd", "eps", "gif", "declared", "compressed"])
def test_images_of_other_formats_or_sizes_are_refused(write: Callable[..., Path], tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    if kind == "psd":
        other.write_bytes(b"8BPS\x00\x01" + bytes(30))
    elif kind in ("eps", "gif"):
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(other, format=kind)
    elif kind == "declared":
        other.write_bytes(b"P5 2000000000 2000000000 255\n0")
    else:
        Image.new("1", (9000, 9000)).save(other, format="png")
    with pytest.raises(ValueError, match="cannot be read as PNG, PGM, BMP, TIFF, JPEG") as error:
        load(write(image="other"))
    assert "\n" not in str(error.value)


def test_maps_too_large_or_too_noisy_for_a_scene_are_refused(write: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="spans 400 x 400 m"):
        load_scene(write(np.full((400, 400), 254), resolution=1.0))
    noise = np.random.default_rng(0).choice([0, 254], size=(800, 800))
    with pytest.raises(ValueError, match="the image is noisy"):
        load_scene(write(noise))


def test_a_scenes_content_key_follows_its_content(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(room_in_the_unknown())
    key = content_key(load_scene(path))
    other = tmp_path / "elsewhere"
    other.mkdir()
    Image.fromarray(room_in_the_unknown()).save(other / "image.png")
    (other / "same.yaml").write_text(plain_yaml(path).replace("map.pgm", "image.png") + "# the same\n")
    assert content_key(load_scene(other / "same.yaml")) == key
    assert content_key(load_scene(path, wall_height_m=3.0)) == key
    assert content_key(load_scene(path, unknown_is_occupied=False)) != key
    assert content_key(load_scene(write(room_in_the_unknown(), resolution=0.11))) != key
    office = registry.generate("office", split="val", index=0)
    assert content_key(replace(office, name="x")) == content_key(office)
    assert content_key(office) != content_key(registry.generate("office", split="val", index=1))


@pytest.mark.parametrize(
    ("name", "mend"), [("a.stl", "convert it to .glb"), ("b/c.dae", "convert it to .glb"), ("m.pgm", "needs its yaml")]
)
def test_a_file_of_another_format_is_refused_with_the_formats(name: str, mend: str) -> None:
    with pytest.raises(ValueError, match=mend) as error:
        registry.load(name)
    assert ".yaml" in str(error.value) and ".ply" in str(error.value) and "\n" not in str(error.value)


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
