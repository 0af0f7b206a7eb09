"""The local planner on an anticipated map: what stands and who is around the body, as a network expects it.

The network's weights lie beside the shipped policies; ``make_scenes``, ``record_surroundings`` and
``train_anticipation`` made them. Everything else is ``planner``.
"""

from typing import Literal

import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.runs.provenance import ROOT
from world_model import anticipation
from world_model.anticipation import Anticipation, Trail
from world_model.checkpoint import load_module
from world_model.local_planner import planner

WEIGHTS = ROOT / "export" / "pretrained" / "anticipation"
STILL_AT, MOVING_AT = 0.6, 0.5
"""Probabilities from which on a cell is an obstacle; lower ones close free ways (tuned on val)"""


class AnticipatingAgent:
    """Follows the local plan on a costmap whose near part a network has completed."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int) -> None:
        self._network = load_module(Anticipation, WEIGHTS, "anticipation").to(device)
        self._state = torch.zeros(num_envs, planner.STATE_SIZE, device=device)
        self._trail = Trail(num_envs, like=self._state)

    def reset(self, mask: torch.Tensor) -> None:
        """Empty the costmaps of the environments in ``mask`` (B,)."""
        self._state = self._state.masked_fill(mask[:, None], 0.0)
        self._trail.forget(mask)

    @torch.no_grad()
    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from depth, odometry, route and goal."""

        def anticipate(
            evidence: torch.Tensor, seen: torch.Tensor, pose: torch.Tensor, points: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor]:
            self._trail.add(points, pose)
            probability = self._network(anticipation.square(evidence, seen, pose, self._trail.chosen())).sigmoid()
            return anticipation.onto_costmap(probability, evidence, seen, pose, still_at=STILL_AT, moving_at=MOVING_AT)

        action, self._state = planner.drive_step(observation, self._state, anticipate=anticipate)
        return action


AGENT = AgentInfo(
    label="planner on a map that a network completes near the body, still and moving things",
    kind="learned",
    order=45,
    colour="#4f8f5b",
    by_default=False,
    make=AnticipatingAgent,
)
