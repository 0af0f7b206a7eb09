"""Train velocity-tracking gaits for legged robots (rsl_rl PPO); the weights ship with the repository.

Not a stage of the line: it runs once per robot, and its result is ``embodiments/gaits/NAME.safetensors``.
"""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embodiments import registry
from embodiments.embodiment import Embodiment, GaitDrive
from embodiments.spaces import DRIVE_HZ
from pipeline.runs import external_loggers, lock, manifest, processes
from pipeline.runs.external_loggers import RunIdentity
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.stage import Command
from world_model import atomic_files

if TYPE_CHECKING:
    from rsl_rl.runners import OnPolicyRunner

    from pipeline.simulation.gait.environment import GaitEnvironment, GaitTask
    from pipeline.simulation.gait.ppo import Progress

CHUNK_ITERATIONS = 5
"""Iterations between checkpoints; a killed run loses at most this."""
ENTROPY = (0.003, 0.0)
"""Weight of the entropy bonus without and with the largest pushes: exploration makes a standing robot sway."""
MEASURE_MINUTES = 60.0
"""Simulated minutes of random commands and pushes after training."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Gait training of one or more robots, one process each, one per core at a time."""

    embodiments: tuple[str, ...] = ("go2", "g1", "anymal_c")
    """Robots that walk"""
    steps: int = 35_000_000
    """Drive steps (20 ms) per robot, an hour and a half on one laptop core; a quadruped needs 10 to 20 million."""
    num_envs: int = 384
    """Best throughput per core measured with Genesis on CPU."""
    max_minutes: float = 100.0
    """Stop training here even if ``steps`` are not done."""
    push_mps: float = 0.7
    """Largest push. The curriculum starts at 0: under pushes from the start a robot learns to stand, not to walk."""
    push_every_s: float = 6.0
    """0.9 m/s every 4 s break a humanoid's gait and make a heavy quadruped too cautious; Go2 tolerates them"""
    heaviest: float = 1.3
    """Largest factor on the mass of all links; Go2 learned with up to 1.5"""
    device: str = "cpu"
    seed: int = 0
    out: Path = Path("runs/gaits")
    """Folder of checkpoints, logs and weights; a run resumes from the checkpoints in it"""
    start_from: Path | None = None
    """Weights of an earlier gait of this robot to start from, for example the shipped ones; the critic learns first"""
    ship: bool = False
    """Also write the weights into ``embodiments/gaits/``"""


def main(config: Config) -> None:
    """Train every robot named in the config, resuming where a killed run stopped.

    Writes ``out/NAME/`` with checkpoints, TensorBoard events, ``NAME.safetensors``, its JSON card and a film.

    Raises:
        ValueError: If a robot or logger does not exist, a robot does not walk, one gait is to be the start of several,
            or another process trains in the folder.
    """
    external_loggers.asked()
    names = config.embodiments
    for name in names:
        if not isinstance(registry.get(name).drive, GaitDrive):
            raise ValueError(f"robot '{name}' has no legs to train: its drive is not a gait")
    if config.start_from is not None and len(names) > 1:
        raise ValueError("--start-from is one robot's gait; name one robot with --embodiments.")
    if len(names) == 1:
        train_one(config, names[0])
        return
    with processes.spawned(processes.cores()) as pool:
        for job in [pool.submit(train_one, config, name) for name in names]:
            job.result()


def train_one(config: Config, name: str) -> None:
    """Train one robot in this process (a process holds one Genesis scene)."""
    directory = config.out / name
    with (
        atomic_files.naming(directory),
        lock.held(directory / "checkpoints" / "lock"),
        MetricsLogger(directory, _identity(config, name), step=None) as board,
    ):
        _train(config, registry.get(name), directory, board)
    _film(name, directory)


def _identity(config: Config, name: str) -> RunIdentity:
    settings = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return RunIdentity(folder=config.out, stage="train_gait", robot=name, settings=settings)


def _train(config: Config, embodiment: Embodiment, directory: Path, board: MetricsLogger) -> None:
    import torch

    from pipeline.simulation.gait import ppo
    from pipeline.simulation.gait.environment import GaitEnvironment

    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    env = GaitEnvironment(
        embodiment, num_envs=config.num_envs, task=_task(config), device=config.device, seed=config.seed
    )
    runner = ppo.make_runner(env, seed=config.seed, device=config.device, directory=directory, board=lambda **_: board)
    progress = _resume(runner, directory) or _start(runner, embodiment, config)
    env.curriculum.level = progress.level
    while progress.steps < config.steps and progress.seconds < 60.0 * config.max_minutes:
        start = time.monotonic()
        no_push, full_push = ENTROPY
        # An untrained critic would spoil a gait that walks. Without a gradient the learning rate stays the same, too.
        critic_first = config.start_from is not None and progress.steps == 0
        ppo.learn(
            runner,
            directory,
            iterations=CHUNK_ITERATIONS,
            entropy=no_push + (full_push - no_push) * env.curriculum.push_fraction,
            actor_learns=not critic_first,
        )
        progress.steps += CHUNK_ITERATIONS * config.num_envs * ppo.ROLLOUT_STEPS
        progress.seconds += time.monotonic() - start
        progress.level = env.curriculum.level
        ppo.save_checkpoint(runner, directory / "checkpoints", progress)
        _report(env, progress, config)
        _export(runner, config, progress, directory, measured=None)
    measured = _measure(env, runner)
    _export(runner, config, progress, directory, measured=measured)
    figures = {key: value for key, value in measured.items() if key != "by_command"}
    print(f"{embodiment.name}: {json.dumps(figures)}", flush=True)
    if config.ship:
        _export(runner, config, progress, registry.GAITS_FOLDER, measured=measured)


