"""Episodes: what a goal promises, and where the teacher may rest near it."""

import numpy as np
import pytest

from embodiments import registry as robots
from embodiments.spaces import SLABS_M
from pipeline.simulation.episodes import (
    GOAL_CLEARANCE_M,
    REST_RADIUS_M,
    SUCCESS_RADIUS_M,
    build_episodes,
    scene_fields,
)
from scenes import registry
from scenes.fields import clearance


@pytest.mark.parametrize("robot", ["stretch3", "g1"])
def test_goals_and_places_to_rest_have_room_for_the_body(robot: str) -> None:
    body = robots.get(robot)
    scenes = [registry.generate(kind, split="val", index=0) for kind in ("office", "warehouse_multi")]
    fields = [scene_fields(scene) for scene in scenes]
    episodes = build_episodes(body, scenes, fields, protocol="compass", per_scene=8, route="straight", seed=0)
    radii = [body.circumscribed_radius_m(slab) for slab in range(len(SLABS_M))]
    room = [clearance(field.distance, radii) for field in fields]
    goal_xy, rest_xy = episodes.goal_w[:, :2], episodes.rest_xy_w_m
    way_m = np.linalg.norm(rest_xy - goal_xy, axis=1)
    assert way_m.max() <= REST_RADIUS_M + 1e-5 < SUCCESS_RADIUS_M["compass"]
    at_goal, at_rest = (
        np.asarray([room[scene].at(xy) for scene, xy in zip(episodes.scene_index, places, strict=True)])
        for places in (goal_xy, rest_xy)
    )
    assert at_goal.min() > GOAL_CLEARANCE_M
    tight = at_goal < 0.12
    assert tight.any() and (at_rest[tight] > at_goal[tight]).mean() > 0.9
    assert (at_rest >= at_goal - 0.03).all() or at_rest[at_rest < at_goal].min() > 0.2
