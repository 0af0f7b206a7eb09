"""Train a small policy from nothing with PPO, as an example of the gymnasium environment (docs/gymnasium.md).

It has neither the line's world model nor its local planner. ``train_specialist`` is what trains a policy to drive with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from pipeline.runs.stage import Command, Later


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained, and how long."""

    embodiment: Annotated[str, arg(name="embodiments")] = "tiago"
    """One robot"""
    scenes: tuple[str, ...] = ("office",)
    """Scene kinds, or paths of Nav2 maps (.yaml) or meshes (.glb, .obj, .ply)"""
    episodes: int = 192
    """Start and goal pairs per scene kind"""
    control_steps: int = 5_000_000
    """All environments together; a policy without planner learns slowly"""
    num_envs: int = 64
    horizon: int = 128
    """Control steps per environment and update (12.8 s)"""
    epochs: int = 4
    minibatch: int = 2048
    learning_rate: float = 3e-4
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy: float = 0.001
    reward_scale: float = 0.15
    """Brings returns (about -6 to 13) to the order of 1"""
    gradient_norm: float = 0.5
    device: str = "cpu"
    seed: int = 0
    out: Path = Path("runs/ppo_example.safetensors")
    """The trained network"""


COMMAND = Command(config=Config, main=Later("pipeline.commands.implementation.ppo_example", "main"))
