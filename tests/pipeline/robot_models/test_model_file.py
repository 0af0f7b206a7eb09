"""Model files of a user: URDF, xacro and MJCF give the same robot; ill ones are refused in one line with the mend."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import trimesh

from embodiments import robot_file
from embodiments.embodiment import Embodiment, RobotModel
from pipeline.robot_models.model_file import mesh_path, read
from pipeline.simulation.physics import robot_model
from tests import own_robot

XACRO = '<robot name="cart" xmlns:xacro="http://www.ros.org/wiki/xacro">'
MJCF = """<mujoco>
  <asset><mesh name="wedge" file="wedge.stl" scale="2 2 2"/></asset>
  <worldbody>
    <geom type="plane" size="5 5 0.1"/>
    <body name="crate" pos="3 0 0"><geom type="box" size="0.1 0.1 0.1" mass="1"/></body>
    <body name="base" pos="0 0 0.3" euler="0 0 30">
      <freejoint/>
      <geom type="capsule" size="0.1 0.2" mass="30"/>
      <geom type="mesh" mesh="wedge" pos="0.1 0 0.2" euler="0 90 0" contype="0" conaffinity="0" mass="0"/>
      <body name="arm" pos="0.2 0 0.1" euler="0 40 0">
        <joint name="lift" type="slide" axis="0 0 1" range="0 0.5" limited="true"/>
        <joint name="swing" type="hinge" axis="0 1 0" pos="0 0 0.3" range="-60 60" limited="true"/>
        <geom type="box" size="0.02 0.03 0.2" pos="0 0 0.1" mass="2"/>
        <body name="hand" pos="0 0 0.4">
          <joint name="spin" type="hinge" axis="1 0 0" pos="0.05 0 0"/>
          <geom type="sphere" size="0.05" mass="1"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def cart(tmp_path: Path) -> Embodiment:
    return robot_file.load(own_robot.write(tmp_path))


def test_a_local_urdf_stands_on_the_ground(cart: Embodiment) -> None:
    mesh = robot_model.neutral_mesh(cart)
    assert mesh.vertices_b[:, 2].min() == pytest.approx(0.0, abs=1e-6)
    assert robot_model.standing_height_m(cart) == pytest.approx(0.0, abs=1e-6)


def test_a_xacro_is_the_urdf_that_it_makes(cart: Embodiment, tmp_path: Path) -> None:
    package = tmp_path / "cart_description"
    (package / "urdf").mkdir(parents=True)
    (package / "urdf" / "wheels.xacro").write_text(XACRO + '<xacro:property name="r" value="0.1"/></robot>')
    body = own_robot.urdf().replace('<robot name="cart">', "").replace('radius="0.1"', 'radius="${r}"')
    head = f'{XACRO}<xacro:arg name="mass" default="3"/>'
    head += '<xacro:include filename="$(find cart_description)/urdf/wheels.xacro"/>'
    file = package / "urdf" / "cart.urdf.xacro"
    file.write_text(head + body.replace('mass value="20"', 'mass value="$(arg mass)"'))
    expanded = read(RobotModel(file=file, xacro_arguments={"mass": "7"}))
    radii = [cylinder.get("radius") for cylinder in expanded.iter("cylinder")]
    assert radii == [cylinder.get("radius") for cylinder in read(cart.model).iter("cylinder")]
    mass = expanded.find("link/inertial/mass")
    assert mass is not None and mass.get("value") == "7"


@pytest.fixture
def mjcf(tmp_path: Path) -> Path:
    trimesh.creation.box(extents=(0.1, 0.2, 0.3)).apply_translation((0.3, 0.1, 0.0)).export(tmp_path / "wedge.stl")
    path = tmp_path / "arm.xml"
    path.write_text(MJCF)
    return path


def test_an_mjcf_moves_as_in_mujoco(mjcf: Path) -> None:
    """Link poses of the converted tree are MuJoCo's own, for angles of every joint; the crate is left out."""
    urdf = read(RobotModel(file=mjcf))
    angles = {"lift": 0.2, "swing": 0.5, "spin": -0.7}
    poses = robot_model.link_poses(urdf, angles)
    assert "crate" not in poses
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    data = mujoco.MjData(model)
    for name, value in angles.items():
        data.qpos[model.joint(name).qposadr[0]] = value
    mujoco.mj_forward(model, data)
    base = np.eye(4)
    base[:3, :3], base[:3, 3] = data.body("base").xmat.reshape(3, 3), data.body("base").xpos
    shapes = {"base": "cylinder", "arm": "box", "hand": "sphere"}
    for name, tag in shapes.items():
        link = next(link for link in urdf.findall("link") if link.get("name") == name)
        collision = next(c for c in link.findall("collision") if c.find(f"geometry/{tag}") is not None)
        centre = base @ poses[name] @ robot_model.origin_pose(collision)
        geom = int(model.body(name).geomadr[0])
        assert centre[:3, 3] == pytest.approx(data.geom_xpos[geom], abs=1e-9)
        inertial = link.find("inertial")
        assert inertial is not None
        mass_at = base @ poses[name] @ robot_model.origin_pose(inertial)
        assert mass_at[:3, 3] == pytest.approx(data.body(name).xipos, abs=1e-9)


