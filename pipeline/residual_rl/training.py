"""The training loop of one specialist: RLlib's iterations, figures, checkpoints, resume."""

import contextlib
import json
import math
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray.rllib.algorithms.ppo import PPO
from ray.rllib.core import DEFAULT_MODULE_ID

from pipeline.residual_rl import algorithm, checkpoints
from pipeline.residual_rl.config import CURVE, SMOOTHING_EPISODES, PpoConfig
from pipeline.residual_rl.env_runner import CAUSE
from pipeline.residual_rl.learner import DAGGER_LOSS
from pipeline.residual_rl.module import ResidualModule
from pipeline.residual_rl.vector_environment import OUTCOMES, ResidualVectorEnvironment
from pipeline.runs.external_loggers import RunIdentity
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.simulation.navigation import closed_loop_validation
from world_model import atomic_files
from world_model.checkpoint import save_module

MAX_ITERATIONS_WITHOUT_SAMPLES = 10
"""In a row; more than the restarts that a runner is given."""
MAX_ROLLBACKS = 2
"""Times that a training goes back to its last good checkpoint because loss or weights are not finite; then it stops."""
PROGRESS = "progress.json"
"""In the work folder, rewritten every iteration: the figures of the last one, for whoever watches."""
CHECKPOINTS = "checkpoints"
_POLL_S = 1.0

