"""Closed-loop validation: the learned correction is scaled by 0, 0.5 or 1, whichever settles most often at the goal.

A loss cannot decide: a head that imitates its teacher better, or earns more while it explores, may reach the goal less
often by itself. Nor can success: it asks for one step of standing at the goal, and a robot may learn to pass through
that step and not to stay (docs/log/2026-11.md).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch

from pipeline.simulation.navigation.latent_step import LatentStep

SCALES = (0.0, 0.5, 1.0)
"""Of the learned correction; 0 is the policy without it."""
BEST_SCALE = "validation/scale"


class Driven(Protocol):
    """What is driven; ``base_policy_environment.LatentEnvironment`` is one."""

    def assign_validation(self, episodes: int) -> np.ndarray:
        """Let a reset begin a validation; return the numbers (N,) of its episodes, each of which runs once.

        An episode that succeeds goes on until its outcome says whether the success settles.
        The same episodes in the same order, drawn from the same seed, whenever it is called; fewer than asked for if
        there are not so many. Bodies and noise differ as soon as episodes end at other times than before.
        """
        ...

    def reset(self) -> LatentStep:
        """Begin a new episode everywhere."""
        ...

    def step(self, residual_action: torch.Tensor) -> LatentStep:
        """Add residual actions (B, 3) to the base policy's, execute, observe."""
        ...


class ValidationCounts(NamedTuple):
    """How the episodes of a validation ended."""

    settled: np.ndarray
    """(N,) bool, ``Outcome.success_settled``, in the same order for every validation of the same environments."""
    success: np.ndarray
    """(N,) bool, ``Outcome.success``: at the goal in one step."""

    @property
    def rate(self) -> float:
        """Fraction of the episodes that settled at the goal."""
        return float(self.settled.mean())


@torch.no_grad()
def validate(environment: Driven, residual: Callable[[LatentStep], torch.Tensor], *, episodes: int) -> ValidationCounts:
    """Drive episodes without exploring, each to its end: one that is cut off would more often have failed.

    Args:
        residual: Residual actions (B, 3) for a step.
        episodes: How many, at least 1, all environments together.
    """
    numbers = environment.assign_validation(episodes)
    step = environment.reset()
    settled, success = dict[int, bool](), dict[int, bool]()
    while len(settled) < len(numbers):
        step = environment.step(residual(step))
        ended, outcome = step.terminated | step.truncated, step.outcome
        episode = outcome.episode[ended].tolist()
        settled.update(zip(episode, outcome.success_settled[ended].tolist(), strict=True))
        success.update(zip(episode, outcome.success[ended].tolist(), strict=True))
    return ValidationCounts(
        settled=np.array([settled[number] for number in numbers], dtype=bool),
        success=np.array([success[number] for number in numbers], dtype=bool),
    )


def best_scale(tried: Mapping[float, ValidationCounts]) -> float:
    """Return the scale that settled most often, or the smallest one within one standard error of it."""
    best = max(sorted(tried), key=lambda scale: tried[scale].rate)
    return min(scale for scale in tried if _as_good(tried[scale], tried[best]))


def _as_good(other: ValidationCounts, best: ValidationCounts) -> bool:
    """Return whether a difference over the same episodes is within its standard error under chance alone.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions".
    """
    ahead = int(best.settled.sum()) - int(other.settled.sum())
    return ahead**2 <= int((best.settled != other.settled).sum())


def figures(tried: Mapping[float, ValidationCounts]) -> dict[str, float]:
    """Return the rates of all scales and the chosen scale, for a log or a card."""
    rates = {f"validation/settled_{scale:g}": round(counts.rate, 4) for scale, counts in tried.items()}
    episodes = {len(counts.settled) for counts in tried.values()}
    return {**rates, "validation/episodes": max(episodes), BEST_SCALE: best_scale(tried)}
