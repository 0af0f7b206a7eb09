"""The navigation task as a ``VecEnv`` of stable-baselines3, which is not among the requirements.

Stable-baselines3 expects the first observation of the next episode in the step in which an episode ends. Here it comes
one step later (NEXT_STEP autoreset). So every episode but the first begins with a blank observation, all zeros, and an
action without effect: a start state that resembles nothing else, and no wrong transition in anybody's buffer.
"""

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv


class StableBaselinesVecEnv(VecEnv):
    """A ``NavigationVectorEnv``, or another ``VectorEnv`` with NEXT_STEP autoreset, for stable-baselines3.

    In the step in which an episode ends, its info has the environment's columns, ``terminal_observation``, and, where
    there is a column ``success``, ``is_success``. ``TimeLimit.truncated`` stays out, so running out of time counts as a
    failure and is not bootstrapped: otherwise waiting before an obstacle costs nothing.
    """

    def __init__(self, environment: VectorEnv) -> None:
        self.environment = environment
        super().__init__(environment.num_envs, environment.single_observation_space, environment.single_action_space)

    def reset(self) -> Any:
        """Begin a new episode everywhere, with the seed that ``seed`` set."""
        observations, _ = self.environment.reset(seed=self._seeds[0])
        self._reset_seeds()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions (B, 3) for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Run one control step; return observations, rewards (B,), ends (B,) and one info per environment."""
        observations, rewards, terminated, truncated, columns = self.environment.step(self._actions)
        ended = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for index in np.flatnonzero(ended):
            infos[index] = {name: values[index] for name, values in columns.items() if not name.startswith("_")}
            if "success" in columns:
                infos[index]["is_success"] = bool(columns["success"][index])
            infos[index]["terminal_observation"] = _map(observations, lambda values, row=index: values[row].copy())
        return _map(observations, lambda values: _blanked(values, ended)), rewards, ended, infos

    def close(self) -> None:
        """Close the environment; the simulation ends with the process."""
        self.environment.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return the batch's attribute, once per environment."""
        return [getattr(self.environment, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: there is one object for all environments."""
        raise NotImplementedError(f"one object holds all environments; set `environment.{attr_name}` instead.")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Refuse: there is one object for all environments."""
        raise NotImplementedError(f"one object holds all environments; call `environment.{method_name}` instead.")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return False once per environment: wrappers of single environments do not apply."""
        return [False] * len(list(self._get_indices(indices)))


def _map(observations: Any, function: Any) -> Any:
    if isinstance(observations, dict):
        return {name: function(values) for name, values in observations.items()}
    return function(observations)


def _blanked(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    blanked = values.copy()
    blanked[rows] = 0.0
    return blanked