Make = Callable[[dict[str, Any]], ResidualVectorEnvironment]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that the training of one specialist needs; plain values and picklable."""

    name: str
    """Shown beside its progress: the robot."""
    ppo: PpoConfig
    gamma: float
    seed: int
    environment: Make
    """Makes the batch from ``environment_config``, ``num_envs`` and ``worker_index``."""
    environment_config: dict[str, Any]
    module_config: dict[str, Any]
    work: Path
    """Survives a kill: checkpoints, progress, TensorBoard."""
    output: Path
    """Where residual head, critic and curve go in the end."""
    identity: RunIdentity
    """What it is called in loggers."""
    threads: int = 1
    device: str = "cpu"


def train(job: Job) -> dict[str, Any]:
    """Train one specialist, or what is left of it after a kill; return its final figures.

    Writes ``residual_head`` and ``critic`` (safetensors and JSON) and ``curve.json`` into ``job.output``. The weights
    are those of the last iteration; closed-loop validation chooses the head's scale.
    """
    torch.set_num_threads(job.threads)
    job.work.mkdir(parents=True, exist_ok=True)
    (job.work / CAUSE).unlink(missing_ok=True)
    found = checkpoints.newest(job.work / CHECKPOINTS)
    curve: list[dict[str, Any]] = list(found[1]["curve"]) if found else []
    # After a kill other episodes and other exploration follow, not what was learned from already.
    seed = job.seed + (int(curve[-1]["control_steps"]) if curve else 0)
    learner = algorithm.build(
        job.ppo,
        gamma=job.gamma,
        seed=seed,
        environment=job.environment,
        environment_config={**job.environment_config, "seed": seed, CAUSE: str(job.work / CAUSE)},
        module_config=job.module_config,
        device=job.device,
    )
    try:
        if found:
            _restore(learner, found[0], curve)
        _loop(learner, job, curve)
        module = learner.get_module(DEFAULT_MODULE_ID)
        assert isinstance(module, ResidualModule)
        tried = _validate(learner, job)
        module.actor.config = replace(
            module.actor.config,
            residual_scale=module.actor.config.residual_scale * tried.get(closed_loop_validation.BEST_SCALE, 1.0),
        )
        notes = {**curve[-1], **tried, "robot": job.name, "gamma": job.gamma, "active": module.active}
        save_module(module.actor, job.output, "residual_head", notes=notes)
        save_module(module.critic, job.output, "critic", notes=notes)
        atomic_files.write_bytes(job.output / CURVE, json.dumps(curve).encode())
        return {**curve[-1], **tried}
    finally:
        dispose(learner)


def _loop(learner: PPO, job: Job, curve: list[dict[str, Any]]) -> None:
    """Train to the end of the budget; the curve so far grows, row by row."""
    directory = job.work / CHECKPOINTS
    if not curve:
        _save(learner, directory, curve)
    saved_steps = _steps(curve)
    before_s = float(curve[-1]["wall_s"]) if curve else 0.0
    began_s = saved_s = time.monotonic()
    window: deque[dict[str, int]] = deque()
    rollbacks = without_samples = 0
    with MetricsLogger(job.work, job.identity, step=saved_steps + 1) as board:
        while _steps(curve) < job.ppo.control_steps or not curve:
            result = learner.train()
            _refuse_a_repeated_error(job)
            counts = _pop_counts(learner)
            if counts["control_steps"] == 0 or DEFAULT_MODULE_ID not in result.get("learners", {}):
                without_samples += 1
                _await_a_runner(learner, job, without_samples)
                continue
            without_samples = 0
            if not _is_finite(learner, result):
                rollbacks += 1
                _roll_back(learner, directory, curve, rollbacks=rollbacks)
                continue
            figures = {
                "iteration": len(curve) + 1,
                "control_steps": _steps(curve) + counts["control_steps"],
                "wall_s": round(before_s + time.monotonic() - began_s, 2),
                **_rates(window, counts),
                **_learning(result, job.ppo),
                **({"rollbacks": rollbacks} if rollbacks else {}),
            }
            curve.append(figures)
            _publish(board, job, figures)
            if time.monotonic() - saved_s >= job.ppo.checkpoint_s:
                _save(learner, directory, curve)
                saved_s, saved_steps = time.monotonic(), _steps(curve)
    if saved_steps < _steps(curve):
        _save(learner, directory, curve)


def _steps(curve: list[dict[str, Any]]) -> int:
    return int(curve[-1]["control_steps"]) if curve else 0


def _await_a_runner(learner: PPO, job: Job, without_samples: int) -> None:
    """Wait until a runner that Ray is starting again answers; RLlib itself does not wait.

    Raises:
        RuntimeError: If none will, or they failed again and again; it names the last error.
    """
    actors = learner.env_runner_group._worker_manager.actors().values()
    while without_samples < MAX_ITERATIONS_WITHOUT_SAMPLES:
        answers = [_answer(actor) for actor in actors]
        if "running" in answers:
            return
        if "starting" not in answers:
            break
        time.sleep(_POLL_S)
    cause = (_errors(job) or ["they were killed, as for want of memory, or their node was lost"])[-1]
    raise RuntimeError(f"no environment runner is left, each was started again {algorithm.RESTARTS} times: {cause}")


def _refuse_a_repeated_error(job: Job) -> None:
    """Stop when an environment has raised the same twice: starting it again and again would not mend it."""
    errors = _errors(job)
    if errors[-1:] == errors[-2:-1] != []:
        raise RuntimeError(f"an environment failed twice in the same way: {errors[-1]}")


def _errors(job: Job) -> list[str]:
    file = job.work / CAUSE
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def _answer(actor: Any) -> str:
    try:
        ray.get(actor.ping.remote())
    except ray.exceptions.ActorUnavailableError:
        return "starting"
    except ray.exceptions.RayActorError:
        return "dead"
    return "running"


def _is_finite(learner: PPO, result: dict[str, Any]) -> bool:
    """Return whether the loss of an iteration and all weights after it are finite."""
    module = learner.get_module(DEFAULT_MODULE_ID)
    loss = float(result["learners"][DEFAULT_MODULE_ID]["total_loss"])
    return math.isfinite(loss) and all(bool(value.isfinite().all()) for value in module.state_dict().values())


def _roll_back(learner: PPO, directory: Path, curve: list[dict[str, Any]], *, rollbacks: int) -> None:
    """Go back to the last checkpoint, weights and curve; other exploration follows.

    Raises:
        ValueError: If that did not help.
    """
    found = checkpoints.newest(directory)
    if found is None or rollbacks > MAX_ROLLBACKS:
        raise ValueError(
            f"loss or weights were not finite in {rollbacks} iterations, the last one after {_steps(curve)} control "
            "steps; lower --ppo.actor-learning-rate or --ppo.critic-learning-rate"
        )
    curve[:] = found[1]["curve"]
    _restore(learner, found[0], curve)


def _validate(learner: PPO, job: Job) -> dict[str, float]:
    """Return how many validation episodes settle with each scale of the learned correction, and the scale to use."""
    if job.ppo.validation_episodes == 0:
        return {}
    tried = {}
    for scale in closed_loop_validation.SCALES:
        validate = partial(_validate_in, scale=scale, episodes=job.ppo.validation_episodes)
        tried[scale] = _one_answer(learner, job, validate)
    return closed_loop_validation.figures(tried)


def _one_answer(learner: PPO, job: Job, function: Callable[[Any], Any]) -> Any:
    """Return a function's value in one runner, while there is one; all of several would drive the same episodes."""
    group = learner.env_runner_group
    if job.ppo.env_runners == 0:
        return group.foreach_env_runner(function)[0]
    for without_samples in range(1, MAX_ITERATIONS_WITHOUT_SAMPLES + 1):
        for worker in group.healthy_worker_ids():
            if found := group.foreach_env_runner(function, local_env_runner=False, remote_worker_ids=[worker]):
                return found[0]
        _await_a_runner(learner, job, without_samples)
        learner.restore_env_runners(group)
    raise AssertionError("unreachable: the wait for a runner ends in an error")


