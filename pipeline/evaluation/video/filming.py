"""From the state of a simulated robot to the frames of a film."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from embodiments.spaces import CONTROL_HZ
from pipeline.agents.agent import Agent
from pipeline.evaluation.video.chase import ChaseCamera
from pipeline.evaluation.video.frames import (
    CHASE_PX,
    MAP_PX,
    PAGE_MAP_PX,
    PAGE_PX,
    MapView,
    Moment,
    compose,
    compose_for_page,
)
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, RobotParts, load_parts
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.episodes import SUCCESS_RADIUS_M
from pipeline.simulation.physics.robot_physics import RobotPhysics
from scenes.scene import Scene

ENDINGS = ("success", "collision", "fall", "timeout", "broken")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a frame is made of."""

    chase_px: tuple[int, int] | None
    """Width and height of the picture from behind the robot; None leaves it out, and a frame is drawn faster"""
    map_px: int
    compose: Callable[[Moment, MapView], np.ndarray]


LARGE = Layout(chase_px=CHASE_PX, map_px=MAP_PX, compose=compose)
LARGE_WITHOUT_CHASE = Layout(chase_px=None, map_px=MAP_PX, compose=compose)
PAGE = Layout(chase_px=PAGE_PX, map_px=PAGE_MAP_PX, compose=compose_for_page)


class Filming:
    """Turns the steps of the first environment into frames, episode after episode."""

    def __init__(
        self, environment: NavigationEnvironment, scenes: tuple[Scene, ...], *, label: str, layout: Layout
    ) -> None:
        """Load what is needed to draw the robot."""
        self._environment = environment
        self._scenes = scenes
        self._label = label
        self._layout = layout
        self._parts: RobotParts | None = None
        if layout.chase_px is not None:
            self._parts = load_parts(environment.embodiment, max_triangles=FILM_TRIANGLES)
        self._camera: ChaseCamera | None = None
        self._trail: list[np.ndarray] = []
        self._view = MapView(np.zeros((1, 2)))

    @property
    def label(self) -> str:
        """Who drives."""
        return self._label

    @property
    def robot(self) -> str:
        """Name of the robot."""
        return self._environment.embodiment.name

    def observe(self, step: Step) -> None:
        """Take note of a step; every step of an episode must be observed, also one that gets no frame."""
        if bool(step.first[0]):
            self._begin()
        self._trail.append(self._pose_w()[:2])

    def frame(self, step: Step) -> np.ndarray:
        """Return the frame of the step that was observed last."""
        environment = self._environment
        episodes, row = environment.episodes, int(environment.episode[0])
        scene, pose_w, goal_w = self._scene(), self._pose_w(), episodes.goal_w[row]
        route_w_m = _to_world(step.observation.route_xy_b_m[0].cpu().numpy(), pose_w)
        xy_w, _, present = environment.people()
        people_w_m = xy_w[0][present[0]].cpu().numpy()
        moment = Moment(
            embodiment=environment.embodiment,
            scene=scene,
            pose_w=pose_w,
            goal_w=goal_w,
            goal_radius_m=SUCCESS_RADIUS_M[episodes.protocol],
            trail_w_m=np.asarray(self._trail),
            route_w_m=route_w_m,
            depth_m=step.observation.depth_m[0, 0].cpu().numpy(),
            semantic=environment.semantic[0].cpu().numpy(),
            people_w_m=people_w_m,
            lines=self._lines(step, scene),
            ending=ending_of(step),
            chase=self._chase(goal_w, route_w_m, people_w_m),
        )
        return self._layout.compose(moment, self._view)

    def _begin(self) -> None:
        episodes, row = self._environment.episodes, int(self._environment.episode[0])
        points = [episodes.start_w[row][None, :2], episodes.goal_w[row][None, :2], episodes.route_w_m[row]]
        self._view = MapView(np.concatenate(points), size_px=self._layout.map_px)
        self._trail = []
        if self._parts is not None:
            self._camera = ChaseCamera(self._parts, self._scene(), yaw_w_rad=float(self._pose_w()[2]))

    def _scene(self) -> Scene:
        return self._scenes[int(self._environment.scene_index[0])]

    def _pose_w(self) -> np.ndarray:
        return self._environment.pose_w[0].cpu().numpy().copy()

    def _lines(self, step: Step, scene: Scene) -> tuple[str, ...]:
        observation = step.observation
        speed, turn = float(observation.velocity_b[0, 0]), float(observation.velocity_b[0, 2])
        command = ", ".join(f"{value:+.2f}" for value in observation.previous_command[0].tolist())
        distance = float(observation.goal_b[0, :2].norm())
        heading = math.degrees(math.atan2(float(observation.goal_b[0, 3]), float(observation.goal_b[0, 2])))
        return (
            f"{self._environment.embodiment.name}, {self._label}, {scene.name}",
            f"goal {distance:5.2f} m away, heading error {heading:+4.0f}°",
            f"velocity {speed:+.2f} m/s, {turn:+.2f} rad/s; command {command}",
        )

    def _chase(self, goal_w: np.ndarray, route_w_m: np.ndarray, people_w_m: np.ndarray) -> np.ndarray | None:
        if self._camera is None or self._layout.chase_px is None:
            return None
        physics = self._environment.physics
        return self._camera.picture(
            base_w=base_w(physics),
            angles_rad=joint_angles_rad(physics),
            size_px=self._layout.chase_px,
            goal_w=goal_w,
            route_w_m=route_w_m,
            people_w_m=people_w_m,
        )


def drive(environment: NavigationEnvironment, agent: Agent) -> Iterator[Step]:
    """Yield the steps of the first environment's episodes, ends included, until none is left."""
    step = environment.reset()
    while not bool(environment.idle.all()):
        yield step
        agent.reset(step.first)
        action = agent.act(step.observation, environment.privileged)
        step = environment.step(action) if agent.output == "action" else environment.step_command(action)


def with_still_end(frame: np.ndarray, *, ending: str | None) -> list[np.ndarray]:
    """Return a frame once, and for a second where an episode ended."""
    return [frame] * (round(CONTROL_HZ) if ending else 1)


def ending_of(step: Step) -> str | None:
    """Return how the first environment's episode ended at this step; None if it goes on."""
    if not bool((step.terminated | step.truncated)[0]):
        return None
    return next((name for name in ENDINGS if bool(getattr(step.outcome, name)[0])), "timeout")


def joint_angles_rad(physics: RobotPhysics) -> dict[str, float]:
    """Return joint name -> angle of the first robot."""
    return dict(zip(physics.joint_names, physics.joint_position[0].tolist(), strict=True))


def base_w(physics: RobotPhysics) -> np.ndarray:
    """Return the (4, 4) pose of the first robot's root link."""
    w, x, y, z = torch.nn.functional.normalize(physics.quat_wxyz_w[0], dim=0).tolist()
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = physics.position_w[0].tolist()
    return pose


def _to_world(points_b: np.ndarray, pose_w: np.ndarray) -> np.ndarray:
    x, y, yaw = pose_w
    rotation = np.asarray([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    moved: np.ndarray = points_b @ rotation.T + np.asarray([x, y])
    return moved
