"""Gaits: one observation layout, true left-right mirroring, and shipped weights that follow commands."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh

from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.registry import GAITS_FOLDER, get, names
from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.simulation.physics import gait_policy, robot_model
from tests.separate_process import call

ROBOTS = [name for name in names() if isinstance(get(name).drive, GaitDrive)]


def still_physics(count: int, joints: int) -> SimpleNamespace:
    """A robot that stands upright and does not move."""
    return SimpleNamespace(
        angular_velocity_b=torch.zeros(count, 3),
        projected_gravity_b=torch.tensor([[0.0, 0.0, -1.0]]).expand(count, 3),
        joint_position=torch.zeros(count, joints),
        joint_velocity=torch.full((count, joints), 2.0),
    )


@pytest.fixture(params=ROBOTS)
def drive(request) -> GaitDrive:
    return get(request.param).drive


def test_layout_covers_every_number_once():
    parts = gait_policy.layout(12)
    covered = [index for part in parts.values() for index in range(part.start, part.stop)]
    assert covered == list(range(47))
    assert gait_policy.observation_size(12) == 47  # 3 + 3 + 3 + 2 + 3 x 12
    assert parts["command"] == slice(6, 9)


def test_observation_holds_what_the_layout_says(drive):
    joints = len(drive.joints)
    controller = gait_policy.GaitController(drive, num_envs=2, device="cpu")
    controller.reset(torch.tensor([True, True]), torch.tensor([0.25, 0.25]))
    command = torch.tensor([[0.5, -0.1, 0.3], [0.0, 0.0, 0.0]])
    observation = controller.observe(still_physics(2, joints), command)
    parts = gait_policy.layout(joints)
    assert observation[0, parts["projected_gravity_b"]].tolist() == [0.0, 0.0, -1.0]
    assert observation[0, parts["command"]].tolist() == pytest.approx([1.0, -0.2, 0.3])
    assert observation[0, parts["clock"]].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    assert observation[1, parts["clock"]].tolist() == [0.0, 0.0]
    assert observation[0, parts["joint_position"]].tolist() == pytest.approx([-angle for angle in drive.default_rad])
    assert observation[0, parts["joint_velocity"]].tolist() == pytest.approx([0.1] * joints)


def test_the_actor_sees_the_past_newest_first(drive):
    joints, instant = len(drive.joints), gait_policy.observation_size(len(drive.joints))
    controller = gait_policy.GaitController(drive, num_envs=2, device="cpu")
    vx = gait_policy.layout(joints)["command"].start
    seen = []
    for step in range(4):
        command = torch.tensor([[0.1 * (step + 1), 0.0, 0.0]]).expand(2, 3)
        for _ in range(2):  # asking twice changes nothing
            observation = controller.observe(still_physics(2, joints), command)
        assert torch.equal(observation[:, :instant], controller.measure(still_physics(2, joints), command))
        seen.append(observation.unflatten(-1, (gait_policy.HISTORY, instant))[:, :, vx] / 2.0)
        controller.act(torch.zeros(2, joints), command)
        controller.reset(torch.tensor([False, step == 1]))
    assert seen[0][0].tolist() == pytest.approx([0.1] * 5)  # nothing is older than the first
    assert seen[3][0].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.1])
    assert seen[3][1].tolist() == pytest.approx([0.4, 0.3, 0.3, 0.3, 0.3])


def test_mirroring_a_past_mirrors_every_instant(drive):
    mirror, size = gait_policy.Mirror(drive), gait_policy.observation_size(len(drive.joints))
    instants = torch.randn(3, 2, size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mirror.observation(instants.flatten(1)), mirror.observation(instants).flatten(1))


def test_cycle_runs_while_moving_and_rests_while_standing(drive):
    controller = gait_policy.GaitController(drive, num_envs=2, device="cpu")
    command = torch.tensor([[0.0, 0.0, 0.5], [0.0, 0.0, 0.04]])  # the reference does not reach out for a turn
    action = torch.full((2, len(drive.joints)), 0.5)
    targets = controller.act(action, command)
    assert controller.phase.tolist() == pytest.approx([0.02 / drive.cycle_s, 0.0])
    expected = [angle + 0.5 * drive.action_scale_rad for angle in drive.default_rad]
    assert targets[0].tolist() == pytest.approx(expected)
    controller.reset(torch.tensor([True, False]))
    assert controller.phase[0] == 0.0
    assert controller.previous_action[0].abs().sum() == 0.0
    assert controller.previous_action[1].tolist() == pytest.approx([0.5] * len(drive.joints))


def test_the_feet_come_to_rest_together(drive):
    controller = gait_policy.GaitController(drive, num_envs=1, device="cpu")
    action, go, halt = torch.zeros(1, len(drive.joints)), torch.tensor([[0.3, 0.0, 0.0]]), torch.zeros(1, 3)
    steps_per_cycle = round(drive.cycle_s * 50)
    for _ in range(steps_per_cycle // 3):
        controller.act(action, go)
    steps, last = 0, float(controller.phase)
    while bool(controller.is_stepping(halt)):
        last = float(controller.phase)
        controller.act(action, halt)
        steps += 1
    # At least the asked number of cycles, at most half a cycle more, and the rest begins at a touch-down.
    assert drive.stop_cycles * steps_per_cycle <= steps <= (drive.stop_cycles + 0.5) * steps_per_cycle + 1
    if drive.stop_cycles > 0.0:
        assert min((last + 1.0 / steps_per_cycle) % 0.5, 0.5 - last % 0.5) <= 1.0 / steps_per_cycle + 1e-4
    controller.act(action, halt)
    assert controller.phase.tolist() == [0.0]


def stands(drive: GaitDrive, *, down: tuple[float, float], turning: tuple[float, float], steps: int) -> bool | float:
    """Let a robot stand still for two cycles, then lean for some steps; return the cycle's phase, False at rest."""
    controller = gait_policy.GaitController(drive, num_envs=1, device="cpu")
    joints, halt = len(drive.joints), torch.zeros(1, 3)
    steady, leaning = still_physics(1, joints), still_physics(1, joints)
    leaning.projected_gravity_b = torch.tensor([[*down, -1.0]])
    leaning.angular_velocity_b = torch.tensor([[*turning, 0.0]])
    for physics, count in ((steady, round(2 * drive.cycle_s * 50)), (leaning, steps)):
        for _ in range(count):
            controller.observe(physics, halt)
            controller.act(torch.zeros(1, joints), halt)
    return bool(controller.is_stepping(halt)) and float(controller.phase)


