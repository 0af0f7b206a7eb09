"""Truth tests of the depth image: every expected number is worked out by hand, without the code's own geometry."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from embodiments.embodiment import Embodiment
from embodiments.registry import get, names
from embodiments.spaces import DEPTH_FOCAL_PX, DEPTH_RANGE_M
from pipeline.simulation.sensors.depth_camera import DepthCamera, own_body_mask, pixel_rays
from pipeline.simulation.sensors.depth_noise import DepthNoise, add_flying_pixels, add_noise
from pipeline.simulation.sensors.ray_caster import make as make_caster
from scenes.scene import BOX, FLOOR, OTHER, WALL, Scene, box
from world_model.local_planner.stand_in import graph_only

ROWS = (20.0 - (np.arange(40) + 0.5)) / DEPTH_FOCAL_PX
"""Upward slope of each row's rays over the optical axis, pixel centres at half-integers."""
COLUMNS = (32.0 - (np.arange(64) + 0.5)) / DEPTH_FOCAL_PX
"""Leftward slope of each column's rays."""
WIDE = math.radians(170.0)


@dataclass
class Body:
    """A body held still at a given pose."""

    embodiment: Embodiment
    position_w: torch.Tensor
    quat_wxyz_w: torch.Tensor
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @property
    def num_envs(self) -> int:
        return len(self.position_w)


def turned(axis: int, angle_rad: float) -> list[float]:
    quat = [math.cos(angle_rad / 2.0), 0.0, 0.0, 0.0]
    quat[1 + axis] = math.sin(angle_rad / 2.0)
    return quat


def scene_of(*solids) -> Scene:
    return Scene(name="test", kind="test", solids=tuple(solids), extent_w_m=(-20.0, -20.0, 20.0, 20.0))


def wall(x_m: float, *, height_m: float = 30.0):
    """Return a wall across the view whose near face stands at x."""
    return box(
        centre_xy_w_m=(x_m + 0.5, 0.0),
        size_m=(1.0, 60.0, height_m),
        yaw_rad=0.0,
        z_min_m=0.0,
        semantic=WALL,
        known=True,
    )


def mount(*, x=0.0, z=1.0, pitch=0.0, hfov=WIDE, vfov=WIDE, nearest=0.0, farthest=10.0) -> list[float]:
    return [x, z, pitch, hfov, vfov, nearest, farthest]


def render(
    scene, camera, *, position=(0.0, 0.0, 0.0), quat=(1.0, 0.0, 0.0, 0.0), robot="tiago", own_body=False, noise=0.0
):
    """Return depth (40, 64) and semantic (40, 64) of one camera in one scene."""
    body = Body(get(robot), torch.tensor([position]), torch.tensor([list(quat)]))
    sensor = DepthCamera(make_caster([scene], device="cpu"), body, noise_scale=noise)
    depth_m, semantic = sensor.render(torch.tensor([camera]), torch.zeros(1, dtype=torch.long), own_body=own_body)
    assert depth_m.shape == (1, 1, 40, 64)
    assert depth_m.dtype == torch.float32
    assert semantic.dtype == torch.uint8
    return depth_m[0, 0].numpy(), semantic[0].numpy()


def test_depth_is_planar():
    # 15 m above the ground, so that only the wall at 3 m is in view: 3 - 0.25 in every pixel, corners included.
    depth, semantic = render(scene_of(wall(3.0)), mount(x=0.25), position=(0.0, 0.0, 15.0))
    assert np.allclose(depth, 2.75, atol=1e-4)
    assert (semantic == WALL).all()


@pytest.mark.parametrize("pitch_deg", [0.0, 25.0, 47.6])
def test_ground_of_a_pitched_camera(pitch_deg):
    pitch = math.radians(pitch_deg)
    depth, semantic = render(scene_of(), mount(z=1.2, pitch=pitch))
    fall = math.sin(pitch) - ROWS * math.cos(pitch)  # metres a ray of planar length 1 goes down
    expected = np.where(fall > 0.12, 1.2 / np.where(fall > 0.12, fall, 1.0), DEPTH_RANGE_M)
    assert np.allclose(depth, expected[:, None], rtol=1e-4)
    assert (semantic[expected < 9.9] == FLOOR).all()


