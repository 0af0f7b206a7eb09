"""People: they reach their goals, keep out of walls, give the robot room, and hold no doorway for good."""

import numpy as np
import pytest
import torch

from embodiments import registry as robots
from pipeline.simulation.conditions.crowd import MAX_PEOPLE, PATH_POINTS, RADIUS_M, Crowd
from pipeline.simulation.navigation.crowd_plan import START_CLEAR_M, plan_people
from pipeline.simulation.navigation.episodes import build_episodes, scene_fields
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.delay import DRIVE_STEPS
from pipeline.simulation.physics.fields import FieldBank
from pipeline.simulation.physics.randomisation import nominal
from scenes import registry
from scenes.fields import distance_field
from scenes.grid import Grid

FAR_AWAY = (100.0, 100.0, 0.0)
SCENE = torch.zeros(1, dtype=torch.long)


@pytest.fixture
def body() -> BodyBatch:
    return BodyBatch(robots.get("tiago"), num_envs=1, block=nominal(), generator=torch.Generator(), device="cpu")


def corridor(*, door_m: float | None = None) -> FieldBank:
    """Return a hall of 12 x 4 m; with a door a wall across its middle leaves only that opening, at y = 0."""
    occupied = np.zeros((88, 248), dtype=bool)
    occupied[[0, 1, -2, -1], :] = occupied[:, [0, 1, -2, -1]] = True
    if door_m is not None:
        half = round(door_m / 0.05 / 2)
        occupied[: 44 - half, 123:125] = occupied[44 + half :, 123:125] = True
    grid = Grid(values=occupied[None], origin_xy_w_m=(-6.2, -2.2), resolution_m=0.05)
    return FieldBank([distance_field(grid)], device="cpu")


def walkers(*lines: tuple[tuple[float, float], tuple[float, float]], speed_mps: float = 1.0) -> Crowd:
    """Return a crowd that walks along straight lines, everybody from the first point; they notice the robot at once."""
    crowd = Crowd(1, device="cpu")
    plan = {name: torch.zeros(1, MAX_PEOPLE) for name in ("start_m", "speed_mps", "notice_s", "patience_s")}
    plan["path_w_m"] = torch.zeros(1, MAX_PEOPLE, PATH_POINTS, 2)
    plan["patience_s"] += 2.0
    for person, (start, end) in enumerate(lines):
        fraction = torch.linspace(0.0, 1.0, PATH_POINTS)[:, None]
        plan["path_w_m"][0, person] = torch.tensor(start) + fraction * (torch.tensor(end) - torch.tensor(start))
        plan["speed_mps"][0, person] = speed_mps
    crowd.begin(torch.ones(1, dtype=torch.bool), plan)
    return crowd


