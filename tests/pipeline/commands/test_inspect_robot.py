"""`inspect_robot` measures a model, draws it, writes a first robot file, and says what is missing or wrong."""

import re
from pathlib import Path

import pytest

from embodiments import registry, robot_file
from embodiments.embodiment import RobotModel
from pipeline import __main__ as cli
from pipeline.evaluation.inspection import draft, measured
from pipeline.evaluation.inspection.model_findings import of_bare_model, of_model
from pipeline.evaluation.inspection.robot_findings import of_robot
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, load_parts
from tests import own_robot


def findings(path: Path) -> str:
    """Return the findings about a robot file or a model, one line each."""
    if path.suffix == ".py":
        robot = robot_file.load(path)
        model = measured.measure(robot.model, name=robot.name, robot=robot)
        found = of_model(model) + of_robot(model, robot)
    else:
        model = measured.measure(RobotModel(file=path), name=path.stem)
        found = of_model(model) + of_bare_model(model)
    return "\n".join(f"{finding.kind}: {finding.text}" for finding in found)


def changed_model(folder: Path, old: str, new: str) -> str:
    """Return the findings about the cart's bare model with a text replaced."""
    assert old in own_robot.urdf()
    own_robot.write(folder, model=own_robot.urdf().replace(old, new))
    return findings(folder / "cart.urdf")


def changed_robot(folder: Path, old: str, new: str) -> str:
    """Return the findings about the cart's robot file with a text replaced."""
    assert old in own_robot.ROBOT_FILE
    return findings(own_robot.write(folder, robot_file=own_robot.ROBOT_FILE.replace(old, new)))


