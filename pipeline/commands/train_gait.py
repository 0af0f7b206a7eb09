"""Train velocity-tracking gaits for legged robots (rsl_rl PPO); the weights ship with the repository.

Not a stage of the line: it runs once per robot, and its result is ``embodiments/gaits/NAME.safetensors``.
"""

import contextlib
import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embodiments import registry
from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.runs import processes

if TYPE_CHECKING:
    from rsl_rl.runners import OnPolicyRunner

    from pipeline.simulation.gait.environment import GaitEnvironment, GaitTask

ROLLOUT_STEPS = 96
"""Falls are rare and dear: with rollouts of 24 steps a batch held one or none, and what balance there was got lost
again after 3 to 5 million steps (docs/log.md, 2026-11-25)."""
CHUNK_ITERATIONS = 5
"""Iterations between checkpoints; a killed run loses at most this."""
ENTROPY = (0.003, 0.0)
"""Weight of the entropy bonus without and with the largest pushes: who still explores sways and cannot stand."""
START_SPREAD = 0.25
"""Standard deviation of the actions of a gait that goes on from earlier weights, as it is late in a training."""
JUDGE_MINUTES = 60.0
"""Simulated minutes of random commands and pushes after training."""
_SPREAD = "distribution.std_param"


@dataclass(frozen=True, kw_only=True)
class Config:
    """Gait training of one or more robots, one process each, one per core at a time."""

    embodiments: str = "go2,g1,anymal_c"
    """Comma-separated robot names."""
    steps: int = 35_000_000
    """Drive steps (20 ms) per robot, an hour and a half on one laptop core; a quadruped needs 10 to 20 million."""
    num_envs: int = 384
    """Best throughput per core measured with Genesis on CPU."""
    max_minutes: float = 100.0
    """Stop training here even if ``steps`` are not done."""
    push_mps: float = 0.7
    """Largest push; the curriculum grows to it from 0, because a beginner learns to stand under pushes, not to walk."""
    push_every_s: float = 6.0
    """0.9 m/s every 4 s break a humanoid's gait and make a heavy quadruped timid; Go2 stands them"""
    heaviest: float = 1.3
    """Largest factor on the mass of all links; Go2 learned with up to 1.5"""
    device: str = "cpu"
    seed: int = 0
    out: str = "runs/gaits"
    """Folder of checkpoints, logs and weights; a run continues from what it finds there."""
    start_from: Path | None = None
    """Weights of an earlier gait of this robot to go on from, for example the shipped ones; the critic learns first"""
    ship: bool = False
    """Also write the weights into ``embodiments/gaits/``."""


def main(config: Config) -> None:
    """Train into ``config.out``."""
    train(config, Path(config.out))


def train(config: Config, directory: Path) -> None:
    """Train every robot named in the config, resuming where a killed run stopped.

    Writes ``directory/NAME/`` with checkpoints, TensorBoard events, ``NAME.safetensors``, its JSON card and a film.

    Raises:
        ValueError: If a robot does not exist or does not walk, or one gait is to be the start of several.
    """
    names = [name.strip() for name in config.embodiments.split(",") if name.strip()]
    for name in names:
        if not isinstance(registry.get(name).drive, GaitDrive):
            raise ValueError(f"robot '{name}' has no legs to train: its drive is not a gait")
    if config.start_from is not None and len(names) > 1:
        raise ValueError("--start-from is one robot's gait; name one robot with --embodiments.")
    if len(names) == 1:
        train_one(config, names[0], directory / names[0])
        return
    with processes.spawned(processes.cores()) as pool:
        for job in [pool.submit(train_one, config, name, directory / name) for name in names]:
            job.result()


