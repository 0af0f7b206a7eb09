"""The distance field ends an episode when the real geometry touches: checked against contacts in the physics engine.

Training never simulates contact with furniture; it lays the body's footprint over the scene's distance field. Here the
same solids stand in Genesis as fixed meshes, TIAGo drives into them with its whole body, and both must agree.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from embodiments.limits import project
from embodiments.registry import get
from embodiments.spaces import DRIVE_HZ, HEIGHT_LAYERS_M
from scenes.fields import distance_field
from scenes.mesh import to_mesh
from scenes.occupancy import layer_occupancy
from scenes.scene import BOX, FLOOR, FURNITURE, WALL, Scene, Solid, box
from tests.separate_process import call

pytestmark = pytest.mark.slow

AGREEMENT_M = 0.05
AGREEMENT_S = 0.1
SPEED_MPS = 0.3
DURATION_S = 8.0


def solid(
    x: float, y: float, *, size: tuple[float, float, float], bottom: float = 0.0, yaw: float = 0.0, kind=BOX
) -> Solid:
    return box(centre_xy_w_m=(x, y), size_m=size, yaw_rad=yaw, z_min_m=bottom, semantic=kind, known=True)


def scene() -> Scene:
    return Scene(
        name="contact",
        kind="contact",
        solids=(
            solid(2.5, 0.0, size=(1.0, 1.5, 2.0), kind=WALL),
            solid(2.5, 3.0, size=(1.0, 1.0, 0.25), yaw=math.pi / 4.0),  # low, with a corner to the robot
            solid(2.5, -3.0, size=(1.0, 1.2, 0.05), bottom=0.70, kind=FURNITURE),  # a table top
            solid(2.5, 6.0, size=(1.0, 1.2, 0.30), bottom=1.15),  # only the head reaches it
            solid(2.5, -6.0, size=(1.0, 1.2, 0.30), bottom=1.85),  # above the robot
            solid(-2.5, 0.0, size=(1.0, 1.5, 1.0)),
        ),
        extent_w_m=(-9.0, -9.0, 9.0, 9.0),
    )


RUNS = {
    "wall_ahead": ((0.5, 0.0, 0.0), SPEED_MPS),
    "wall_edge_turned": ((0.5, 0.3, 0.4), SPEED_MPS),
    "low_corner": ((0.5, 3.0, 0.0), SPEED_MPS),
    "low_side": ((0.5, 3.4, 0.0), SPEED_MPS),
    "table_top": ((0.5, -3.0, 0.0), SPEED_MPS),
    "table_corner": ((0.5, -3.7, 0.0), SPEED_MPS),
    "head_only": ((0.5, 6.0, 0.0), SPEED_MPS),
    "backwards": ((-0.5, 0.0, 0.0), -0.2),
    "below_a_beam": ((0.5, -6.0, 0.0), SPEED_MPS),
    "past_a_wall": ((0.5, -1.11, 0.0), SPEED_MPS),  # 0.36 m beside the axis; the body reaches 0.27 m
}
FREE = {"below_a_beam", "past_a_wall"}


@dataclass(frozen=True, kw_only=True)
class Log:
    """Per drive step: does the body touch in physics, and how much clearance does the field give it."""

    touching: np.ndarray
    """(T, B) bool"""
    clearance_m: np.ndarray
    """(T, B)"""
    x_w_m: np.ndarray
    """(T, B)"""


def meshes() -> list[tuple[np.ndarray, np.ndarray]]:
    """Return one mesh per solid, without the ground (four vertices of its own, first)."""
    result = []
    for one in scene().solids:
        mesh = to_mesh(Scene(name="one", kind="contact", solids=(one,), extent_w_m=scene().extent_w_m))
        triangles = mesh.triangles[mesh.semantic != FLOOR].astype(np.int64) - 4
        result.append((mesh.vertices_w_m[4:], triangles))
    return result


def drive_into_things() -> Log:
    """Drive every run side by side. Runs in a process of its own."""
    from pipeline.simulation.physics.body import BodyBatch
    from pipeline.simulation.physics.drives import make_drive
    from pipeline.simulation.physics.fields import FieldBank
    from pipeline.simulation.physics.randomisation import nominal
    from pipeline.simulation.physics.robot_physics import RobotPhysics

    tiago, count = get("tiago"), len(RUNS)
    physics = RobotPhysics(tiago, num_envs=count, extra_meshes=meshes())
    start = torch.tensor([pose for pose, _ in RUNS.values()])
    physics.reset(torch.ones(count, dtype=torch.bool), start[:, :2], start[:, 2])
    wheels = make_drive(tiago, physics)
    field = FieldBank([distance_field(layer_occupancy(scene(), layers_m=HEIGHT_LAYERS_M))], device="cpu")
    body = BodyBatch(tiago, num_envs=count, block=nominal(), generator=torch.Generator(), device="cpu")
    wanted = torch.tensor([(speed, 0.0, 0.0) for _, speed in RUNS.values()])
    command, index = torch.zeros(count, 3), torch.zeros(count, dtype=torch.long)
    obstacles = physics._scene.entities[1:-1]  # listed between the ground and the robot
    touching, clearance, position = [], [], []
    for step in range(round(DURATION_S * DRIVE_HZ)):
        if step % 5 == 0:
            command = project(wanted, command, body.descriptor)
        wheels.step(command)
        pose_w = torch.cat([physics.position_w[:, :2], physics.yaw_w[:, None]], dim=1)
        found = [physics._robot.get_contacts(with_entity=one)["valid_mask"].any(dim=-1) for one in obstacles]
        touching.append(torch.stack(found).any(dim=0))
        clearance.append(body.clearance_m(field, index, pose_w))
        position.append(pose_w[:, 0])
    return Log(
        touching=torch.stack(touching).numpy(),
        clearance_m=torch.stack(clearance).numpy(),
        x_w_m=torch.stack(position).numpy(),
    )


@pytest.fixture(scope="module")
def log() -> Log:
    return call(drive_into_things)


@pytest.mark.parametrize("name", [name for name in RUNS if name not in FREE])
def test_field_and_contact_agree(log, name):
    environment = list(RUNS).index(name)
    touched, ended = log.touching[:, environment], log.clearance_m[:, environment] <= 0.0
    assert touched.any()
    assert ended.any()
    contact, end = int(np.argmax(touched)), int(np.argmax(ended))
    late_s = abs(contact - end) / DRIVE_HZ
    gap_m = abs(float(log.clearance_m[contact, environment]))
    assert gap_m <= AGREEMENT_M or late_s <= AGREEMENT_S, f"{name}: {gap_m:.3f} m, {late_s:.2f} s apart"


@pytest.mark.parametrize("name", sorted(FREE))
def test_field_and_contact_agree_on_free_paths(log, name):
    environment = list(RUNS).index(name)
    assert log.x_w_m[-1, environment] > 2.5  # it did get past
    assert not log.touching[:, environment].any()
    assert (log.clearance_m[:, environment] > 0.0).all()
