"""What learners see of a control step; apart from the environment, so that they need not import the simulation."""

from dataclasses import dataclass

import torch

from embodiments.observation import Observation
from pipeline.simulation.navigation.tracker import Outcome
from world_model.base_head import base_action_of


@dataclass(frozen=True, kw_only=True)
class LatentStep:
    """What one control step of every environment gives; all (B, ...) on the environment's device."""

    observation: Observation[torch.Tensor]
    features: torch.Tensor
    """(B, F) ``base_head.policy_features``: what residuals, critics and the generalist see; base action last."""
    privileged: torch.Tensor
    """(B, P) what only a privileged critic sees; P may be 0."""
    teacher_action: torch.Tensor
    """(B, 3) the action that the privileged teacher would choose now; (B, 0) without a teacher."""
    reward: torch.Tensor
    terminated: torch.Tensor
    truncated: torch.Tensor
    first: torch.Tensor
    """(B,) bool: this observation opens an episode; the action was ignored and the reward is 0."""
    outcome: Outcome

    @property
    def base_action(self) -> torch.Tensor:
        """(B, 3) the base policy's action for this observation."""
        return base_action_of(self.features)
