"""A short film of a gait on empty ground, told one thing after the other; command and velocity are written in."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.evaluation.video.chase import ChaseCamera
from pipeline.evaluation.video.filming import base_w
from pipeline.evaluation.video.rendering import View
from pipeline.evaluation.video.robot_film import SIZE_PX, looks
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, load_parts
from pipeline.simulation.gait.trials import GaitTrials, command_range
from pipeline.simulation.physics.dynamics import GaitRandomisation
from pipeline.simulation.physics.film_scene import FilmSet
from pipeline.simulation.physics.gait_weights import load_gait
from pipeline.simulation.physics.robot_physics import RobotPhysics
from scenes.scene import Scene

COMMAND_S = 2.5
STRIDE = 2
"""Drive steps per frame: 25 frames a second"""
_HALF_M = 50.0
_GROUND = Scene(name="ground", kind="ground", solids=(), extent_w_m=(-_HALF_M, -_HALF_M, _HALF_M, _HALF_M))
_Shown = tuple[str, torch.Tensor]


def film(embodiment: Embodiment, weights: Path | None, out: Path, *, seed: int = 0) -> None:
    """Write the film (H.264) of one robot with drawn dynamics, late and noisy as in ``evaluate_gait``, without pushes.

    Raises:
        FileNotFoundError: If there are no weights.
    """
    import imageio.v2 as imageio

    assert isinstance(embodiment.drive, GaitDrive)
    parts = load_parts(embodiment, max_triangles=FILM_TRIANGLES)
    with tempfile.TemporaryDirectory() as folder:
        film_set = FilmSet(looks(parts), size_px=SIZE_PX, hfov_rad=View.hfov_rad, folder=Path(folder))
        physics = RobotPhysics(embodiment, num_envs=1, seed=seed, randomisable=True, film_set=film_set)
        network = load_gait(embodiment.drive, weights)
        trials = GaitTrials(embodiment, physics, network, block=GaitRandomisation(), seed=seed)
        chase = ChaseCamera(parts, _GROUND, yaw_w_rad=0.0)
        options: dict[str, Any] = {"codec": "libx264", "output_params": ["-crf", "27", "-movflags", "+faststart"]}
        with imageio.get_writer(out, fps=DRIVE_HZ / STRIDE, **options) as writer:
            for count, (told, target) in enumerate(_walk(trials, embodiment)):
                if count % STRIDE == 0:
                    view = chase.view(base_w=base_w(physics), size_px=SIZE_PX)
                    picture = film_set.picture(eye_w_m=view.eye_w_m, target_w_m=view.target_w_m)
                    lines = (f"{embodiment.name}: {told}", _text("told", target), _text("does", physics.velocity_b[0]))
                    writer.append_data(_written(picture, lines))  # type: ignore[attr-defined]


def _walk(trials: GaitTrials, embodiment: Embodiment) -> Iterator[_Shown]:
    """Yield what is told after every drive step; the robot is there then."""
    (back, side, turn), (ahead, _, _) = command_range(embodiment).tolist()
    told = {
        "stand": (0.0, 0.0, 0.0),
        "ahead": (ahead, 0.0, 0.0),
        "a curve to the left": (0.5 * ahead, 0.0, -turn),
        "turn right on the spot": (0.0, 0.0, turn),
        "sideways to the left": (0.0, -side, 0.0),
        "sideways to the right": (0.0, side, 0.0),
        "back": (back, 0.0, 0.0),
        "stand again": (0.0, 0.0, 0.0),
    }
    trials.begin()
    for name, command in told.items():
        target = torch.tensor(command)
        for _ in range(round(COMMAND_S * DRIVE_HZ)):
            trials.walk(target[None])
            yield name, target


def _text(what: str, velocity_b: torch.Tensor) -> str:
    x, y, turn = velocity_b.tolist()
    return f"{what} {x:+.2f} {y:+.2f} m/s {turn:+.2f} rad/s"


def _written(picture: np.ndarray, lines: tuple[str, ...]) -> np.ndarray:
    frame = Image.fromarray(picture)
    draw = ImageDraw.Draw(frame)
    for number, line in enumerate(lines):
        draw.text((10, 8 + 18 * number), line, fill=(245, 247, 250), font=ImageFont.load_default(size=14))
    return np.asarray(frame)
