"""The base policy: world model and base head. Training, recording and the exported graph run this one step."""

import copy
import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor

from embodiments.observation import Observation
from world_model.base_head import BaseHead, base_features, policy_feature_size, policy_features
from world_model.local_planner.map_edge import hold_goal
from world_model.rssm import WorldModel


@dataclass(frozen=True, kw_only=True)
class BasePolicy:
    """Two networks that drive together; residual heads and the generalist correct what they answer."""

    world_model: WorldModel
    head: BaseHead

    @property
    def feature_size(self) -> int:
        """Length F of the features."""
        return policy_feature_size(self.world_model.latent_size)

    @property
    def state_size(self) -> int:
        """Length S of the recurrent state."""
        return self.world_model.state_size

    def in_bfloat16(self) -> "BasePolicy":
        """Return the same policy with the convolutions of its anticipation network in bfloat16: twice as fast on a CPU
        that can, and off by a hundredth of a logit. For training; what is evaluated and exported stays exact."""
        world_model = copy.deepcopy(self.world_model)
        if world_model.anticipation is not None:
            world_model.anticipation.to(torch.bfloat16)
        return dataclasses.replace(self, world_model=world_model)

    def initial_state(self, batch: int) -> Tensor:
        """Return the state (B, S) after a reset: zeros."""
        return self.world_model.initial_state(batch)

    def step(self, observation: Observation[Tensor], state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take in one observation.

        Args:
            observation: Its goal may lie beyond the costmap.
            state: (B, S); zeros after a reset.

        Returns:
            The base action (B, 3) before clipping and projection, the features (B, F) that residual heads, the
            generalist and critics see, and the next state (B, S).
        """
        observation, state = hold_goal(observation, state, self.world_model.map_pose(state))
        state, latent = self.world_model.observe_step(observation, state)
        action, _ = self.head(base_features(latent, observation))
        return action, policy_features(latent, observation, base_action=action), state
