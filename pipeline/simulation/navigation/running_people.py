"""The people of the running episodes, where an environment has any."""

import torch

from pipeline.simulation.conditions.crowd import Crowd, CrowdPlan
from pipeline.simulation.navigation.episode_queue import Assignment
from pipeline.simulation.navigation.running_fields import RunningFields
from pipeline.simulation.physics.body import BodyBatch


class RunningPeople:
    """Plans of who walks where in all episodes, and the people who walk now.

    Attributes:
        crowd: Who walks in every environment.
    """

    def __init__(self, *, num_envs: int, assignment: Assignment, fields: RunningFields, device: str) -> None:
        """Begin with nobody; give ``plan`` before the next episodes begin."""
        self._assignment, self._fields, self._device = assignment, fields, device
        self.crowd = Crowd(num_envs, device=device)
        self._plan: dict[str, torch.Tensor] = {}

    def plan(self, plan: CrowdPlan, *, episodes: int) -> None:
        """Set the people of every episode that begins from now on.

        Raises:
            ValueError: If the plan is not for so many episodes.
        """
        if len(plan) != episodes:
            raise ValueError(f"the people of {len(plan)} episodes were given for {episodes}")
        self._plan = {name: torch.as_tensor(value, device=self._device) for name, value in vars(plan).items()}

    def begin(self, mask: torch.Tensor) -> None:
        """Place the people of the episodes that begin in the masked (B,) environments."""
        if self._plan:
            row = self._assignment.episode.clamp(min=0)
            self.crowd.begin(mask, {name: value[row] for name, value in self._plan.items()})

    def walk(self, body: BodyBatch, passed_w: torch.Tensor) -> torch.Tensor:
        """Let everybody walk for one control step in which the robot took poses (DRIVE_STEPS, B, 3).

        Returns:
            (B,) least gap between a person and the robot's footprint [m]; inf where nobody is.
        """
        nearest, scene_index = self._fields.nearest_to_people, self._fields.scene_index
        return self.crowd.walk(body, passed_w, distance=nearest, scene_index=scene_index).amin(dim=1)
