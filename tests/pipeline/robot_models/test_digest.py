"""A robot's digest changes with its definition, its model and its meshes, not with the folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trimesh

from embodiments import registry
from pipeline.robot_models.digest import digest
from pipeline.runs import discovery, stage_inputs
from pipeline.stages.evaluate_policy import Config
from tests import own_robot

WITH_MESH = own_robot.urdf().replace('<box size="0.44 0.34 0.2"/>', '<mesh filename="body.stl"/>')


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    with own_robot.no_robot_files():
        yield


def digest_of(
    folder: Path, *, size_m: float = 0.4, model: str = WITH_MESH, robot_file: str = own_robot.ROBOT_FILE
) -> str:
    path = own_robot.write(folder, model=model, robot_file=robot_file)
    trimesh.creation.box(extents=(size_m, 0.3, 0.2)).export(folder / "body.stl")
    with own_robot.no_robot_files():
        registry.add_files([path])
        return digest("cart")


def test_what_counts(tmp_path: Path) -> None:
    first = digest_of(tmp_path / "a")
    assert digest_of(tmp_path / "b") == first  # not the folder
    assert digest_of(tmp_path / "b", size_m=0.41) != first  # a mesh
    assert digest_of(tmp_path / "b", model=WITH_MESH.replace('mass value="20"', 'mass value="21"')) != first
    slower = own_robot.ROBOT_FILE.replace("forward_mps=0.5", "forward_mps=0.4")
    assert digest_of(tmp_path / "b", robot_file=slower) != first
    assert digest_of(tmp_path / "b") == first


def test_a_shipped_robot_keeps_its_digest() -> None:
    """Folders of earlier runs stay valid: what robots from packages hash to has not changed."""
    assert digest("tiago").startswith("6f6fdd24912b")


def test_it_is_an_input_of_a_stage(tmp_path: Path) -> None:
    registry.add_files([own_robot.write(tmp_path)])
    stage = discovery.stage("evaluate_policy")
    found = stage_inputs.digests(stage, {}, Config(embodiments=("cart",)), root=None)
    assert found["robot:cart"] == digest("cart")
