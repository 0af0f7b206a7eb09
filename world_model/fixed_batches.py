"""A step of a policy, computed for a few robots of the batch at a time."""

from collections.abc import Callable

import torch
from torch import Tensor

from embodiments.observation import Observation

ROWS_AT_ONCE = 16
"""On a CPU: their costmaps fit into its cache."""


def by_rows(
    step: Callable[[Observation[Tensor], Tensor], tuple[Tensor, ...]], observation: Observation[Tensor], state: Tensor
) -> tuple[Tensor, ...]:
    """Return what ``step(observation, state)`` returns, all (B, ...), computed in parts of the batch on a CPU."""
    if state.device.type != "cpu":
        return step(observation, state)
    parts = []
    for low in range(0, max(1, len(state)), ROWS_AT_ONCE):
        rows = slice(low, low + ROWS_AT_ONCE)
        parts.append(step(observation.rows(rows), state[rows]))
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))