@pytest.mark.parametrize(
    ("down", "turning", "phase"),
    [
        ((0.1, 0.1), (0.0, 0.0), False),  # a little
        ((0.3, 0.0), (0.0, 0.0), 0.0),  # nose down
        ((-0.3, 0.0), (0.0, 0.0), 0.0),
        ((0.0, 0.0), (0.0, 1.0), 0.0),  # upright, but pitching
        ((0.2, 0.0), (0.0, -0.5), False),  # nose down, but coming up
        ((0.0, 0.3), (0.0, 0.0), 0.5),  # left side down: the left foot goes first
        ((0.0, -0.3), (0.0, 0.0), 0.0),
        ((0.0, 0.0), (-1.0, 0.0), 0.5),  # rolling to the left
    ],
)
def test_a_humanoid_that_is_about_to_fall_over_steps(down, turning, phase):
    steps = gait_policy.HISTORY
    while (found := stands(get("g1").drive, down=down, turning=turning, steps=steps)) is False and steps < 20:
        steps += 1
    assert type(found) is type(phase)
    assert found == pytest.approx(phase, abs=0.15)


def test_a_reset_forgets_how_long_the_robot_stood():
    drive = get("g1").drive
    fresh, used = (gait_policy.GaitController(drive, num_envs=1, device="cpu") for _ in range(2))
    joints, halt, everywhere = len(drive.joints), torch.zeros(1, 3), torch.ones(1, dtype=torch.bool)
    for _ in range(round(2 * drive.cycle_s * 50)):
        used.observe(still_physics(1, joints), halt)
        used.act(torch.zeros(1, joints), halt)
    leaning = still_physics(1, joints)
    leaning.projected_gravity_b = torch.tensor([[0.0, 0.3, -1.0]])
    for controller in (fresh, used):
        controller.reset(everywhere)
    for _ in range(30):
        targets = []
        for controller in (fresh, used):
            controller.observe(leaning, halt)
            targets.append(controller.act(torch.zeros(1, joints), halt))
        assert torch.equal(*targets)


def test_a_quadruped_stands_on_a_slope(drive):
    leans = stands(drive, down=(0.3, 0.0), turning=(0.0, 0.0), steps=20)
    assert (leans is not False) == math.isfinite(drive.steady_rad)


