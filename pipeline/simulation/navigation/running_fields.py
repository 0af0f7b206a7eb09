"""What the maps say about the running episodes: distances to obstacles, clearances, and the ways to the goals."""

from functools import cached_property

import torch

from embodiments.spaces import HEIGHT_LAYERS_M
from pipeline.simulation.navigation.episode_queue import Assignment
from pipeline.simulation.navigation.task import Task
from pipeline.simulation.physics.body import BodyBatch
from pipeline.simulation.physics.fields import FieldBank

LOOK_AHEAD_M = 0.6
"""How far along the shortest path the teacher's target lies."""


class RunningFields:
    """Fields of all scenes and goals, read in the scene and for the goal that each environment has now.

    Attributes:
        distance: To the nearest obstacle of every scene and layer, people left out.
    """

    def __init__(self, task: Task, *, assignment: Assignment, body: BodyBatch, device: str) -> None:
        """Load the fields of a task's scenes and goals."""
        self._assignment, self._body = assignment, body
        self.distance = FieldBank([f.distance for f in task.fields], device=device, dtype=torch.float16)
        self._nearest = self.distance.lowest(body.layers)
        self._cost = FieldBank(task.episodes.cost_to_go, device=device)
        self._geodesic = FieldBank(task.episodes.geodesic, device=device)

    @property
    def scene_index(self) -> torch.Tensor:
        """(B,) int64 scene of the running episode."""
        return self._assignment.now["scene_index"]

    @cached_property
    def nearest_to_people(self) -> FieldBank:
        """Distance to the nearest obstacle of every scene, in any layer."""
        return self.distance.lowest(len(HEIGHT_LAYERS_M))

    def distance_at(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return the distance (B, Q) of points (B, Q, 2) to the nearest obstacle of the body's layers [m]."""
        index = self.scene_index[:, None].expand(xy_w.shape[:2])
        return self._nearest.sample(index, torch.zeros_like(index), xy_w)

    def lowest_distance_at(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return the distance (B, Q) of points (B, Q, 2) to the nearest obstacle of any layer [m]."""
        return self.distance.sample_lowest(self.scene_index, xy_w)

    def clearance_at(self, pose_w: torch.Tensor) -> torch.Tensor:
        """Return the clearance (..., B) of the footprint at poses (..., B, 3), people left out [m]."""
        return self._body.clearance_m(self.distance, self.scene_index, pose_w)

    def away_xy_w(self, pose_w: torch.Tensor, clearance_m: torch.Tensor) -> torch.Tensor:
        """Return unit vectors (B, 2) along which the clearance (B,) at poses (B, 3) grows."""
        return self._body.away_xy_w(self.distance, self.scene_index, pose_w, clearance_m)

    def clearance_patch_m(self, pose_w: torch.Tensor) -> torch.Tensor:
        """Return distances (B, 64) to the nearest obstacle, on a square around the body [m]."""
        return self._body.clearance_patch_m(self._nearest, self.scene_index, pose_w)

    def cost_to_go_at(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return the cost to go (..., B) from points (..., B, 2), a length weighted by clearance [m]."""
        return self._at_goal(self._cost, xy_w)

    def geodesic_at(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return the length (..., B) of the shortest path to the goal from points (..., B, 2) [m]."""
        return self._at_goal(self._geodesic, xy_w)

    def ahead(self, xy_w: torch.Tensor) -> torch.Tensor:
        """Return the points (B, 2) that lie ``LOOK_AHEAD_M`` along the cheapest paths from points (B, 2)."""
        return self._cost.descend(self._assignment.now["goal_index"], xy_w, length_m=LOOK_AHEAD_M, step_m=0.1)

    def _at_goal(self, bank: FieldBank, xy_w: torch.Tensor) -> torch.Tensor:
        index = self._assignment.now["goal_index"].expand(xy_w.shape[:-1])
        return bank.sample(index, torch.zeros_like(index), xy_w)
