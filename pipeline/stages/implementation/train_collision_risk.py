"""Train the collision risk network, and set where it slows a body down."""

import json

import numpy as np
import torch
from torch.nn import functional

from distill.drives import Drives, calibrate, figures, load
from distill.recordings import shard_paths
from pipeline.runs.run_folder import StageRun
from pipeline.stages.implementation.supervised_training import added, train
from pipeline.stages.train_collision_risk import Config
from world_model import atomic_files
from world_model.checkpoint import save_module
from world_model.collision_risk import CollisionRisk, mirrored


def run(config: Config, run: StageRun) -> None:
    """Write ``collision_risk`` (safetensors and JSON) and ``figures.json``."""
    if config.steps < 1 or config.batch < 1:
        raise ValueError("steps and batch must be at least 1")
    folders = [run.input("record_drives", robot) for robot in run.robots("record_drives")]
    folders += [folder for more in config.more for folder in added(more, stage="record_drives")]
    robots = sorted({folder.name for folder in folders})
    paths = [path for folder in folders for path in shard_paths(folder)]
    drives, val = (
        load([path for path in paths if path.name.startswith(part)], robots=robots) for part in ("train", "val")
    )
    torch.manual_seed(config.seed)
    torch.set_num_threads(1)  # so small a network is three times as slow with two, where something else runs as well
    network = CollisionRisk(config.collision_risk).to(config.device)

    def judged() -> dict[str, float]:
        return figures(network, val, robots=robots, device=config.device)

    train(
        config,
        run,
        network,
        name="collision_risk",
        data=f"{len(drives)} control steps of {', '.join(robots)}, {len(val)} held out",
        loss=lambda step: _loss(config, network, drives, step=step),
        judge=judged,
    )
    calibrate(network, val, device=config.device)
    found = judged()
    notes = {"embodiments": robots, "steps": config.steps, **found}
    save_module(network, run.directory, "collision_risk", notes=notes)
    atomic_files.write_bytes(run.directory / "figures.json", json.dumps(found, indent=2).encode())
    run.metrics.update(found)


def _loss(config: Config, network: CollisionRisk, drives: Drives, *, step: int) -> torch.Tensor:
    """Return a batch's loss. The batch follows from seed and step, so a resumed training is the same training."""
    rng = np.random.default_rng([config.seed, step])
    crop, vector, change, ended = drives.batch(rng.integers(len(drives), size=config.batch), device=config.device)
    if rng.random() < 0.5:  # left and right are alike
        crop, vector, change = mirrored(crop, vector, change)
    return functional.binary_cross_entropy_with_logits(network(crop, vector, change), ended)
