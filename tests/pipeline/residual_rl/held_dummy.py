"""The dummy environment on a cluster: it notes which node it runs on, and goes no further than it is allowed to."""

import json
import os
import time
from pathlib import Path
from typing import Any

import ray
import torch

from pipeline.residual_rl.training import Job
from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment
from pipeline.simulation.navigation.base_policy_environment import LatentStep
from tests.pipeline.residual_rl.residual_dummy import PointEnvironment

ALLOWED = "allowed.txt"
"""In the folder of marks: how many control steps every environment may make in its process"""


class HeldEnvironment(PointEnvironment):
    """Waits before the steps that it may not make yet, for it is to be killed in the middle."""

    def __init__(self, *, marks: Path, **options: Any) -> None:
        super().__init__(**options)
        self._allowed, self._age_steps = marks / ALLOWED, 0

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Step when it is allowed."""
        while self._age_steps >= int(self._allowed.read_text() or 0):
            time.sleep(0.1)
        self._age_steps += 1
        return super().step(residual_action)


class NotedJob(Job):
    """Notes on which node its learner begins: there it is unpickled."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        note(Path(self.environment_config["marks"]), robot=self.name, what="learner", seed=self.seed)


def note(marks: Path, *, robot: str, what: str, seed: int) -> None:
    """Write down that something began on this node."""
    about = {"robot": robot, "what": what, "seed": seed, "node": ray.get_runtime_context().get_node_id()}
    (marks / f"{time.time_ns()}-{os.getpid()}.json").write_text(json.dumps(about))


def noted(marks: Path) -> list[dict[str, Any]]:
    """Return what began so far, oldest first."""
    return [json.loads(file.read_text()) for file in sorted(marks.glob("*.json"))]


def make(config: dict[str, Any]) -> ResidualVectorEnvironment:
    """Build the batch from RLlib's plain dict."""
    marks, worker = Path(config["marks"]), config["worker_index"]
    note(marks, robot=config["robot"], what=f"environment {worker}", seed=config["seed"])
    environment = HeldEnvironment(num_envs=config["num_envs"], seed=config["seed"] + 1000 * worker, marks=marks)
    return ResidualVectorEnvironment(environment, reward_scale=config["reward_scale"])
