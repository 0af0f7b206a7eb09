"""A robot file from outside of the repository: known by its name, here and in other processes; ill ones are refused."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from embodiments import registry
from embodiments.embodiment import RobotModel
from pipeline.runs import processes
from tests import own_robot
from tests.separate_process import call


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with own_robot.no_robot_files():
        yield


def test_an_added_robot_is_known_by_its_name(tmp_path: Path) -> None:
    assert "cart" not in registry.names()
    registry.add_files([own_robot.write(tmp_path)])
    robot = registry.get("cart")
    assert robot.name == "cart" and robot is registry.get("cart")
    assert Path(robot.model.file) == tmp_path / "cart.urdf"  # relative to the robot file
    assert set(registry.names()) > {"cart", "tiago"}


def test_a_file_may_be_added_twice_and_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_robot.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    registry.add_files(["cart.py"])
    registry.add_files([tmp_path / "cart.py"])
    assert os.environ[registry.ROBOT_FILES] == str(tmp_path / "cart.py")


def test_a_spawned_process_knows_it(tmp_path: Path) -> None:
    registry.add_files([own_robot.write(tmp_path)])
    assert call(registry.get, "cart") == registry.get("cart")


def test_a_command_that_is_started_knows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry.add_files([own_robot.write(tmp_path)])
    assert processes.run_side_by_side({"x": ["list"]}, workers=1) == {"x": 0}
    assert "[x]   cart" in capsys.readouterr().out


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = own_robot.write(tmp_path)
    registry.add_files([path])
    own_robot.write(tmp_path, robot_file=own_robot.ROBOT_FILE.replace("forward_mps=0.5", "forward_mps=0.45"))
    assert registry.get("cart").limits.forward_mps == 0.45


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("x = 1\nraise KeyError('wheel')\n", r"robot file: line 2 of .*cart.py raises KeyError: 'wheel'; mend"),
        ("def f(:\n", r"line 1 of .*cart.py raises SyntaxError: "),
        ("import no_such_module\n", r"line 1 of .* raises ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)\n", r"raises SystemExit"),
        ("", r"defines no EMBODIMENT; it must say EMBODIMENT = Embodiment"),
        ("EMBODIMENT = 3\n", r"defines EMBODIMENT as int"),
        (own_robot.ROBOT_FILE.replace('name="cart"', 'name="tiago"'), r"embodiments/tiago.py defines 'tiago' already"),
        (own_robot.ROBOT_FILE.replace('name="cart"', 'name="My Cart"'), r"the name 'My Cart' must be lower case"),
        (own_robot.ROBOT_FILE.replace('file="cart.urdf"', ""), r"RobotModel needs file=\"PATH\", or package="),
    ],
)
def test_an_ill_file_is_refused_in_one_line(tmp_path: Path, content: str, line: str) -> None:
    path = own_robot.write(tmp_path, robot_file=content)
    with pytest.raises(ValueError, match=line) as refusal:
        registry.add_files([path])
    assert "\n" not in str(refusal.value)
    assert registry.names()  # the refused file does not count


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    registry.add_files([own_robot.write(tmp_path / "a")])
    with pytest.raises(ValueError, match="another robot file defines 'cart' already; give it another name"):
        registry.add_files([own_robot.write(tmp_path / "b")])
    assert "cart" in registry.names()  # the first one stays


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no robot file .*none.py: name a Python file that defines EMBODIMENT"):
        registry.add_files([tmp_path / "none.py"])


def test_an_unknown_robot_says_how_to_add_one() -> None:
    with pytest.raises(ValueError, match=r"no robot 'carts'.*a robot of your own: --robot-file FILE.py"):
        registry.get("carts")


def test_a_model_has_one_place() -> None:
    with pytest.raises(ValueError, match='RobotModel needs file="PATH"'):
        RobotModel(package="p", path="a.urdf", file="b.urdf")
    with pytest.raises(ValueError, match='RobotModel needs file="PATH"'):
        RobotModel(package="p")
