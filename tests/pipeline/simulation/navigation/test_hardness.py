"""A straight line is blocked exactly where this body would collide on it."""

import numpy as np
import pytest

from embodiments import registry as robots
from pipeline.simulation.navigation import hardness
from pipeline.simulation.navigation.episodes import EpisodeSet, scene_fields
from scenes import registry
from scenes.scene import FURNITURE, Scene, box


def one_episode(start_xy: tuple[float, float], goal_xy: tuple[float, float]) -> EpisodeSet:
    line = np.asarray([[start_xy, goal_xy]], dtype=np.float32)
    return EpisodeSet(
        protocol="compass",
        scene_index=np.zeros(1, dtype=np.int64),
        goal_index=np.zeros(1, dtype=np.int64),
        start_w=np.asarray([[*start_xy, 2.0]], dtype=np.float32),
        goal_w=np.asarray([[*goal_xy, -1.0]], dtype=np.float32),
        stop_xy_w_m=np.asarray([goal_xy], dtype=np.float32),
        planned=np.zeros(1, dtype=bool),
        route_w_m=line,
        initial_geodesic_m=np.ones(1, dtype=np.float32),
        fastest_time_s=np.ones(1, dtype=np.float32),
        time_limit_s=np.ones(1, dtype=np.float32),
        cost_to_go=(),
        geodesic=(),
    )


def layer(z_min_m: float, high_m: float) -> Scene:
    """Return a hall with one board of 1 x 2 m at the origin."""
    board = box(
        centre_xy_w_m=(0.0, 0.0),
        size_m=(1.0, 2.0, high_m),
        yaw_rad=0.0,
        z_min_m=z_min_m,
        semantic=FURNITURE,
        known=True,
    )
    return Scene(name="layer/test/0", kind="layer", solids=(board,), extent_w_m=(-5.0, -5.0, 5.0, 5.0))


def is_blocked(name: str, scene: Scene, start_xy: tuple[float, float], goal_xy: tuple[float, float]) -> bool:
    return bool(hardness.blocked(robots.get(name), [scene_fields(scene)], one_episode(start_xy, goal_xy))[0])


def test_a_board_at_table_height_stops_a_tall_body_only() -> None:
    table = layer(0.72, 0.04)
    assert is_blocked("g1", table, (-3.0, 0.0), (3.0, 0.0))
    assert not is_blocked("go2", table, (-3.0, 0.0), (3.0, 0.0))


def test_the_corridor_is_as_wide_as_the_body() -> None:
    """The block ends at y = 1; TIAGo's base reaches 0.27 m to the side."""
    block = layer(0.0, 1.5)
    half_width_m = max(abs(disc.y_m) + disc.radius_m for discs in robots.get("tiago").footprint for disc in discs)
    inside, outside = 1.0 + half_width_m - 0.06, 1.0 + half_width_m + 0.06
    assert is_blocked("tiago", block, (-3.0, inside), (3.0, inside))
    assert not is_blocked("tiago", block, (-3.0, outside), (3.0, outside))
    # Only what lies between start and goal counts.
    assert not is_blocked("tiago", block, (-3.0, 0.0), (-1.5, 0.0))


IN_TIME = {"doorways": 0.8}
"""One door per room makes longer ways"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", registry.names())
def test_scenes_are_hard_enough(kind: str) -> None:
    """24 episodes have a standard error of 10 points; every kind exceeds its limit by more, also for a low body."""
    scenes = [registry.generate(kind, split="val", index=index) for index in range(8)]
    fields = [scene_fields(scene) for scene in scenes]
    for robot in ("tiago", "go2"):
        figures = hardness.measure(robots.get(robot), scenes, fields, per_scene=3, seed=0)
        assert figures.hard_enough, figures
        assert figures.detour_median < 1.5 and figures.in_time > IN_TIME.get(kind, 0.9)
