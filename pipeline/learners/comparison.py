"""One learner's figures on one environment, and how learners compare."""

import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.learners import learner
from pipeline.learners.learner import BASELINE, Learner, Settings
from pipeline.learners.timed_environment import Spent, TimedEnvironment
from pipeline.residual_rl.config import actor_rates
from pipeline.residual_rl.vector_environment import BatchedEnvironment
from pipeline.runs.progress import progress

MILLION = 1_000_000
NOTABLE = 0.2
"""A learner is named that is better than ours by more than this"""
_UNCOUNTED_ITERATIONS = 1
"""The first one compiles and fills caches"""


@contextmanager
def trained(name: str, environment: BatchedEnvironment, settings: Settings) -> Iterator[tuple[Learner, dict[str, Any]]]:
    """Train and yield the learner and its figures; close it afterwards.

    All train for as many iterations as ``settings.ppo.control_steps`` take. Steps that only reset are part of an
    iteration, except in RLlib's.
    """
    timed = TimedEnvironment(environment)
    made = learner.make(name, timed, settings)
    try:
        yield made, _train(name, made, timed, settings)
    finally:
        made.close()


def _train(name: str, made: Learner, timed: TimedEnvironment, settings: Settings) -> dict[str, Any]:
    rates = np.asarray(actor_rates(settings.ppo))
    iterations: list[dict[str, float]] = []
    with progress(settings.ppo.control_steps, name) as bar:
        for _ in range(math.ceil(settings.ppo.control_steps / settings.batch)):
            before = replace(timed.spent)
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            after = before.control_steps + settings.batch  # RLlib, too, sets the rate after sampling
            made.iterate(actor_rate=float(np.interp(after, rates[:, 0], rates[:, 1])))
            whole_s, whole_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
            inside = timed.spent.since(before)
            iterations.append(_figures(inside, whole_s=whole_s, whole_cpu_s=whole_cpu_s))
            bar.advance(inside.control_steps, success=_mean(timed.last_successes) or 0.0)
    counted = iterations[_UNCOUNTED_ITERATIONS:] or iterations
    return {
        "learner": name,
        "control_steps": timed.spent.control_steps,
        "training_success": _mean(timed.last_successes),
        "training_episodes": len(timed.last_successes),
        **{key: round(statistics.median(each[key] for each in counted), 1) for key in counted[0]},
        "iterations": iterations,
    }


def _figures(inside: Spent, *, whole_s: float, whole_cpu_s: float) -> dict[str, float]:
    """Return the rates of one iteration, and the learner's seconds per million control steps."""
    steps = max(1, inside.control_steps)
    return {
        "environment_hz": steps / inside.wall_s,
        "training_hz": steps / whole_s,
        "learner_s": (whole_s - inside.wall_s) / steps * MILLION,
        "learner_cpu_s": (whole_cpu_s - inside.cpu_s) / steps * MILLION,
    }


def _mean(successes: Collection[bool]) -> float | None:
    return round(statistics.fmean(successes), 4) if successes else None


def with_ratios(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the results with ``learner_ratio``, a learner's seconds over those of ours, where ours was measured."""
    ours = _ours(results)
    if ours is None:
        return [dict(row) for row in results]
    return [{**row, "learner_ratio": round(row["learner_s"] / ours["learner_s"], 3)} for row in results]


def verdicts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for everything in which a learner is better than ours by more than ``NOTABLE``."""
    ours = _ours(results)
    if ours is None:
        return [f"{BASELINE} was not measured: nothing to compare with"]
    measures: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "learner seconds": lambda row: 1.0 - row["learner_s"] / ours["learner_s"],
        "CPU seconds": lambda row: 1.0 - row["learner_cpu_s"] / ours["learner_cpu_s"],
        "RL steps/s": lambda row: row["training_hz"] / ours["training_hz"] - 1.0,
        "success without noise": lambda row: _gain(row, ours),
    }
    lines = []
    for row in results:
        for what, gain in measures.items():
            if row is not ours and gain(row) > NOTABLE:
                lines.append(f"{row['learner']} is better than {BASELINE} in {what} by {gain(row):.0%}")
    return lines or [f"no learner is better than {BASELINE} by more than {NOTABLE:.0%}"]


def _gain(row: Mapping[str, Any], ours: Mapping[str, Any]) -> float:
    """Return how much more often a learner arrives, relative to ours; 0 where that was not tried."""
    if not row.get("success") or not ours.get("success"):
        return 0.0
    return float(row["success"] / ours["success"] - 1.0)


def _ours(results: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((row for row in results if row["learner"] == BASELINE), None)
