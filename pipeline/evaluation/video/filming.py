"""From the state of a simulated robot to the frames of a film."""

import math

import numpy as np
import torch

from pipeline.evaluation.video.chase import ChaseCamera
from pipeline.evaluation.video.frames import CHASE_PX, MapView, Moment, compose
from pipeline.evaluation.video.robot_meshes import FILM_TRIANGLES, RobotParts, load_parts
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.episodes import SUCCESS_RADIUS_M
from pipeline.simulation.physics.robot_physics import RobotPhysics
from scenes.scene import Scene

ENDINGS = ("success", "collision", "fall", "timeout", "broken")


class Filming:
    """Turns the steps of the first environment into frames, episode after episode."""

    def __init__(
        self, environment: NavigationEnvironment, scenes: tuple[Scene, ...], *, label: str, chase: bool
    ) -> None:
        """Load what is needed to draw the robot."""
        self._environment = environment
        self._scenes = scenes
        self._label = label
        self._parts: RobotParts | None = None
        if chase:
            self._parts = load_parts(environment.embodiment, max_triangles=FILM_TRIANGLES)
        self._camera: ChaseCamera | None = None
        self._trail: list[np.ndarray] = []
        self._view = MapView(np.zeros((1, 2)))

    def frame(self, step: Step) -> np.ndarray:
        """Return the frame of one control step."""
        environment = self._environment
        episodes, row = environment.episodes, int(environment.episode[0])
        scene = self._scenes[int(episodes.scene_index[row])]
        pose_w = environment.pose_w[0].cpu().numpy()
        if bool(step.first[0]):
            self._begin(scene, row, yaw_w_rad=float(pose_w[2]))
        self._trail.append(pose_w[:2].copy())
        route_w_m = _to_world(step.observation.route_xy_b_m[0].cpu().numpy(), pose_w)
        goal_w = episodes.goal_w[row]
        return compose(
            Moment(
                embodiment=environment.embodiment,
                scene=scene,
                pose_w=pose_w,
                goal_w=goal_w,
                goal_radius_m=SUCCESS_RADIUS_M[episodes.protocol],
                trail_w_m=np.asarray(self._trail),
                route_w_m=route_w_m,
                depth_m=step.observation.depth_m[0, 0].cpu().numpy(),
                semantic=environment.semantic[0].cpu().numpy(),
                lines=self._lines(step, scene),
                ending=ending_of(step),
                chase=self._chase(goal_w, route_w_m),
            ),
            self._view,
        )

    def _begin(self, scene: Scene, row: int, *, yaw_w_rad: float) -> None:
        episodes = self._environment.episodes
        points = [episodes.start_w[row][None, :2], episodes.goal_w[row][None, :2], episodes.route_w_m[row]]
        self._view = MapView(np.concatenate(points))
        self._trail = []
        self._camera = ChaseCamera(self._parts, scene, yaw_w_rad=yaw_w_rad) if self._parts else None

    def _lines(self, step: Step, scene: Scene) -> tuple[str, ...]:
        observation = step.observation
        speed, turn = float(observation.velocity_b[0, 0]), float(observation.velocity_b[0, 2])
        told = ", ".join(f"{value:+.2f}" for value in observation.previous_command[0].tolist())
        distance = float(observation.goal_b[0, :2].norm())
        heading = math.degrees(math.atan2(float(observation.goal_b[0, 3]), float(observation.goal_b[0, 2])))
        return (
            f"{self._environment.embodiment.name}, {self._label}, {scene.name}",
            f"goal {distance:5.2f} m away, heading off by {heading:+4.0f}°",
            f"drives {speed:+.2f} m/s, turns {turn:+.2f} rad/s; told {told}",
        )

    def _chase(self, goal_w: np.ndarray, route_w_m: np.ndarray) -> np.ndarray | None:
        if self._camera is None:
            return None
        physics = self._environment.physics
        angles = dict(zip(physics.joint_names, physics.joint_position[0].tolist(), strict=True))
        return self._camera.picture(
            base_w=base_w(physics), angles_rad=angles, goal_w=goal_w, route_w_m=route_w_m, size_px=CHASE_PX
        )


def ending_of(step: Step) -> str | None:
    """Return how the first environment's episode ended at this step; None if it goes on."""
    if not bool((step.terminated | step.truncated)[0]):
        return None
    return next((name for name in ENDINGS if bool(getattr(step.outcome, name)[0])), "timeout")


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
