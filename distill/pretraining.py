"""What pre-training minimises and how it is judged: reconstruction, dynamics and the teacher's command, jointly."""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from distill.probing import free_space_m, ridge_r2
from distill.sequences import Windows
from embodiments.limits import active_dimensions
from world_model.base_head import BaseHead, base_features
from world_model.losses import (
    LossWeights,
    WorldModelLosses,
    balanced_kl,
    behaviour_cloning,
    depth_error_m,
    reconstruction,
)
from world_model.open_loop_prediction import OpenLoopPrediction, predict_open_loop
from world_model.rssm import Sequence, WorldModel

HORIZONS = (1, 2, 5, 10)
"""Control steps ahead at which predictions are judged."""
_STARTS = (15, 25, 35, 45)
"""Steps of a sequence from which futures are imagined: after some frames to look around."""


class PretrainingLoss(NamedTuple):
    """Loss and its parts, scalars."""

    total: Tensor
    world_model: WorldModelLosses
    behaviour: Tensor

    def figures(self) -> dict[str, float]:
        """Return everything as numbers for a log."""
        parts = {name: float(value.detach()) for name, value in self.world_model._asdict().items()}
        return {"total": float(self.total.detach()), **parts, "behaviour": float(self.behaviour.detach())}


def pretraining_loss(
    world_model: WorldModel,
    base_head: BaseHead,
    windows: Windows,
    weights: LossWeights,
    *,
    decoded_share: float = 1.0,
    bfloat16: bool = False,
) -> PretrainingLoss:
    """Return the loss of world model and base head on a batch of windows.

    Args:
        decoded_share: Fraction of the frames, chosen at random, that are decoded; decoding is most of the work.
        bfloat16: Run convolutions and linear layers around the images in bfloat16.
    """
    device = windows.depth_m.device.type
    with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
        sequence = observe(world_model, windows)
        dynamic = sequence.dynamic.flatten(0, 1)  # (T * B, D)
        count = max(1, round(decoded_share * len(dynamic)))
        chosen = torch.randperm(len(dynamic), device=dynamic.device)[:count]
        prediction = world_model.decode(dynamic[chosen], windows.descriptor.flatten(0, 1)[chosen])
        expected_velocity_b = world_model.expected_velocity(dynamic[chosen])
    depth, invalid, semantic, velocity = reconstruction(
        prediction,
        expected_velocity_b,
        depth_m=windows.depth_m.flatten(0, 1)[chosen, 0],
        semantic=windows.semantic.flatten(0, 1)[chosen],
        velocity_b=windows.velocity_b.flatten(0, 1)[chosen],
        weights=weights,
    )
    kl = balanced_kl(sequence.posterior, sequence.prior, balance=weights.kl_balance, free_nats=weights.free_nats)
    terms = WorldModelLosses(depth, invalid, semantic, velocity, kl)
    features = base_features(sequence.latent, windows.observation)
    mixture = base_head.mixture(features)
    behaviour = behaviour_cloning(mixture, windows.teacher_action, labelled=windows.labelled)
    return PretrainingLoss(terms.total(weights) + weights.behaviour * behaviour, terms, behaviour)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How good predictions and commands are on sequences that training never saw; tables are empty if none is whole."""

    depth_error_m: dict[int, float] = field(default_factory=dict)
    """Horizon -> mean absolute error of the imagined depth; 0 = of the reconstruction."""
    repeat_depth_error_m: dict[int, float] = field(default_factory=dict)
    """The same for repeating the last frame: what a model without dynamics achieves."""
    predicted_depth_error_m: dict[int, float] = field(default_factory=dict)
    """The same for the last frame moved as the model expects, see ``foresight``."""
    semantic_accuracy: dict[int, float] = field(default_factory=dict)
    repeat_semantic_accuracy: dict[int, float] = field(default_factory=dict)
    """Of the true classes of the last frame, which no camera knows."""
    repeat_own_semantic_accuracy: dict[int, float] = field(default_factory=dict)
    """Of the model's own classes of the last frame."""
    predicted_semantic_accuracy: dict[int, float] = field(default_factory=dict)
    behaviour_nll: float
    share_error: float
    """Mean absolute difference from the teacher's action over the dimensions that the body has."""
    zero_share_error: float
    """The same for never moving."""
    free_space_r2: float
    """Of a linear probe from history and sample to the free space in sight, see ``probing``."""

    def figures(self) -> dict[str, float]:
        """Return everything as flat numbers for a log or a manifest."""
        flat = {name: value for name, value in vars(self).items() if isinstance(value, float)}
        tables = {name: table for name, table in vars(self).items() if isinstance(table, dict)}
        return flat | {f"{name}/{step}": value for name, table in tables.items() for step, value in table.items()}


