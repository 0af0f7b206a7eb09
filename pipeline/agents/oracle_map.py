"""The local planner on a map that is true near the robot, people included: how far knowing more could lead.

It perceives and plans like ``anticipating``, but what is near comes from the simulation instead of from a network: what
really stands there, also behind furniture, where people are, and where they will be if they walk on. What it gains over
``planner`` is what anticipation can gain at most; what it lacks is driving.
"""

from typing import Literal

import numpy as np
import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.agents.truth import PERSON_RADIUS_M, Truth
from world_model import anticipation
from world_model.anticipation import FAR_M, HORIZONS_S, SIDE, STILL_M, Surroundings
from world_model.local_planner import costmap, planner


class OracleMapAgent:
    """Follows the local plan on a costmap whose near part is the truth."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        self._state = torch.zeros(num_envs, planner.STATE_SIZE, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Empty the costmaps of the environments in ``mask`` (B,)."""
        self._state = self._state.masked_fill(mask[:, None], 0.0)

    def costmap_state(self, row: int) -> np.ndarray:
        """Return the local planner's state (S,) of one environment."""
        return self._state[row].cpu().numpy().copy()

    def anticipation(self) -> None:
        """Return nothing: no network."""

    @torch.no_grad()
    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from the observation and what is true near the robot."""
        around = true_surroundings(privileged())

        def anticipate(
            evidence: torch.Tensor, seen: torch.Tensor, pose: torch.Tensor, points: torch.Tensor
        ) -> costmap.PlannedMap:
            return anticipation.onto_costmap(
                around, evidence, seen, pose, descriptor=observation.descriptor, is_true=True
            )

        action, self._state = planner.drive_step(observation, self._state, anticipate=anticipate)
        return action


def true_surroundings(truth: Truth) -> Surroundings:
    """Return what is around the robots; people are expected to walk on as they do now."""
    places_w = anticipation.cells_w(truth.pose_w)  # (B, SIDE^2, 2)
    distance_m = truth.distance_at(places_w)
    steps_w = [horizon_s * truth.people_velocity_w for horizon_s in HORIZONS_S]
    moving = [people_at(places_w, truth.people_xy_w + step_w, truth.people_present) for step_w in steps_w]
    square = (SIDE, SIDE)
    return Surroundings(
        distance_m=distance_m.clamp(0.0, FAR_M).unflatten(1, square),
        still=(distance_m < STILL_M).float().unflatten(1, square),
        moving=torch.stack(moving, dim=1).float().unflatten(2, square),
    )


def people_at(places_w: torch.Tensor, people_xy_w: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Return which places (B, Q, 2) somebody of K people (B, K, 2) fills who is present (B, K), (B, Q) bool."""
    found = torch.zeros_like(places_w[..., 0], dtype=torch.bool)
    for person in range(present.shape[1]):
        gap_m = (places_w - people_xy_w[:, person, None]).norm(dim=-1) - PERSON_RADIUS_M
        found |= (gap_m < STILL_M) & present[:, person, None]
    return found


AGENT = AgentInfo(
    label="planner on a map that is true within 4 m, people included: a bound for anticipation",
    kind="privileged",
    order=85,
    colour="#6b6b6b",
    line_style=(0, (3, 1, 1, 1)),
    by_default=False,
    make=OracleMapAgent,
)