def train_one(config: Config, name: str, directory: Path) -> None:
    """Train one robot in this process (a process holds one Genesis scene)."""
    import torch

    from pipeline.simulation.gait.environment import GaitEnvironment

    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    embodiment = registry.get(name)
    directory.mkdir(parents=True, exist_ok=True)
    env = GaitEnvironment(
        embodiment,
        num_envs=config.num_envs,
        task=_task(config),
        device=config.device,
        seed=config.seed,
    )
    runner = _make_runner(env, config, directory)
    progress = _resume(runner, directory) or _start(runner, embodiment, config)
    env.curriculum.level = progress["level"]
    per_iteration = config.num_envs * ROLLOUT_STEPS
    while progress["steps"] < config.steps and progress["seconds"] < 60.0 * config.max_minutes:
        start = time.monotonic()
        runner.alg.entropy_coef = ENTROPY[0] + (ENTROPY[1] - ENTROPY[0]) * env.curriculum.push_share
        # A critic that knows nothing would spoil a gait that walks; where nothing changes the learning rate stays, too.
        knows_nothing = config.start_from is not None and progress["steps"] == 0
        runner.alg.actor.requires_grad_(not knows_nothing)
        with (directory / "rsl_rl.log").open("a") as log, contextlib.redirect_stdout(log):
            runner.learn(CHUNK_ITERATIONS)
        runner.current_learning_iteration += 1
        progress["steps"] += CHUNK_ITERATIONS * per_iteration
        progress["seconds"] += time.monotonic() - start
        progress["level"] = env.curriculum.level
        _checkpoint(runner, directory, progress)
        _report(name, env, progress, config)
        _export(runner, embodiment, config, progress, directory / f"{name}.safetensors", measured=None)
    measured = _measure(env, runner)
    _export(runner, embodiment, config, progress, directory / f"{name}.safetensors", measured=measured)
    print(f"{name}: {json.dumps({key: value for key, value in measured.items() if key != 'by_command'})}", flush=True)
    if config.ship:
        _export(runner, embodiment, config, progress, registry.GAITS_FOLDER / f"{name}.safetensors", measured=measured)
    _film(name, directory)


def _task(config: Config) -> "GaitTask":
    from pipeline.simulation.gait.environment import LIGHTEST, GaitTask
    from pipeline.simulation.physics.dynamics import GaitRandomisation

    return GaitTask(
        randomisation=GaitRandomisation(body_mass_scale=(LIGHTEST, config.heaviest)),
        push_mps=config.push_mps,
        push_every_s=config.push_every_s,
    )


def _film(name: str, directory: Path) -> None:
    """Film the new gait, in a process of its own: this one's scene has no camera. Without OpenGL there is no film."""
    weights, out = (str((directory / f"{name}{end}").absolute()) for end in (".safetensors", ".mp4"))
    command = ["film_gait", "--embodiment", name, "--weights", weights, "--out", out]
    processes.run_side_by_side({name: command}, workers=1)


def _make_runner(env: "GaitEnvironment", config: Config, directory: Path) -> "OnPolicyRunner":
    import torch
    from rsl_rl.runners import OnPolicyRunner

    from pipeline.simulation.gait.environment import augment
    from pipeline.simulation.physics.gait_policy import HIDDEN

    settings: dict[str, Any] = {
        "seed": config.seed,
        "num_steps_per_env": ROLLOUT_STEPS,
        "save_interval": 1_000_000,  # _checkpoint keeps one file instead of many
        "logger": "tensorboard",
        "obs_groups": {"actor": ["policy"], "critic": ["critic"]},
        "actor": {
            "class_name": "MLPModel",
            "hidden_dims": list(HIDDEN),
            "activation": "elu",
            "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.8},
        },
        "critic": {"class_name": "MLPModel", "hidden_dims": list(HIDDEN), "activation": "elu"},
        "algorithm": {
            "class_name": "PPO",
            "num_learning_epochs": 3,
            "num_mini_batches": 4,
            "learning_rate": 1e-3,
            "gamma": 0.99,
            "lam": 0.95,
            "desired_kl": 0.006,
            "symmetry_cfg": {"data_augmentation_func": augment, "use_data_augmentation": True},
        },
    }
    with (directory / "rsl_rl.log").open("a") as log, contextlib.redirect_stdout(log):
        runner = OnPolicyRunner(env, settings, log_dir=str(directory / "tensorboard"), device=config.device)
    # Only logged where mirrored data are used, and a seventh of the update's cost.
    runner.alg.symmetry.compute_loss = lambda *_: torch.zeros(())
    return runner


def _start(runner: "OnPolicyRunner", embodiment: Embodiment, config: Config) -> dict[str, float]:
    """Return no steps and seconds done, and the curriculum's level; take an earlier gait's weights, if one is named."""
    if config.start_from is None:
        return {"steps": 0, "seconds": 0.0, "level": 0.0}
    import torch

    from pipeline.simulation.physics.gait_policy import load_gait

    assert isinstance(embodiment.drive, GaitDrive)
    weights = load_gait(embodiment.drive, config.start_from).state_dict()
    state = {f"mlp.{name}": value for name, value in weights.items()}
    spread = runner.alg.actor.state_dict()[_SPREAD]
    runner.alg.actor.load_state_dict(state | {_SPREAD: torch.full_like(spread, START_SPREAD)})
    card = config.start_from.with_suffix(".json")
    level = json.loads(card.read_text())["curriculum_level"] if card.is_file() else 0.0
    return {"steps": 0, "seconds": 0.0, "level": level}


