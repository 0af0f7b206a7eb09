"""Mesh files as scenes: which way is up, where the floor is, what is in the way, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from embodiments import registry as robots
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.evaluation.video.ground_plan import ground_plan
from pipeline.simulation.navigation.episodes import build_episodes, scene_fields
from scenes import registry
from scenes.fields import distance_field
from scenes.mesh_file import load_scene
from scenes.mesh_occupancy import samples
from scenes.occupancy import layer_occupancy
from scenes.raycasting import SceneRaycaster
from scenes.registry import FileOptions
from scenes.scene import FLOOR, OTHER, WALL, Scene

CELL_M = 0.05
FLOOR_Z_M = 1.3
# x_min, y_min, z_min, x_max, y_max, z_max above the floor: an asymmetric room of 8 x 6 m
ROOM = {
    "layer": (-3.0, -2.0, -0.2, 5.0, 4.0, 0.0),
    "south": (-3.0, -2.1, 0.0, 5.0, -2.0, 2.5),
    "north": (-3.0, 4.0, 0.0, 5.0, 4.1, 2.5),
    "west": (-3.1, -2.1, 0.0, -3.0, 4.1, 2.5),
    "east": (5.0, -2.1, 0.0, 5.1, 4.1, 2.5),
    "roof": (-3.1, -2.1, 2.5, 5.1, 4.1, 2.7),
    "pillar": (1.01, 2.01, 0.0, 1.41, 2.61, 2.5),
    "crate": (3.01, -1.0, 0.0, 3.8, -0.4, 0.6),
    "table_top": (-2.0, 1.0, 0.72, -1.0, 2.0, 0.76),
}


def room(**changes: tuple[float, ...] | None) -> trimesh.Trimesh:
    """Return the room, z up, in metres, its floor at ``FLOOR_Z_M``."""
    boxes = [np.asarray(edge) for edge in (ROOM | changes).values() if edge is not None]
    meshes = [trimesh.creation.box(bounds=[edge[:3], edge[3:]]) for edge in boxes]
    mesh = trimesh.util.concatenate(meshes)
    mesh.apply_translation((0.0, 0.0, FLOOR_Z_M))
    return mesh


def y_up(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    turned = mesh.copy()
    turned.vertices = mesh.vertices[:, [0, 2, 1]] * (1.0, 1.0, -1.0)
    return turned


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_mesh(mesh: trimesh.Trimesh | trimesh.PointCloud, name: str) -> Path:
        mesh.export(tmp_path / name)
        return tmp_path / name

    return write_mesh


def check_room(scene: Scene) -> None:
    """Compare a loaded room with the boxes that it was made of."""
    assert scene.extent_w_m == pytest.approx((-3.0, -2.0, 5.0, 4.0), abs=1e-4)
    grid = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, resolution_m=CELL_M)
    expected = {
        (1.2, 2.03): (True, True, True, True),  # a face of the pillar: inside, a closed body is empty
        (1.2, 1.9): (False, False, False, False),
        (3.03, -0.7): (True, True, False, False),
        (2.9, -0.7): (False, False, False, False),
        (-1.5, 1.5): (False, False, True, False),
        (-1.5, -1.5): (False, False, False, False),
        (2.0, 1.2): (False, False, False, False),  # where the pillar would be if x and y were swapped
        (-3.2, 0.0): (True, True, True, True),
    }
    for xy, layers in expected.items():
        assert tuple(grid.at(np.asarray(xy)).tolist()) == layers, xy


@pytest.mark.parametrize(
    ("suffix", "up", "roof"),
    [
        ("glb", "y", ROOM["roof"]),
        ("glb", "z", None),
        ("obj", "y", None),
        ("obj", "z", ROOM["roof"]),
        ("ply", "z", None),
    ],
)
def test_a_room_loads_upright_in_its_place(
    write: Callable[..., Path], suffix: str, up: str, roof: tuple[float, ...] | None
) -> None:
    """Its floor says which axis points up, not its file's format: z-up GLB and y-up OBJ are usual."""
    mesh = room(roof=roof)
    path = write(y_up(mesh) if up == "y" else mesh, f"room.{suffix}")
    scene = load_scene(path)
    check_room(scene)
    check_room(load_scene(path, up=up))  # type: ignore[arg-type]
    (remark,) = scene.remarks
    assert f"{up} points up" in remark and "--mesh-up overrules" in remark and "\n" not in remark