def test_the_image_is_upright():
    left = box(centre_xy_w_m=(2.0, 0.8), size_m=(0.4, 0.4, 3.0), yaw_rad=0.0, z_min_m=0.0, semantic=BOX, known=False)
    depth, semantic = render(scene_of(left, wall(5.0)), mount())
    _, columns = np.nonzero(semantic == BOX)
    assert columns.max() < 32
    # The box spans y 0.6 to 1.0 at x 1.8: columns whose slope lies between 0.6 / 1.8 and 1.0 / 1.8 see its face.
    face = (COLUMNS > 0.6 / 1.8) & (COLUMNS < 1.0 / 1.8)
    assert np.allclose(depth[5, face], 1.8, atol=1e-4)
    assert set(np.nonzero(semantic == FLOOR)[0]) <= set(range(20, 40))
    assert (semantic[0, 40:] == WALL).all()


def test_pixel_centres_are_symmetric():
    rays = pixel_rays().numpy()
    assert np.allclose(rays[:, :, 1], -rays[:, ::-1, 1])
    assert np.allclose(rays[:, :, 2], -rays[::-1, :, 2])
    assert np.allclose(rays[0, 31:33, 1], [0.5 / DEPTH_FOCAL_PX, -0.5 / DEPTH_FOCAL_PX])
    # The outer edges, half a pixel beyond the outer centres, are at 43.5 degrees.
    assert math.isclose(math.degrees(math.atan(rays[0, 0, 1] + 0.5 / DEPTH_FOCAL_PX)), 43.5, abs_tol=1e-4)


def test_portrait_sensor_fills_the_middle_columns():
    camera = mount(hfov=math.radians(58.0), vfov=math.radians(87.0))
    depth, semantic = render(scene_of(wall(3.0)), camera, position=(0.0, 0.0, 15.0))
    # tan 29 deg * 33.72 px = 18.69 px: the 38 columns whose centres lie within 18.5 px of the axis, in every row.
    seen = np.zeros((40, 64), dtype=bool)
    seen[:, 13:51] = True
    assert np.array_equal(depth > 0.0, seen)
    assert np.array_equal(semantic == WALL, seen)
    assert (semantic[~seen] == OTHER).all()


def test_landscape_sensor_fills_the_middle_rows():
    camera = mount(hfov=math.radians(87.0), vfov=math.radians(45.0))
    depth, _ = render(scene_of(wall(3.0)), camera, position=(0.0, 0.0, 15.0))
    # tan 22.5 deg * 33.72 px = 13.97 px: 14 rows on either side of the axis.
    assert np.array_equal(np.nonzero((depth > 0.0).all(axis=1))[0], np.arange(6, 34))


@pytest.mark.parametrize(
    ("wall_x_m", "expected_m"),
    [(0.2, 0.0), (0.27, 0.0), (0.29, 0.29), (5.0, 5.0), (7.9, 7.9), (8.1, DEPTH_RANGE_M), (14.0, DEPTH_RANGE_M)],
)
def test_blind_zone_and_range(wall_x_m, expected_m):
    depth, _ = render(scene_of(wall(wall_x_m)), mount(nearest=0.28, farthest=8.0), position=(0.0, 0.0, 15.0))
    assert np.allclose(depth, expected_m, atol=1e-4)


def test_nothing_in_sight_is_far():
    depth, semantic = render(scene_of(), mount(), position=(0.0, 0.0, 15.0))
    assert (depth == DEPTH_RANGE_M).all()
    assert (semantic[:20] == OTHER).all()