def test_a_bare_model_becomes_a_robot_file_without_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_robot.write(tmp_path)
    out = tmp_path / "out"
    assert cli.main(["inspect_robot", str(tmp_path / "cart.urdf"), "--out", str(out)]) == 0
    assert "nothing missing or wrong" in capsys.readouterr().out
    (out / "cart.py").rename(tmp_path / "cart.py")
    robot = robot_file.load(tmp_path / "cart.py")
    assert (robot.drive.wheel_radius_m, robot.drive.track_m) == (0.1, 0.4)  # type: ignore[union-attr]
    assert (robot.camera.x_m, robot.camera.z_m) == (0.03, 0.95)
    assert findings(tmp_path / "cart.py").splitlines() == [
        "note: limits.source is empty: say where the velocities come from"
    ]
    page = (out / "cart.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2 and "left_wheel_joint" in page


def test_a_shipped_robot_has_no_findings_and_its_measures_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = registry.get("stretch_re1").camera
    assert cli.main(["inspect_robot", "stretch_re1", "--slack-m", "0.05", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"x_m={camera.x_m:.3f}," in printed
    assert f"z_m={camera.z_m:.3f}," in printed
    assert "pitch_rad=math.radians(30.0)," in printed
    assert len(re.findall(r"Disc\(", printed)) >= 4
    assert "nothing missing or wrong" in printed
    assert "forward_mps" in (tmp_path / "stretch_re1.html").read_text()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('type="continuous"', 'type="fixed"', r"wrong: no wheels: no joint near the ground is continuous.*GaitDrive"),
        ('xyz="0 -0.2 0.1"', 'xyz="0.1 -0.2 0.1"', r"wrong: no pair of wheels: left_wheel_joint, right_wheel_joint"),
        ("camera", "eye", r"missing: a camera link: no link is named camera or depth; write x_m"),
        (
            'name="camera_joint" type="fixed"',
            'name="neck" type="revolute"',
            r"missing: limits of joints neck: add <limit",
        ),
        ('name="camera_joint" type="fixed"', 'name="slide" type="planar"', r"wrong: joint slide is planar"),
        ('<box size="0.44 0.34 0.2"/>', '<mesh filename="b.stl"/>', r"wrong: mesh 'b.stl' of cart.urdf is not there"),
        ("visual>", "collision>", r"note: no visual meshes: the footprint is measured on the collision shapes"),
        ("collision>", "visual>", r"wrong: no collision shapes: nothing can stand on the ground"),
        ("inertial>", "thermal>", r"missing: masses: no link has <inertial>"),
    ],
)
def test_what_a_model_lacks(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert re.search(line, changed_model(tmp_path, old, new))


def test_a_model_without_wheels_makes_no_robot_file(tmp_path: Path) -> None:
    own_robot.write(tmp_path, model=own_robot.urdf().replace('type="continuous"', 'type="fixed"'))
    model = measured.measure(RobotModel(file=tmp_path / "cart.urdf"), name="cart")
    assert draft.robot_file(model, measured.footprint(model, slack_m=0.02)) == ""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('"left_wheel_joint"', '"left_wheel_jiont"', r"wrong: joint 'left_wheel_jiont' .*mean 'left_wheel_joint'\?"),
        (
            "track_m=0.4",
            "track_m=0.5",
            r"wrong: wheel 'left_wheel_joint' is at y \+0.200 m, the drive's track says \+0.250",
        ),
        ("track_m=0.4", "track_m=0.5", r"wrong: limits.half_track_m must be half of the drive's track_m"),
        ("wheel_radius_m=0.1", "wheel_radius_m=0.12", r"wrong: wheel 'left_wheel_joint' has a radius of 0.100 m"),
        ("radius_m=0.32", "radius_m=0.2", r"wrong: the footprint at 0.05–0.3 m leaves out \d+ mm of the body at"),
        ("radius_m=0.32", "radius_m=0.5", r"note: the footprint at 0.05–0.3 m reaches \d+ mm beyond the body"),
        ("(), ())", "())", r"wrong: footprint has 3 layers, expected 4"),
        ("radius_m=0.04),)", "radius_m=0.04),), ()", r"wrong: footprint has 5 layers"),
        ("reverse_mps=0.2", "reverse_mps=0.5", r"wrong: reverse_mps is 0.5: 0 to 0.2"),
        ("wheel_speed_mps=0.7", "wheel_speed_mps=0.3", r"wrong: wheel_speed_mps 0.3 is below forward_mps"),
        ("acceleration_mps2=0.5", "acceleration_mps2=0.0", r"wrong: acceleration_mps2 is 0"),
        ("z_m=0.95", "z_m=95", r"wrong: camera.z_m is 95: the height above the ground in metres"),
        ("hfov_rad=1.5", "hfov_rad=87", r"wrong: camera.hfov_rad and vfov_rad are in radians"),
        ("pitch_rad=0.35", "pitch_rad=0.0", r"note: the camera is not where link 'camera_link' is \(x 0.030 m"),
        ('source="a guess"', 'source=""', r"note: limits.source is empty"),
    ],
)
def test_what_a_robot_file_has_wrong(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert re.search(line, changed_robot(tmp_path, old, new))


def test_wheels_above_the_ground_are_found(tmp_path: Path) -> None:
    own_robot.write(tmp_path, model=own_robot.urdf().replace('xyz="-0.22 0 0.04"', 'xyz="-0.22 0 0.036"'))
    assert "wheel 'left_wheel_joint' hangs 4.0 mm above the ground" in findings(tmp_path / "cart.py")


@pytest.mark.parametrize("word", ["no_such_robot", "none.py", "none.urdf"])
def test_what_is_not_there_is_one_line(word: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["inspect_robot", word, "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_unknown_camera_link_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_robot.write(tmp_path)
    assert cli.main(["inspect_robot", str(path), "--camera-link", "eye", "--out", str(tmp_path)]) == 2
    assert "no link 'eye'; its links: base_link" in capsys.readouterr().err


def test_a_model_is_measured_whole_and_only_films_simplify_it() -> None:
    robot = registry.get("stretch_re1")
    whole, film = load_parts(robot), load_parts(robot, max_triangles=FILM_TRIANGLES)
    assert sum(map(len, whole.triangles)) > 2 * sum(map(len, film.triangles))