def _validate_in(runner: Any, *, scale: float, episodes: int) -> closed_loop_validation.ValidationCounts:
    counts: closed_loop_validation.ValidationCounts = runner.env.unwrapped.validate(
        runner.module.actor, scale=scale, episodes=episodes
    )
    return counts


def _restore(learner: PPO, checkpoint: Path, curve: list[dict[str, Any]]) -> None:
    """Load a whole checkpoint and the coefficient of the KL loss, which RLlib leaves out of it."""
    learner.restore_from_path(str(checkpoint.absolute()))
    coefficient = curve[-1].get("kl_coefficient") if curve else None  # none while only the critic learned
    if coefficient is not None:
        learner.learner_group.foreach_learner(partial(_set_kl_coefficient, value=coefficient))


def _set_kl_coefficient(learner: Any, *, value: float) -> None:
    learner.curr_kl_coeffs_per_module[DEFAULT_MODULE_ID].data.fill_(value)


def _save(learner: PPO, directory: Path, curve: list[dict[str, Any]]) -> None:
    checkpoints.save(
        directory,
        control_steps=_steps(curve),
        state={"curve": curve},
        write=lambda path: learner.save_to_path(str(path.absolute())),
    )


def _publish(board: MetricsLogger, job: Job, figures: dict[str, Any]) -> None:
    board.log({f"train/{name}": value for name, value in figures.items()}, figures["control_steps"])
    progress = {**figures, "total_control_steps": job.ppo.control_steps}
    atomic_files.write_bytes(job.work / PROGRESS, json.dumps(progress).encode())


def _pop_counts(learner: PPO) -> dict[str, int]:
    """Return what ended in all running workers since the last call; no control steps where all of them have died."""
    answers = learner.env_runner_group.foreach_env_runner(_counts_of, local_env_runner=True)
    found = [counts for counts in answers if counts]
    names = found[0] if found else {"control_steps": 0}
    return {name: sum(counts.get(name, 0) for counts in found) for name in names}


def _counts_of(runner: Any) -> dict[str, int]:
    # The training process has a runner without environments when other workers simulate.
    return {} if runner.env is None else runner.env.unwrapped.pop_counts()


def _rates(window: deque[dict[str, int]], counts: dict[str, int]) -> dict[str, float]:
    """Return the rate of each outcome among the last ``SMOOTHING_EPISODES`` or a few more, and how many they are."""
    window.append(counts)
    while sum(each["episodes"] for each in window) - window[0]["episodes"] >= SMOOTHING_EPISODES:
        window.popleft()
    episodes = sum(each["episodes"] for each in window)
    rates = {name: round(sum(each[name] for each in window) / max(1, episodes), 4) for name in OUTCOMES}
    return {"episodes": episodes, **rates}


def _learning(result: dict[str, Any], ppo: PpoConfig) -> dict[str, float]:
    """Return RLlib's figures of one iteration that say whether it learns."""
    learner, runners, timers = result["learners"][DEFAULT_MODULE_ID], result["env_runners"], result["timers"]
    values = {
        "return": runners.get("episode_return_mean", math.nan) / ppo.reward_scale,
        "episode_steps": runners.get("episode_len_mean", math.nan),
        "kl": learner["mean_kl_loss"],
        "kl_coefficient": learner.get("curr_kl_coeff", math.nan),
        "entropy": learner["entropy"],
        "value_loss": learner["vf_loss"],
        "explained_variance": learner["vf_explained_var"],
        "dagger_loss": learner.get(DAGGER_LOSS, math.nan),
        "sampling_s": timers["env_runner_sampling_timer"],
        "learning_s": timers["learner_update_timer"],
    }
    return {name: round(float(value), 5) for name, value in values.items() if math.isfinite(float(value))}


def dispose(learner: PPO) -> None:
    """Stop RLlib and remove the empty folder that it makes in the home directory."""
    logs = Path(learner.logdir)
    learner.stop()
    shutil.rmtree(logs, ignore_errors=True)
    with contextlib.suppress(OSError):
        logs.parent.rmdir()  # only if nobody else uses it
