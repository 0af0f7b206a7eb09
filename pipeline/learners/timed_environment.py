"""A batch of environments that counts what it does: seconds inside its step, control steps, ends of episodes."""

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.residual_rl.config import SMOOTHING_EPISODES
from pipeline.residual_rl.vector_environment import BatchedEnvironment
from pipeline.simulation.navigation.latent_step import LatentStep


@dataclass(kw_only=True)
class Spent:
    """Sums since the beginning; ``since`` gives what was added."""

    control_steps: int = 0
    """Without those that only reset"""
    wall_s: float = 0.0
    cpu_s: float = 0.0
    """Of this process, all threads: other load on the machine lengthens it less than the wall time"""

    def since(self, before: "Spent") -> "Spent":
        """Return the difference to an earlier state."""
        return Spent(
            control_steps=self.control_steps - before.control_steps,
            wall_s=self.wall_s - before.wall_s,
            cpu_s=self.cpu_s - before.cpu_s,
        )


class TimedEnvironment:
    """A ``BatchedEnvironment`` around another one: simulation, camera and base policy count as environment."""

    def __init__(self, environment: BatchedEnvironment) -> None:
        self._environment = environment
        self.num_envs, self.device = environment.num_envs, environment.device
        self.feature_size, self.active = environment.feature_size, environment.active
        self.spent = Spent()
        """Inside the environment"""
        self.last_successes: deque[bool] = deque(maxlen=SMOOTHING_EPISODES)
        """Of the episodes that ended last"""

    @property
    def privileged_size(self) -> int:
        """Length P of the privileged inputs."""
        return self._environment.privileged_size

    @property
    def has_teacher(self) -> bool:
        """Whether steps carry the teacher's action."""
        return self._environment.has_teacher

    def assign_validation(self, episodes: int) -> np.ndarray:
        """Let the next reset begin a validation."""
        return self._environment.assign_validation(episodes)

    def reset(self) -> LatentStep:
        """Begin a new episode everywhere; not timed."""
        return self._environment.reset()

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Step, and count."""
        self._wait()
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        step = self._environment.step(residual_action)
        self._wait()
        self.spent.wall_s += time.perf_counter() - began_s
        self.spent.cpu_s += time.process_time() - began_cpu_s
        self.spent.control_steps += int((~step.first).sum())
        ended = step.terminated | step.truncated
        if bool(ended.any()):
            self.last_successes.extend(step.outcome.success[ended].tolist())
        return step

    def _wait(self) -> None:
        """Let the GPU finish, so that its work counts where it was asked for."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
