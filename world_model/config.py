"""Settings of the world model and its losses; importing them costs no torch."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
"""Of convolutions and linear layers in training; auto = bfloat16 where the processor has it."""


@dataclass(frozen=True, kw_only=True)
class CollisionRiskConfig:
    """Sizes of the collision risk network."""

    channels: tuple[int, int, int] = (16, 24, 32)
    """At full, half and quarter resolution of its crop"""


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """Sizes of the world model."""

    deterministic: int = 256
    """Width of the GRU: enough to remember what left a narrow field of view; 64 steps stay below 8 ms on one core."""
    stochastic: int = 32
    """Dimensions of the Gaussian latent."""
    hidden: int = 256
    encoder_channels: tuple[int, int, int] = (16, 32, 48)
    decoder_channels: tuple[int, int, int] = (48, 24, 16)
    min_std: float = 0.1
    """Floor of the latent's standard deviation, as in PlaNet."""
    recurrent: bool = True
    """False forgets the history at every step and passes on the sample alone: an ablation."""
    anticipation: tuple[int, ...] | None = None
    """Channels of the anticipation network, see ``AnticipationConfig``; None plans on the measured map."""
    collision_risk: tuple[int, int, int] | None = None
    """Channels of the network that slows the body down, see ``CollisionRiskConfig``; None keeps the plan's speed."""


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of the loss terms."""

    depth: float = 10.0
    """The log-depth error is a few hundredths; this lifts it above the other terms."""
    invalid: float = 0.5
    semantic: float = 0.5
    velocity: float = 1.0
    kl: float = 0.005
    """Reconstructions are means over pixels, not sums as in Dreamer. With 0.1 only 4 nats a step came through."""
    kl_balance: float = 0.8
    """Fraction of the KL that trains the prior; the rest keeps the posterior near it. Source: DreamerV2, section 2."""
    free_nats: float = 1.0
    behaviour: float = 1.0
    semantic_classes: tuple[float, ...] = (1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 4.0)
    """Floor and walls fill the image; obstacles are small. X-Mobility weighs its classes 1 to 5."""


@dataclass(frozen=True, kw_only=True)
class AnticipationConfig:
    """Sizes of the anticipation network."""

    channels: tuple[int, ...] = (32, 64)
    """At half and quarter resolution; of three, the first is at full resolution, which takes twice the time"""
