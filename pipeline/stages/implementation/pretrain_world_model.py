"""The training loop of world model and base head, with checkpoints and closed-loop validation."""

import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from distill.pretraining import HORIZONS, Judgement, judge, pretraining_loss
from distill.recordings import read_shard, shard_paths
from distill.sequences import SequencePool, Windows
from embodiments import registry
from embodiments.spaces import COMMAND_SIZE
from pipeline.evaluation.report import prediction_figure
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.precision import is_bfloat16
from pipeline.runs.progress import Progress, progress
from pipeline.runs.run_folder import StageRun
from pipeline.simulation.navigation import training_environment
from pipeline.simulation.navigation.closed_loop_validation import SCALES, best_scale, figures, validate
from pipeline.simulation.navigation.config import TrainingEnvironmentConfig
from pipeline.stages.pretrain_world_model import Config
from scenes.storage import load_scenes
from world_model import atomic_files
from world_model.anticipation import Anticipation
from world_model.base_head import BaseHead, BaseHeadConfig
from world_model.base_policy import BasePolicy
from world_model.checkpoint import load_module, save_module
from world_model.collision_risk import CollisionRisk
from world_model.rssm import WorldModel
from world_model.training_state import restore_state, save_state


@dataclass(kw_only=True)
class Training:
    """What the loop holds."""

    world_model: WorldModel
    base_head: BaseHead
    optimiser: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0
    whole: bool = True
    """Whether weights, optimiser and step belong together; not so in the middle of an update."""

    @property
    def modules(self) -> dict[str, torch.nn.Module]:
        """The networks by name."""
        return {"world_model": self.world_model, "base_head": self.base_head}


def run(config: Config, run: StageRun) -> None:
    """Write ``world_model`` and ``base_head`` (safetensors and JSON), ``predictions.png`` and ``figures.json``."""
    _check(config)
    recordings = run.input("collect_teacher")
    train_paths, val_paths = _split(recordings)
    pool = SequencePool(train_paths, max_frames=config.pool_frames, seed=config.seed)
    held_out = SequencePool(val_paths, max_frames=config.pool_frames, seed=config.seed)
    length = read_shard(val_paths[0], kind="teacher", fields=("first",)).arrays["first"].shape[0]
    if length < max(HORIZONS) + 2:
        raise ValueError(
            f"recordings are sequences of {length} steps, too short to look {max(HORIZONS)} ahead; make them longer: "
            f"collect_teacher --shard-steps {max(HORIZONS) + 2} or more"
        )
    val = held_out.windows(0, batch=config.val_sequences, length=length).to(config.device)
    training = _build(
        config,
        load_module(Anticipation, run.input("train_anticipation"), "anticipation"),
        load_module(CollisionRisk, run.input("train_collision_risk"), "collision_risk"),
    )
    training.step, extra = restore_state(run.work / "checkpoints", training.modules, training.optimiser)
    training.elapsed_s = float(extra.get("elapsed_s", 0.0))
    run.note(f"{pool.frames} frames to train on, {held_out.frames} held out; starting at step {training.step}")
    _loop(config, run, training, pool, val)
    robot = _robot(train_paths[0])
    if config.validation_episodes > 0:
        _keep_what_helps(config, run, training, robot=robot)
    _publish(config, run, training, val, robot=robot)


def _check(config: Config) -> None:
    if config.sequence_steps < 2 or config.steps < 1 or config.batch_sequences < 1:
        raise ValueError("steps and batch_sequences must be at least 1, sequence_steps at least 2")
    if not 0.0 < config.decoded_share <= 1.0:
        raise ValueError(f"decoded_share is {config.decoded_share}; expected 0 < decoded_share <= 1")


def _split(recordings: Path) -> tuple[list[Path], list[Path]]:
    """Return the shards to train on and those held out, by name; scenes of one are never in the other."""
    paths = shard_paths(recordings)
    val = [path for path in paths if path.name.startswith("val_")]
    train = [path for path in paths if not path.name.startswith("val_")]
    if not val or not train:
        raise ValueError(f"{recordings} needs train_*.h5 and val_*.h5, has {len(train)} and {len(val)} of them")
    return train, val


def _robot(path: Path) -> str:
    return str(read_shard(path, kind="teacher", fields=("first",)).attributes["embodiment"])


