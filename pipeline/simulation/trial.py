"""What decides whether something learned is kept: how often the robot arrives with it, and without it.

A loss cannot say: a head that imitates its teacher ever better, or earns ever more while it explores, may arrive less
often by itself (docs/log.md, 2026-11-25).
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch

from pipeline.simulation.latent import LatentStep

SHARES = (0.0, 0.5, 1.0)
"""Of what has been learned that are tried; 0 is what was there before."""
KEPT = "trial/kept"


class Driven(Protocol):
    """What is driven; ``simulation.latent.LatentEnvironment`` is one."""

    def reset(self) -> LatentStep:
        """Begin a new episode everywhere."""
        ...

    def step(self, residual_share: torch.Tensor) -> LatentStep:
        """Add residual shares (B, 3) to the base policy's, execute, observe."""
        ...


class Tally(NamedTuple):
    """What a trial counted."""

    episodes: int
    successes: int

    @property
    def success(self) -> float:
        """Share of the episodes that succeeded; 0 if none ended."""
        return self.successes / max(1, self.episodes)


@torch.no_grad()
def trial(environment: Driven, residual: Callable[[LatentStep], torch.Tensor], *, steps: int) -> Tally:
    """Drive every environment without exploring; count every episode that begins within so many control steps.

    All of them run to their end, however long that takes: an episode that time would cut off is more often one that
    fails, and a trial shorter than the time limit would never see it fail.

    Args:
        residual: Residual shares (B, 3) for a step.
        steps: Control steps within which episodes begin; with 0 each environment has one.
    """
    step, taken = environment.reset(), 0
    counting = torch.ones_like(step.first)
    episodes = successes = 0
    while taken < steps or bool(counting.any()):
        step, taken = environment.step(residual(step)), taken + 1
        counting = torch.where(step.first, torch.full_like(counting, taken <= steps), counting)
        ended = (step.terminated | step.truncated) & counting
        counting &= ~ended
        episodes += int(ended.sum())
        successes += int((ended & step.outcome.success).sum())
    return Tally(episodes, successes)


def best_share(tried: Mapping[float, Tally]) -> float:
    """Return the share that succeeded most often, or the smallest one that may be as good by one standard error."""
    best = max(sorted(tried), key=lambda share: tried[share].success)
    as_good = [
        share for share in tried if tried[best].success - tried[share].success <= _error(tried[best], tried[share])
    ]
    return min(as_good)


def _error(first: Tally, second: Tally) -> float:
    """Return the standard error of the difference of two success rates."""
    return math.sqrt(sum(each.success * (1.0 - each.success) / max(1, each.episodes) for each in (first, second)))


def figures(tried: Mapping[float, Tally]) -> dict[str, float]:
    """Return what was tried and what is kept, for a log or a card."""
    rates = {f"trial/success_{share:g}": round(tally.success, 4) for share, tally in tried.items()}
    episodes = min(tally.episodes for tally in tried.values())
    return {**rates, "trial/episodes": episodes, KEPT: best_share(tried)}
