"""The navigation environment behind the frozen base policy: features in, residual actions out.

The encoder and the base head run once per control step, here; whoever learns on top sees and stores only features.
"""

from pathlib import Path

import numpy as np
import torch

from embodiments.limits import active_dimensions
from embodiments.observation import Observation
from pipeline.agents.agent import Agent
from pipeline.agents.truth import Truth
from pipeline.simulation.navigation.curriculum import EpisodeCurriculum
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.latent_step import LatentStep
from pipeline.simulation.navigation.tracker import SETTLE_S
from pipeline.simulation.physics.body import PATCH_SIDE
from world_model.base_head import BaseHead
from world_model.base_policy import BasePolicy
from world_model.checkpoint import load_module
from world_model.fixed_batches import by_rows
from world_model.rssm import WorldModel

CLEARANCE_SCALE_M = 1.0
GEODESIC_SCALE_M = 5.0
_VALIDATION_SEED = 0
PRIVILEGED_SIZE = PATCH_SIDE**2 + 4
"""Clearances around the body, direction of the shortest path, geodesic distance and clearance."""


def load_base(directory: Path, *, device: str = "cpu", silent: bool = False) -> BasePolicy:
    """Load the folder that ``pretrain_world_model`` published, frozen and in evaluation mode.

    Args:
        silent: The base action is 0, for a residual that learns from scratch.
    """
    world_model = load_module(WorldModel, directory, "world_model").to(device).requires_grad_(False)
    head = load_module(BaseHead, directory, "base_head").to(device).requires_grad_(False)
    return BasePolicy(world_model=world_model, head=head.silenced() if silent else head)


class LatentEnvironment:
    """A batch of navigation environments seen through the frozen base policy; NEXT_STEP autoreset."""

    def __init__(
        self,
        environment: NavigationEnvironment,
        base: BasePolicy,
        *,
        privileged: bool = False,
        teacher: Agent | None = None,
        curriculum: bool = False,
    ) -> None:
        """Wrap an environment.

        Args:
            privileged: Whether steps carry privileged inputs for the critic.
            teacher: The agent whose actions steps carry as labels; none by default.
            curriculum: Whether episodes that fail are drawn more often.
        """
        self.environment, self.base = environment, base
        self.num_envs, self.device = environment.num_envs, environment.device
        self.feature_size = base.feature_size
        self._privileged, self._teacher = privileged, teacher
        self._curriculum = EpisodeCurriculum(len(environment.episodes), device=self.device) if curriculum else None
        descriptor = torch.from_numpy(environment.embodiment.descriptor())
        self.active = tuple(int(index) for index in active_dimensions(descriptor).nonzero()[:, 0])
        self._state = base.initial_state(self.num_envs)

    def reset(self) -> LatentStep:
        """Begin a new episode everywhere."""
        return self._observe(self.environment.reset())

    def assign_validation(self, episodes: int) -> np.ndarray:
        """Let the next reset begin the same choice of episodes, from the same seed, whenever this is called.

        From here on episodes go on after a success until it has settled, or for ``SETTLE_S``.

        Returns:
            Their numbers (N,), the longest first; all there are, if those are fewer than asked for.
        """
        every = self.environment.episodes
        chosen = np.random.default_rng(_VALIDATION_SEED).permutation(len(every))[:episodes]
        chosen = chosen[np.argsort(-every.initial_geodesic_m[chosen], kind="stable")]
        self.environment.settle_for(SETTLE_S)
        self.environment.reseed(_VALIDATION_SEED)
        self.environment.assign(torch.as_tensor(chosen))
        return chosen

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Execute clip(base + residual) with residual actions (B, 3)."""
        return self.step_action(self._last.base_action + residual_action.clamp(-1.0, 1.0))

    def step_action(self, action: torch.Tensor) -> LatentStep:
        """Execute full actions (B, 3), clipped to [-1, 1]."""
        return self._observe(self.environment.step(action.clamp(-1.0, 1.0)))

    @property
    def last(self) -> LatentStep:
        """The step returned last."""
        return self._last

    @property
    def privileged_size(self) -> int:
        """Length P of the privileged inputs."""
        return PRIVILEGED_SIZE if self._privileged else 0

    @property
    def has_teacher(self) -> bool:
        """Whether steps carry the teacher's action."""
        return self._teacher is not None

    def _observe(self, step: Step) -> LatentStep:
        self._update_curriculum(step)
        known = self.environment.privileged() if self._privileged or self._teacher is not None else None
        self._last = LatentStep(
            observation=step.observation,
            features=self._features(step.observation, step.first),
            privileged=self._privileged_inputs(known),
            teacher_action=self._teacher_action(step, known),
            reward=step.reward,
            terminated=step.terminated,
            truncated=step.truncated,
            first=step.first,
            outcome=step.outcome,
        )
        return self._last

    def _update_curriculum(self, step: Step) -> None:
        ended = step.terminated | step.truncated
        if self._curriculum is not None and bool(ended.any()):
            self._curriculum.update(step.outcome.episode[ended], step.outcome.success[ended])
            self.environment.weigh_episodes(self._curriculum.weights)

    @torch.no_grad()
    def _features(self, observation: Observation[torch.Tensor], first: torch.Tensor) -> torch.Tensor:
        state = self._state.masked_fill(first[:, None], 0.0)
        _, features, self._state = by_rows(self.base.step, observation, state)
        return features

    def _teacher_action(self, step: Step, known: Truth | None) -> torch.Tensor:
        if self._teacher is None or known is None:
            return torch.zeros(self.num_envs, 0, device=self.device)
        self._teacher.reset(step.first)
        return self._teacher.act(step.observation, lambda: known)

    def _privileged_inputs(self, known: Truth | None) -> torch.Tensor:
        if not self._privileged or known is None:
            return torch.zeros(self.num_envs, 0, device=self.device)
        return torch.cat(
            [
                (known.clearance_patch / CLEARANCE_SCALE_M).clamp(-1.0, 2.0),
                known.descent_xy_b_m / CLEARANCE_SCALE_M,
                (known.geodesic_m / GEODESIC_SCALE_M).clamp(max=4.0)[:, None],
                (known.clearance_m / CLEARANCE_SCALE_M).clamp(max=2.0)[:, None],
            ],
            dim=1,
        )