def test_steps_end_when_the_body_is_upright_again():
    drive = get("g1").drive
    controller = gait_policy.GaitController(drive, num_envs=1, device="cpu")
    joints, halt, stepping = len(drive.joints), torch.zeros(1, 3), []
    for step in range(100):
        physics = still_physics(1, joints)
        if step < 40:
            physics.projected_gravity_b = torch.tensor([[0.3, 0.0, -1.0]])
        controller.observe(physics, halt)
        controller.act(torch.zeros(1, joints), halt)
        stepping.append(bool(controller.is_stepping(halt)))
    assert all(stepping[1:41])
    last = 100 - stepping[::-1].index(True)
    cycle = round(drive.cycle_s * 50)
    late = gait_policy.HISTORY  # until the mean over the past is upright again
    assert drive.stop_cycles * cycle <= last - 40 <= (drive.stop_cycles + 0.5) * cycle + late + 1


def test_the_stepping_reference_is_symmetric(drive):
    mirror = gait_policy.Mirror(drive)
    phase = torch.linspace(0.0, 0.95, 20)
    command = torch.tensor([0.5, 0.2, 0.3]).expand(20, 3)
    targets = []
    for shift, sign in ((0.0, 1.0), (0.5, -1.0)):
        controller = gait_policy.GaitController(drive, num_envs=20, device="cpu")
        controller.reset(torch.ones(20, dtype=torch.bool), (phase + shift) % 1.0)
        turned = command * torch.tensor([1.0, sign, sign])
        targets.append(controller.act(torch.zeros(20, len(drive.joints)), turned))
    assert torch.allclose(mirror.action(targets[0]), targets[1], atol=1e-5)


def test_mirroring_twice_changes_nothing(drive):
    joints = len(drive.joints)
    mirror = gait_policy.Mirror(drive)
    generator = torch.Generator().manual_seed(0)
    observation = torch.randn(5, gait_policy.observation_size(joints), generator=generator)
    action = torch.randn(5, joints, generator=generator)
    assert torch.equal(mirror.observation(mirror.observation(observation)), observation)
    assert torch.equal(mirror.action(mirror.action(action)), action)


def test_standing_pose_is_its_own_mirror_image(drive):
    pose = torch.tensor([drive.default_rad])
    assert torch.equal(gait_policy.Mirror(drive).action(pose), pose)


@pytest.mark.parametrize("name", ROBOTS)
def test_mirrored_joints_put_the_feet_at_mirrored_places(name):
    embodiment = get(name)
    drive = embodiment.drive
    root = robot_model.build_urdf(embodiment, all_links_collide=False)
    angles = np.random.default_rng(0).uniform(-0.4, 0.4, len(drive.joints)) + np.asarray(drive.default_rad)
    mirrored = gait_policy.Mirror(drive).action(torch.as_tensor(angles)).numpy()
    poses = robot_model.link_poses(root, dict(zip(drive.joints, angles, strict=True)))
    images = robot_model.link_poses(root, dict(zip(drive.joints, mirrored, strict=True)))
    for left, right in zip(drive.feet[0::2], drive.feet[1::2], strict=True):
        for one, other in ((left, right), (right, left)):
            # The model's own left and right legs differ by up to a tenth of a millimetre.
            np.testing.assert_allclose(images[one][:3, 3], poses[other][:3, 3] * [1, -1, 1], atol=3e-4)


def test_mirrored_observation_by_hand():
    drive = get("go2").drive
    parts = gait_policy.layout(12)
    observation = torch.zeros(1, 47)
    observation[0, parts["angular_velocity_b"]] = torch.tensor([1.0, 2.0, 3.0])
    observation[0, parts["command"]] = torch.tensor([0.4, 0.5, 0.6])
    observation[0, parts["clock"]] = torch.tensor([0.8, 0.6])
    observation[0, parts["joint_position"].start] = 0.7  # front left hip
    image = gait_policy.Mirror(drive).observation(observation)[0]
    assert image[parts["angular_velocity_b"]].tolist() == [-1.0, 2.0, -3.0]
    assert image[parts["command"]].tolist() == pytest.approx([0.4, -0.5, -0.6])
    assert image[parts["clock"]].tolist() == pytest.approx([-0.8, -0.6])
    assert image[parts["joint_position"]].tolist() == pytest.approx([0, 0, 0, -0.7] + [0] * 8)


SWEPT_EVERY = 7
"""Drive steps between the instants at which the walking body is laid over its footprint: not in step with any gait."""
SWEPT_OUTSIDE_M = 0.01
COMMANDS = (
    (0.4, 0.0, 0.0), (-0.2, 0.0, 0.0), (0.0, 0.2, 0.0), (0.0, -0.2, 0.0), (0.0, 0.0, 0.6), (0.0, 0.0, -0.6),
    (0.4, 0.0, 0.4), (0.0, 0.0, 0.15),
)  # fmt: skip


