"""Episodes: clearance at goals, their distance, and the teacher's stop pose near them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embodiments import registry as robots
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.simulation.navigation import episodes as module
from pipeline.simulation.navigation.episodes import (
    SUCCESS_RADIUS_M,
    NoFreeSpaceError,
    Protocol,
    build_episodes,
    scene_fields,
)
from pipeline.simulation.navigation.goal_fields import GOAL_CLEARANCE_M, STOP_RADIUS_M, body_maps
from scenes import nav2_map, registry
from scenes.fields import clearance, distance_field
from scenes.grid import Grid


@pytest.mark.parametrize("robot", ["stretch3", "g1"])
def test_goals_and_stop_poses_have_clearance_for_the_body(robot: str) -> None:
    body = robots.get(robot)
    scenes = [registry.generate(kind, split="val", index=0) for kind in ("office", "warehouse_multi")]
    fields = [scene_fields(scene) for scene in scenes]
    episodes = build_episodes(body, scenes, fields, protocol="compass", per_scene=8, route="straight", seed=0)
    radii = [body.circumscribed_radius_m(layer) for layer in range(len(HEIGHT_LAYERS_M))]
    clearances = [clearance(field.distance, radii) for field in fields]
    goal_xy, stop_xy = episodes.goal_w[:, :2], episodes.stop_xy_w_m
    path_m = np.linalg.norm(stop_xy - goal_xy, axis=1)
    assert path_m.max() <= STOP_RADIUS_M + 1e-5 < SUCCESS_RADIUS_M["compass"]
    at_goal, at_stop = (
        np.asarray([clearances[scene].at(xy) for scene, xy in zip(episodes.scene_index, places, strict=True)])
        for places in (goal_xy, stop_xy)
    )
    assert at_goal.min() > GOAL_CLEARANCE_M
    tight = at_goal < 0.12
    assert tight.any() and (at_stop[tight] > at_goal[tight]).mean() > 0.9
    assert (at_stop >= at_goal - 0.03).all() or at_stop[at_stop < at_goal].min() > 0.2


@pytest.mark.parametrize("protocol", ["compass", "pointnav"])
def test_goals_are_as_far_and_the_time_as_long_as_the_protocol_says(protocol: Protocol) -> None:
    body = robots.get("stretch3")
    scene = registry.generate("warehouse_single", split="val", index=1)
    episodes = build_episodes(
        body, [scene], [scene_fields(scene)], protocol=protocol, per_scene=24, route="straight", seed=0
    )
    assert len(episodes) == 24
    limits, path_m = body.limits, episodes.initial_geodesic_m
    straight_m = np.linalg.norm(episodes.goal_w[:, :2] - episodes.start_w[:, :2], axis=1)
    assert (path_m >= straight_m - 0.15).all()  # cells of 0.1 m
    # At least the distance to the tolerance at full speed, at most that and one whole start from standing.
    least_s = (path_m - SUCCESS_RADIUS_M[protocol]) / limits.forward_mps
    assert (episodes.fastest_time_s >= least_s - 1e-4).all()
    assert (episodes.fastest_time_s <= least_s + 2.0 * limits.forward_mps / limits.acceleration_mps2).all()
    if protocol == "compass":
        assert straight_m.min() >= 2.0 - 1e-4 and straight_m.max() <= 7.07 + 1e-4
        np.testing.assert_allclose(episodes.time_limit_s, 25.6 / limits.forward_mps, rtol=1e-5)
    else:
        assert path_m.min() >= 5.0 and path_m.max() <= 20.0 and path_m.max() > 8.0
        np.testing.assert_allclose(episodes.time_limit_s, 3.0 * episodes.fastest_time_s + 10.0, rtol=1e-5)


def test_as_long_as_something_is_found_the_search_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    body, scene = robots.get("tiago"), registry.generate("clutter", split="val", index=0)
    fields, tries = scene_fields(scene), iter(range(10**9))
    find = module._start_candidates
    nothing = np.zeros((0, 2))

    def seldom(*arguments: Any, **options: Any) -> np.ndarray:
        return find(*arguments, **options) if next(tries) % 5 == 4 else nothing

    monkeypatch.setattr(module, "_start_candidates", seldom)
    draw = partial(build_episodes, body, [scene], [fields], protocol="compass", route="straight", seed=0)
    monkeypatch.setattr(module, "_MAX_TRIES", 20)
    assert len(draw(per_scene=12)) == 12  # after some sixty tries
    monkeypatch.setattr(module, "_MAX_TRIES", 4)
    with pytest.raises(NoFreeSpaceError, match=r"found no start and goal .* after 4 tries in a row"):
        draw(per_scene=12)


def test_a_map_has_the_same_episodes_whatever_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute, copied under another name: the content counts. Another map has other episodes."""
    free = np.zeros((120, 100), dtype=bool)
    for name, occupied in (("room", free), ("other", free | (np.arange(100) < 3))):
        nav2_map.save(Grid(values=occupied, origin_xy_w_m=(0.0, 0.0), resolution_m=0.05), tmp_path / f"{name}.yaml")
    nav2_map.save(Grid(values=free, origin_xy_w_m=(0.0, 0.0), resolution_m=0.05), tmp_path / "copy.yaml")
    monkeypatch.chdir(tmp_path)

    def starts(path: str) -> np.ndarray:
        scene = registry.load(path)
        drawn = build_episodes(
            robots.get("go2"),
            [scene],
            [scene_fields(scene)],
            protocol="compass",
            per_scene=6,
            route="straight",
            seed=0,
            split="test",
        )
        return drawn.start_w

    typed = starts("room.yaml")
    for same in ("./room.yaml", str(tmp_path / "room.yaml"), "copy.yaml"):
        np.testing.assert_array_equal(starts(same), typed)
    assert not np.array_equal(starts("other.yaml"), typed)


def test_goals_lie_behind_doors_that_the_body_fits_and_can_turn_beyond() -> None:
    go2, anymal = robots.get("go2"), robots.get("anymal_c")
    hall = np.zeros((1, 128, 200), dtype=bool)
    hall[0, [0, -1], :] = hall[0, :, [0, -1]] = True
    hall[0, :, 100] = True
    hall[0, 56:73, 100] = False  # a door of 0.85 m
    distance = distance_field(Grid(values=hall, origin_xy_w_m=(0.0, 0.0), resolution_m=0.05))
    layered = Grid(
        values=np.repeat(distance.values, len(HEIGHT_LAYERS_M), 0), origin_xy_w_m=(0.0, 0.0), resolution_m=0.05
    )
    halves = []
    for robot in (go2, anymal):
        reachable = body_maps(robot, distance=layered, known_distance=layered).reachable
        halves.append((reachable[:, :50].any(), reachable[:, 51:].any()))
    assert halves[0] == (True, True)
    assert sum(halves[1]) == 1
