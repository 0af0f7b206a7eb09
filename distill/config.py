"""How the generalist is fitted; importing it costs no torch."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How the generalist is fitted."""

    loss: Literal["kl", "mse"] = "kl"
    """KL of the whole Gaussian was slightly better than MSE of the means in COMPASS (arXiv 2502.16372)"""
    batch: int = 1024
    """Transitions per update, the same number of every robot"""
    learning_rate: float = 1e-3
    """Peak; falls to nothing along a cosine"""
    warmup_updates: int = 100
    weight_decay: float = 1e-4
    gradient_norm: float = 1.0
