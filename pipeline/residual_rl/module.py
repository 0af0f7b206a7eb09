"""RLlib's module: the residual head as the actor, and a critic that may see more than the actor."""

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from pipeline.residual_rl.vector_environment import FEATURES, PRIVILEGED
from world_model.checkpoint import tuples
from world_model.residual_head import Critic, CriticConfig, ResidualHead, ResidualHeadConfig


class ResidualModule(TorchRLModule, ValueFunctionAPI):
    """Gaussian over the residual actions of the robot's active dimensions, and the value.

    ``model_config`` holds plain values: ``actor`` (fields of ``ResidualHeadConfig``), ``critic`` (of ``CriticConfig``)
    and ``active`` (indices into the command). The frozen base policy runs in the environment, once per step.
    ``vector_environment`` names the entries of an observation.
    """

    def setup(self) -> None:
        """Build actor and critic."""
        settings: dict[str, Any] = self.model_config
        self.active = list(settings["active"])
        self.actor = ResidualHead(ResidualHeadConfig(**tuples(settings["actor"])))
        self.critic = Critic(CriticConfig(**tuples(settings["critic"])))

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        mean, log_std = self.actor(batch[Columns.OBS][FEATURES])
        log_std = log_std.expand_as(mean)
        return {Columns.ACTION_DIST_INPUTS: torch.cat([mean[..., self.active], log_std[..., self.active]], dim=-1)}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        """Return the (B,) values of a batch of observations."""
        seen = batch[Columns.OBS]
        value: torch.Tensor = self.critic(seen[FEATURES], seen.get(PRIVILEGED))
        return value
