"""The training loop of the anticipation network, with checkpoints and held-out figures."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from distill.recordings import read_shard, shard_paths
from distill.surroundings import Frames, figures
from pipeline.evaluation.report import anticipation_figure
from pipeline.runs import manifest
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.precision import is_bfloat16
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun
from pipeline.stages.train_anticipation import Config
from world_model import atomic_files
from world_model.anticipation import Anticipation, Surroundings, loss
from world_model.checkpoint import load_module, save_module
from world_model.training_state import restore_state, save_state


def run(config: Config, run: StageRun) -> None:
    """Write ``anticipation`` (safetensors and JSON), ``anticipation.png`` and ``figures.json``."""
    if config.steps < 1 or config.batch_frames < 1:
        raise ValueError("steps and batch_frames must be at least 1")
    robots = run.robots("record_surroundings")
    folders = [run.input("record_surroundings", robot) for robot in robots]
    folders += [folder for more in config.more for folder in _added(more)]
    paths = [path for folder in folders for path in shard_paths(folder)]
    train, val = (_frames(paths, part) for part in ("train", "val"))
    torch.manual_seed(config.seed)
    if config.start_from is None:
        network = Anticipation(config.anticipation).to(config.device)
    else:
        network = load_module(Anticipation, config.start_from, "anticipation").to(config.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoints = run.work / "checkpoints"
    step, _ = restore_state(checkpoints, {"anticipation": network}, optimiser)
    run.note(f"{len(train)} frames of {', '.join(robots)} to train on, {len(val)} held out; starting at step {step}")
    saved_s = time.monotonic()
    with MetricsLogger(run.work, run.identity, step=step) as board, progress(config.steps, "anticipation") as bar:
        bar.advance(step)
        try:
            while step < config.steps:
                value = _update(config, network, optimiser, train, step=step)
                step += 1
                bar.advance(1, loss=value)
                if step % 20 == 0:
                    board.log({"loss": value}, step)
                if step % config.judge_every_steps == 0:
                    judged = _judge(config, network, val)
                    board.log({f"val/{name}": figure for name, figure in judged.items()}, step)
                if time.monotonic() - saved_s > config.save_every_s:
                    save_state(checkpoints, {"anticipation": network}, optimiser, step=step)
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            run.note(f"interrupted at step {step}; the same command goes on from the last checkpoint")
            raise
    judged = _judge(config, network, val)
    save_module(network, run.directory, "anticipation", notes={"embodiments": list(robots), "steps": step, **judged})
    atomic_files.write_bytes(run.directory / "figures.json", json.dumps(judged, indent=2).encode())
    anticipation_figure.draw(run.directory / "anticipation.png", network, val, device=config.device)
    run.metrics.update(judged)


def _added(folder: Path) -> list[Path]:
    """Return the recordings of another run, one folder per robot, verified."""
    folders = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if not folders:
        raise ValueError(f"no recordings in {folder}; name a folder RUN/record_surroundings")
    for robot in folders:
        manifest.verify(robot, stage="record_surroundings")
    return folders


def _frames(paths: Sequence[Path], part: str) -> Frames:
    """Return the frames that count of all shards of one part."""
    chosen = [path for path in paths if path.name.startswith(f"{part}_")]
    shards = [read_shard(path, kind="surroundings").arrays for path in chosen]
    counted = [shard["counted"] for shard in shards]
    frames = Frames(
        **{
            name: np.concatenate([shard[name][kept] for shard, kept in zip(shards, counted, strict=True)])
            for name in ("square", "distance", "moving")
        }
    )
    if not len(frames):
        raise ValueError(f"no recorded episode of part '{part}' lasts 1.5 s; record more: record_surroundings --shards")
    return frames


def _update(
    config: Config, network: Anticipation, optimiser: torch.optim.Optimizer, frames: Frames, *, step: int
) -> float:
    """Take one step. The batch follows from seed and step, so a resumed training is the same training."""
    rng = np.random.default_rng([config.seed, step])
    square, truth = frames.batch(rng.integers(len(frames), size=config.batch_frames), device=config.device)
    if rng.random() < 0.5:  # left and right are alike
        square, truth = square.flip(2), Surroundings(*(value.flip(-2) for value in truth))
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    network.train()
    half = is_bfloat16(config.precision, device=config.device)
    with torch.autocast(config.device, dtype=torch.bfloat16, enabled=half):
        logits = network(square)
    value = loss(logits.float(), truth)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
    if not torch.isfinite(norm):
        raise ValueError(f"the loss is not finite at step {step}; lower --learning-rate or check the recordings")
    optimiser.step()
    return float(value.detach())


def _judge(config: Config, network: Anticipation, frames: Frames) -> dict[str, float]:
    network.eval()
    chosen = np.linspace(0, len(frames) - 1, min(config.val_frames, len(frames))).astype(int)
    return figures(network, frames, chosen, device=config.device)
