"""A short film of a gait on empty ground, one command after the other; command and velocity are written in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.evaluation.video.chase import ChaseCamera
from pipeline.evaluation.video.filming import base_w, joint_angles_rad
from pipeline.evaluation.video.frames import PAGE_PX
from pipeline.evaluation.video.robot_film import ENCODING
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, load_parts
from pipeline.simulation.gait.trials import GaitTrials, command_range
from pipeline.simulation.physics.dynamics import GaitRandomisation
from pipeline.simulation.physics.gait_weights import load_gait
from pipeline.simulation.physics.robot_physics import RobotPhysics
from scenes.scene import Scene

COMMAND_S = 2.5
STRIDE = 2
"""Drive steps per frame: 25 frames a second"""
_HALF_M = 50.0
_GROUND = Scene(name="ground", kind="ground", solids=(), extent_w_m=(-_HALF_M, -_HALF_M, _HALF_M, _HALF_M))


def film(embodiment: Embodiment, weights: Path | None, out: Path, *, seed: int = 0) -> None:
    """Write the film (H.264) of one robot with drawn dynamics, late and noisy as in ``evaluate_gait``, without pushes.

    Raises:
        FileNotFoundError: If there are no weights.
    """
    import imageio.v2 as imageio

    assert isinstance(embodiment.drive, GaitDrive)
    network = load_gait(embodiment.drive, weights)
    physics = RobotPhysics(embodiment, num_envs=1, seed=seed, randomisable=True)
    trials = GaitTrials(embodiment, physics, network, block=GaitRandomisation(), seed=seed)
    camera = ChaseCamera(load_parts(embodiment, max_triangles=FILM_TRIANGLES), _GROUND, yaw_w_rad=0.0)
    options: dict[str, Any] = {"codec": "libx264", "output_params": list(ENCODING)}
    with imageio.get_writer(out, fps=DRIVE_HZ / STRIDE, **options) as writer:
        for count, (name, command) in enumerate(_walk(trials, embodiment)):
            if count % STRIDE == 0:
                picture = camera.picture(base_w=base_w(physics), angles_rad=joint_angles_rad(physics), size_px=PAGE_PX)
                velocity_b = physics.velocity_b[0]
                lines = (f"{embodiment.name}: {name}", _text("command ", command), _text("velocity", velocity_b))
                writer.append_data(_written(picture, lines))  # type: ignore[attr-defined]


def _walk(trials: GaitTrials, embodiment: Embodiment) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name of the command and the command after every drive step."""
    (back, side, turn), (ahead, _, _) = command_range(embodiment).tolist()
    commands = {
        "stand": (0.0, 0.0, 0.0),
        "ahead": (ahead, 0.0, 0.0),
        "a curve to the left": (0.5 * ahead, 0.0, -turn),
        "turn right on the spot": (0.0, 0.0, turn),
        "sideways to the left": (0.0, -side, 0.0),
        "sideways to the right": (0.0, side, 0.0),
        "back": (back, 0.0, 0.0),
        "stand again": (0.0, 0.0, 0.0),
    }
    trials.restart()
    for name, values in commands.items():
        command = torch.tensor(values)
        for _ in range(round(COMMAND_S * DRIVE_HZ)):
            trials.walk(command[None])
            yield name, command


def _text(what: str, velocity_b: torch.Tensor) -> str:
    x, y, turn = velocity_b.tolist()
    return f"{what} {x:+.2f} {y:+.2f} m/s {turn:+.2f} rad/s"


def _written(picture: np.ndarray, lines: tuple[str, ...]) -> np.ndarray:
    frame = Image.fromarray(picture)
    draw = ImageDraw.Draw(frame)
    for number, line in enumerate(lines):
        draw.text((10, 8 + 18 * number), line, fill=(28, 36, 48), font=ImageFont.load_default(size=14))
    return np.asarray(frame)
