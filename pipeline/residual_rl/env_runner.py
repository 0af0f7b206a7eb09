"""RLlib's environment runner for a natively batched environment, without Python loops over environments.

RLlib's own runner unbatches every step into one episode object per environment. This one keeps a rollout as (T, B)
arrays and cuts it into episodes once at the end, so that its cost follows the number of episodes. RLlib's own runner is
the oracle in the tests: the same seed gives the same episodes.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from ray.rllib.env.utils.infinite_lookback_buffer import InfiniteLookbackBuffer

from pipeline.residual_rl.vector_environment import ResidualVectorEnvironment

CAUSE = "env_runner_error.txt"
"""Entry of the environment's configuration, and name of the file: a line for every error of an environment."""
_OUTPUTS = (Columns.ACTION_DIST_INPUTS, Columns.ACTION_LOGP)


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of one environment's rollout that belongs to one episode: steps ``begin`` to ``end``, exclusive."""

    env: int
    begin: int
    end: int
    terminated: bool
    truncated: bool


def segments(first: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> Iterator[Segment]:
    """Cut a rollout at the ends of episodes; the step after an end, which only resets, belongs to none.

    Args:
        first: (T, B) bool: the step did nothing but reset (NEXT_STEP autoreset).
        terminated: (T, B) bool, and so is ``truncated``.
    """
    steps, count = first.shape
    for env in range(count):
        borders = np.flatnonzero(first[:, env] | terminated[:, env] | truncated[:, env])
        begin = 0
        for row in borders:
            if not first[row, env]:
                yield Segment(
                    env=env,
                    begin=begin,
                    end=int(row) + 1,
                    terminated=bool(terminated[row, env]),
                    truncated=bool(truncated[row, env]),
                )
            begin = int(row) + 1
        if begin < steps:
            yield Segment(env=env, begin=begin, end=steps, terminated=False, truncated=False)


class BatchedEnvRunner(SingleAgentEnvRunner):
    """Samples a ``ResidualVectorEnvironment`` in (T, B) arrays."""

    _needs_initial_reset: bool  # RLlib's

    def make_env(self) -> None:
        """Build the environment with the worker's index, which RLlib's plain dict lacks."""
        self.config.env_config["worker_index"] = self.worker_index or 0
        with self._noting_the_cause():
            super().make_env()

    @contextmanager
    def _noting_the_cause(self) -> Iterator[None]:
        """Write down what an environment raises: a runner that RLlib starts anew takes it along otherwise."""
        try:
            yield
        except Exception as error:
            if path := self.config.env_config.get(CAUSE):
                where = f"environment runner {self.worker_index or 0}, seed {self.config.env_config.get('seed')}"
                told = " ".join(str(error).split())
                with suppress(OSError), Path(path).open("a", encoding="utf-8") as file:  # not seen from this node
                    file.write(f"{type(error).__name__}: {told} ({where})\n")
            raise

    def _sample(self, **options: Any) -> list[SingleAgentEpisode]:
        with self._noting_the_cause():
            return self._sample_rollout(**options)

    def _sample_rollout(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[SingleAgentEpisode]:
        assert num_timesteps is not None and num_episodes is None and not random_actions, "fixed rollouts only"
        environment: ResidualVectorEnvironment = self.env.unwrapped
        if self._needs_initial_reset or force_reset:
            self._observation, _ = environment.reset()
            self._ended = np.zeros(self.num_envs, dtype=bool)
            self._return, self._length = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=np.int64)
            self._needs_initial_reset = False
        observations, rows = [self._observation], dict[str, list[np.ndarray]]()
        taken = 0
        while taken < num_timesteps:
            row = self._act(self._observation, explore=explore)
            row["first"] = self._ended
            self._observation, row[Columns.REWARDS], terminated, truncated, _ = environment.step(row[Columns.ACTIONS])
            row[Columns.TERMINATEDS], row[Columns.TRUNCATEDS] = terminated, truncated
            self._ended = terminated | truncated
            taken += self.num_envs - int(row["first"].sum())
            self._count(row)
            for name, value in row.items():
                rows.setdefault(name, []).append(value)
            observations.append(self._observation)
        rollout: dict[str, Any] = {name: np.stack(values) for name, values in rows.items()}
        rollout[Columns.OBS] = {name: np.stack([seen[name] for seen in observations]) for name in self._observation}
        episodes = self._episodes(rollout)
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=taken)
        self._increase_sampled_metrics(taken, sum(episode.is_done for episode in episodes))
        return episodes

    @torch.no_grad()
    def _act(self, observation: dict[str, np.ndarray], *, explore: bool) -> dict[str, np.ndarray]:
        seen = {name: torch.from_numpy(array).to(self._device) for name, array in observation.items()}
        batch = {Columns.OBS: seen}
        forward = self.module.forward_exploration if explore else self.module.forward_inference
        inputs = forward(batch)[Columns.ACTION_DIST_INPUTS]
        distribution = self.module.get_exploration_action_dist_cls().from_logits(inputs)
        action = (distribution if explore else distribution.to_deterministic()).sample()
        outputs = {
            Columns.ACTIONS: action,
            Columns.ACTION_DIST_INPUTS: inputs,
            Columns.ACTION_LOGP: distribution.logp(action),
        }
        return {name: value.cpu().numpy() for name, value in outputs.items()}

    def _count(self, row: dict[str, np.ndarray]) -> None:
        """Keep returns and lengths of the running episodes and log those that have ended."""
        self._return = np.where(row["first"], 0.0, self._return + row[Columns.REWARDS])
        self._length = np.where(row["first"], 0, self._length + 1)
        for env in np.flatnonzero(self._ended):
            self._log_episode_metrics(int(self._length[env]), float(self._return[env]), 0.0)

    def _episodes(self, rollout: dict[str, Any]) -> list[SingleAgentEpisode]:
        cuts = segments(rollout["first"], rollout[Columns.TERMINATEDS], rollout[Columns.TRUNCATEDS])
        spaces = self.env.single_observation_space, self.env.single_action_space
        return [_episode(rollout, segment, *spaces) for segment in cuts]


def _episode(rollout: dict[str, Any], cut: Segment, observation_space: Any, action_space: Any) -> SingleAgentEpisode:
    rows = slice(cut.begin, cut.end)
    length = cut.end - cut.begin

    def buffer(values: Any, space: Any = None) -> InfiniteLookbackBuffer:
        return InfiniteLookbackBuffer(data=values, lookback=0, space=space)

    seen = {name: array[cut.begin : cut.end + 1, cut.env] for name, array in rollout[Columns.OBS].items()}
    return SingleAgentEpisode(
        observations=buffer(seen, observation_space),
        actions=buffer(rollout[Columns.ACTIONS][rows, cut.env], action_space),
        rewards=buffer(rollout[Columns.REWARDS][rows, cut.env]),
        infos=[{} for _ in range(length + 1)],
        terminated=cut.terminated,
        truncated=cut.truncated,
        extra_model_outputs={name: buffer(rollout[name][rows, cut.env]) for name in _OUTPUTS},
        observation_space=observation_space,
        action_space=action_space,
        t_started=0,
        len_lookback_buffer=0,
    )