def box_room(x_m: float, y_m: float, z_m: float) -> trimesh.Trimesh:
    """Return six walls of 0.1 m around a clear space, its floor at z = 0."""
    outer, inner = np.asarray((x_m, y_m, z_m)) + 0.2, np.asarray((x_m, y_m, z_m))
    walls = []
    for axis in range(3):
        for side in (-1.0, 1.0):
            size, centre = outer.copy(), np.asarray((0.0, 0.0, z_m / 2.0))
            size[axis] = 0.1
            centre[axis] += side * (inner[axis] + 0.1) / 2.0
            walls.append(trimesh.creation.box(size, transform=trimesh.transformations.translation_matrix(centre)))
    return trimesh.util.concatenate(walls)


@pytest.mark.parametrize("size_m", [(3.0, 3.0, 2.6), (20.0, 1.6, 3.0), (20.0, 2.0, 3.2)])
def test_a_room_about_as_high_as_it_is_wide_asks_for_its_up_axis(
    write: Callable[..., Path], size_m: tuple[float, float, float]
) -> None:
    """The wall of a narrow corridor is larger than its floor."""
    path = write(y_up(box_room(*size_m)), "corridor.glb")
    with pytest.raises(ValueError, match=r"does not show which axis points up .*--mesh-up y or z") as error:
        load_scene(path)
    assert "\n" not in str(error.value) and "corridor.glb" in str(error.value)
    x_min, y_min, x_max, y_max = load_scene(path, up="y").extent_w_m
    assert (x_max - x_min, y_max - y_min) == pytest.approx((size_m[0] + 0.2, size_m[1] + 0.2), abs=0.01)


def test_an_axis_without_a_floor_is_a_contradiction(write: Callable[..., Path]) -> None:
    slab = trimesh.creation.box((6.0, 5.0, 0.1))
    with pytest.raises(ValueError, match=r"no floor with y up, as --mesh-up says.*3\d\.\d m² with z up"):
        load_scene(write(slab, "slab.glb"), up="y")
    low = write(box_room(6.0, 5.0, 1.5), "low.ply")
    with pytest.raises(ValueError, match=r"free floor: 0\.0 m² with z up"):
        load_scene(low)
    assert load_scene(low, up="z").extent_w_m == pytest.approx((-3.1, -2.6, 3.1, 2.6), abs=0.01)


def test_a_mesh_far_from_zero_is_refused(write: Callable[..., Path]) -> None:
    mesh = room()
    mesh.apply_translation((500_000.0, 4.0, 0.0))
    with pytest.raises(ValueError, match="farther than 10000 m"):
        load_scene(write(mesh, "utm.obj"))


def test_the_parts_of_a_file_keep_their_places(tmp_path: Path) -> None:
    whole = trimesh.Scene()
    for name, edge in ROOM.items():
        size = np.subtract(edge[3:], edge[:3])
        turned = trimesh.transformations.rotation_matrix(-np.pi / 2.0, (1.0, 0.0, 0.0))
        place = trimesh.transformations.translation_matrix(np.add(edge[:3], edge[3:]) / 2.0)
        whole.add_geometry(trimesh.creation.box(size), node_name=name, transform=turned @ place)
    whole.export(tmp_path / "parts.glb")
    check_room(load_scene(tmp_path / "parts.glb"))