def test_a_rolling_body_rolls_the_image():
    roll = math.radians(15.0)  # left side up
    depth, _ = render(scene_of(), mount(z=1.2), quat=turned(0, roll))
    # The camera swings down to 1.2 cos(roll); a ray of slopes (left, up) goes down by -(left sin + up cos) per metre.
    fall = -(COLUMNS[None, :] * math.sin(roll) + ROWS[:, None] * math.cos(roll))
    near = fall > 0.13
    assert np.allclose(depth[near], 1.2 * math.cos(roll) / fall[near], rtol=1e-4)
    assert depth[39, 63] < depth[39, 0]  # the lowered right side is nearer to the ground


def test_a_pitching_body_adds_to_the_mount():
    tilt = math.radians(10.0)  # nose down
    tilted, _ = render(scene_of(), mount(z=1.2, pitch=math.radians(20.0)), quat=turned(1, tilt))
    pitched, _ = render(scene_of(), mount(z=1.2 * math.cos(tilt), pitch=math.radians(30.0)))
    assert np.allclose(tilted, pitched, rtol=1e-4)


def test_yaw_turns_the_view_and_the_lever_arm():
    # Facing +y from (1, 2), with the camera 0.25 m ahead: the wall at y = 5 is 2.75 m away.
    scene = scene_of(
        box(centre_xy_w_m=(0.0, 5.5), size_m=(60.0, 1.0, 30.0), yaw_rad=0.0, z_min_m=0.0, semantic=WALL, known=True)
    )
    depth, _ = render(scene, mount(x=0.25), position=(1.0, 2.0, 15.0), quat=turned(2, math.pi / 2.0))
    assert np.allclose(depth, 2.75, atol=1e-4)


def test_every_environment_has_its_own_scene_and_mount():
    near, far = scene_of(wall(2.0)), scene_of(wall(4.0))
    body = Body(get("tiago"), torch.tensor([[0.0, 0.0, 15.0]] * 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 3))
    sensor = DepthCamera(make_caster([near, far], device="cpu"), body, noise_scale=0.0)
    cameras = torch.tensor([mount(), mount(), mount(x=0.5, hfov=math.radians(58.0))])
    depth, _ = sensor.render(cameras, torch.tensor([0, 1, 1]), own_body=False)
    assert np.allclose(depth[0], 2.0, atol=1e-4)
    assert np.allclose(depth[1], 4.0, atol=1e-4)
    assert np.allclose(depth[2, 0, :, 13:51], 3.5, atol=1e-4)
    assert (depth[2, 0, :, :13] == 0.0).all()


@pytest.mark.parametrize("robot", ["tiago", "go2"])
def test_mount_height_is_above_the_ground_when_standing(robot):
    # The base link of a legged robot is up in the air; the mount's height is not measured from it.
    from pipeline.simulation.physics.robot_model import standing_height_m

    depth, _ = render(scene_of(), mount(z=0.9), position=(0.0, 0.0, standing_height_m(get(robot))), robot=robot)
    assert np.allclose(depth[39], 0.9 / -ROWS[39], rtol=1e-4)


@pytest.mark.parametrize("robot", names())
def test_own_body_hides_little_of_the_nominal_view(robot):
    mask = own_body_mask(get(robot))
    assert mask.shape == (40, 64)
    assert mask.mean() < 0.3


