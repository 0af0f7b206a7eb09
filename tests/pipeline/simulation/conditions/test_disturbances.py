"""Disturbances, each computed by hand: delays, a person's depth and clearance, biases, losses."""

import math

import numpy as np
import pytest
import torch

from embodiments import registry
from pipeline.simulation.conditions import disturbances
from pipeline.simulation.conditions.disturbances import FACTORS, NAMES, NEUTRAL, Disturbance
from pipeline.simulation.conditions.people import HEIGHT_M, RADIUS_M, REACH_M, YIELD_M, Person
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.delay import DelayLine
from pipeline.simulation.physics.randomisation import nominal
from pipeline.simulation.sensors.depth_camera import DepthCamera
from pipeline.simulation.sensors.ray_caster import make as make_caster
from scenes.scene import PERSON, Scene
from tests.pipeline.simulation.sensors.test_depth_camera import COLUMNS, ROWS, Body, mount, scene_of, wall

EVERYONE = torch.tensor([True])


def open_space(points_w: torch.Tensor) -> torch.Tensor:
    return torch.full(points_w.shape[:2], 9.0)


def straight_ahead(length_m: float = 6.0) -> torch.Tensor:
    """Return a route (1, 128, 2) along x."""
    x = torch.linspace(0.0, length_m, 128)
    return torch.stack([x, torch.zeros(128)], dim=1)[None]


def walker(*, speed_mps: float = 1.0, phase: float = 0.5, clearance=open_space) -> Person:
    person = Person(1, device="cpu")
    person.begin(
        EVERYONE,
        speed_mps=torch.tensor([speed_mps]),
        phase=torch.tensor([phase]),
        route_w_m=straight_ahead(),
        clearance=clearance,
    )
    return person


def body(name: str = "tiago") -> BodyBatch:
    return BodyBatch(registry.get(name), num_envs=1, block=nominal(), generator=torch.Generator(), device="cpu")


def camera_of(scene: Scene, *, envs: int = 1, noise: float = 0.0) -> DepthCamera:
    robot = Body(registry.get("tiago"), torch.zeros(envs, 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]] * envs))
    sensor = DepthCamera(make_caster([scene], device="cpu"), robot, noise_scale=noise)
    sensor._base_height_m = 0.0  # the mount's height is then the one above the ground
    return sensor


def test_every_factor_is_named_once_and_its_levels_lie_in_its_range() -> None:
    assert len(set(NAMES)) == len(FACTORS)
    for factor in FACTORS:
        assert factor.low <= factor.neutral <= factor.high and factor.low < factor.high
        assert all(factor.low <= level <= factor.high and level != factor.neutral for level in factor.levels)
        assert list(factor.levels) == sorted(factor.levels)


def test_normalised_factors_span_the_ranges() -> None:
    low, high = disturbances.unit_bounds()
    np.testing.assert_array_equal(disturbances.from_unit(np.zeros(len(FACTORS))), NEUTRAL)
    np.testing.assert_allclose(disturbances.from_unit(high), [factor.high for factor in FACTORS], rtol=1e-6)
    np.testing.assert_allclose(disturbances.from_unit(low), [factor.low for factor in FACTORS], rtol=1e-6)
    half = dict(zip(NAMES, disturbances.from_unit(0.5 * low), strict=True))
    assert half["camera_pitch"] == pytest.approx(-0.05) and half["mass"] == pytest.approx(0.85)


@pytest.mark.parametrize(("latency_s", "first_step", "first_drive_step"), [(0.0, 0, 0), (0.06, 0, 3), (0.3, 3, 0)])
def test_a_command_arrives_after_the_latency(latency_s: float, first_step: int, first_drive_step: int) -> None:
    line = DelayLine(1, longest_s=0.3, device="cpu")
    line.begin(EVERYONE, torch.tensor([latency_s]))
    arrivals = []
    for step in range(5):
        line.send(torch.full((1, 3), float(step + 1)))
        arrivals += [(step, drive, float(line.arrived(drive)[0, 0])) for drive in range(5)]
    first = next((step, drive) for step, drive, value in arrivals if value == 1.0)
    assert first == (first_step, first_drive_step)
    assert all(value == 0.0 for step, drive, value in arrivals if (step, drive) < first)
    assert sum(value == 1.0 for *_, value in arrivals) == 5  # it holds for one control step


