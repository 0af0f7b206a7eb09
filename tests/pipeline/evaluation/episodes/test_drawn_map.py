"""A map drawn by hand, through everything that an evaluation does with it: where it says things are, there they are."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from embodiments import registry as robots
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.evaluation.episodes.plan import Job, draw, shards
from pipeline.simulation.navigation.goal_fields import GOAL_CLEARANCE_M
from scenes import registry
from scenes.raycasting import SceneRaycaster
from scenes.registry import FileOptions

ORIGIN_M = (-7.3, -4.1)
SIZE_M = (14.0, 9.0)
WALL_M = 0.2
ANGLE_RAD = np.radians(33.0)
PILLAR_M = (3.5, 2.9, 0.4)
"""x, y, half side: in the upper right of the map alone"""
UNKNOWN_M = (-7.3, 1.5, -4.9, 4.9)
"""x_min, y_min, x_max, y_max: the upper left corner was never seen"""
UNKNOWN_GREY = 205


def slanted_m(xy_m: np.ndarray) -> np.ndarray:
    """Return the distance (...) of world points (..., 2) from the middle of the slanted wall, 4 m from (-1, -2) on."""
    along = np.asarray([np.cos(ANGLE_RAD), np.sin(ANGLE_RAD)])
    offset = xy_m - np.asarray([-1.0, -2.0])
    reach = np.clip(offset @ along, 0.0, 4.0)
    return np.linalg.norm(offset - reach[..., None] * along, axis=-1)


def occupied(xy_m: np.ndarray) -> np.ndarray:
    """Return which world points (..., 2) lie in a wall or the pillar: the truth."""
    x, y = xy_m[..., 0] - ORIGIN_M[0], xy_m[..., 1] - ORIGIN_M[1]
    rim = (x < WALL_M) | (y < WALL_M) | (x > SIZE_M[0] - WALL_M) | (y > SIZE_M[1] - WALL_M)
    pillar = np.abs(xy_m - PILLAR_M[:2]).max(axis=-1) < PILLAR_M[2]
    return rim | pillar | (slanted_m(xy_m) < WALL_M / 2.0)


def unknown(xy_m: np.ndarray) -> np.ndarray:
    low, high = np.asarray(UNKNOWN_M[:2]), np.asarray(UNKNOWN_M[2:])
    return ((xy_m > low) & (xy_m < high)).all(axis=-1)


@pytest.fixture(params=[0.03, 0.05])
def drawn(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, float]:
    """Return the map's path and resolution."""
    cell_m = request.param
    columns, rows = round(SIZE_M[0] / cell_m), round(SIZE_M[1] / cell_m)
    x = ORIGIN_M[0] + (np.arange(columns) + 0.5) * cell_m
    y = ORIGIN_M[1] + (np.arange(rows) + 0.5) * cell_m
    xy = np.stack(np.meshgrid(x, y), axis=-1)
    pixels = np.where(occupied(xy), 0, np.where(unknown(xy), UNKNOWN_GREY, 254)).astype(np.uint8)
    Image.fromarray(pixels[::-1]).save(tmp_path / "drawn.pgm")  # image row 0 is the highest y
    keys = {"image": "drawn.pgm", "resolution": cell_m, "origin": [*ORIGIN_M, 0.0], "negate": 0}
    (tmp_path / "drawn.yaml").write_text(yaml.safe_dump(keys | {"occupied_thresh": 0.65, "free_thresh": 0.196}))
    return str(tmp_path / "drawn.yaml"), cell_m


def job(path: str, **changes: object) -> Job:
    values = {
        "embodiment": "tiago",
        "agents": ("teacher",),
        "policies": {},
        "scenes": (path,),
        "split": "test",
        "episodes": 24,
        "routes": ("planned", "straight"),
        "protocol": "compass",
        "seed": 0,
        "num_envs": 4,
        "device": "cpu",
        "folder": "",
    }
    return Job(**values | changes)  # type: ignore[arg-type]


def test_episodes_of_a_drawn_map_stand_where_there_is_room(drawn: tuple[str, float]) -> None:
    body = robots.get("tiago")
    plan = draw(job(drawn[0]), body)
    task = plan.task
    assert (plan.scene == drawn[0]).all() and plan.number.tolist() == list(range(24))
    low, high = np.asarray(ORIGIN_M), np.asarray(ORIGIN_M) + SIZE_M
    starts, goals = task.episodes.start_w[:24, :2], task.episodes.goal_w[:24, :2]
    reach_m = body.circumscribed_radius_m(0) + GOAL_CLEARANCE_M - 2.0 * drawn[1]
    angle = np.linspace(0.0, 2.0 * np.pi, 64)
    ring = reach_m * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    for xy in (*starts, *goals):
        assert ((xy > low) & (xy < high)).all()
        assert not occupied(xy + ring).any() and not unknown(xy + ring).any(), xy
    # the planned routes keep off what is drawn; the straight ones run through it
    planned, straight = task.episodes.route_w_m[:24], task.episodes.route_w_m[24:]
    assert not occupied(planned).any() and occupied(straight).any()