def _build(config: Config, anticipation: Anticipation, risk: CollisionRisk) -> Training:
    """Return new networks around two trained ones, which stay as they are."""
    torch.manual_seed(config.seed)
    sizes = replace(config.world_model, anticipation=anticipation.config.channels, collision_risk=risk.config.channels)
    world_model = WorldModel(sizes).to(config.device)
    world_model.anticipation = anticipation.to(config.device).requires_grad_(False)
    world_model.collision_risk = risk.to(config.device).requires_grad_(False)
    head = BaseHeadConfig(latent_size=world_model.latent_size, hidden=config.base_hidden)
    base_head = BaseHead(head).to(config.device)
    parameters = [p for p in (*world_model.parameters(), *base_head.parameters()) if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return Training(world_model=world_model, base_head=base_head, optimiser=optimiser)


def _loop(config: Config, run: StageRun, training: Training, pool: SequencePool, val: Windows) -> None:
    """Train until the budget is spent; leave a checkpoint behind however it ends."""
    checkpoints, began_s = run.work / "checkpoints", time.monotonic() - training.elapsed_s
    saved_s = time.monotonic()
    board = MetricsLogger(run.work, run.identity, step=training.step)
    with board, progress(config.steps, "pretrain") as bar:
        bar.advance(training.step)
        try:
            while (spent := _spent(config, training)) < 1.0:
                _update(config, training, pool, spent=spent, board=board, bar=bar)
                training.elapsed_s = time.monotonic() - began_s
                if training.step % config.judge_every_steps == 0:
                    _log_judgement(training, val, board)
                if time.monotonic() - saved_s > config.save_every_s:
                    _save(checkpoints, training)
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            if training.whole:
                _save(checkpoints, training)
            run.note(f"interrupted at step {training.step}; the same command goes on from the last checkpoint")
            raise
    _save(checkpoints, training)


def _save(directory: Path, training: Training) -> None:
    extra = {"elapsed_s": round(training.elapsed_s, 1)}
    save_state(directory, training.modules, training.optimiser, step=training.step, extra=extra)


def _spent(config: Config, training: Training) -> float:
    """Return the share of the budget that is used up: of the steps or of the minutes, whichever is more."""
    return max(training.step / config.steps, training.elapsed_s / 60.0 / config.max_minutes)


def _update(
    config: Config, training: Training, pool: SequencePool, *, spent: float, board: MetricsLogger, bar: Progress
) -> None:
    """Take one step. Batch and noise follow from seed and step, so a resumed training is the same training."""
    windows = pool.windows(training.step, batch=config.batch_sequences, length=config.sequence_steps).to(config.device)
    torch.manual_seed(config.seed * 1_000_003 + training.step)
    warm = min(1.0, (training.step + 1) / max(1, config.warmup_steps))
    for group in training.optimiser.param_groups:
        group["lr"] = config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * spent))
    training.world_model.train()
    training.base_head.train()
    loss = pretraining_loss(
        training.world_model,
        training.base_head,
        windows,
        config.loss,
        decoded_share=config.decoded_share,
        bfloat16=is_bfloat16(config.precision, device=config.device),
    )
    training.optimiser.zero_grad(set_to_none=True)
    loss.total.backward()  # type: ignore[no-untyped-call]
    parameters = [p for module in training.modules.values() for p in module.parameters() if p.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.gradient_norm)
    if not torch.isfinite(norm):
        raise ValueError(
            f"the loss is not finite at step {training.step}; lower --learning-rate or check the recordings"
        )
    training.whole = False
    training.optimiser.step()
    training.step += 1
    training.whole = True
    bar.advance(1, loss=float(loss.total.detach()))
    if training.step % 20 == 0:
        losses = {f"loss/{name}": value for name, value in loss.figures().items()}
        board.log({**losses, "gradient_norm": norm}, training.step)


def _judge(training: Training, val: Windows) -> Judgement:
    training.world_model.eval()
    training.base_head.eval()
    return judge(training.world_model, training.base_head, val)


def _log_judgement(training: Training, val: Windows, board: MetricsLogger) -> None:
    judged = _judge(training, val).figures()
    board.log({f"val/{name}": value for name, value in judged.items()}, training.step)


def _keep_what_helps(config: Config, run: StageRun, training: Training, *, robot: str) -> None:
    """Let the base head answer with the share of its correction with which the robot arrives most often."""
    training.world_model.eval()
    base = BasePolicy(world_model=training.world_model, head=training.base_head)
    environment = training_environment.build(
        TrainingEnvironmentConfig(),
        registry.get(robot),
        scenes=load_scenes(run.input("make_scenes") / "scenes_val.npz"),
        base=base,
        num_envs=config.validation_envs,
        seed=config.seed,
        device=config.device,
    )
    nothing = torch.zeros(config.validation_envs, COMMAND_SIZE, device=config.device)
    tried = {}
    with progress(len(SCALES), f"try {robot}") as bar:
        for scale in SCALES:
            environment.base = replace(base, head=training.base_head.corrected(scale))
            tried[scale] = validate(environment, lambda _: nothing, episodes=config.validation_episodes)
            bar.advance(1, settled=tried[scale].rate)
    training.base_head = training.base_head.corrected(best_scale(tried))
    run.metrics.update(figures(tried))


def _publish(config: Config, run: StageRun, training: Training, val: Windows, *, robot: str) -> None:
    judged = _judge(training, val).figures()
    notes = {"embodiment": robot, "steps": training.step, "minutes": round(training.elapsed_s / 60.0, 2)}
    save_module(training.world_model, run.directory, "world_model", notes=notes)
    save_module(training.base_head, run.directory, "base_head", notes=notes)
    start = min(25, val.first.shape[0] - max(HORIZONS) - 1)
    prediction_figure.draw(run.directory / "predictions.png", training.world_model, val, start=start)
    atomic_files.write_bytes(run.directory / "figures.json", json.dumps(judged, indent=2).encode())
    run.metrics.update({**notes, **judged})
