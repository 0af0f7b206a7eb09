"""Train the anticipation network, and take its figures in held-out frames."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from distill.recordings import read_shard, shard_paths
from distill.surroundings import Frames, figures
from pipeline.evaluation.report import anticipation_figure
from pipeline.runs.precision import is_bfloat16
from pipeline.runs.run_folder import StageRun
from pipeline.stages.implementation.supervised_training import added, train
from pipeline.stages.train_anticipation import Config
from world_model import atomic_files
from world_model.anticipation import Anticipation, Surroundings, imitation_loss, loss
from world_model.checkpoint import load_module, save_module


def run(config: Config, run: StageRun) -> None:
    """Write ``anticipation`` (safetensors and JSON), ``anticipation.png`` and ``figures.json``."""
    if config.steps < 1 or config.batch_frames < 1:
        raise ValueError("steps and batch_frames must be at least 1")
    robots = run.robots("record_surroundings")
    folders = [run.input("record_surroundings", robot) for robot in robots]
    folders += [folder for more in config.more for folder in added(more, stage="record_surroundings")]
    paths = [path for folder in folders for path in shard_paths(folder)]
    frames, val = (_frames(paths, part) for part in ("train", "val"))
    torch.manual_seed(config.seed)
    if config.start_from is None:
        network = Anticipation(config.anticipation).to(config.device)
    else:
        network = load_module(Anticipation, config.start_from, "anticipation").to(config.device)
    teacher = None
    if config.teacher is not None:
        teacher = load_module(Anticipation, config.teacher, "anticipation").to(config.device)
    train(
        config,
        run,
        network,
        name="anticipation",
        data=f"{len(frames)} frames of {', '.join(robots)} to train on, {len(val)} held out",
        loss=lambda step: _loss(config, network, teacher, frames, step=step),
        judge=lambda: _judge(config, network, val),
    )
    judged = _judge(config, network, val)
    notes = {"embodiments": list(robots), "steps": config.steps, **judged}
    save_module(network, run.directory, "anticipation", notes=notes)
    atomic_files.write_bytes(run.directory / "figures.json", json.dumps(judged, indent=2).encode())
    anticipation_figure.draw(run.directory / "anticipation.png", network, val, device=config.device)
    run.metrics.update(judged)


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


def _loss(
    config: Config, network: Anticipation, teacher: Anticipation | None, frames: Frames, *, step: int
) -> torch.Tensor:
    """Return a batch's loss. The batch follows from seed and step, so a resumed training is the same training."""
    rng = np.random.default_rng([config.seed, step])
    square, truth = frames.batch(rng.integers(len(frames), size=config.batch_frames), device=config.device)
    if rng.random() < 0.5:  # left and right are alike
        square, truth = square.flip(2), Surroundings(*(value.flip(-2) for value in truth))
    half = is_bfloat16(config.precision, device=config.device)
    with torch.autocast(config.device, dtype=torch.bfloat16, enabled=half):
        logits = network(square).float()
        with torch.no_grad():
            answer = None if teacher is None else teacher(square).float()
    value = loss(logits, truth)
    return value if answer is None else value + imitation_loss(logits, answer)


def _judge(config: Config, network: Anticipation, frames: Frames) -> dict[str, float]:
    network.eval()
    chosen = np.linspace(0, len(frames) - 1, min(config.val_frames, len(frames))).astype(int)
    return figures(network, frames, chosen, device=config.device)
