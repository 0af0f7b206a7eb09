"""`measure_robot` prints what belongs into a robot's file."""

import re

import pytest

from embodiments import registry
from pipeline.commands import measure_robot
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, load_parts


def test_prints_the_camera_and_a_footprint(capsys: pytest.CaptureFixture[str]) -> None:
    camera = registry.get("stretch_re1").camera
    measure_robot.main(
        measure_robot.Config(embodiment="stretch_re1", camera_link="camera_depth_optical_frame", slack_m=0.05)
    )
    printed = capsys.readouterr().out
    assert f"x_m={camera.x_m:.3f}," in printed
    assert f"z_m={camera.z_m:.3f}," in printed
    assert "pitch_rad=math.radians(30.0)," in printed
    assert len(re.findall(r"Disc\(", printed)) >= 4
    assert printed.count("m\n") >= 4  # every layer says its heights


def test_an_unknown_link_is_named() -> None:
    with pytest.raises(ValueError, match="no link 'eye'; its links: base_link"):
        measure_robot.main(measure_robot.Config(embodiment="stretch_re1", camera_link="eye"))


def test_a_model_is_measured_whole_and_only_films_simplify_it() -> None:
    robot = registry.get("stretch_re1")
    whole, film = load_parts(robot), load_parts(robot, max_triangles=FILM_TRIANGLES)
    assert sum(map(len, whole.triangles)) > 2 * sum(map(len, film.triangles))
