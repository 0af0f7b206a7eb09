"""The view from behind a robot that moves through a scene."""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.agents.truth import PERSON_RADIUS_M
from pipeline.evaluation.video.rendering import Surface, View, render, scene_surface
from pipeline.evaluation.video.robot_meshes import RobotParts, place
from pipeline.simulation.conditions.crowd import HEIGHT_M
from scenes.raycasting import MeshRaycaster
from scenes.scene import Scene

DISTANCE_M = 3.2
ELEVATIONS_RAD = tuple(math.radians(angle) for angle in (30.0, 42.0, 54.0, 66.0, 80.0))
"""The camera takes the lowest one from which nothing hides the robot."""
WALL_HEIGHT_M = 1.1
"""Walls are drawn cut off at this height: the camera sees over them."""
FOLLOW = 0.15
"""Fraction of the distance to its new place that the camera goes per frame"""
GOAL_RGB, ROUTE_RGB, PERSON_RGB = (0.05, 0.55, 0.52), (0.17, 0.35, 0.76), (0.77, 0.25, 0.5)
_AIM_HEIGHT_M = 0.5


class ChaseCamera:
    """Follows one robot through one episode."""

    def __init__(self, parts: RobotParts, scene: Scene, *, yaw_w_rad: float) -> None:
        """Stand behind the robot, which faces ``yaw_w_rad``."""
        self._parts = parts
        self._scene = scene_surface(scene, wall_height_m=WALL_HEIGHT_M)
        self._sight = MeshRaycaster(self._scene.vertices_w_m, self._scene.triangles)
        self._yaw_rad = yaw_w_rad
        self._elevation_rad: float | None = None

    def picture(
        self,
        *,
        base_w: np.ndarray,
        angles_rad: dict[str, float],
        size_px: tuple[int, int],
        goal_w: np.ndarray | None = None,
        route_w_m: np.ndarray | None = None,
        people_w_m: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the picture (h, w, 3) uint8 of one moment, and move the camera on.

        Args:
            base_w: (4, 4) pose of the robot's root link.
            angles_rad: Joint name -> angle.
            size_px: Width and height.
            goal_w: (3,) x [m], y [m], yaw [rad]; drawn on the floor.
            route_w_m: (R, 2) drawn on the floor.
            people_w_m: (K, 2) shown as depth images see them: upright cylinders.
        """
        view = self.view(base_w=base_w, size_px=size_px)
        robot = place(self._parts, base_w=base_w, angles_rad=angles_rad)
        marks = [] if goal_w is None else goal_marks(goal_w)
        marks += [] if route_w_m is None else [disc(point, radius_m=0.05, rgb=ROUTE_RGB) for point in route_w_m]
        people = [] if people_w_m is None else [person(point) for point in people_w_m]
        return render([self._scene, robot, *people, *marks], view)

    def view(self, *, base_w: np.ndarray, size_px: tuple[int, int]) -> View:
        """Move the camera on to the next moment and return where it is."""
        position, heading = base_w[:2, 3], math.atan2(base_w[1, 0], base_w[0, 0])
        self._yaw_rad += FOLLOW * math.remainder(heading - self._yaw_rad, 2.0 * math.pi)
        target = np.asarray([*position, _AIM_HEIGHT_M])
        clear_rad = self._clear_elevation(target)
        last_rad = clear_rad if self._elevation_rad is None else self._elevation_rad
        between_rad = last_rad + FOLLOW * (clear_rad - last_rad)
        self._elevation_rad = between_rad if self._sees(target, (between_rad,))[0] else clear_rad
        eye = target + DISTANCE_M * self._backwards(self._elevation_rad)
        return View(
            eye_w_m=(float(eye[0]), float(eye[1]), float(eye[2])),
            target_w_m=(float(target[0]), float(target[1]), float(target[2])),
            width_px=size_px[0],
            height_px=size_px[1],
        )

    def _backwards(self, elevation_rad: float) -> np.ndarray:
        level = math.cos(elevation_rad)
        return np.asarray([-level * math.cos(self._yaw_rad), -level * math.sin(self._yaw_rad), math.sin(elevation_rad)])

    def _clear_elevation(self, target: np.ndarray) -> float:
        clear = np.flatnonzero(self._sees(target, ELEVATIONS_RAD))
        return ELEVATIONS_RAD[int(clear[0])] if len(clear) else ELEVATIONS_RAD[-1]

    def _sees(self, target: np.ndarray, elevations_rad: Sequence[float]) -> np.ndarray:
        """Return (N,) bool: whether nothing hides the target from the camera at these elevations."""
        rays = np.stack([self._backwards(elevation) for elevation in elevations_rad]) * DISTANCE_M
        distance, _ = self._sight.cast(target, rays)
        clear: np.ndarray = distance > 1.0
        return clear


def goal_marks(goal_w: np.ndarray) -> list[Surface]:
    """Return a disc at the goal and a small one where the robot's front is to point."""
    ahead = goal_w[:2] + 0.42 * np.asarray([math.cos(goal_w[2]), math.sin(goal_w[2])])
    return [disc(goal_w[:2], radius_m=0.28, rgb=GOAL_RGB), disc(ahead, radius_m=0.09, rgb=GOAL_RGB)]


def person(xy_w_m: np.ndarray) -> Surface:
    """Return an upright cylinder with a lid."""
    lid = disc(xy_w_m, radius_m=PERSON_RADIUS_M, rgb=PERSON_RGB)
    count, top = len(lid.vertices_w_m), lid.vertices_w_m + np.asarray([0.0, 0.0, HEIGHT_M])
    ring = np.arange(1, count)
    after = np.roll(ring, -1)
    sides = [np.column_stack([ring, after, after + count]), np.column_stack([ring, after + count, ring + count])]
    triangles = np.concatenate([lid.triangles + count, *sides])
    return Surface(
        vertices_w_m=np.concatenate([lid.vertices_w_m, top]),
        triangles=triangles,
        colours=np.tile(np.asarray(PERSON_RGB), (len(triangles), 1)),
    )


def disc(xy_w_m: np.ndarray, *, radius_m: float, rgb: tuple[float, float, float]) -> Surface:
    """Return a flat disc just above the ground."""
    angle = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    rim = np.stack([xy_w_m[0] + radius_m * np.cos(angle), xy_w_m[1] + radius_m * np.sin(angle)], axis=1)
    flat = np.concatenate([np.asarray(xy_w_m)[None, :2], rim])
    ring = np.arange(24)
    return Surface(
        vertices_w_m=np.column_stack([flat, np.full(len(flat), 0.006)]),
        triangles=np.column_stack([np.zeros(24, dtype=int), ring + 1, (ring + 1) % 24 + 1]),
        colours=np.tile(np.asarray(rgb), (24, 1)),
    )