def test_a_new_episode_does_not_hear_the_commands_of_the_last() -> None:
    line = DelayLine(2, longest_s=0.3, device="cpu")
    line.begin(torch.tensor([True, True]), torch.tensor([0.1, 0.1]))
    line.send(torch.ones(2, 3))
    line.begin(torch.tensor([True, False]), torch.tensor([0.1, 0.1]))
    line.send(torch.zeros(2, 3))
    assert line.arrived(0)[:, 0].tolist() == [0.0, 1.0]


def test_a_person_appears_at_the_right_planar_depth() -> None:
    person = walker()
    np.testing.assert_allclose(person.xy_w[0], [3.0, 0.0], atol=0.03)
    camera = torch.tensor([mount(z=1.0)])
    sensor = camera_of(scene_of(wall(8.0)))
    depth, semantic = sensor.render(camera, torch.zeros(1, dtype=torch.long), own_body=False, person=person.cast)
    seen = semantic[0].numpy() == PERSON
    # A ray with leftward slope s meets the circle where (t - x)^2 + (s t)^2 = r^2.
    x = float(person.xy_w[0, 0])
    for column in range(64):
        s = COLUMNS[column]
        root = x**2 - (1.0 + s**2) * (x**2 - RADIUS_M**2)
        t = (x - math.sqrt(max(root, 0.0))) / (1.0 + s**2)
        rows = (ROWS * t + 1.0 > 0.0) & (ROWS * t + 1.0 < HEIGHT_M) & (root > 0.0)
        np.testing.assert_array_equal(seen[:, column], rows)
        np.testing.assert_allclose(depth[0, 0, rows, column], t, atol=1e-3)
    assert seen.any() and not seen.all()


def test_a_person_behind_a_wall_is_not_seen() -> None:
    sensor, camera = camera_of(scene_of(wall(2.0))), torch.tensor([mount(z=1.0)])
    _, semantic = sensor.render(camera, torch.zeros(1, dtype=torch.long), own_body=False, person=walker().cast)
    assert not (semantic == PERSON).any()


def test_the_gap_to_a_person_lies_between_the_footprints() -> None:
    person, robot = walker(), body()
    here = torch.zeros(5, 1, 3)
    front_m = max(disc.x_m + disc.radius_m for layer in registry.get("tiago").footprint for disc in layer)
    expected_m = float(person.xy_w[0, 0]) - RADIUS_M - front_m
    assert float(person.advance(robot, here)) == pytest.approx(expected_m, abs=0.02)
    assert math.isinf(walker(speed_mps=0.0).advance(robot, here).item())


def test_a_person_walks_at_the_given_speed_to_both_ends_and_back() -> None:
    person, far = walker(speed_mps=1.0), torch.zeros(5, 1, 3)
    y = []
    for _ in range(100):
        person.advance(body(), far)
        y.append(float(person.xy_w[0, 1]))
    steps = np.abs(np.diff(y))
    assert steps.max() == pytest.approx(0.1, abs=1e-4)
    assert max(y) == pytest.approx(REACH_M, abs=1e-3) and min(y) == pytest.approx(-REACH_M, abs=1e-3)