def walk(
    crowd: Crowd, body: BodyBatch, bank: FieldBank, *, seconds: float, robot: tuple[float, float, float] = FAR_AWAY
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return places (T, K, 2) and gaps (T, K)."""
    passed_w = torch.tensor(robot).expand(DRIVE_STEPS, 1, 3)
    places, gaps = [], []
    for _ in range(round(seconds * 10)):
        gaps.append(crowd.walk(body, passed_w, distance=bank, scene_index=SCENE)[0])
        places.append(crowd.xy_w[0].clone())
    return torch.stack(places), torch.stack(gaps)


def test_a_person_walks_to_one_goal_and_back_to_the_other(body: BodyBatch) -> None:
    places, _ = walk(walkers(((-4.0, 0.0), (4.0, 0.0))), body, corridor(), seconds=22.0)
    x = places[:, 0, 0]
    assert x[:100].max() > 3.2 and x[100:].min() < -3.2
    steps_m = (places[1:, 0] - places[:-1, 0]).norm(dim=-1)
    assert steps_m.max() <= 0.1 * 1.3 + 1e-4


def test_people_pass_a_narrow_door_and_stay_out_of_walls(body: BodyBatch) -> None:
    bank = corridor(door_m=0.9)
    places, _ = walk(walkers(((-4.0, 0.0), (4.0, 0.0))), body, bank, seconds=12.0)
    assert places[:, 0, 0].max() > 3.0
    index = torch.zeros(len(places), dtype=torch.long)
    assert bank.sample(index, index, places[:, 0]).min() > RADIUS_M - 0.05


def test_two_people_who_meet_pass_each_other(body: BodyBatch) -> None:
    crowd = walkers(((-4.0, 0.1), (4.0, 0.1)), ((4.0, -0.1), (-4.0, -0.1)))
    places, _ = walk(crowd, body, corridor(), seconds=11.0)
    assert places[:, 0, 0].max() > 3.0 and places[:, 1, 0].min() < -3.0
    assert (places[:, 0] - places[:, 1]).norm(dim=-1).min() > RADIUS_M


def test_who_has_noticed_the_robot_does_not_walk_into_it(body: BodyBatch) -> None:
    _, gaps = walk(walkers(((-4.0, 0.0), (4.0, 0.0))), body, corridor(), seconds=12.0, robot=(0.0, 0.0, 0.0))
    assert 0.0 < gaps[:, 0].min() < 0.5


def test_a_robot_in_the_door_is_not_waited_for_for_ever(body: BodyBatch) -> None:
    crowd = walkers(((-4.0, 0.0), (4.0, 0.0)))
    places, _ = walk(crowd, body, corridor(door_m=0.9), seconds=12.0, robot=(0.0, 0.0, 0.0))
    nearest = int(places[:, 0, 0].argmax())
    assert -1.5 < places[nearest, 0, 0] < 0.0
    assert places[-1, 0, 0] < places[nearest, 0, 0] - 0.5


def test_rays_hit_the_nearest_person() -> None:
    crowd = walkers(((2.0, 0.0), (3.0, 0.0)), ((4.0, 0.0), (5.0, 0.0)))
    origin = torch.tensor([[0.0, 0.0, 1.0]])
    directions = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]])
    hit = crowd.cast(origin, directions)
    assert hit[0, 0] == pytest.approx(2.0 - RADIUS_M)
    assert torch.isinf(hit[0, 1:]).all()


def test_who_walks_where_depends_on_scene_and_episode_alone() -> None:
    scenes = [registry.generate("office", split="val", index=index) for index in range(2)]
    fields = [scene_fields(scene) for scene in scenes]
    robot = robots.get("tiago")
    episodes = build_episodes(robot, scenes, fields, protocol="compass", per_scene=4, route="straight", seed=3)
    plan, again = (plan_people(scenes, fields, episodes, seed=0) for _ in range(2))
    alone = plan_people(
        scenes[1:],
        fields[1:],
        build_episodes(robot, scenes[1:], fields[1:], protocol="compass", per_scene=4, route="planned", seed=3),
        seed=0,
    )
    assert (plan.speed_mps > 0.0).any()
    for name in ("path_w_m", "start_m", "speed_mps"):
        assert np.array_equal(getattr(plan, name), getattr(again, name))
        assert np.array_equal(getattr(plan, name)[4:], getattr(alone, name))
    spacing_m = np.linalg.norm(plan.path_w_m[:, :, 1] - plan.path_w_m[:, :, 0], axis=-1)
    for episode, person in np.argwhere(plan.speed_mps > 0.0):
        point = round(plan.start_m[episode, person] / spacing_m[episode, person])
        start = plan.path_w_m[episode, person, point]
        assert np.linalg.norm(start - episodes.start_w[episode, :2]) > START_CLEAR_M - 0.1


def test_who_has_noticed_the_robot_walks_around_it(body: BodyBatch) -> None:
    places, gaps = walk(walkers(((-4.0, 0.0), (4.0, 0.0))), body, corridor(), seconds=10.0, robot=(0.0, 0.1, 0.0))
    assert places[:, 0, 0].max() > 3.0
    assert gaps[:, 0].min() > 0.05
