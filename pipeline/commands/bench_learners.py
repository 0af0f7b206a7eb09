"""Compare PPO of RLlib, stable-baselines3, rsl_rl and skrl on the specialists' environment: speed and success.

Same base policy, environment, network, steps and settings; one process per learner, one after the other.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from pipeline.residual_rl.config import PpoConfig
from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which learners, and on what."""

    learners: tuple[str, ...] = ("rllib", "stable_baselines3", "rsl_rl", "skrl")
    """One whose package is missing is named and left out"""
    embodiment: Annotated[str, arg(name="embodiments")] = "tiago"
    """One robot"""
    base: Path | None = None
    """Folder of a base policy, such as RUN/pretrain_world_model; by default the shipped one"""
    control_steps: int = 300_000
    """Of every learner, all environments together"""
    validation_episodes: int = 256
    """Without exploration, after training, on val scenes; 0 measures the speed alone"""
    num_envs: int = PpoConfig.num_envs
    horizon: int = PpoConfig.horizon
    """Control steps per environment and iteration"""
    minibatch: int = PpoConfig.minibatch
    epochs: int = PpoConfig.epochs
    critic_warmup_steps: int = PpoConfig.critic_warmup_steps
    """Control steps in which only the critic learns"""
    initial_log_std: float = -2.3
    """Of the exploration noise, as in train_specialist"""
    hidden: tuple[int, ...] = (256, 256)
    """Of actor and critic"""
    discount_at_1_mps: float = 0.99
    """Raised to the power of the robot's v_max, as in train_specialist"""
    train_scenes_per_kind: int = 8
    val_scenes_per_kind: int = 4
    threads: int = 1
    """Of torch, in a learner's process"""
    device: str = "cpu"
    seed: int = 0
    out: Path | None = None
    """File to write the figures to, as JSON"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.bench_learners", "main"))