def walk(name: str) -> dict[str, np.ndarray]:
    """Walk every command for 5 s, then stand for 4 s. Runs in a process of its own."""
    from pipeline.simulation.physics.drives import make_drive
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    embodiment = get(name)
    physics = RobotPhysics(embodiment, num_envs=len(COMMANDS))
    drive = make_drive(embodiment, physics)
    command = torch.tensor(COMMANDS)
    velocities, poses, fell = [], [], torch.zeros(len(COMMANDS), dtype=torch.bool)
    for step in range(450):
        drive.step(command if step < 250 else torch.zeros_like(command))
        velocities.append(physics.velocity_b)
        poses.append(torch.cat([physics.position_w, physics.quat_wxyz_w, physics.joint_position], dim=-1))
        fell |= physics.fallen()
    stacked = torch.stack(velocities).numpy()
    return {
        "walk": stacked[100:250].mean(0),
        "stand": stacked[400:],
        "fell": fell.numpy(),
        "poses": torch.stack(poses[::SWEPT_EVERY]).flatten(0, 1).numpy(),
    }


@pytest.fixture(scope="module", params=ROBOTS)
def walked(request) -> tuple[str, dict[str, np.ndarray]]:
    drive = get(request.param).drive
    if not (GAITS_FOLDER / drive.weights).is_file():
        pytest.skip(f"no weights for {request.param} in embodiments/gaits: run 'python -m pipeline train_gait'")
    return request.param, call(walk, request.param)


@pytest.mark.slow
def test_shipped_gait_follows_commands(walked):
    _, result = walked
    assert not result["fell"].any()
    error = result["walk"] - np.asarray(COMMANDS)
    # The cards in embodiments/gaits hold the figures; G1's reverse is its worst (0.38 m/s at 0.2).
    assert np.abs(error[:, 0]).max() < 0.2
    assert np.abs(error[:, 1]).max() < 0.12
    assert np.abs(error[:, 2]).max() < 0.12
    speed = np.hypot(result["stand"][..., 0], result["stand"][..., 1])
    assert (speed < 0.1).mean() > 0.95
    assert (np.abs(result["stand"][..., 2]) < 0.1).mean() > 0.95
    assert math.isfinite(float(speed.max()))


def surface_points(embodiment: Embodiment) -> dict[str, np.ndarray]:
    """Return link -> (P, 3) points, at most 3 cm apart, on its collision geometry, in the link's frame."""
    points: dict[str, np.ndarray] = {}
    for link in robot_model.build_urdf(embodiment, all_links_collide=True).findall("link"):
        hulls = [robot_model._load_geometry(collision).convex_hull for collision in link.findall("collision")]
        placed = [
            trimesh.transform_points(hull.subdivide_to_size(0.03).vertices, robot_model.origin_pose(collision))
            for hull, collision in zip(hulls, link.findall("collision"), strict=True)
        ]
        if placed:
            points[link.get("name", "")] = np.concatenate(placed)
    return points


def outside_m(embodiment: Embodiment, poses: np.ndarray) -> np.ndarray:
    """Return how far every point of the body reaches beyond its footprint's layer, over all poses; negative inside.

    Args:
        poses: (N, 3 + 4 + J) position of the base and its quaternion (w, x, y, z) in the world, joint angles.
    """
    root = robot_model.build_urdf(embodiment, all_links_collide=False)
    surface, locked = surface_points(embodiment), robot_model.neutral_angles_rad(embodiment)
    beyond = []
    for pose in poses:
        angles = locked | dict(zip(robot_model.driven_joints(embodiment), pose[7:].tolist(), strict=True))
        links = robot_model.link_poses(root, angles)
        base = trimesh.transformations.quaternion_matrix(pose[3:7])
        yaw = math.atan2(base[1, 0], base[0, 0])
        base = trimesh.transformations.rotation_matrix(-yaw, (0.0, 0.0, 1.0)) @ base
        base[2, 3] = pose[2]
        points = np.concatenate([trimesh.transform_points(p, base @ links[link]) for link, p in surface.items()])
        for (low, high), discs in zip(HEIGHT_LAYERS_M, embodiment.footprint, strict=True):
            inside = points[(points[:, 2] > low) & (points[:, 2] < high), :2]
            table = np.asarray([(d.x_m, d.y_m, d.radius_m) for d in discs]).reshape(-1, 3)
            distance = np.linalg.norm(inside[:, None] - table[:, :2], axis=-1) - table[:, 2]
            beyond.append(distance.min(axis=1, initial=np.inf))
    return np.concatenate(beyond)


@pytest.mark.slow
def test_a_walking_body_stays_inside_its_footprint(walked):
    name, result = walked
    beyond = outside_m(get(name), result["poses"])
    assert (beyond > 0.0).mean() < 0.002
    assert beyond.max() < SWEPT_OUTSIDE_M