@torch.no_grad()
def judge(world_model: WorldModel, base_head: BaseHead, windows: Windows) -> Judgement:
    """Judge reconstruction, imagination from several steps on, and commands; both networks in evaluation mode."""
    sequence = observe(world_model, windows)
    features = base_features(sequence.latent, windows.observation)
    mixture, (mean, _) = base_head.mixture(features), base_head(features)
    counted = windows.labelled.unsqueeze(-1) & active_dimensions(windows.descriptor)
    error = (mean - windows.teacher_action).abs()
    tables = _judge_predictions(world_model, windows, sequence.dynamic)
    return Judgement(
        **tables,
        behaviour_nll=float(behaviour_cloning(mixture, windows.teacher_action, labelled=windows.labelled)),
        share_error=float(error[counted].mean()),
        zero_share_error=float(windows.teacher_action.abs()[counted].mean()),
        free_space_r2=ridge_r2(sequence.dynamic, free_space_m(windows)),
    )


def observe(world_model: WorldModel, windows: Windows) -> Sequence:
    """Return the latents of windows."""
    return world_model.observe_sequence(windows.observation, windows.plan_features, first=windows.first)


def _judge_predictions(world_model: WorldModel, windows: Windows, dynamic: Tensor) -> dict[str, dict[int, float]]:
    """Return the tables of ``Judgement``, averaged over starting points."""
    length = windows.first.shape[0]
    starts = [start for start in _STARTS if start + max(HORIZONS) < length] or [length - max(HORIZONS) - 1]
    rows: dict[tuple[str, int], list[float]] = {}
    for start in starts:
        keep = ~windows.first[start + 1 : start + max(HORIZONS) + 1].any(dim=0)  # (B,) no new episode on the way
        if not keep.any():
            continue
        for horizon, values in _judge_future(world_model, windows.chosen(keep), dynamic[:, keep], start).items():
            for name, value in values.items():
                rows.setdefault((name, horizon), []).append(value)
    tables: dict[str, dict[int, float]] = {}
    for (name, horizon), found in rows.items():
        tables.setdefault(name, {})[horizon] = round(sum(found) / len(found), 5)
    return tables


def predict_open_loop_from(
    world_model: WorldModel, windows: Windows, dynamic: Tensor, start: int
) -> list[OpenLoopPrediction]:
    """Return the images that are predicted after step ``start`` under the commands that were executed."""
    commands = windows.previous_command[start + 1 : start + max(HORIZONS) + 1]
    return predict_open_loop(
        world_model, dynamic[start], windows.depth_m[start, :, 0], commands, windows.descriptor[start]
    )


def _judge_future(
    world_model: WorldModel, windows: Windows, dynamic: Tensor, start: int
) -> dict[int, dict[str, float]]:
    """Judge predicted frames against truth, over pixels that are valid in truth and in the last frame seen."""
    predicted = predict_open_loop_from(world_model, windows, dynamic, start)
    seen, seen_class = windows.depth_m[start, :, 0], windows.semantic[start]
    reconstructed = world_model.decode(dynamic[start], windows.descriptor[start])
    own_class, figures = reconstructed.semantic_logits.argmax(dim=1), {}
    for horizon in (0, *HORIZONS):
        decoded = predicted[horizon - 1].decoded if horizon else reconstructed
        truth = windows.depth_m[start + horizon, :, 0] * (seen > 0.0)  # 0 where either is invalid
        classes = windows.semantic[start + horizon], truth > 0.0
        figures[horizon] = {
            "depth_error_m": float(depth_error_m(decoded.anywhere_m(), truth)),
            "repeat_depth_error_m": float(depth_error_m(seen, truth)),
            "semantic_accuracy": _accuracy(decoded.semantic_logits.argmax(dim=1), *classes),
            "repeat_semantic_accuracy": _accuracy(seen_class, *classes),
            "repeat_own_semantic_accuracy": _accuracy(own_class, *classes),
        }
        if horizon:
            image = predicted[horizon - 1]
            figures[horizon] |= {
                "predicted_depth_error_m": float(depth_error_m(image.depth_m, truth)),
                "predicted_semantic_accuracy": _accuracy(image.semantic, *classes),
            }
    return figures


def _accuracy(answer: Tensor, truth: Tensor, counted: Tensor) -> float:
    return float((answer == truth)[counted].float().mean())