def test_distance_and_depth_of_a_drawn_map_agree_with_the_drawing(drawn: tuple[str, float]) -> None:
    path, cell_m = drawn
    plan = draw(job(path, episodes=1), robots.get("tiago"))
    distance = plan.task.fields[0].distance
    rng = np.random.default_rng(1)
    points = rng.uniform((-4.5, -3.5), (6.0, 4.5), size=(80, 2))
    points = points[~occupied(points) & ~unknown(points)]
    raycaster = SceneRaycaster(plan.task.scenes)
    angle = np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(60)], axis=1)
    origin = np.column_stack([points, np.full(len(points), 1.0)])
    seen, _ = raycaster.cast(np.zeros(len(points), dtype=int), origin, np.broadcast_to(ring, (len(points), 60, 3)))
    true = march(points, ring[:, :2])
    # a ray along a staircase of pixels meets it a little earlier or later
    assert np.quantile(np.abs(seen - true), 0.95) < 2.0 * cell_m
    nearest = true.min(axis=1)
    field = distance.at(points)
    assert field.shape[0] == len(HEIGHT_LAYERS_M)
    assert (np.abs(field - nearest) < 0.15).mean() > 0.95


def march(points: np.ndarray, directions: np.ndarray, *, step_m: float = 0.01) -> np.ndarray:
    """Return how far (N, K) rays run from points (N, 2) along directions (K, 2) before the drawing stops them."""
    reach = np.arange(0.0, 15.0, step_m)
    far = np.zeros((len(points), len(directions)))
    for row, point in enumerate(points):
        xy = point + reach[None, :, None] * directions[:, None]  # (K, T, 2)
        far[row] = reach[(occupied(xy) | unknown(xy)).argmax(axis=1)]
    return far


def test_unknown_ground_is_closed_or_open_as_told(drawn: tuple[str, float]) -> None:
    spot = np.asarray([-6.0, 3.0])
    for unknown_ground, free in (("closed", False), ("open", True)):
        options = FileOptions(map_unknown=unknown_ground)  # type: ignore[arg-type]
        plan = draw(job(drawn[0], episodes=1, files=options), robots.get("tiago"))
        assert bool((plan.task.fields[0].distance.at(spot) > 0.0).all()) is free


def test_walls_are_as_high_as_told(drawn: tuple[str, float]) -> None:
    for height_m in (0.5, 3.0):
        scene = registry.load(drawn[0], options=FileOptions(map_wall_height_m=height_m))
        pillar = np.asarray([[[1.0, 0.0, 0.0]]])
        for above, hits in ((-0.05, True), (0.05, False)):
            origin = np.asarray([[PILLAR_M[0] - 2.0, PILLAR_M[1], height_m + above]])
            far, _ = SceneRaycaster([scene]).cast(np.zeros(1, dtype=int), origin, pillar)
            assert bool(far[0, 0] == pytest.approx(2.0 - PILLAR_M[2], abs=0.06)) is hits
    with pytest.raises(ValueError, match="height above 0"):
        registry.load(drawn[0], options=FileOptions(map_wall_height_m=0.0))


def test_a_map_too_narrow_for_the_body_is_refused_in_one_line(tmp_path: Path) -> None:
    pixels = np.zeros((80, 80), dtype=np.uint8)
    pixels[36:44, 5:75] = 254  # a corridor of 0.4 m
    Image.fromarray(pixels).save(tmp_path / "narrow.pgm")
    keys = {"image": "narrow.pgm", "resolution": 0.05, "origin": [0.0, 0.0, 0.0], "negate": 0}
    (tmp_path / "narrow.yaml").write_text(yaml.safe_dump(keys | {"occupied_thresh": 0.65, "free_thresh": 0.196}))
    with pytest.raises(ValueError, match="no free space for 'tiago'") as error:
        draw(job(str(tmp_path / "narrow.yaml")), robots.get("tiago"))
    assert "\n" not in str(error.value) and "narrow.yaml" in str(error.value)


def test_a_map_whose_goals_cannot_be_reached_is_refused_in_one_line(tmp_path: Path) -> None:
    """A cell of 1.7 m: room for the body, but no goal is 2 m away."""
    pixels = np.zeros((50, 50), dtype=np.uint8)
    pixels[8:42, 8:42] = 254
    Image.fromarray(pixels).save(tmp_path / "cell.pgm")
    keys = {"image": "cell.pgm", "resolution": 0.05, "origin": [0.0, 0.0, 0.0], "negate": 0}
    (tmp_path / "cell.yaml").write_text(yaml.safe_dump(keys | {"occupied_thresh": 0.65, "free_thresh": 0.196}))
    with pytest.raises(ValueError, match="no start and goal that 'tiago'") as error:
        draw(job(str(tmp_path / "cell.yaml")), robots.get("tiago"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("drawn", [0.05], indirect=True)
def test_val_and_test_episodes_of_a_map_differ(drawn: tuple[str, float]) -> None:
    asked = job(drawn[0], episodes=4)
    starts = [
        draw(dataclasses.replace(asked, split=split), robots.get("tiago")).task.episodes.start_w
        for split in ("val", "test")
    ]
    assert not np.isclose(starts[0], starts[1]).any()


@pytest.mark.parametrize("drawn", [0.05], indirect=True)
def test_shards_of_a_map_draw_what_the_whole_draws(drawn: tuple[str, float]) -> None:
    asked = job(drawn[0], episodes=70)
    body = robots.get("tiago")
    whole = draw(asked, body)
    parts = [draw(asked, body, shard=shard) for shard in range(len(shards(asked)))]
    assert len(parts) == 2 and [len(part) for part in parts] == [64, 6]
    assert np.concatenate([part.number for part in parts]).tolist() == whole.number.tolist() == list(range(70))
    starts = np.concatenate([part.task.episodes.start_w[: len(part)] for part in parts])
    assert np.array_equal(starts, whole.task.episodes.start_w[:70])
    assert len(np.unique(starts, axis=0)) == 70
