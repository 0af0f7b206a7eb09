"""The local planner on an anticipated map: what stands and who is around the body, as a network expects it.

The network's weights lie beside the shipped policies; ``make_scenes``, ``record_surroundings`` and
``train_anticipation`` made them. Everything else is ``planner``.
"""

from typing import Literal

import numpy as np
import torch

from embodiments.observation import Observation
from pipeline.agents.agent import AgentInfo, Privileged
from pipeline.runs.provenance import ROOT
from world_model import anticipation, collision_risk
from world_model.anticipation import Anticipation
from world_model.checkpoint import load_module
from world_model.collision_risk import CollisionRisk
from world_model.fixed_batches import by_rows
from world_model.local_planner.map_edge import hold_goal

WEIGHTS = ROOT / "export" / "pretrained" / "anticipation"
RISK_WEIGHTS = ROOT / "export" / "pretrained" / "collision_risk"


class AnticipatingAgent:
    """Follows the local plan on a costmap whose near part a network has completed, and may slow down by another."""

    output: Literal["action"] = "action"

    def __init__(self, *, num_envs: int, device: str, seed: int, slows: bool = False) -> None:
        self._network = load_module(Anticipation, WEIGHTS, "anticipation").to(device)
        self._risk = load_module(CollisionRisk, RISK_WEIGHTS, "collision_risk").to(device) if slows else None
        self._state = torch.zeros(num_envs, anticipation.STATE_SIZE, device=device)

    def reset(self, mask: torch.Tensor) -> None:
        """Empty the costmaps of the environments in ``mask`` (B,)."""
        self._state = self._state.masked_fill(mask[:, None], 0.0)

    def costmap_state(self, row: int) -> np.ndarray:
        """Return the local planner's state of one environment and the trail behind it, (S,)."""
        return self._state[row].cpu().numpy().copy()

    def anticipation(self) -> Anticipation:
        """Return the network."""
        return self._network

    @torch.no_grad()
    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return actions (B, 3) from depth, odometry, route and goal."""
        action, self._state = by_rows(self._step, observation, self._state)
        return action

    def _step(self, observation: Observation[torch.Tensor], state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        observation, state = hold_goal(observation, state, state[:, :3])
        plan, state = collision_risk.plan(self._network, self._risk, observation, state)
        return plan.action, state


AGENT = AgentInfo(
    label="planner on a map that a network completes near the body, still and moving things",
    kind="learned",
    order=45,
    colour="#4f8f5b",
    by_default=False,
    make=AnticipatingAgent,
)
