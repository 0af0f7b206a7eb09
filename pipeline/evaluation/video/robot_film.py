"""A short film of one robot through one episode: seen from behind, with the depth image that it sees in a corner."""

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from embodiments.embodiment import Embodiment
from embodiments.spaces import CONTROL_HZ
from pipeline.agents.exported import ExportedAgent
from pipeline.evaluation.video.chase import GOAL_RGB, ChaseCamera, disc
from pipeline.evaluation.video.filming import base_w, ending_of
from pipeline.evaluation.video.frames import depth_picture
from pipeline.evaluation.video.rendering import SEMANTIC_COLOURS, View
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, RobotParts, load_parts
from pipeline.simulation.navigation.environment import NavigationConfig, NavigationEnvironment, Step
from pipeline.simulation.navigation.episodes import RouteKind
from pipeline.simulation.navigation.task import build_task, make_environment
from pipeline.simulation.physics.film_scene import FilmSet, Prop
from scenes.mesh import to_mesh
from scenes.registry import load
from scenes.scene import FLOOR, Scene

SIZE_PX = (512, 288)
"""Of a frame: multiples of 16, which every player decodes"""
DEPTH_PX = (128, 80)
FILM_S = 24.0
"""A film of a longer episode leaves steps out: slow robots are shown faster than they are."""
POSTER_STEP = 30
"""The frame that stands for the film on paper"""
END_S = 1.0
"""How long the end of the episode is shown"""

Camera = Literal["simulator", "rays"]


@dataclass(frozen=True, kw_only=True)
class Shot:
    """What is filmed."""

    embodiment: Embodiment
    policy: Path
    scene: str
    """Kind, or the path of a map"""
    route: RouteKind
    split: str
    seed: int
    camera: Camera
    """``rays`` needs no OpenGL"""


def film(shot: Shot, out: Path) -> dict[str, Any]:
    """Write the film (H.264, which browsers play) and one frame of it beside it (.jpg).

    Returns:
        What it shows: ``ending``, ``time_s``, and ``speed``, how many times faster than it was.
    """
    import imageio.v2 as imageio

    with tempfile.TemporaryDirectory() as folder:
        stage = _Stage(shot, Path(folder))
        stride = math.ceil(float(stage.environment.episodes.time_limit_s[0]) / FILM_S)
        facts: dict[str, Any] = {"speed": stride}
        options = ["-crf", "27", "-preset", "slow", "-movflags", "+faststart"]
        with imageio.get_writer(out, fps=CONTROL_HZ, codec="libx264", output_params=options) as writer:
            for count, step in enumerate(_steps(stage.environment, _agent(shot))):
                ending = ending_of(step)
                if ending is None and count % stride:
                    continue
                frame = stage.frame(step)
                for _ in range(round(END_S * CONTROL_HZ) if ending else 1):
                    writer.append_data(frame)  # type: ignore[attr-defined]
                if count <= POSTER_STEP * stride:
                    poster = frame
                facts |= {"ending": ending, "time_s": round(count / CONTROL_HZ, 1)}
        Image.fromarray(poster).save(out.with_suffix(".jpg"), quality=80)
    return facts


class _Stage:
    """The environment and the camera team of one film."""

    def __init__(self, shot: Shot, folder: Path) -> None:
        scene = load(shot.scene, split=shot.split, index=shot.seed)
        task = build_task(shot.embodiment, [scene], protocol="compass", per_scene=1, route=shot.route, seed=shot.seed)
        parts = load_parts(shot.embodiment, max_triangles=FILM_TRIANGLES)
        self._goal_w = task.episodes.goal_w[0]
        self._film_set: FilmSet | None = None
        if shot.camera == "simulator":
            props = [*looks(parts), *_furniture(scene), _goal_prop(self._goal_w)]
            self._film_set = FilmSet(props, size_px=SIZE_PX, hfov_rad=View.hfov_rad, folder=folder)
        self.environment = make_environment(
            task, config=NavigationConfig(), num_envs=1, seed=shot.seed, film_set=self._film_set
        )
        self.environment.assign(torch.arange(1)[None])
        self._chase = ChaseCamera(parts, scene, yaw_w_rad=float(task.episodes.start_w[0, 2]))

    def frame(self, step: Step) -> np.ndarray:
        """Return the frame of a moment."""
        pose_w = base_w(self.environment.physics)
        if self._film_set is not None:
            view = self._chase.view(base_w=pose_w, size_px=SIZE_PX)
            picture = self._film_set.picture(eye_w_m=view.eye_w_m, target_w_m=view.target_w_m)
        else:
            physics = self.environment.physics
            angles = dict(zip(physics.joint_names, physics.joint_position[0].tolist(), strict=True))
            picture = self._chase.picture(
                base_w=pose_w,
                angles_rad=angles,
                goal_w=self._goal_w,
                route_w_m=np.zeros((0, 2)),
                size_px=SIZE_PX,
            )
        return _with_depth(picture, step.observation.depth_m[0, 0].cpu().numpy())


def _steps(environment: NavigationEnvironment, agent: ExportedAgent) -> Iterator[Step]:
    """Yield the moments of one episode, the end included."""
    step = environment.reset()
    yield step
    while not bool((step.terminated | step.truncated)[0]):
        agent.reset(step.first)
        step = environment.step_command(agent.act(step.observation, environment.privileged))
        yield step


def _agent(shot: Shot) -> ExportedAgent:
    return ExportedAgent(shot.policy, shot.embodiment, device="cpu", allow_unseen=True)


def looks(parts: RobotParts) -> list[Prop]:
    """Return what a film shows of a robot."""
    pieces = zip(parts.links, parts.vertices_l_m, parts.triangles, parts.colours, strict=True)
    return [
        Prop(vertices_m=vertices, triangles=triangles, rgb=_rgb(colours[0]), link=link)
        for link, vertices, triangles, colours in pieces
    ]


def _furniture(scene: Scene) -> list[Prop]:
    """Return what stands in a scene, one prop per class; the ground is the simulator's own."""
    mesh = to_mesh(scene)
    return [
        Prop(
            vertices_m=mesh.vertices_w_m,
            triangles=mesh.triangles[mesh.semantic == semantic],
            rgb=_rgb(SEMANTIC_COLOURS[semantic]),
        )
        for semantic in np.unique(mesh.semantic[mesh.semantic != FLOOR])
    ]


def _goal_prop(goal_w: np.ndarray) -> Prop:
    surface = disc(goal_w[:2], radius_m=0.25, rgb=GOAL_RGB)
    return Prop(vertices_m=surface.vertices_w_m, triangles=surface.triangles, rgb=GOAL_RGB)


def _rgb(colour: np.ndarray) -> tuple[float, float, float]:
    return float(colour[0]), float(colour[1]), float(colour[2])


def _with_depth(picture: np.ndarray, depth_m: np.ndarray) -> np.ndarray:
    """Return a picture with the depth image in its lower right corner."""
    frame = Image.fromarray(picture)
    inset = Image.fromarray(depth_picture(depth_m)).resize(DEPTH_PX, Image.Resampling.NEAREST)
    left, top = SIZE_PX[0] - DEPTH_PX[0] - 8, SIZE_PX[1] - DEPTH_PX[1] - 8
    frame.paste("white", (left - 2, top - 2, left + DEPTH_PX[0] + 2, top + DEPTH_PX[1] + 2))
    frame.paste(inset, (left, top))
    return np.asarray(frame)