def test_a_person_does_not_walk_through_what_stands_there() -> None:
    def clearance(points_w: torch.Tensor) -> torch.Tensor:
        return (1.0 - points_w[..., 1]).abs()  # a wall along y = 1

    person, far = walker(clearance=clearance), torch.zeros(5, 1, 3)
    y = []
    for _ in range(100):
        person.advance(body(), far)
        y.append(float(person.xy_w[0, 1]))
    assert max(y) <= 1.0 - RADIUS_M and min(y) == pytest.approx(-REACH_M, abs=1e-3)


def test_a_person_stands_while_the_robot_is_near() -> None:
    person, robot = walker(), body()
    x = float(person.xy_w[0, 0])
    reach_m = max(disc.x_m + disc.radius_m for layer in registry.get("tiago").footprint for disc in layer)
    near = torch.tensor([[x - RADIUS_M - reach_m - 0.5 * YIELD_M, 0.0, 0.0]]).expand(5, 1, 3)
    before = person.xy_w.clone()
    assert 0.0 < float(person.advance(robot, near)) < YIELD_M
    assert torch.equal(person.xy_w, before)


def test_nobody_begins_on_top_of_the_robot() -> None:
    person = Person(1, device="cpu")
    for length_m in (1.0, 1.5, 2.0, 3.0):
        for phase in (0.0, 0.5, 0.9):
            person.begin(
                EVERYONE,
                speed_mps=torch.ones(1),
                phase=torch.tensor([phase]),
                route_w_m=straight_ahead(length_m),
                clearance=open_space,
            )
            assert not person.present or float(person.xy_w.norm()) > 1.0


def test_biases_have_the_size_of_their_factor_and_another_direction_every_time() -> None:
    now = Disturbance(8, episodes=8, device="cpu")
    values = np.tile(disturbances.one_factor("pose_bias", 0.3), (8, 1))
    values[:, NAMES.index("heading_bias")] = 0.05
    now.load(values, np.arange(8))
    now.begin(torch.ones(8, dtype=torch.bool), torch.arange(8))
    bias = now.pose_bias
    np.testing.assert_allclose(bias[:, :2].norm(dim=1), 0.3, rtol=1e-5)
    np.testing.assert_allclose(bias[:, 2].abs(), 0.05, rtol=1e-5)
    angles = torch.atan2(bias[:, 1], bias[:, 0])
    assert (angles.sort().values.diff() > 0.3).all() and bias[:, 2].sum().abs() < 1e-5


def test_factors_change_only_where_an_episode_begins() -> None:
    now = Disturbance(2, episodes=2, device="cpu")
    now.load(np.stack([disturbances.one_factor("mass", 1.5), disturbances.one_factor("mass", 0.7)]), np.arange(2))
    now.begin(torch.tensor([True, False]), torch.tensor([1, 0]))
    np.testing.assert_allclose(now.factor("mass"), [0.7, 1.0])


def test_noise_and_losses_are_each_environments_own() -> None:
    scene, cameras = scene_of(wall(3.0)), torch.tensor([mount(z=1.0)] * 4)
    which = torch.zeros(4, dtype=torch.long)
    sensor = camera_of(scene, envs=4, noise=1.0)
    exact, _ = camera_of(scene, envs=4).render(cameras, which, own_body=False)
    plain, _ = sensor.render(cameras, which, own_body=False)
    sensor.reseed(0)
    sensor.noise_factor, sensor.dropout = torch.tensor([1.0, 0.0, 4.0, 1.0]), torch.tensor([0.0, 0.0, 0.0, 0.5])
    spoiled, _ = sensor.render(cameras, which, own_body=False)
    assert torch.equal(spoiled[0], plain[0]) and torch.equal(spoiled[1], exact[1])
    upper = slice(0, 18)  # the wall
    deviation = [float((spoiled[k, 0, upper] - exact[k, 0, upper])[spoiled[k, 0, upper] > 0].std()) for k in (0, 2)]
    assert deviation[1] == pytest.approx(4.0 * deviation[0], rel=0.15)
    assert float((spoiled[3] == 0.0).float().mean()) == pytest.approx(0.5, abs=0.05)
