"""rsl_rl's PPO for gaits: its settings, checkpoints that survive a kill, and the actor's weights in and out."""

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rsl_rl.runners import OnPolicyRunner
from torch import nn

from pipeline.simulation.gait.environment import GaitEnvironment, augment
from pipeline.simulation.physics.gait_weights import HIDDEN, make_network
from world_model.training_state import restore_state, save_state

ROLLOUT_STEPS = 96
"""Falls are rare and costly. A rollout of 24 steps held one fall or none, and the gait lost its balance again after 3
to 5 million steps (docs/log/2026-11.md)."""
START_STD = 0.25
"""Standard deviation of the actions of a gait that starts from earlier weights: its value late in a training."""
_STD = "distribution.std_param"
_ALGORITHM = {
    "class_name": "PPO",
    "num_learning_epochs": 3,
    "num_mini_batches": 4,
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "lam": 0.95,
    "desired_kl": 0.006,
    "symmetry_cfg": {"data_augmentation_func": augment, "use_data_augmentation": True},
}


@dataclass(kw_only=True)
class Progress:
    """How far a training has come."""

    steps: int = 0
    """Drive steps"""
    seconds: float = 0.0
    level: float = 0.0
    """Of the curriculum"""


def make_runner(
    env: GaitEnvironment, *, seed: int, device: str, directory: Path, board: Callable[..., Any]
) -> OnPolicyRunner:
    """Return a runner that writes no checkpoints of its own: those are pickles.

    Args:
        directory: Gets what rsl_rl prints, and the state of its code.
        board: Gives what takes its scalars; called whenever it begins to learn.
    """
    settings: dict[str, Any] = {
        "seed": seed,
        "num_steps_per_env": ROLLOUT_STEPS,
        "save_interval": 1_000_000,  # required, but without effect
        "logger": {"class_name": board},
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
        "actor": {
            "class_name": "MLPModel",
            "hidden_dims": list(HIDDEN),
            "activation": "elu",
            "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.8},
        },
        "critic": {"class_name": "MLPModel", "hidden_dims": list(HIDDEN), "activation": "elu"},
        "algorithm": dict(_ALGORITHM),
    }
    with _logged(directory):
        runner = OnPolicyRunner(env, settings, log_dir=str(directory / "tensorboard"), device=device)
    runner.save = lambda *_, **__: None
    # The symmetry loss is only logged where mirrored data are used, and takes a seventh of the update.
    runner.alg.symmetry.compute_loss = lambda *_: torch.zeros(())
    return runner


def learn(runner: OnPolicyRunner, directory: Path, *, iterations: int, entropy: float, actor_learns: bool) -> None:
    """Run some iterations of PPO; rsl_rl's output goes to ``rsl_rl.log``.

    Args:
        entropy: Weight of the entropy bonus.
        actor_learns: False trains the critic alone and leaves the actor as it is.
    """
    runner.alg.entropy_coef = entropy
    runner.alg.actor.requires_grad_(actor_learns)
    with _logged(directory):
        runner.learn(iterations)
    runner.current_learning_iteration += 1


def save_checkpoint(runner: OnPolicyRunner, directory: Path, progress: Progress) -> None:
    """Write a generation durably: actor, critic, optimiser and progress."""
    extra = dataclasses.asdict(progress)
    extra |= {"iteration": runner.current_learning_iteration, "learning_rate": runner.alg.learning_rate}
    save_state(directory, _modules(runner), runner.alg.optimizer, step=progress.steps, extra=extra)


def load_checkpoint(runner: OnPolicyRunner, directory: Path) -> Progress | None:
    """Load the newest undamaged generation into the runner; None where there is none.

    Raises:
        ValueError: If the checkpoint is of another network.
    """
    try:
        steps, extra = restore_state(directory, _modules(runner), runner.alg.optimizer)
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"the checkpoints in {directory} are of another gait; delete the folder: {reason}") from error
    if not extra:
        return None
    runner.current_learning_iteration = extra["iteration"]
    runner.alg.learning_rate = extra["learning_rate"]
    for group in runner.alg.optimizer.param_groups:
        group["lr"] = extra["learning_rate"]
    return Progress(steps=steps, seconds=extra["seconds"], level=extra["level"])


def load_actor(runner: OnPolicyRunner, network: nn.Module) -> None:
    """Start from a gait's weights, with the exploration of a late training."""
    state = {f"mlp.{name}": value for name, value in network.state_dict().items()}
    std = runner.alg.actor.state_dict()[_STD]
    runner.alg.actor.load_state_dict(state | {_STD: torch.full_like(std, START_STD)})


def actor_network(runner: OnPolicyRunner) -> nn.Module:
    """Return a frozen copy of rsl_rl's actor as our network."""
    network = make_network(runner.env.num_actions)
    source = [value for key, value in runner.alg.get_policy().state_dict().items() if key.startswith("mlp.")]
    network.load_state_dict(dict(zip(network.state_dict(), source, strict=True)))
    return network.requires_grad_(False).eval().to(runner.device)


def _modules(runner: OnPolicyRunner) -> dict[str, nn.Module]:
    return {"actor": runner.alg.actor, "critic": runner.alg.critic}


@contextlib.contextmanager
def _logged(directory: Path) -> Any:
    """Send what rsl_rl prints to a file."""
    with (directory / "rsl_rl.log").open("a") as log, contextlib.redirect_stdout(log):
        yield