def test_a_mesh_of_an_mjcf_lies_where_mujoco_has_it(mjcf: Path) -> None:
    urdf = read(RobotModel(file=mjcf))
    base = urdf.find("link")
    assert base is not None
    visual = next(v for v in base.findall("visual") if v.find("geometry/mesh") is not None)
    element = visual.find("geometry/mesh")
    assert element is not None
    raw = trimesh.load(element.get("filename"), force="mesh")
    scale = [float(v) for v in element.get("scale", "").split()]
    ours = trimesh.transform_points(raw.vertices * scale, robot_model.origin_pose(visual))
    model = mujoco.MjModel.from_xml_path(str(mjcf))
    geom = next(g for g in range(model.ngeom) if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_MESH)
    pose = trimesh.transformations.quaternion_matrix(model.geom_quat[geom])
    pose[:3, 3] = model.geom_pos[geom]
    theirs = trimesh.transform_points(model.mesh_vert.reshape(-1, 3), pose)
    assert np.sort(ours.min(axis=0)) == pytest.approx(np.sort(theirs.min(axis=0)), abs=1e-6)
    assert np.sort(ours.max(axis=0)) == pytest.approx(np.sort(theirs.max(axis=0)), abs=1e-6)


def test_package_paths_need_no_ros(tmp_path: Path) -> None:
    urdf = tmp_path / "cart_description" / "urdf" / "cart.urdf"
    urdf.parent.mkdir(parents=True)
    assert mesh_path("package://cart_description/meshes/a.stl", urdf) == tmp_path / "cart_description/meshes/a.stl"
    assert mesh_path("../meshes/a.stl", urdf) == tmp_path / "cart_description/meshes/a.stl"
    with pytest.raises(FileNotFoundError, match="no folder 'other' above the model; put the model into"):
        mesh_path("package://other/a.stl", urdf)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.urdf", "<robot><link", r"a.urdf is broken XML \(.*line 1.*\); mend that line"),
        ("a.urdf", "<sdf/>", r"is no robot model: its root is <sdf>"),
        (
            "a.urdf",
            '<robot><link name="a"/><link name="b"/></robot>',
            r"has 2 root links \(a, b\); join them by a joint",
        ),
        (
            "a.urdf",
            '<robot><link name="a"/><joint name="j" type="fixed"><parent link="a"/><child link="x"/></joint></robot>',
            r"joint 'j' names link 'x', which there is not",
        ),
        (
            "a.xacro",
            XACRO + '<xacro:wheel side="left"/></robot>',
            r"xacro cannot expand .*unknown macro name: xacro:wheel",
        ),
        ("a.xacro", XACRO + '<link name="${1/0}"/></robot>', r"xacro cannot expand .*division by zero"),
        ("a.xacro", XACRO + '<link name="$(arg side)"/></robot>', r"xacro cannot expand .*side.*xacro_arguments"),
        ("a.xacro", XACRO + '<link name="$(find nowhere)"/></robot>', r"no folder 'nowhere' above the file"),
        ("a.xml", '<mujoco><worldbody><body><geom type="orb"/></body></worldbody></mujoco>', r"MuJoCo cannot read"),
        ("a.xml", "<mujoco><worldbody/></mujoco>", r"has no body in its worldbody"),
        (
            "a.xml",
            '<mujoco><worldbody><body><geom size="1"/><body><joint type="ball"/><geom size="1"/></body></body>'
            "</worldbody></mujoco>",
            r"is a ball or free joint inside the robot; make it hinges",
        ),
    ],
)
def test_an_ill_model_is_refused_in_one_line(tmp_path: Path, name: str, content: str, line: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=line) as refusal:
        read(RobotModel(file=tmp_path / name))
    assert "\n" not in str(refusal.value)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model file .*a.urdf: RobotModel\(file=...\) counts from"):
        read(RobotModel(file=tmp_path / "a.urdf"))


def with_mesh(cart: Embodiment) -> Embodiment:
    """Return the cart with a mesh as its body's collision geometry."""
    path = Path(cart.model.file)
    path.write_text(path.read_text().replace('<box size="0.44 0.34 0.2"/>', '<mesh filename="body.stl"/>'))
    return replace(cart, model=replace(cart.model, file=path))


def test_a_missing_mesh_is_named_with_its_place(cart: Embodiment) -> None:
    robot = with_mesh(cart)
    with pytest.raises(FileNotFoundError, match=r"mesh 'body.stl' of cart.urdf is not there: put it at .*/body.stl"):
        robot_model.build_urdf(robot, all_links_collide=True)


def test_a_mesh_that_cannot_be_read_is_named(cart: Embodiment) -> None:
    robot = with_mesh(cart)
    (Path(robot.model.file).parent / "body.stl").write_bytes(b"no mesh")
    with pytest.raises(ValueError, match=r"mesh .*body.stl (cannot be read|holds no triangles)"):
        robot_model.neutral_mesh(robot)
