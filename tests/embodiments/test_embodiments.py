"""Conformance of every discovered robot: its file says what its real model is."""

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import trimesh
import urchin
from scipy.spatial import ConvexHull

from embodiments.embodiment import (
    AckermannDrive,
    DifferentialDrive,
    Disc,
    Embodiment,
    GaitDrive,
    OmniDrive,
    WheeledDrive,
)
from embodiments.registry import get, names
from embodiments.spaces import (
    CAMERA_SLICE,
    DEPTH_RANGE_M,
    DESCRIPTOR_FIELDS,
    DESCRIPTOR_SIZE,
    FOOTPRINT_SLICE,
    HEIGHT_LAYERS_M,
    LATERAL_LIMIT_MPS,
    LIMIT_SLICE,
    REVERSE_LIMIT_MPS,
)
from pipeline.evaluation.inspection import measured
from pipeline.evaluation.inspection.model_findings import of_model
from pipeline.evaluation.inspection.robot_findings import of_robot
from pipeline.robot_models.model_file import model_path, read
from pipeline.runs.presets import DEFAULT_ROBOTS
from pipeline.simulation.physics.robot_model import (
    driven_joints,
    neutral_angles_rad,
    neutral_mesh,
    standing_height_m,
)
from pipeline.simulation.physics.wheels import contacts

OUTSIDE_M = {"wheeled": 0.005, "legged": 0.005, "humanoid": 0.005}
"""How far the body may reach beyond its footprint."""
SLACK_M = {"wheeled": 0.03, "legged": 0.15, "humanoid": 0.25}
"""How far the footprint may reach beyond the body's convex hull: legs and arms swing, wheels do not."""
SWING_M = {"anymal_c": 0.25}
"""The same where hind feet swing 0.24 m behind where they stand; test_gaits.py lays the walking body over it."""
WHEEL_MPS = {"tiago_pro": 1.0, "stretch4": 0.697}
"""What the motors of wheels with rollers can do at the rim."""
REACH_M = {"tiago_pro": 0.5, "car": 0.45}
"""How far a wheeled robot that is not slender reaches from its axis."""
CAMERA_FRAMES = {
    "car": "camera_link",
    "tiago_pro": "head_front_camera_link",
    "tiago": "xtion_depth_optical_frame",
    "stretch3": "camera_depth_optical_frame",
    "stretch_re1": "camera_depth_optical_frame",
    "g1": "d435_link",
    "anymal_c": "depth_camera_front_depth_optical_frame",
}


@pytest.fixture(scope="module", params=names())
def robot(request) -> Embodiment:
    return get(request.param)


@pytest.fixture(scope="module")
def parts(robot, tmp_path_factory) -> list[trimesh.Trimesh]:
    """Return the visual meshes, which are the true shape, in the neutral posture with the ground at z = 0.

    Posed by a URDF library that the product does not use.
    """
    model = load(robot, tmp_path_factory.mktemp(robot.name))
    lift = trimesh.transformations.translation_matrix((0.0, 0.0, standing_height_m(robot)))
    found = []
    for link, pose in model.link_fk(cfg=neutral_angles_rad(robot)).items():
        for visual in link.visuals:
            # The library's own placing leaves out the sign of a scale wherever a mesh's file is used a second time.
            scale = None if visual.geometry.mesh is None else visual.geometry.mesh.scale
            scaled = np.diag([*(np.ones(3) if scale is None else scale), 1.0])
            found += [m.copy().apply_transform(lift @ pose @ visual.origin @ scaled) for m in visual.geometry.meshes]
    return found


def urdf_text(robot: Embodiment) -> str:
    path = model_path(robot.model)
    return ElementTree.tostring(read(robot.model), "unicode") if path.suffix == ".xacro" else path.read_text()


def load(robot: Embodiment, folder: Path) -> urchin.URDF:
    """Load the URDF with mesh paths that the library understands."""
    path = model_path(robot.model)
    root = next((parent for parent in path.parents if parent.name == "example-robot-data"), path.parent).parent
    copy = folder / f"{path.stem}.urdf"
    text = urdf_text(robot).replace("package://", f"{root}/").replace("file://", "")
    text = text.replace("../meshes", f"{path.parents[1]}/meshes").replace('"./meshes', f'"{path.parent}/meshes')
    copy.write_text(text)
    return urchin.URDF.load(str(copy), lazy_load_meshes=True)


