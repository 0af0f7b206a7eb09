"""Build the one Genesis scene of a process: the ground, fixed meshes, and many copies of a robot."""

import inspect
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from embodiments.embodiment import Embodiment, GaitDrive
from pipeline.simulation.physics.robot_model import build_urdf

GROUND_FRICTION = 0.01
"""The least that Genesis allows. It takes the larger friction of a pair, so the robot's shapes decide."""
FOOT_FRICTION = 0.8
CASTER_FRICTION = 0.01


def build(
    embodiment: Embodiment,
    *,
    num_envs: int,
    device: torch.device,
    dt_s: float,
    seed: int,
    randomisable: bool,
    extra_meshes: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[Any, Any]:
    """Return the built scene and its robot; the first build on a machine compiles for about a minute.

    Args:
        dt_s: Length of a physics step.
        randomisable: Store masses and gains per environment.
        extra_meshes: Fixed meshes, each (vertices_w (V, 3) [m], triangles (F, 3)), in contact with the whole body.

    Raises:
        ValueError: If the process already holds a scene.
    """
    gs = _start(device, seed)
    scene = gs.Scene(
        sim_options=gs.options.SimOptions(dt=dt_s),
        rigid_options=gs.options.RigidOptions(
            enable_self_collision=False, batch_links_info=randomisable, batch_dofs_info=randomisable
        ),
        profiling_options=gs.options.ProfilingOptions(show_FPS=False),
        show_viewer=False,
    )
    rigid = gs.materials.Rigid
    scene.add_entity(gs.morphs.Plane(), material=rigid(friction=GROUND_FRICTION))
    for vertices, triangles in extra_meshes:
        scene.add_entity(_fixed_mesh(gs, vertices, triangles), material=rigid(friction=GROUND_FRICTION))
    urdf = build_urdf(embodiment, all_links_collide=bool(extra_meshes))
    armature = embodiment.drive.armature_kgm2
    morph = gs.morphs.URDF(
        file=urdf,
        links_to_keep=embodiment.model.keep_links,
        default_armature=armature if isinstance(armature, float) else 0.01,
    )
    friction = FOOT_FRICTION if isinstance(embodiment.drive, GaitDrive) else CASTER_FRICTION
    robot = scene.add_entity(morph, material=rigid(friction=friction))
    scene.build(n_envs=num_envs)
    return scene, robot


def _start(device: torch.device, seed: int) -> Any:
    """Initialise Genesis quietly and undo its changes to the process."""
    gs = _imported()
    if getattr(gs, "_initialized", False):
        raise ValueError("this process already holds a Genesis scene: one robot batch per process")
    hook = sys.excepthook
    gs.init(backend=gs.cpu if device.type == "cpu" else gs.gpu, seed=seed, logging_level="error")
    sys.excepthook = hook
    torch.set_default_device(None)
    return gs


def _imported() -> Any:
    """Import Genesis in a quarter of the time.

    Its compiler asks for the source line below every function that it decorates. Below most is Python's import system,
    which has no source file, so ``inspect`` searches all loaded modules each time. Here it is given
    the modules of these two files.
    """
    for name in ("importlib._bootstrap", "importlib._bootstrap_external"):
        inspect.modulesbyfile.setdefault(f"<frozen {name}>", name)
    import genesis

    return genesis


def _fixed_mesh(gs: Any, vertices: np.ndarray, triangles: np.ndarray) -> Any:
    import trimesh

    mesh = trimesh.Trimesh(vertices=vertices, faces=triangles, process=False)
    return gs.morphs.MeshSet(files=(mesh,), fixed=True, convexify=False)
