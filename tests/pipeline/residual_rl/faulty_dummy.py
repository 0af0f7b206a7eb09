"""The dummy environment with faults: a NaN reward, a process that dies, an error at every step."""

import os
import signal
from pathlib import Path
from typing import Any

import torch

from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from pipeline.simulation.navigation.latent_step import LatentStep
from tests.pipeline.residual_rl.residual_dummy import PointEnvironment

FAULT_AT = 40
"""Control step of every environment at which the fault comes: in the second iteration of 32"""


class FaultyEnvironment(PointEnvironment):
    """Has one fault, for as many times as its folder has no mark of."""

    def __init__(self, *, fault: str, marks: Path, times: int, **options: Any) -> None:
        super().__init__(**options)
        self._fault, self._marks, self._times, self._age_steps = fault, marks, times, 0

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Step, and fail when it is time."""
        found = super().step(residual_action)
        self._age_steps += 1
        if self._age_steps % FAULT_AT or len(list(self._marks.iterdir())) >= self._times:
            return found
        (self._marks / f"{len(list(self._marks.iterdir()))}").touch()
        if self._fault == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "raises":
            raise RuntimeError("the wheels fell off")
        found.reward[0] = torch.nan
        return found


def make(config: dict[str, Any]) -> ResidualVectorEnvironment:
    """Build the batch from RLlib's plain dict."""
    marks = Path(config["marks"])
    marks.mkdir(parents=True, exist_ok=True)
    environment = FaultyEnvironment(
        fault=config["fault"],
        marks=marks,
        times=config["times"],
        num_envs=config["num_envs"],
        seed=config["seed"] + 1000 * config["worker_index"],
    )
    return ResidualVectorEnvironment(environment, reward_scale=config["reward_scale"])