def section(parts: list[trimesh.Trimesh], low_m: float, high_m: float) -> np.ndarray:
    """Return points (P, 2) of everything between two heights: vertices, and where edges pass the two planes."""
    points = [np.empty((0, 2))]
    for mesh in parts:
        inside = (mesh.vertices[:, 2] > low_m) & (mesh.vertices[:, 2] < high_m)
        points.append(mesh.vertices[inside, :2])
        for height in (low_m, high_m):
            if mesh.bounds[0, 2] < height < mesh.bounds[1, 2]:
                cut = trimesh.intersections.mesh_plane(mesh, [0.0, 0.0, 1.0], [0.0, 0.0, height])
                points.append(np.asarray(cut).reshape(-1, 3)[:, :2])
    return np.concatenate(points)


def beyond(points: np.ndarray, discs: tuple[Disc, ...]) -> np.ndarray:
    """Return (P,) distances outside of the union of discs, negative inside."""
    table = np.asarray([(d.x_m, d.y_m, d.radius_m) for d in discs])
    return (np.linalg.norm(points[:, None] - table[:, :2], axis=-1) - table[:, 2]).min(axis=1)


def support(points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    return (points @ directions.T).max(axis=0)


def test_registry_finds_the_four_robots_of_the_line_and_an_unseen_one():
    assert {"tiago", "stretch3", "go2", "g1"} == set(DEFAULT_ROBOTS)
    assert {*DEFAULT_ROBOTS, "anymal_c"} <= set(names())


def test_registry_suggests_a_name():
    with pytest.raises(ValueError, match=r"no robot 'go3'; did you mean 'go2'\?"):
        get("go3")


def test_name_and_family(robot):
    assert get(robot.name) is robot
    assert isinstance(robot.drive, WheeledDrive) == (robot.family == "wheeled")


def test_model_has_what_the_file_names(robot):
    text = urdf_text(robot)
    for name in (*driven_joints(robot), *robot.posture_rad, *robot.model.keep_links, *robot.model.ground_links):
        assert f'name="{name}"' in text
    assert (
        set(robot.model.ground_links) >= {shape.link for shape in robot.model.contact_shapes}
        or robot.family == "wheeled"
    )


def test_everything_has_a_source_and_a_licence(robot):
    assert robot.model.licence
    assert robot.limits.source
    assert robot.camera.source
    assert not isinstance(robot.drive, GaitDrive) or robot.drive.source


def test_limits(robot):
    limits = robot.limits
    assert 0.0 < limits.forward_mps <= limits.wheel_speed_mps
    assert 0.0 <= limits.reverse_mps <= REVERSE_LIMIT_MPS
    assert 0.0 <= limits.lateral_mps <= LATERAL_LIMIT_MPS
    assert (
        0.0 < limits.half_track_m * limits.yaw_rate_radps <= limits.wheel_speed_mps + 1e-9 or robot.family != "wheeled"
    )
    assert limits.acceleration_mps2 > 0.0
    assert limits.yaw_acceleration_radps2 > 0.0
    if isinstance(robot.drive, DifferentialDrive):
        assert limits.lateral_mps == 0.0
        assert limits.half_track_m == pytest.approx(robot.drive.track_m / 2.0)
    assert (limits.lateral_mps > 0.0) == robot.moves_sideways


def test_a_car_can_drive_its_tightest_curve_within_its_limits(robot):
    if not isinstance(robot.drive, AckermannDrive):
        pytest.skip("turns on the spot")
    limits, radius_m = robot.limits, robot.turning_radius_m
    assert limits.lateral_mps == 0.0
    assert limits.yaw_rate_radps * radius_m <= limits.forward_mps + 1e-9
    assert limits.yaw_acceleration_radps2 * radius_m <= limits.acceleration_mps2 + 1e-9
    assert limits.half_track_m == pytest.approx(robot.drive.track_m / 2.0)
    # By hand: the inner wheel stands at its limit, and all axles point at one centre.
    inner_m = robot.drive.wheel_base_m / math.tan(robot.drive.steering_limit_rad)
    assert radius_m == pytest.approx(inner_m + robot.drive.track_m / 2.0)


def test_wheels_with_rollers_turn_within_their_speed(robot):
    if not isinstance(robot.drive, OmniDrive):
        pytest.skip("no rollers")
    assert len(robot.drive.joints) == len(robot.drive.roller_rad) >= 3
    found = contacts(robot.drive, read(robot.model))
    limits = robot.limits
    speeds = found.wheel_speeds(robot.drive.wheel_radius_m) * robot.drive.wheel_radius_m  # rim speed per command
    corners = [(limits.forward_mps, side * limits.lateral_mps, 0.0) for side in (-1.0, 1.0)]
    yaw_rate = min(limits.yaw_rate_radps, limits.wheel_speed_mps / limits.half_track_m)
    corners += [(0.0, limits.lateral_mps, yaw_rate), (0.0, -limits.lateral_mps, yaw_rate)]
    fastest = np.abs(speeds @ np.asarray(corners).T).max()
    assert fastest <= WHEEL_MPS[robot.name] + 1e-6


def test_findings_of_inspection(robot):
    """What ships has nothing wrong that `inspect_robot` would tell a user of theirs."""
    model = measured.measure(robot.model, name=robot.name, robot=robot)
    assert [f.text for f in of_model(model) + of_robot(model, robot) if f.kind == "wrong"] == []


def test_gait_is_complete(robot):
    if not isinstance(robot.drive, GaitDrive):
        pytest.skip("wheels")
    drive = robot.drive
    for values in (drive.default_rad, drive.kp, drive.kd, drive.torque_nm, drive.mirror_joints, drive.mirror_signs):
        assert len(values) == len(drive.joints)
    mirror, signs = np.asarray(drive.mirror_joints), np.asarray(drive.mirror_signs)
    assert np.array_equal(mirror[mirror], np.arange(len(mirror)))  # mirroring twice changes nothing
    assert np.array_equal(signs[mirror] * signs, np.ones(len(signs)))
    default = np.asarray(drive.default_rad)
    assert np.allclose(default[mirror] * signs, default)  # the standing pose is symmetric
    assert drive.base_height_m == pytest.approx(standing_height_m(robot), abs=0.03)


def test_descriptor(robot):
    descriptor = robot.descriptor()
    assert descriptor.shape == (DESCRIPTOR_SIZE,) == (len(DESCRIPTOR_FIELDS),)
    assert descriptor.dtype == np.float32
    assert np.isfinite(descriptor).all()
    value = dict(zip(DESCRIPTOR_FIELDS, descriptor.tolist(), strict=True))
    assert value["forward_mps"] == pytest.approx(robot.limits.forward_mps)
    assert value["half_track_m"] == pytest.approx(robot.limits.half_track_m)
    assert value["camera_pitch_rad"] == pytest.approx(robot.camera.pitch_rad)
    assert value["camera_max_range_m"] == pytest.approx(robot.camera.max_range_m)
    front = max((d.x_m + d.radius_m for d in robot.footprint[0]), default=0.0)
    assert value["slab0_front_m"] == pytest.approx(front)
    assert (LIMIT_SLICE.stop, FOOTPRINT_SLICE.stop) == (FOOTPRINT_SLICE.start, CAMERA_SLICE.start)


def test_descriptors_tell_the_robots_apart():
    descriptors = [get(name).descriptor() for name in names()]
    for index, one in enumerate(descriptors):
        assert all(np.abs(one - other).max() > 0.01 for other in descriptors[index + 1 :])


def test_outline_has_the_slabs(robot):
    assert len(robot.footprint) == len(HEIGHT_LAYERS_M)
    for layer, discs in enumerate(robot.footprint):
        assert all(disc.radius_m > 0.0 for disc in discs)
        assert 0.0 <= robot.inscribed_radius_m(layer) <= robot.circumscribed_radius_m(layer)
        assert (robot.circumscribed_radius_m(layer) == 0.0) == (not discs)


@pytest.mark.parametrize("layer", range(len(HEIGHT_LAYERS_M)))
def test_outline_covers_the_body(robot, parts, layer):
    points = section(parts, *HEIGHT_LAYERS_M[layer])
    if not robot.footprint[layer]:
        assert len(points) == 0, f"{robot.name} reaches into layer {layer}, but its footprint there is empty"
        return
    excess = beyond(points, robot.footprint[layer])
    worst = points[int(np.argmax(excess))]
    assert excess.max() <= OUTSIDE_M[robot.family], f"{excess.max():.3f} m outside at {worst.round(3)}"


@pytest.mark.parametrize("layer", range(len(HEIGHT_LAYERS_M)))
def test_outline_is_tight(robot, parts, layer):
    discs, points = robot.footprint[layer], section(parts, *HEIGHT_LAYERS_M[layer])
    if not discs:
        return
    angles = np.linspace(0.0, 2.0 * np.pi, 360, endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    hull = points[ConvexHull(points).vertices]
    body = support(hull, directions)
    table = np.asarray([(d.x_m, d.y_m, d.radius_m) for d in discs])
    footprint = (table[:, :2] @ directions.T + table[:, 2:]).max(axis=0)
    worst = int(np.argmax(footprint - body))
    slack_m = SWING_M.get(robot.name, SLACK_M[robot.family])
    assert footprint[worst] - body[worst] <= slack_m, f"at {math.degrees(angles[worst]):.0f} deg"


def test_stowed_wheeled_robots_are_narrow(robot):
    if robot.family != "wheeled":
        pytest.skip("walks")
    # TIAGo's arm straight out reaches 1.03 m; tucked, nothing is farther than 0.35 m from the axis.
    assert max(robot.circumscribed_radius_m(layer) for layer in range(len(HEIGHT_LAYERS_M))) <= REACH_M.get(
        robot.name, 0.35
    )


def test_camera(robot):
    camera = robot.camera
    assert 0.1 < camera.z_m < 1.8
    assert -0.2 < camera.pitch_rad < math.radians(60.0)
    assert math.radians(40.0) < camera.hfov_rad <= math.radians(90.0)
    assert math.radians(40.0) < camera.vfov_rad <= math.radians(90.0)
    assert 0.0 <= camera.min_range_m < 1.0 < camera.max_range_m <= DEPTH_RANGE_M


def test_camera_is_where_the_model_has_it(robot, tmp_path):
    if robot.name not in CAMERA_FRAMES:
        pytest.skip("the model has no camera")
    frame = CAMERA_FRAMES[robot.name]
    pose = load(robot, tmp_path).link_fk(cfg=neutral_angles_rad(robot), use_names=True)[frame]
    axis = pose[:3, 2] if frame.endswith("optical_frame") else pose[:3, 0]
    assert pose[0, 3] == pytest.approx(robot.camera.x_m, abs=0.01)
    assert pose[2, 3] + standing_height_m(robot) == pytest.approx(robot.camera.z_m, abs=0.01)
    assert math.atan2(-axis[2], axis[0]) == pytest.approx(robot.camera.pitch_rad, abs=0.01)
    assert abs(axis[1]) < 0.01


def test_camera_view_of_stretch_is_portrait():
    camera = get("stretch3").camera
    assert camera.vfov_rad > camera.hfov_rad


def test_contact_geometry_stands_on_the_ground(robot):
    mesh = neutral_mesh(robot)
    assert mesh.vertices_b[:, 2].min() == pytest.approx(0.0, abs=1e-6)
    assert mesh.triangles.max() < len(mesh.vertices_b)
    assert len(mesh.triangle_link) == len(mesh.triangles)
    assert mesh.triangle_link.max() < len(mesh.links)


def test_wheels_stand_where_the_drive_says(robot):
    if not isinstance(robot.drive, DifferentialDrive):
        pytest.skip("walks")
    mesh = neutral_mesh(robot)
    drive = robot.drive
    for joint, side in ((drive.left_joint, 1.0), (drive.right_joint, -1.0)):
        link = f"link_{joint.removeprefix('joint_')}" if joint.startswith("joint_") else joint.replace("joint", "link")
        wheel = mesh.vertices_b[np.unique(mesh.triangles[mesh.triangle_link == mesh.links.index(link)])]
        low, high = wheel.min(axis=0), wheel.max(axis=0)
        assert (low[1] + high[1]) / 2.0 == pytest.approx(side * drive.track_m / 2.0, abs=1e-4)
        assert (high[2] - low[2]) / 2.0 == pytest.approx(drive.wheel_radius_m, rel=0.01)
        assert low[2] == pytest.approx(0.0, abs=1e-3)
