"""The training loop of the collision risk network, with checkpoints and held-out figures."""

import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from distill.drives import Drives, calibrate, figures, load
from distill.recordings import shard_paths
from pipeline.runs import manifest
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun
from pipeline.stages.train_collision_risk import Config
from world_model import atomic_files
from world_model.checkpoint import save_module
from world_model.collision_risk import CollisionRisk, mirrored
from world_model.training_state import restore_state, save_state


def run(config: Config, run: StageRun) -> None:
    """Write ``collision_risk`` (safetensors and JSON) and ``figures.json``."""
    if config.steps < 1 or config.batch < 1:
        raise ValueError("steps and batch must be at least 1")
    robots = run.robots("record_drives")
    folders = [run.input("record_drives", robot) for robot in robots]
    folders += [folder for more in config.more for folder in _added(more)]
    names = sorted({*robots, *(folder.name for folder in folders)})
    paths = [path for folder in folders for path in shard_paths(folder)]
    train, val = (
        load([path for path in paths if path.name.startswith(part)], robots=names) for part in ("train", "val")
    )
    torch.manual_seed(config.seed)
    torch.set_num_threads(1)  # so small a network is three times as slow with two, where something else runs as well
    network = CollisionRisk(config.collision_risk).to(config.device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoints = run.work / "checkpoints"
    step, _ = restore_state(checkpoints, {"collision_risk": network}, optimiser)
    run.note(f"{len(train)} control steps of {', '.join(names)}, {len(val)} held out; starting at step {step}")
    saved_s = time.monotonic()
    with MetricsLogger(run.work, run.identity, step=step) as board, progress(config.steps, "collision risk") as bar:
        bar.advance(step)
        try:
            while step < config.steps:
                value = _update(config, network, optimiser, train, step=step)
                step += 1
                bar.advance(1, loss=value)
                if step % 20 == 0:
                    board.log({"loss": value}, step)
                if step % config.judge_every_steps == 0:
                    judged = figures(network, val, robots=names, device=config.device)
                    board.log({f"val/{name}": figure for name, figure in judged.items()}, step)
                if time.monotonic() - saved_s > config.save_every_s:
                    save_state(checkpoints, {"collision_risk": network}, optimiser, step=step)
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            run.note(f"interrupted at step {step}; the same command goes on from the last checkpoint")
            raise
    calibrate(network, val, device=config.device)
    judged = figures(network, val, robots=names, device=config.device)
    save_module(network, run.directory, "collision_risk", notes={"embodiments": names, "steps": step, **judged})
    atomic_files.write_bytes(run.directory / "figures.json", json.dumps(judged, indent=2).encode())
    run.metrics.update(judged)


def _added(folder: Path) -> list[Path]:
    """Return the recordings of another run, one folder per robot, verified."""
    folders = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if not folders:
        raise ValueError(f"no recordings in {folder}; name a folder RUN/record_drives")
    for robot in folders:
        manifest.verify(robot, stage="record_drives")
    return folders


def _update(
    config: Config, network: CollisionRisk, optimiser: torch.optim.Optimizer, drives: Drives, *, step: int
) -> float:
    """Take one step. The batch follows from seed and step, so a resumed training is the same training."""
    rng = np.random.default_rng([config.seed, step])
    crop, vector, change, ended = drives.batch(rng.integers(len(drives), size=config.batch), device=config.device)
    if rng.random() < 0.5:  # left and right are alike
        crop, vector, change = mirrored(crop, vector, change)
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    network.train()
    value = functional.binary_cross_entropy_with_logits(network(crop, vector, change), ended)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
    if not torch.isfinite(norm):
        raise ValueError(f"the loss is not finite at step {step}; lower --learning-rate or check the recordings")
    optimiser.step()
    return float(value.detach())
