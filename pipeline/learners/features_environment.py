"""The specialists' environment as other libraries expect it: one array of features, and no step that only resets.

Other learners expect the first observation of the next episode in the step in which an episode ends. Here it comes one
step later (NEXT_STEP autoreset). So the observation of that step is blank, all zeros, and the action on it has no
effect, as in ``gymnasium_env.stable_baselines_adapter``: a start state that resembles nothing else, and no transition
from one episode into another. Running out of time is an end like any other, without bootstrap.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from pipeline.residual_rl.vector_environment import FEATURES, ResidualVectorEnvironment


class FeaturesVectorEnv(VectorEnv):
    """A ``ResidualVectorEnvironment`` whose observation is the array of features (B, F) alone; NEXT_STEP autoreset."""

    def __init__(self, environment: ResidualVectorEnvironment) -> None:
        self.environment = environment
        self.num_envs = environment.num_envs
        self.metadata = environment.metadata
        self.single_observation_space = environment.single_observation_space[FEATURES]
        self.single_action_space = environment.single_action_space
        self.observation_space = environment.observation_space[FEATURES]
        self.action_space = environment.action_space

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the first features; the environment was seeded when it was built."""
        observation, _ = self.environment.reset(seed=seed, options=options)
        return observation[FEATURES], {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step with residual actions (B, A)."""
        observation, reward, terminated, truncated, _ = self.environment.step(actions)
        return observation[FEATURES], reward, terminated, truncated, {}


class Transition(NamedTuple):
    """What a step gives to a learner in torch."""

    features: torch.Tensor
    """(B, F), zero where the episode has ended"""
    reward: torch.Tensor
    """(B,) float32"""
    ended: torch.Tensor
    """(B,) bool"""


class BlankedEnvironment:
    """A ``ResidualVectorEnvironment`` in torch with blank observations at the ends of episodes."""

    def __init__(self, environment: ResidualVectorEnvironment, *, device: str) -> None:
        self.environment = FeaturesVectorEnv(environment)
        self.num_envs, self.device = environment.num_envs, device
        self.feature_size = environment.environment.feature_size
        self.action_size = len(environment.active)

    def reset(self) -> torch.Tensor:
        """Begin a new episode everywhere; return features (B, F)."""
        features, _ = self.environment.reset()
        return torch.from_numpy(features).to(self.device)

    def step(self, actions: torch.Tensor) -> Transition:
        """Step with residual actions (B, A); the simulation keeps nothing that only inference mode may write to."""
        taken = actions.cpu().numpy()
        with torch.inference_mode(False), torch.no_grad():
            features, reward, terminated, truncated, _ = self.environment.step(taken)
            ended = torch.from_numpy(terminated | truncated)
            seen = torch.from_numpy(features).masked_fill(ended[:, None], 0.0)
            return Transition(
                seen.to(self.device), torch.from_numpy(reward).float().to(self.device), ended.to(self.device)
            )
