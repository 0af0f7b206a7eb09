"""Record a specialist's actions as labels, in the states that it, or another policy, drives to."""

from collections.abc import Callable

import numpy as np
import torch

from distill.recordings import OUTCOMES
from embodiments.spaces import COMMAND_SIZE
from pipeline.simulation.navigation.base_policy_environment import LatentEnvironment
from pipeline.simulation.navigation.config import Disturbance
from pipeline.simulation.navigation.environment import Step
from pipeline.simulation.navigation.latent_step import LatentStep
from world_model.residual_head import ResidualHead

Recording = dict[str, np.ndarray]
"""Field of ``distill.recordings.FIELDS["specialist"]`` -> (T, B, ...)."""
Act = Callable[[LatentStep], torch.Tensor]
"""What is executed: full actions (B, 3)."""


class Noise:
    """The noise itself, for every environment."""

    def __init__(self, disturbance: Disturbance, *, num_envs: int, seed: int, device: str) -> None:
        """Start at zero; spread the disturbed environments over the batch."""
        self._disturbance = disturbance
        self._generator = torch.Generator(device=device).manual_seed(seed)
        place = (torch.arange(num_envs, device=device) * 0.6180339887) % 1.0
        self._mask = (place < disturbance.envs)[:, None]
        self._value = torch.zeros(num_envs, COMMAND_SIZE, device=device)

    def next(self) -> torch.Tensor:
        """Return the (B, 3) noise of this control step."""
        self._value = next_noise(
            self._value,
            deviation=self._disturbance.deviation,
            correlation=self._disturbance.correlation,
            generator=self._generator,
        )
        return self._value * self._mask


def next_noise(
    noise: torch.Tensor, *, deviation: float, correlation: float, generator: torch.Generator
) -> torch.Tensor:
    """Return the noise one control step later: correlated with the present one, of the same deviation."""
    fresh = torch.randn(noise.shape, generator=generator, device=noise.device)
    return correlation * noise + (1.0 - correlation**2) ** 0.5 * deviation * fresh


@torch.no_grad()
def specialist_action(specialist: ResidualHead, step: LatentStep) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the specialist's Gaussian over the full action: mean (B, 3), not clipped, and log_std (B, 3)."""
    mean, log_std = specialist(step.features)
    return step.base_action + mean, log_std.expand_as(mean)


@torch.no_grad()
def record(environment: LatentEnvironment, specialist: ResidualHead, act: Act, *, steps: int) -> Recording:
    """Run ``steps`` control steps from the present state; label each with the specialist's action.

    Row t holds the observation, how the step that led to it ended, the label, and the command executed after it.
    """
    rows: dict[str, list[torch.Tensor]] = {}
    for _ in range(steps):
        step = environment.last
        mean, log_std = specialist_action(specialist, step)
        seen = step.observation
        row = {
            "features": step.features,
            "velocity_b": seen.velocity_b,
            "previous_command": seen.previous_command,
            "route_xy_b_m": seen.route_xy_b_m,
            "goal_b": seen.goal_b,
            "embodiment": seen.descriptor,
            "first": step.first,
            "outcome": outcome_code(step),
            "mean": mean,
            "log_std": log_std,
        }
        for name, value in row.items():  # copied before the step, which may change them in place
            rows.setdefault(name, []).append(value.to("cpu", copy=True))
        environment.step_action(act(step))
        rows.setdefault("command", []).append(environment.environment.previous_command.to("cpu", copy=True))
    return {name: torch.stack(values).numpy() for name, values in rows.items()}


def outcome_code(step: LatentStep | Step) -> torch.Tensor:
    """Return (B,) uint8 indices into ``distill.recordings.OUTCOMES``; 0 while the episode runs."""
    code = torch.zeros_like(step.first, dtype=torch.uint8)
    ended = step.terminated | step.truncated
    for name in OUTCOMES[:0:-1]:  # what is named first wins: a success before a collision
        code[ended & getattr(step.outcome, name)] = OUTCOMES.index(name)
    return code


def outcome_rates(outcome: np.ndarray) -> dict[str, float]:
    """Return how many episodes ended and the rate of each outcome among them.

    Args:
        outcome: Any shape, indices into ``OUTCOMES``.
    """
    ended = np.bincount(outcome.ravel(), minlength=len(OUTCOMES))[1:]
    total = max(1, int(ended.sum()))
    return {
        "episodes": int(ended.sum()),
        **{name: round(int(n) / total, 4) for name, n in zip(OUTCOMES[1:], ended, strict=True)},
    }
