"""RLlib's view of a batch of environments: one natively batched gymnasium ``VectorEnv`` over latent features."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from embodiments.spaces import COMMAND_SIZE
from pipeline.simulation.navigation.closed_loop_validation import ValidationCounts, validate
from pipeline.simulation.navigation.latent_step import LatentStep
from world_model.residual_head import ResidualHead

FEATURES, PRIVILEGED, TEACHER_ACTION = "features", "privileged", "teacher_action"
"""Entries of an observation: what the actor sees; what only the critic sees as well; what neither sees, a label."""
OUTCOMES = ("success", "collision", "fall", "timeout", "broken")


class BatchedEnvironment(Protocol):
    """What the vector environment drives; ``base_policy_environment.LatentEnvironment`` is one."""

    num_envs: int
    device: str
    feature_size: int
    active: tuple[int, ...]

    @property
    def privileged_size(self) -> int:
        """Length P of the privileged inputs."""
        ...

    @property
    def has_teacher(self) -> bool:
        """Whether steps carry the teacher's action."""
        ...

    def assign_validation(self, episodes: int) -> np.ndarray:
        """Let the next reset begin a validation, see ``closed_loop_validation.Driven``."""
        ...

    def reset(self) -> LatentStep:
        """Begin a new episode everywhere."""
        ...

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Add residual actions (B, 3) to the base policy's, execute, observe; NEXT_STEP autoreset."""
        ...


class ResidualVectorEnvironment(VectorEnv):
    """Batch of environments whose action is the residual of the robot's active dimensions.

    An observation is a dict of float32 arrays: ``FEATURES`` (B, F), and, where the environment has them, ``PRIVILEGED``
    (B, P) for the critic and ``TEACHER_ACTION`` (B, 3), the label of the DAgger warm-up. An action is a normalised
    residual (B, A); it may leave [-1, 1] (a Gaussian) and is clipped here.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, environment: BatchedEnvironment, *, reward_scale: float) -> None:
        self.environment = environment
        self.num_envs = environment.num_envs
        self.active = list(environment.active)
        self.reward_scale = reward_scale
        sizes = {
            FEATURES: environment.feature_size,
            PRIVILEGED: environment.privileged_size,
            TEACHER_ACTION: COMMAND_SIZE if environment.has_teacher else 0,
        }
        self._entries = [name for name, size in sizes.items() if size]
        boxes = {name: gymnasium.spaces.Box(-np.inf, np.inf, (sizes[name],), np.float32) for name in self._entries}
        self.single_observation_space = gymnasium.spaces.Dict(boxes)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (len(self.active),), np.float32)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
        self._counts = dict.fromkeys(("episodes", "control_steps", *OUTCOMES), 0)

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Return the first observations; the environment was seeded when it was built."""
        del seed, options
        return self._observation(self.environment.reset()), {}

    def step(self, actions: np.ndarray) -> Any:
        """Step every environment with residual actions (B, A)."""
        step = self.environment.step(self._residual(torch.from_numpy(np.asarray(actions, dtype=np.float32))))
        self._count(step)
        reward = (step.reward * self.reward_scale).cpu().numpy()
        return self._observation(step), reward, step.terminated.cpu().numpy(), step.truncated.cpu().numpy(), {}

    def validate(self, actor: ResidualHead, *, scale: float, episodes: int) -> ValidationCounts:
        """Drive episodes without exploring, with the learned correction scaled by a factor."""
        device = next(actor.parameters()).device  # RLlib keeps its runners' networks on the CPU, ours is where it may
        return self.validate_actions(
            lambda features: scale * actor(features.to(device))[0][:, self.active], episodes=episodes
        )

    def validate_actions(self, action: Callable[[torch.Tensor], torch.Tensor], *, episodes: int) -> ValidationCounts:
        """Drive episodes with the residual actions (B, A) that a function returns for features (B, F)."""
        return validate(self.environment, lambda step: self._residual(action(step.features)), episodes=episodes)

    def _residual(self, active: torch.Tensor) -> torch.Tensor:
        """Return residual actions (B, 3) for those of the active dimensions (B, A)."""
        residual = torch.zeros(self.num_envs, COMMAND_SIZE)
        residual[:, self.active] = active.cpu().clamp(-1.0, 1.0)
        return residual.to(self.environment.device)

    def _observation(self, step: LatentStep) -> dict[str, np.ndarray]:
        named = {FEATURES: step.features, PRIVILEGED: step.privileged, TEACHER_ACTION: step.teacher_action}
        return {name: named[name].to(torch.float32).cpu().numpy() for name in self._entries}

    def pop_counts(self) -> dict[str, int]:
        """Return how many episodes ended, how, and how many control steps ran since the last call."""
        counts = dict(self._counts)
        self._counts = dict.fromkeys(counts, 0)
        return counts

    def _count(self, step: LatentStep) -> None:
        ended = step.terminated | step.truncated
        self._counts["control_steps"] += int((~step.first).sum())
        if bool(ended.any()):
            self._counts["episodes"] += int(ended.sum())
            for name in OUTCOMES:
                self._counts[name] += int((getattr(step.outcome, name) & ended).sum())
