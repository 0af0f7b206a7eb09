"""Fit the generalist to recordings: transitions in memory, batches balanced over robots, analytic KL or MSE."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.config import FitConfig
from distill.generalist import Generalist
from distill.losses import gaussian_kl, mean_squared_error
from distill.recordings import OUTCOMES, read_shard
from embodiments.limits import active_dimensions

_FIELDS = ("features", "embodiment", "mean", "log_std", "outcome")
_FAILED = [OUTCOMES.index(name) for name in ("collision", "fall", "broken")]
_EVALUATION_ROWS = 8192
_KEEP_EVERY = 200
"""Updates between the states that a broken one goes back to"""
MAX_BROKEN_UPDATES = 3


@dataclass(frozen=True, kw_only=True)
class Transitions:
    """N labelled transitions of one robot."""

    features: Tensor
    """(N, F)"""
    descriptor: Tensor
    """(N, E) descriptors, SI units"""
    mean: Tensor
    """(N, 3) of the specialist's full action"""
    log_std: Tensor
    """(N, 3)"""

    def __len__(self) -> int:
        """Return N."""
        return len(self.features)

    def take(self, index: Tensor) -> "Transitions":
        """Return the transitions at ``index``."""
        return Transitions(**{name: value[index] for name, value in vars(self).items()})


def load_rows(paths: Iterable[Path], *, drop_failures: bool = False) -> Transitions:
    """Read recordings into transitions, without the last observation of an episode, which no action follows.

    Args:
        drop_failures: Leave out everything of episodes that failed. COMPASS found that this helps little or not at all:
            failed episodes hold the corner cases.
    """
    parts: dict[str, list[np.ndarray]] = {name: [] for name in _FIELDS[:-1]}
    for path in paths:
        arrays = read_shard(path, kind="specialist", fields=_FIELDS).arrays
        keep = arrays["outcome"] == 0
        if drop_failures:
            keep &= ~leads_to_failure(arrays["outcome"])
        for name, rows in parts.items():
            rows.append(arrays[name][keep])
    parts["descriptor"] = parts.pop("embodiment")
    return Transitions(**{name: torch.from_numpy(np.concatenate(rows)) for name, rows in parts.items()})


def leads_to_failure(outcome: np.ndarray) -> np.ndarray:
    """Return (T, B) booleans: transitions of episodes that end in a collision or a fall inside this recording.

    Args:
        outcome: (T, B), indices into ``OUTCOMES``; other than 0 at the last row of an episode only.
    """
    failing = np.zeros(outcome.shape, dtype=bool)
    ahead = np.zeros(outcome.shape[1], dtype=bool)
    for t in reversed(range(len(outcome))):
        ahead = np.where(outcome[t] != 0, np.isin(outcome[t], _FAILED), ahead)
        failing[t] = ahead
    return failing


def fit(
    student: Generalist,
    robots: Mapping[str, Transitions],
    config: FitConfig,
    *,
    updates: int,
    seed: int,
    report: Callable[[int, float, float], None],
) -> None:
    """Train ``student`` in place; the same seed and transitions give the same weights.

    An update whose loss or gradient is not finite is dropped, and the last good weights are taken up again.

    Args:
        robots: Transitions by robot; every batch holds as many of each.
        report: Called after every update with its number, its loss and its learning rate.

    Raises:
        ValueError: If ``MAX_BROKEN_UPDATES`` updates were not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(student.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda done: _rate(done, updates=updates, config=config))
    device = next(student.parameters()).device
    each = max(1, config.batch // len(robots))
    student.train()
    good, broken = _state(student, optimiser), 0
    for update in range(updates):
        taken = [rows.take(torch.randint(len(rows), (each,), generator=generator)) for rows in robots.values()]
        batch = Transitions(
            **{name: torch.cat([vars(part)[name] for part in taken]).to(device) for name in vars(taken[0])}
        )
        loss, learning_rate = _loss(student, batch, config.loss), optimiser.param_groups[0]["lr"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(student.parameters(), config.gradient_norm)
        if torch.isfinite(loss) and torch.isfinite(norm):
            if update % _KEEP_EVERY == 0:
                good = _state(student, optimiser)
            optimiser.step()
            schedule.step()
        else:
            broken += 1
            _restore(student, optimiser, good)
            _refuse(broken, update, robots)
        report(update, float(loss.detach()), learning_rate)
    student.eval()


def _state(student: Generalist, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    return copy.deepcopy({"student": student.state_dict(), "optimiser": optimiser.state_dict()["state"]})


def _restore(student: Generalist, optimiser: torch.optim.Optimizer, good: Mapping[str, Any]) -> None:
    """Go back to a good state; the learning rate goes on."""
    student.load_state_dict(good["student"])
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": copy.deepcopy(good["optimiser"]), "param_groups": groups})


def _refuse(broken: int, update: int, robots: Mapping[str, Transitions]) -> None:
    """Stop after a few broken updates, and say whose rows are to blame, if rows are."""
    print(f"update {update}: the loss is not finite; back to the last good weights ({broken})", flush=True)
    if broken < MAX_BROKEN_UPDATES:
        return
    bad = [name for name, rows in robots.items() if not all(bool(v.isfinite().all()) for v in vars(rows).values())]
    cause = f"the recordings of {', '.join(bad)} hold NaN or infinity" if bad else "lower --fit.learning-rate"
    raise ValueError(f"the loss of the fit was not finite in {broken} updates, the last one {update}: {cause}")


@torch.no_grad()
def distance(student: Generalist, rows: Transitions) -> dict[str, float]:
    """Return how far the generalist is from the specialist: KL, and mean absolute error of the clipped mean action."""
    device = next(student.parameters()).device
    kl, error, dimensions = 0.0, 0.0, 0.0
    for start in range(0, len(rows), _EVALUATION_ROWS):
        part = Transitions(
            **{name: value[start : start + _EVALUATION_ROWS].to(device) for name, value in vars(rows).items()}
        )
        active = active_dimensions(part.descriptor)
        mean, log_std = student(part.features, part.descriptor)
        kl += len(part) * float(gaussian_kl(part.mean, part.log_std, mean, log_std, active=active))
        error += float(((part.mean.clamp(-1.0, 1.0) - mean.clamp(-1.0, 1.0)).abs() * active).sum())
        dimensions += float(active.sum())
    return {"kl": round(kl / len(rows), 6), "share_error": round(error / dimensions, 6)}


def _loss(student: Generalist, batch: Transitions, kind: str) -> Tensor:
    mean, log_std = student(batch.features, batch.descriptor)
    active = active_dimensions(batch.descriptor)
    if kind == "mse":
        return mean_squared_error(batch.mean, mean, active=active)
    return gaussian_kl(batch.mean, batch.log_std, mean, log_std, active=active)


def _rate(done: int, *, updates: int, config: FitConfig) -> float:
    """Return the factor on the learning rate: up along a line, down along a cosine."""
    warmup = min(config.warmup_updates, max(1, updates // 10))
    if done < warmup:
        return (done + 1) / warmup
    return 0.5 * (1.0 + float(np.cos(np.pi * (done - warmup) / max(1, updates - warmup))))
