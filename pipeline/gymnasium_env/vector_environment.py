"""The navigation task as one natively batched gymnasium ``VectorEnv``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from embodiments.spaces import COMMAND_SIZE, OBSERVATION_BOUNDS, OBSERVATION_SHAPES
from pipeline.evaluation.episodes.plan import Plan
from pipeline.evaluation.episodes.runner import START_COLUMNS, ended_rows
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.environment import NavigationEnvironment, Step
from pipeline.simulation.navigation.latent_step import LatentStep
from world_model.base_policy import BasePolicy

Begin = Callable[[NavigationEnvironment, int | None, Mapping[str, Any]], Plan]
"""``begin(navigation, seed, options)`` prepares what a reset begins and returns the plan of its episodes."""


class NavigationVectorEnv(VectorEnv):
    """Batch of B navigation environments of one robot type, one control step (0.1 s) per ``step``.

    Observations are float32 arrays: without a base policy a dict with the names and shapes (B, ...) of
    ``embodiments/spaces.py``, with one its features (B, F). Actions are (B, 3) in [-1, 1]: vx, vy and yaw rate as
    fractions of the robot's limits; with a base policy they are added to its action.

    NEXT_STEP autoreset: the step after an end ignores its action, has reward 0 and returns the first observation of the
    next episode. ``terminated``: success, collision, fall, or broken physics. ``truncated``: the time limit.

    In a step in which episodes end, ``infos`` has how: every column of ``OUTCOME_COLUMNS`` and ``START_COLUMNS`` and
    ``episode_index``, the row in ``plan.task.episodes``, as arrays (B,), each with a mask ``_NAME`` of the environments
    that it is about.

    Attributes:
        navigation: The simulation.
        plan: Where the episodes come from.
        rollouts: Of an evaluation: the ``options`` of the resets that together run all of its episodes.
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        navigation: NavigationEnvironment,
        plan: Plan,
        *,
        begin: Begin,
        base: BasePolicy | None = None,
        rollouts: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.navigation, self.plan, self.rollouts = navigation, plan, tuple(rollouts)
        self.num_envs = navigation.num_envs
        self._begin = begin
        self._driven: NavigationEnvironment | LatentEnvironment = navigation
        if base is not None:
            self._driven = LatentEnvironment(navigation, base)
        self.single_observation_space = _raw_space() if base is None else _features_space(base.feature_size)
        self.single_action_space = Box(-1.0, 1.0, (COMMAND_SIZE,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode everywhere.

        Args:
            seed: Draw from here on as if the environment had just been made with this seed.
            options: Of an evaluation only, see ``rollouts``.

        Raises:
            ValueError: If an option or the seed does not fit.
        """
        super().reset(seed=seed)
        self.plan = self._begin(self.navigation, seed, options or {})
        return _observation(self._driven.reset()), {}

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Run one control step with actions (B, 3); return observations, rewards, terminated, truncated and infos.

        Raises:
            ValueError: If the actions have another shape.
        """
        array = np.asarray(actions, dtype=np.float32)
        if array.shape != self.action_space.shape:
            raise ValueError(f"actions have the shape {array.shape}; expected {self.action_space.shape}.")
        step = self._driven.step(torch.as_tensor(array, device=self.navigation.device))
        ends = _array(step.terminated), _array(step.truncated)
        return _observation(step), _array(step.reward), ends[0], ends[1], self._infos(step)

    def _infos(self, step: Step | LatentStep) -> dict[str, np.ndarray]:
        ended = step.terminated | step.truncated
        if not bool(ended.any()):
            return {}
        rows, episodes = ended_rows(step.outcome, ended), self.navigation.episodes
        index = rows.pop("episode")  # a name that gymnasium's RecordEpisodeStatistics takes
        rows |= {"episode_index": index} | {name: getattr(episodes, name)[index] for name in START_COLUMNS}
        infos: dict[str, np.ndarray] = {}
        for name, values in rows.items():
            infos[f"_{name}"] = _array(ended)
            infos[name] = np.zeros(self.num_envs, dtype=values.dtype)
            infos[name][infos[f"_{name}"]] = values
        return infos


def _raw_space() -> Space:
    bounds = OBSERVATION_BOUNDS
    return Dict({name: Box(*bounds[name], shape, np.float32) for name, shape in OBSERVATION_SHAPES.items()})


def _features_space(size: int) -> Space:
    return Box(-np.inf, np.inf, (size,), np.float32)


def _observation(step: Step | LatentStep) -> Any:
    if isinstance(step, LatentStep):
        return _array(step.features)
    return {name: _array(value) for name, value in step.observation.inputs().items()}


def _array(tensor: torch.Tensor) -> np.ndarray:
    """Return a copy, because the simulation writes into its tensors."""
    return tensor.cpu().numpy().copy()
