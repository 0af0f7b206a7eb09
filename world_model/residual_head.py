"""What reinforcement learning trains per robot: a bounded correction of the base policy, and a critic."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from embodiments.spaces import COMMAND_SIZE
from world_model.descriptor import gaussian_log_std_bounds


@dataclass(frozen=True, kw_only=True)
class ResidualHeadConfig:
    """Sizes and bounds of the residual head."""

    feature_size: int
    hidden: tuple[int, ...] = (256, 256)
    residual_scale: float = 1.0
    """Largest correction, in actions of the robot's limits; 0 where nothing of what was learned helped."""
    initial_log_std: float = -1.2
    """Exploration of about 0.3 of the limits: enough to meet the other side of an obstacle."""
    from_scratch: bool = False
    """It was trained, and must be used, with a silent base head."""


def mlp(input_size: int, hidden: tuple[int, ...], output_size: int) -> nn.Sequential:
    """Return linear layers with ELU between them and a linear end."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(input_size, width), nn.ELU()]
        input_size = width
    return nn.Sequential(*layers, nn.Linear(input_size, output_size))


def zero_last_layer(network: nn.Sequential) -> None:
    """Make the network answer exactly 0 until it has learned something."""
    last = network[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)


class ResidualHead(nn.Module):
    """``policy_features`` -> Gaussian over the correction of the base action; its mean is exactly 0 at first."""

    Config = ResidualHeadConfig

    def __init__(self, config: ResidualHeadConfig) -> None:
        super().__init__()
        if not 0.0 <= config.residual_scale <= 1.0:
            raise ValueError(f"residual_scale is {config.residual_scale}; expected 0 <= residual_scale <= 1")
        self.config = config
        self.layers = mlp(config.feature_size, config.hidden, COMMAND_SIZE)
        zero_last_layer(self.layers)
        self.log_std = nn.Parameter(torch.full((COMMAND_SIZE,), config.initial_log_std))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (B, 3) within ±residual_scale and log_std (3,) for features (B, F)."""
        mean = torch.tanh(self.layers(features)) * self.config.residual_scale
        return mean, gaussian_log_std_bounds(self.log_std)


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """Sizes of the critic."""

    feature_size: int
    privileged_size: int = 0
    """Length of what only the simulation knows; 0 = the critic sees what the policy sees and may be exported."""
    hidden: tuple[int, ...] = (256, 256)


class Critic(nn.Module):
    """``policy_features``, and what only the simulation knows, -> value."""

    Config = CriticConfig

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = mlp(config.feature_size + config.privileged_size, config.hidden, 1)

    def forward(self, features: Tensor, privileged: Tensor | None = None) -> Tensor:
        """Return the value (B,) of features (B, F) and privileged (B, P)."""
        inputs = features if privileged is None else torch.cat([features, privileged], dim=-1)
        return self.layers(inputs).squeeze(-1)
