"""PPO on the gymnasium environment in one file and plain torch.

After CleanRL's ``ppo_continuous_action.py`` (Huang et al. 2022). Two things differ. NEXT_STEP autoreset: the transition
after an end has an action without effect, so the loss leaves it out. Running out of time counts as a failure and is not
bootstrapped: otherwise waiting before an obstacle costs nothing.
"""

from collections.abc import Iterator, Mapping

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv
from safetensors.torch import save
from torch import Tensor, nn
from torch.distributions import Normal

from embodiments.spaces import COMMAND_SIZE, DEPTH_RANGE_M, OBSERVATION_SHAPES
from pipeline.commands.ppo_example import Config
from world_model import atomic_files

ENVIRONMENT = "pipeline.gymnasium_env.register:crossbody/Navigation-v0"
_DEPTH = "depth_m"
_METRES = ("route_xy_b_m", "goal_b")
METRES_SCALE = 5.0
"""Routes and goals are up to 10 m away, everything else is of the order of 1."""


class ActorCritic(nn.Module):
    """Mean action and value of an observation; the deviation does not depend on it."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.LazyLinear(128),
            nn.ReLU(),
        )
        self.body = nn.Sequential(nn.LazyLinear(256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh())
        self.mean = nn.Linear(256, COMMAND_SIZE)
        self.value = nn.Linear(256, 1)
        self.log_std = nn.Parameter(torch.full((COMMAND_SIZE,), -0.5))
        nn.init.normal_(self.mean.weight, std=0.01)

    def forward(self, observation: Mapping[str, Tensor]) -> tuple[Normal, Tensor]:
        """Return the distribution of actions (N, 3) and the values (N,) of observations (N, ...)."""
        parts = [self.image(observation[_DEPTH] / DEPTH_RANGE_M)]
        for name in OBSERVATION_SHAPES:
            if name != _DEPTH:
                parts.append(observation[name].flatten(1) / (METRES_SCALE if name in _METRES else 1.0))
        hidden = self.body(torch.cat(parts, dim=1))
        return Normal(self.mean(hidden), self.log_std.exp()), self.value(hidden)[:, 0]


def main(config: Config) -> None:
    """Train and write the network.

    Raises:
        ValueError: If an option does not fit.
    """
    envs = gymnasium.make_vec(
        ENVIRONMENT,
        embodiment=config.embodiment,
        scenes=config.scenes,
        episodes=config.episodes,
        num_envs=config.num_envs,
        seed=config.seed,
        device=config.device,
    )
    network = train(envs, config)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    atomic_files.write_bytes(config.out, save(network.state_dict()))
    print(f"wrote {config.out}")


def train(envs: VectorEnv, config: Config) -> ActorCritic:
    """Train on an environment with raw observations; print a line per update."""
    torch.manual_seed(config.seed)
    observation, _ = envs.reset(seed=config.seed)
    network = ActorCritic().to(config.device)
    with torch.no_grad():
        network(_tensors(observation, config.device))  # sizes the lazy layers
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, eps=1e-5)
    ended = np.zeros(envs.num_envs, dtype=bool)
    for update in range(max(1, config.control_steps // (config.horizon * envs.num_envs))):
        rollout: list[dict[str, Tensor]] = []
        successes: list[bool] = []
        for _ in range(config.horizon):
            seen = _tensors(observation, config.device)
            with torch.no_grad():
                policy, value = network(seen)
                action = policy.sample()
            counts = ~ended
            observation, reward, terminated, truncated, infos = envs.step(action.clamp(-1.0, 1.0).cpu().numpy())
            ended = terminated | truncated
            if ended.any():
                successes += infos["success"][ended].tolist()
            row = {"action": action, "log_prob": policy.log_prob(action).sum(1), "value": value}
            numbers = {"reward": config.reward_scale * reward, "ended": ended, "counts": counts}
            rollout.append(seen | row | _tensors(numbers, config.device))
        stacked = {name: torch.stack([row[name] for row in rollout]) for name in rollout[0]}  # (T, B, ...)
        with torch.no_grad():
            _, last_value = network(_tensors(observation, config.device))
        advantage = advantages(stacked, last_value, discount=config.discount, gae_lambda=config.gae_lambda)
        stacked |= {"advantage": advantage, "target": advantage + stacked["value"]}
        learned = {name: values[stacked["counts"]] for name, values in stacked.items()}  # (N, ...)
        for batch in _minibatches(learned, config):
            optimizer.zero_grad()
            loss(network, batch, config).backward()
            nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
            optimizer.step()
        steps, rate = (update + 1) * config.horizon * envs.num_envs, np.mean(successes) if successes else np.nan
        reward_mean = float(stacked["reward"].mean()) / config.reward_scale
        print(f"{steps} control steps: {len(successes)} episodes, success {rate:.1%}, reward {reward_mean:.3f}")
    return network


def advantages(rollout: Mapping[str, Tensor], last_value: Tensor, *, discount: float, gae_lambda: float) -> Tensor:
    """Return generalised advantage estimates (T, B).

    Args:
        rollout: ``reward``, ``value`` and ``ended`` (T, B); nothing is worth anything after an end.
        last_value: (B,) value of the observation after the last step.
    """
    following = torch.zeros_like(last_value)
    found = torch.zeros_like(rollout["reward"])
    next_value = last_value
    for t in reversed(range(len(found))):
        goes_on = (~rollout["ended"][t]).float()
        error = rollout["reward"][t] + discount * next_value * goes_on - rollout["value"][t]
        following = error + discount * gae_lambda * goes_on * following
        found[t], next_value = following, rollout["value"][t]
    return found


def loss(network: ActorCritic, batch: Mapping[str, Tensor], config: Config) -> Tensor:
    """Return PPO's clipped loss with value and entropy terms (Schulman et al. 2017) of transitions (N, ...)."""
    policy, value = network(batch)
    ratio = (policy.log_prob(batch["action"]).sum(1) - batch["log_prob"]).exp()
    advantage = batch["advantage"]
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    clipped = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
    actor = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    critic = 0.5 * (value - batch["target"]).square().mean()
    return actor + 0.5 * critic - config.entropy * policy.entropy().sum(1).mean()


def _minibatches(transitions: Mapping[str, Tensor], config: Config) -> Iterator[dict[str, Tensor]]:
    count = len(transitions["reward"])
    for _ in range(config.epochs):
        for chosen in torch.randperm(count).split(config.minibatch):
            yield {name: values[chosen.to(values.device)] for name, values in transitions.items()}


def _tensors(arrays: Mapping[str, np.ndarray], device: str) -> dict[str, Tensor]:
    return {name: torch.as_tensor(values, device=device) for name, values in arrays.items()}