def test_own_body_is_zero():
    tiago = get("tiago")
    down = dataclasses.replace(tiago, camera=dataclasses.replace(tiago.camera, pitch_rad=math.radians(85.0)))
    body = Body(down, torch.zeros(1, 3), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    sensor = DepthCamera(make_caster([scene_of()], device="cpu"), body, noise_scale=0.0)
    # From the head straight down: the tucked arm and the base's rim lie in the lower half, the ground in the upper.
    assert sensor.self_mask[20:].any()
    assert not sensor.self_mask[:5].any()
    camera, scene = torch.tensor([mount(x=0.241, z=1.171, pitch=math.radians(85.0))]), torch.zeros(1, dtype=torch.long)
    depth, _ = sensor.render(camera, scene)
    assert torch.equal(depth[0, 0] == 0.0, sensor.self_mask)
    without, _ = sensor.render(camera, scene, own_body=False)
    assert (without > 0.0).all()


def test_noise_grows_with_range_and_leaves_invalid_pixels():
    depth = torch.tensor([1.0, 2.0, 4.0, 0.0, DEPTH_RANGE_M])[:, None, None].expand(5, 200, 200).contiguous()
    noisy = add_noise(depth, noise=DepthNoise(), generator=torch.Generator().manual_seed(0))
    for index, sigma in enumerate((0.0025, 0.01, 0.04)):
        valid = noisy[index][noisy[index] > 0.0]
        assert valid.mean() == pytest.approx(float(depth[index, 0, 0]), abs=sigma / 20.0)
        assert valid.std() == pytest.approx(sigma, rel=0.05)
        assert (noisy[index] == 0.0).float().mean() == pytest.approx(DepthNoise().hole_rate, rel=0.3)
    assert (noisy[3] == 0.0).all()
    assert set(noisy[4].unique().tolist()) <= {0.0, DEPTH_RANGE_M}


def test_noise_drops_edges():
    depth = torch.full((100, 40, 64), 2.0)
    depth[:, :, 32:] = 4.0
    noisy = add_noise(depth, noise=DepthNoise(), generator=torch.Generator().manual_seed(0))
    lost = (noisy == 0.0).float().mean(dim=(0, 1))
    assert lost[31:33].mean() == pytest.approx(DepthNoise().edge_dropout, rel=0.1)
    assert lost[:31].mean() < 0.01


def test_noise_keeps_grazing_planes():
    # From 0.3 m above the ground, neighbouring rows differ by up to a half: no edge is there.
    ground = torch.tensor(0.3 / -ROWS[21:], dtype=torch.float32)[:, None].expand(100, 19, 64)
    noisy = add_noise(ground, noise=DepthNoise(hole_rate=0.0), generator=torch.Generator().manual_seed(0))
    assert (noisy > 0.0).all()


def test_noise_is_reproducible_and_can_be_off():
    depth = 0.5 + 9.0 * torch.rand(4, 40, 64, generator=torch.Generator().manual_seed(0))
    first, second = (add_noise(depth, noise=DepthNoise(), generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    quiet = add_noise(depth, noise=DepthNoise(), generator=torch.Generator().manual_seed(3), scale=0.0)
    assert torch.equal(quiet, depth)


@pytest.mark.parametrize("scale", [1.0, 0.3, torch.linspace(0.0, 2.0, 16).view(16, 1, 1)], ids=["1", "0.3", "each"])
def test_compiled_noise_is_the_graphs(scale: float | torch.Tensor) -> None:
    depth = DEPTH_RANGE_M * 1.2 * torch.rand(16, 5, 8, generator=torch.Generator().manual_seed(0))
    depth = depth.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2).clamp(max=DEPTH_RANGE_M)
    depth = torch.where(depth < 1.0, 0.0, depth + 0.02 * torch.arange(64) * (depth < DEPTH_RANGE_M))
    compiled = add_noise(depth, noise=DepthNoise(), generator=torch.Generator().manual_seed(1), scale=scale)
    with graph_only():
        noisy = add_noise(depth, noise=DepthNoise(), generator=torch.Generator().manual_seed(1), scale=scale)
    assert torch.equal(compiled, noisy)
    assert 0.05 < (compiled == 0.0).float().mean() < 0.5 and (compiled != depth).float().mean() > 0.3


def test_pixels_fly_at_edges_alone_and_between_the_two_sides() -> None:
    depth_m = torch.full((2, 40, 64), 3.0)
    depth_m[:, :, :20] = 1.0
    depth_m[:, :, 40:] = 0.0
    rate = torch.tensor([0.0, 1.0])[:, None, None]
    flying = add_flying_pixels(depth_m, rate=rate, generator=torch.Generator().manual_seed(0))
    assert torch.equal(flying[0], depth_m[0])
    changed = flying[1] != depth_m[1]
    assert changed[:, 20].all() and changed.sum() == 40
    assert ((flying[1, :, 20] > 1.0) & (flying[1, :, 20] < 3.0)).all()