def test_rays_and_distance_field_see_the_same_room(write: Callable[..., Path]) -> None:
    scene = load_scene(write(room(), "room.ply"))
    field = distance_field(layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, resolution_m=CELL_M))
    rng = np.random.default_rng(0)
    points = rng.uniform((-2.8, -1.8), (4.8, 3.8), size=(200, 2))
    points = points[field.at(points).T[:, :2].min(axis=1) > 0.1]
    angle = np.linspace(0.0, 2.0 * np.pi, 720, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    raycaster = SceneRaycaster([scene])
    for layer, height_m in ((0, 0.2), (3, 1.5)):
        origin = np.column_stack([points, np.full(len(points), height_m)])
        far, _ = raycaster.cast(np.zeros(len(points), dtype=int), origin, np.broadcast_to(ring, (len(points), 720, 3)))
        inside = ~((points > (1.0, 2.0)) & (points < (1.4, 2.6))).all(axis=1)
        gap = far.min(axis=1)[inside] - field.at(points)[layer][inside]
        assert gap.min() >= -0.5 * CELL_M and gap.max() < 1.5 * CELL_M  # touched cells are wholly occupied
        assert inside.sum() > 100


def test_classes_by_normal_and_height(write: Callable[..., Path]) -> None:
    scene = load_scene(write(room(), "room.ply"))
    origin = np.asarray([[0.0, 0.0, 1.0], [0.0, 0.0, 0.4]])
    directions = np.asarray([[[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [[3.01, -0.7, 0.0]] * 3])
    distance, found = SceneRaycaster([scene]).cast(np.zeros(2, dtype=int), origin, directions)
    assert found[0].tolist() == [FLOOR, WALL, OTHER]  # floor, wall, ceiling
    assert distance[0] == pytest.approx([1.0, 3.0, 1.5], abs=1e-3)
    assert found[1, 0] == OTHER and distance[1, 0] == pytest.approx(1.0, abs=1e-3)  # the crate


def test_episodes_are_drawn_in_a_mesh(write: Callable[..., Path]) -> None:
    scene = registry.load(write(room(), "room.ply"))
    fields = scene_fields(scene)
    drawn = build_episodes(
        robots.get("tiago"), [scene], [fields], protocol="compass", per_scene=8, route="planned", seed=0
    )
    for pose in (*drawn.start_w, *drawn.goal_w):
        assert -3.0 < pose[0] < 5.0 and -2.0 < pose[1] < 4.0
        assert (fields.distance.at(pose[:2]) > 0.2).all()


def test_where_there_is_no_floor_nobody_stands(write: Callable[..., Path]) -> None:
    """The floor is cut in two by a ditch of 1 m, without a wall in sight; a seam of 5 mm is no ditch."""
    halves = {"layer": (-3.0, -2.0, -0.2, 0.0, 4.0, 0.0), "other": (1.0, -2.0, -0.2, 2.995, 4.0, 0.0)}
    scene = load_scene(write(room(**halves, third=(3.0, -2.0, -0.2, 5.0, 4.0, 0.0)), "room.ply"))
    grid = layer_occupancy(scene, layers_m=HEIGHT_LAYERS_M, resolution_m=CELL_M)
    assert grid.at(np.asarray([0.5, 0.0])).all()
    assert not grid.at(np.asarray([-0.3, 0.0])).any() and not grid.at(np.asarray([2.9975, 0.0])).any()
    downwards = np.broadcast_to(np.asarray([[[0.0, 0.0, -1.0]]]), (2, 1, 3))
    above = np.asarray([[0.5, 0.0, 1.0], [-0.3, 0.0, 1.0]])
    far, _ = SceneRaycaster([scene]).cast(np.zeros(2, dtype=int), above, downwards)
    assert far[0, 0] > 5.0 and far[1, 0] == pytest.approx(1.0, abs=1e-3)  # a camera sees the ditch too


def test_a_floor_reaches_to_its_edges(write: Callable[..., Path]) -> None:
    bare = trimesh.creation.box((2.0, 2.0, 0.1), transform=trimesh.transformations.translation_matrix((0, 0, -0.05)))
    edge = layer_occupancy(load_scene(write(bare, "bare.ply")), layers_m=HEIGHT_LAYERS_M, resolution_m=CELL_M)
    assert not edge.at(np.asarray([[-0.96, 0.0], [0.96, 0.0], [0.0, 0.96], [0.0, -0.96]])).any()


def test_a_thin_long_triangle_leaves_no_gap() -> None:
    corners = np.asarray([(0.0, 0.0, 0.0), (30.0, 0.3, 0.0), (30.0, 0.4, 1.0)])
    points, owner = samples(corners, np.asarray([(0, 1, 2)]), step_m=0.02)
    along = np.sort(points[:, 0])
    assert (along[0], along[-1]) == pytest.approx((0.0, 30.0)) and np.diff(along).max() < 0.021
    assert (owner == 0).all() and len(points) < 400_000  # uncut: 1.1 million


@pytest.mark.parametrize(("factor", "advice"), [(1000.0, "0.001 (millimetres)"), (100.0, "0.01 (centimetres)")])
def test_a_mesh_that_is_not_in_metres_is_refused(write: Callable[..., Path], factor: float, advice: str) -> None:
    mesh = room()
    mesh.apply_scale(factor)
    path = write(mesh, "room.ply")
    with pytest.raises(ValueError, match="no building in metres") as error:
        load_scene(path)
    assert f"--mesh-scale {advice}" in str(error.value) and "\n" not in str(error.value)
    check_room(registry.load(path, options=FileOptions(mesh_scale=1.0 / factor)))


def test_a_mesh_without_a_floor_is_refused(write: Callable[..., Path]) -> None:
    path = write(room(layer=None, roof=None), "walls.ply")
    with pytest.raises(ValueError, match="has no floor with z up") as error:
        load_scene(path, up="z")
    assert "\n" not in str(error.value) and "walls.ply" in str(error.value)
    with pytest.raises(ValueError, match="does not show which axis points up"):  # lying on a wall is no way out
        load_scene(path)


def test_files_that_are_no_scenes_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no mesh at"):
        registry.load(tmp_path / "none.glb")
    with pytest.raises(ValueError, match="no triangles"):
        load_scene(write(trimesh.PointCloud(np.random.default_rng(0).random((50, 3))), "points.ply"))
    flat = trimesh.Trimesh([(0, 0, 0), (1, 0, 0), (3, 0, 0)], [(0, 1, 2)], process=False)
    with pytest.raises(ValueError, match="no triangle that has an area"):
        load_scene(write(flat, "flat.obj"))
    crowd = trimesh.Scene(trimesh.creation.icosphere(subdivisions=5))  # 20,480 triangles
    name = next(iter(crowd.geometry))
    for index in range(250):
        crowd.graph.update(frame_to=f"copy{index}", geometry=name)
    crowd.export(tmp_path / "crowd.glb")
    with pytest.raises(ValueError, match="at most 5000000 are supported"):
        load_scene(tmp_path / "crowd.glb")
    (tmp_path / "broken.glb").write_bytes(b"glTF and nothing else")
    with pytest.raises(ValueError, match="cannot be read") as error:
        load_scene(tmp_path / "broken.glb")
    assert "\n" not in str(error.value)


def test_a_mesh_is_drawn_from_above_as_bodies_are_kept_from_it(write: Callable[..., Path]) -> None:
    scene = load_scene(write(room(), "room.ply"))
    groups = {is_low: polygons for _, is_low, polygons in ground_plan(scene)}
    assert ground_plan(scene) is ground_plan(scene)  # films draw it in every frame

    def covered(polygons: list[np.ndarray], x: float, y: float) -> bool:
        return any((p.min(axis=0) <= (x, y)).all() and (p.max(axis=0) >= (x, y)).all() for p in polygons)

    for x, y in ((1.03, 2.3), (3.4, -1.02)):  # sides of the pillar and the crate: a mesh is hollow
        assert covered(groups[True], x, y)
    assert covered(groups[False], -1.5, 1.5) and not covered(groups[True], -1.5, 1.5)  # the table's top
    for x, y in ((-2.0, -1.0), (4.0, 3.0), (1.2, 1.0)):
        assert not covered(groups[True] + groups[False], x, y)