def _resume(runner: "OnPolicyRunner", directory: Path) -> dict[str, float]:
    """Load the newest checkpoint; return steps and seconds done, and the curriculum's level, or nothing."""
    path = directory / "checkpoint.pt"
    if not path.is_file():
        return {}
    progress = dict(runner.load(str(path)))
    print(f"resuming {directory.name} at {progress['steps'] / 1e6:.1f} M steps", flush=True)
    return progress


def _checkpoint(runner: "OnPolicyRunner", directory: Path, progress: dict[str, float]) -> None:
    partial = directory / "checkpoint.partial"
    runner.save(str(partial), infos=dict(progress))
    partial.replace(directory / "checkpoint.pt")
    for model in (directory / "tensorboard").glob("model_*.pt"):  # learn() leaves one per call
        model.unlink()


def _report(name: str, env: "GaitEnvironment", progress: dict[str, float], config: Config) -> None:
    log = env.last_log
    keys = ("level", "falls", "error/linear_mps", "error/yaw_radps", "error/stand_mps")
    figures = "  ".join(f"{key} {float(log[key]):.3f}" for key in keys)
    steps, seconds = progress["steps"], progress["seconds"]
    rate = steps / max(seconds, 1e-9)
    left_s = max(0.0, min((config.steps - steps) / rate, 60.0 * config.max_minutes - seconds))
    done = f"{steps / 1e6:6.2f} / {config.steps / 1e6:.1f} M steps"
    print(f"{name}: {done}  {rate:5.0f}/s  {left_s / 60.0:3.0f} min left  {figures}", flush=True)


def _measure(env: "GaitEnvironment", runner: "OnPolicyRunner") -> dict[str, Any]:
    """Judge the gait; ``evaluate_gait`` does it longer and on other physics."""
    import torch

    from pipeline.commands.evaluate_gait import judge
    from pipeline.simulation.gait.trials import GaitTrials
    from pipeline.simulation.physics.dynamics import GaitRandomisation

    actor = _actor(runner, env.embodiment)
    trials = GaitTrials(env.embodiment, env.physics, actor, block=GaitRandomisation(), seed=0)
    with torch.inference_mode():  # rsl_rl left such tensors in the physics; nothing else may write to them
        return judge(trials, rounds=1, minutes=JUDGE_MINUTES)


def _actor(runner: "OnPolicyRunner", embodiment: Embodiment) -> Any:
    """Copy rsl_rl's actor into our network."""
    from pipeline.simulation.physics.gait_policy import make_network

    assert isinstance(embodiment.drive, GaitDrive)
    network = make_network(len(embodiment.drive.joints))
    source = [value for key, value in runner.alg.get_policy().state_dict().items() if key.startswith("mlp.")]
    network.load_state_dict(dict(zip(network.state_dict(), source, strict=True)))
    return network.requires_grad_(False).eval().to(runner.device)


def _export(
    runner: "OnPolicyRunner",
    embodiment: Embodiment,
    config: Config,
    progress: dict[str, float],
    path: Path,
    *,
    measured: dict[str, Any] | None,
) -> None:
    from pipeline.simulation.physics.gait_policy import save_gait

    assert isinstance(embodiment.drive, GaitDrive)
    task = _task(config)
    card = {
        "embodiment": embodiment.name,
        "command_ranges": {
            "vx_mps": list(task.forward_range_mps(embodiment)),
            "vy_mps": [-task.lateral_mps, task.lateral_mps],
            "yaw_rate_radps": [-task.yaw_rate_radps, task.yaw_rate_radps],
        },
        "rate_hz": DRIVE_HZ,
        "steps": int(progress["steps"]),
        "training_minutes": round(progress["seconds"] / 60.0, 1),
        "curriculum_level": round(progress["level"], 3),
        "seed": config.seed,
        "started_from": None
        if config.start_from is None
        else hashlib.sha256(config.start_from.read_bytes()).hexdigest(),
        "num_envs": config.num_envs,
        "task": dataclasses.asdict(task),
        "measured": measured,
        "licence": "same as the repository",
    }
    save_gait(_actor(runner, embodiment), path, card)