def _task(config: Config) -> "GaitTask":
    from pipeline.simulation.gait.environment import LIGHTEST, GaitTask
    from pipeline.simulation.physics.dynamics import GaitRandomisation

    return GaitTask(
        randomisation=GaitRandomisation(body_mass_scale=(LIGHTEST, config.heaviest)),
        push_mps=config.push_mps,
        push_every_s=config.push_every_s,
    )


def _resume(runner: "OnPolicyRunner", directory: Path) -> "Progress | None":
    """Load the newest undamaged checkpoint; None where there is none."""
    from pipeline.simulation.gait import ppo

    progress = ppo.load_checkpoint(runner, directory / "checkpoints")
    if progress is not None:
        print(f"resuming {directory.name} at {progress.steps / 1e6:.1f} M steps", flush=True)
    return progress


def _start(runner: "OnPolicyRunner", embodiment: Embodiment, config: Config) -> "Progress":
    """Start a new training, from the weights and the curriculum level of an earlier gait if one is named."""
    from pipeline.simulation.gait import ppo
    from pipeline.simulation.physics.gait_weights import load_gait, read_card

    if config.start_from is None:
        return ppo.Progress()
    assert isinstance(embodiment.drive, GaitDrive)
    ppo.load_actor(runner, load_gait(embodiment.drive, config.start_from))
    return ppo.Progress(level=read_card(config.start_from)["curriculum_level"])


def _report(env: "GaitEnvironment", progress: "Progress", config: Config) -> None:
    log = env.last_log
    keys = ("level", "falls", "error/linear_mps", "error/yaw_radps", "error/stand_mps")
    figures = "  ".join(f"{key} {float(log[key]):.3f}" for key in keys)
    rate = progress.steps / max(progress.seconds, 1e-9)
    left_s = max(0.0, min((config.steps - progress.steps) / rate, 60.0 * config.max_minutes - progress.seconds))
    done = f"{progress.steps / 1e6:6.2f} / {config.steps / 1e6:.1f} M steps"
    print(f"{env.embodiment.name}: {done}  {rate:5.0f}/s  {left_s / 60.0:3.0f} min left  {figures}", flush=True)


def _measure(env: "GaitEnvironment", runner: "OnPolicyRunner") -> dict[str, Any]:
    """Measure the gait; ``evaluate_gait`` does it longer and on other physics."""
    import torch

    from pipeline.commands.evaluate_gait import run_trials
    from pipeline.simulation.gait import ppo
    from pipeline.simulation.gait.trials import GaitTrials
    from pipeline.simulation.physics.dynamics import GaitRandomisation

    trials = GaitTrials(env.embodiment, env.physics, ppo.actor_network(runner), block=GaitRandomisation(), seed=0)
    with torch.inference_mode():  # rsl_rl left inference tensors in the physics; only this mode may write to them
        return run_trials(trials, rounds=1, minutes=MEASURE_MINUTES)


def _export(
    runner: "OnPolicyRunner",
    config: Config,
    progress: "Progress",
    directory: Path,
    *,
    measured: dict[str, Any] | None,
) -> None:
    """Write the actor's weights and their card into a folder."""
    from pipeline.simulation.gait import ppo
    from pipeline.simulation.physics.gait_weights import save_gait

    embodiment: Embodiment = runner.env.embodiment
    task = _task(config)
    card = {
        "embodiment": embodiment.name,
        "command_ranges": {
            "vx_mps": list(task.forward_range_mps(embodiment)),
            "vy_mps": [-task.lateral_mps, task.lateral_mps],
            "yaw_rate_radps": [-task.yaw_rate_radps, task.yaw_rate_radps],
        },
        "rate_hz": DRIVE_HZ,
        "steps": progress.steps,
        "training_minutes": round(progress.seconds / 60.0, 1),
        "curriculum_level": round(progress.level, 3),
        "seed": config.seed,
        "started_from": manifest.hash_file(config.start_from) if config.start_from else None,
        "num_envs": config.num_envs,
        "task": dataclasses.asdict(task),
        "measured": measured,
        "licence": "same as the repository",
    }
    save_gait(ppo.actor_network(runner), directory / f"{embodiment.name}.safetensors", card)


def _film(name: str, directory: Path) -> None:
    """Film the new gait, in a process of its own: this one holds the training's scene."""
    weights, out = (str((directory / f"{name}{end}").absolute()) for end in (".safetensors", ".mp4"))
    command = ["film_gait", "--embodiments", name, "--weights", weights, "--out", out]
    processes.run_side_by_side({name: command}, workers=1)


COMMAND = Command(config=Config, main=main)
