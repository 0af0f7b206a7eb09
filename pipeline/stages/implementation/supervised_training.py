"""The loop of trainings on recordings: progress, curves, judgements, checkpoints, and going on after a stop."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from pipeline.runs import manifest
from pipeline.runs.metrics_logger import MetricsLogger
from pipeline.runs.progress import progress
from pipeline.runs.run_folder import StageRun
from world_model.training_state import restore_state, save_state


class Settings(Protocol):
    """What a stage's configuration says about its training."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def gradient_norm(self) -> float: ...
    @property
    def judge_every_steps(self) -> int: ...
    @property
    def save_every_s(self) -> float: ...


def train(
    config: Settings,
    run: StageRun,
    network: nn.Module,
    *,
    name: str,
    data: str,
    loss: Callable[[int], torch.Tensor],
    judge: Callable[[], Mapping[str, float]],
) -> None:
    """Train a network with AdamW, for ``config.steps`` steps from its last checkpoint on.

    Args:
        config: How.
        run: Gets checkpoints and curves.
        network: Is trained in place.
        name: Of the network, in checkpoints; with spaces, in messages.
        data: What it is trained on, in words.
        loss: Given the number of the step, returns the loss of that step's batch.
        judge: Returns figures on held-out data.

    Raises:
        ValueError: If the loss is not finite.
    """
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    checkpoints = run.work / "checkpoints"
    step, _ = restore_state(checkpoints, {name: network}, optimiser)
    run.note(f"{data}; starting at step {step}")
    saved_s = time.monotonic()
    board = MetricsLogger(run.work, run.identity, step=step)
    with board, progress(config.steps, name.replace("_", " ")) as bar:
        bar.advance(step)
        try:
            while step < config.steps:
                value = update(config, network, optimiser, loss, step=step)
                step += 1
                bar.advance(1, loss=value)
                if step % 20 == 0:
                    board.log({"loss": value}, step)
                if step % config.judge_every_steps == 0:
                    board.log({f"val/{figure}": value for figure, value in judge().items()}, step)
                if time.monotonic() - saved_s > config.save_every_s:
                    save_state(checkpoints, {name: network}, optimiser, step=step)
                    saved_s = time.monotonic()
        except KeyboardInterrupt:
            run.note(f"interrupted at step {step}; the same command goes on from the last checkpoint")
            raise


def update(
    config: Settings,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss: Callable[[int], torch.Tensor],
    *,
    step: int,
) -> float:
    """Take one step and return its loss. The rate rises in ``warmup_steps`` and falls along a half cosine."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    for group in optimiser.param_groups:
        group["lr"] = config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
    network.train()
    value = loss(step)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), config.gradient_norm)
    if not torch.isfinite(norm):
        raise ValueError(f"the loss is not finite at step {step}; lower --learning-rate or check the recordings")
    optimiser.step()
    return float(value.detach())


def added(folder: Path, *, stage: str) -> list[Path]:
    """Return the recordings of another run, one folder per robot, verified.

    Raises:
        ValueError: If there are none.
    """
    folders = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if not folders:
        raise ValueError(f"no recordings in {folder}; name a folder RUN/{stage}")
    for robot in folders:
        manifest.verify(robot, stage=stage)
    return folders
