"""The physics batch: poses and velocities in the right frames, resets and faults that stay in their environment."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from embodiments.embodiment import Embodiment, GaitDrive, RobotModel
from embodiments.registry import get, names
from pipeline.simulation.physics import robot_model
from tests.separate_process import call

COUNT = 6
CHOSEN = [False, False, True, False, True, False]
QUARTER = math.pi / 2.0


def rollout(physics, *, reset_at: int | None = None, poison_at: int | None = None) -> torch.Tensor:
    """Return positions (T, B, 3) of a swaying robot, reset or poisoned on the way in the chosen environments."""
    mask = torch.tensor(CHOSEN)
    zeros = torch.zeros(COUNT, 2)
    physics.reset(torch.ones(COUNT, dtype=torch.bool), zeros, zeros[:, 0])
    default = torch.tensor(physics.embodiment.drive.default_rad)
    phases = torch.arange(COUNT)[:, None] + torch.arange(len(default))[None]
    positions = []
    for step in range(24):
        targets = default + 0.2 * torch.sin(0.7 * step + phases)
        if step == reset_at:
            nan = torch.full((COUNT, 2), math.nan)  # rows outside the mask must not matter
            where = torch.where(mask[:, None], torch.tensor([1.0, 2.0]), nan)
            physics.reset(mask, where, where[:, 0])
        if step == poison_at:
            pose = torch.where(mask[:, None], math.nan, physics._robot.get_qpos())
            physics._robot.set_qpos(pose, envs_idx=mask)
        physics.set_position_targets(targets)
        physics.step(4)
        positions.append(physics.position_w)
    return torch.stack(positions)


def observe_faults() -> dict[str, np.ndarray]:
    """Run every scenario in one scene. Runs in a process of its own."""
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    physics = RobotPhysics(get("go2"), num_envs=COUNT)
    result = {"plain": rollout(physics), "again": rollout(physics), "reset": rollout(physics, reset_at=10)}
    result["poisoned"] = rollout(physics, poison_at=10)
    result["broken"] = physics.broken()
    result["after"] = rollout(physics)
    result["mended"] = physics.broken()
    return {name: value.numpy() for name, value in result.items()}


def observe_frames() -> dict[str, np.ndarray]:
    """Put robots at known poses and push them. Runs in a process of its own."""
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    physics = RobotPhysics(get("go2"), num_envs=2, randomisable=True, mass_factor=1.25)
    everyone = torch.ones(2, dtype=torch.bool)
    physics.reset(everyone, torch.tensor([[1.0, 2.0], [-3.0, 0.5]]), torch.tensor([QUARTER, -QUARTER]))
    result = {
        "position": physics.position_w,
        "yaw": physics.yaw_w,
        "gravity": physics.projected_gravity_b,
        "still": physics.velocity_b,
        "joints": physics.joint_position,
        "fallen": physics.fallen(),
    }
    physics.push(torch.tensor([True, False]), torch.tensor([[0.0, 0.5], [0.0, 0.5]]))
    result["pushed"], result["pushed_3d"] = physics.velocity_b, physics.linear_velocity_b
    generator = torch.Generator().manual_seed(0)
    heavier = torch.tensor([True, False])
    result["factors"] = physics.variation.randomise(
        heavier, mass_scale=(1.5, 1.5), friction=(0.5, 0.5), generator=generator
    )
    mass = physics._robot.get_links_mass()
    result["mass_ratio"], result["mass_kg"] = mass[0, 0] / mass[1, 0], mass[1].sum()
    result["other_links"] = mass[0, 1:] / mass[1, 1:]
    physics.variation.randomise(heavier, mass_scale=(1.5, 1.5), body_mass_scale=(0.8, 0.8), generator=generator)
    result["body_mass_ratio"] = physics._robot.get_links_mass()[0] / mass[1]
    physics.set_position_targets(physics.joint_position + 3.0)
    physics.step(1)
    result["torque"] = physics.joint_torque
    return {name: value.numpy() for name, value in result.items()}


@pytest.fixture(scope="module")
def faults() -> dict[str, np.ndarray]:
    return call(observe_faults)


@pytest.fixture(scope="module")
def frames() -> dict[str, np.ndarray]:
    return call(observe_frames)


@pytest.mark.slow
def test_the_same_rollout_is_bit_identical(faults):
    assert np.array_equal(faults["plain"], faults["again"])


@pytest.mark.slow
def test_a_masked_reset_touches_nobody_else(faults):
    others = ~np.asarray(CHOSEN)
    assert np.array_equal(faults["plain"][:, others], faults["reset"][:, others])
    np.testing.assert_allclose(faults["reset"][10, ~others, :2], [[1.0, 2.0]] * 2, atol=0.05)


@pytest.mark.slow
def test_a_nan_stays_in_its_environment(faults):
    others = ~np.asarray(CHOSEN)
    assert faults["broken"].tolist() == CHOSEN
    assert np.array_equal(faults["plain"][:, others], faults["poisoned"][:, others])
    assert np.isfinite(faults["poisoned"]).all()


@pytest.mark.slow
def test_a_reset_mends_a_broken_environment(faults):
    assert not faults["mended"].any()
    assert np.array_equal(faults["plain"], faults["after"])


@pytest.mark.slow
def test_reset_pose(frames):
    np.testing.assert_allclose(frames["position"][:, :2], [[1.0, 2.0], [-3.0, 0.5]], atol=1e-6)
    np.testing.assert_allclose(frames["yaw"], [QUARTER, -QUARTER], atol=1e-5)
    np.testing.assert_allclose(frames["gravity"], [[0, 0, -1]] * 2, atol=1e-5)
    np.testing.assert_allclose(frames["joints"], [get("go2").drive.default_rad] * 2, atol=1e-5)
    np.testing.assert_allclose(frames["still"], 0.0, atol=1e-6)
    assert not frames["fallen"].any()


@pytest.mark.slow
def test_velocity_is_in_the_body_frame(frames):
    # Facing +y of the world, a push along +y is forward; the other robot was not pushed.
    np.testing.assert_allclose(frames["pushed"], [[0.5, 0.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-4)
    np.testing.assert_allclose(frames["pushed_3d"], [[0.5, 0.0, 0.0], [0.0, 0.0, 0.0]], atol=1e-4)


@pytest.mark.slow
def test_randomisation_is_masked(frames):
    np.testing.assert_allclose(frames["factors"][:, :4], [[0.5, 1.5, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    assert frames["mass_ratio"] == pytest.approx(1.5, rel=1e-5)
    np.testing.assert_allclose(frames["other_links"], 1.0, rtol=1e-5)
    np.testing.assert_allclose(frames["body_mass_ratio"][0], 1.2, rtol=1e-5)
    np.testing.assert_allclose(frames["body_mass_ratio"][1:], 0.8, rtol=1e-5)


@pytest.mark.slow
def test_every_link_carries_the_mass_factor(frames):
    root = robot_model.build_urdf(get("go2"), all_links_collide=False)
    assert frames["mass_kg"] == pytest.approx(
        1.25 * sum(float(mass.get("value")) for mass in root.iter("mass")), rel=0.01
    )


@pytest.mark.slow
def test_motors_give_no_more_than_the_real_ones(frames):
    # The targets are 3 rad away: the gains alone would ask for 120 N m.
    np.testing.assert_allclose(frames["torque"], [get("go2").drive.torque_nm] * 2, rtol=1e-5)


@pytest.mark.parametrize("name", names())
def test_every_robot_has_a_model_that_stands_on_the_ground(name):
    embodiment = get(name)
    mesh = robot_model.neutral_mesh(embodiment)
    assert mesh.vertices_b[:, 2].min() == pytest.approx(0.0, abs=1e-9)
    assert mesh.triangles.max() < len(mesh.vertices_b)
    assert len(mesh.triangle_link) == len(mesh.triangles)
    if isinstance(embodiment.drive, GaitDrive):
        assert robot_model.standing_height_m(embodiment) == pytest.approx(embodiment.drive.base_height_m, abs=0.01)


def go2_with(**changes: object) -> Embodiment:
    return dataclasses.replace(get("go2"), **changes)  # type: ignore[arg-type]


def test_a_missing_package_is_named():
    model = RobotModel(package="no-such-robot-package", path="a.urdf", licence="none")
    with pytest.raises(FileNotFoundError, match="pip install no-such-robot-package"):
        robot_model.model_path(model)


def test_a_missing_file_is_named():
    model = RobotModel(package="example-robot-data", path="no_such_robot.urdf", licence="none")
    with pytest.raises(FileNotFoundError, match="no_such_robot"):
        robot_model.model_path(model)


def test_an_unknown_joint_is_named():
    with pytest.raises(ValueError, match="wing_joint"):
        robot_model.build_urdf(go2_with(posture_rad={"wing_joint": 0.1}), all_links_collide=False)


@pytest.mark.parametrize("name", [name for name in names() if isinstance(get(name).drive, GaitDrive)])
def test_legs_have_joint_limits(name):
    embodiment = get(name)
    joints = {joint.get("name"): joint for joint in robot_model.build_urdf(embodiment, all_links_collide=False)}
    for driven, angle in zip(embodiment.drive.joints, embodiment.drive.default_rad, strict=True):
        limit = joints[driven].find("limit")
        assert float(limit.get("lower")) < angle < float(limit.get("upper")), driven


def test_locked_joints_become_fixed_at_their_posture():
    embodiment = get("g1")
    root = robot_model.build_urdf(embodiment, all_links_collide=False)
    moving = [joint.get("name") for joint in root.findall("joint") if joint.get("type") != "fixed"]
    assert sorted(moving) == sorted(embodiment.drive.joints)
    poses = robot_model.link_poses(root, {})
    # The elbow is bent by 0.9 rad: lower than the shoulder, in front of it, and outside of the trunk.
    hand, shoulder = poses["left_rubber_hand"][:3, 3], poses["left_shoulder_pitch_link"][:3, 3]
    assert hand[2] < shoulder[2] - 0.25
    assert hand[0] > shoulder[0]
    assert hand[1] > shoulder[1]
