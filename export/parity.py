"""Proof that the exported file computes what the torch network computes, over a recurrent roll-out."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch

from embodiments.limits import action_to_command, scale
from embodiments.observation import from_inputs
from embodiments.spaces import STAND_SPEED_MPS, STAND_YAW_RATE_RADPS
from export.graph import COMMAND, STATE_INPUT, STATE_OUTPUT, PolicyGraph, example_inputs
from world_model.local_planner.stand_in import graph_only

STEPS = 200
SYNC_STEPS = 20
"""After so many steps both go on from the original's state"""
BATCHES = (1, 3, 64)
TOLERANCE = 1e-4
"""Largest allowed difference of a command [m/s, rad/s]."""
_VERGE = 2e-5


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Largest differences over all steps and batch sizes."""

    command: float
    """Absolute"""
    state: float
    """Relative to 1 + its size: a cost to go may be tens of metres"""
    learned_state: float
    """The same of history and sample alone, without the costmap"""


def compare(graph: PolicyGraph, model: bytes, *, steps: int = STEPS, batches: tuple[int, ...] = BATCHES) -> Parity:
    """Roll out both, each with its own recurrent state fed back, on the same observations.

    The command executed last is an observation: both get the original's. Each fed its own, two exact copies drift
    apart, because a trained policy sooner or later turns the last bit of a command into another path. A network that
    completes the map does the same to the state, so every ``SYNC_STEPS`` both take up the original's.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # on small batches threads mostly wait for each other
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with graph_only():  # it is what was exported
            results = [_compare_batch(graph, session, steps=steps, batch=batch) for batch in batches]
    finally:
        torch.set_num_threads(threads)
    names = (field.name for field in dataclasses.fields(Parity))
    return Parity(**{name: float(np.max([getattr(result, name) for result in results])) for name in names})  # keeps NaN


def require(parity: Parity, *, name: str) -> None:
    """Refuse a file that answers something else.

    Raises:
        ValueError: If commands differ by more than ``TOLERANCE``.
    """
    if not parity.command <= TOLERANCE:  # also catches NaN
        raise ValueError(
            f"{name}: exported and original commands differ by {parity.command:.2e}, allowed are {TOLERANCE:.0e}"
        )


@torch.no_grad()
def _compare_batch(graph: PolicyGraph, session: onnxruntime.InferenceSession, *, steps: int, batch: int) -> Parity:
    names = [output.name for output in session.get_outputs()]
    body = example_inputs(graph.state_size, batch=batch)["embodiment"]
    torch_state = torch.zeros(batch, graph.state_size)
    torch_command = torch.zeros(batch, 3)
    state = torch_state.numpy().copy()
    worst_command, worst_state = np.zeros(()), np.zeros(graph.state_size)
    for step in range(steps):
        if step % SYNC_STEPS == 0:
            state = torch_state.numpy().copy()
        seen = example_inputs(graph.state_size, batch=batch, seed=1 + step // 5) | {"embodiment": body}
        original = seen | {"previous_command": torch_command, STATE_INPUT: torch_state}
        feed = {name: value.numpy() for name, value in original.items()} | {STATE_INPUT: state}
        action, torch_command, torch_state, *_ = graph.step(from_inputs(original), original[STATE_INPUT])
        tie = _on_the_verge(action, body)
        answer = session.run(names, feed)
        results = dict(zip(names, answer, strict=True))
        command, state = results[COMMAND], results[STATE_OUTPUT]
        if not (np.isfinite(command).all() and np.isfinite(state).all()):
            return Parity(command=float("nan"), state=float("nan"), learned_state=float("nan"))
        command[tie] = torch_command.numpy()[tie]
        worst_command = np.maximum(worst_command, np.abs(command - torch_command.numpy()).max())
        truth = torch_state.numpy()
        worst_state = np.maximum(worst_state, (np.abs(state - truth) / (1.0 + np.abs(truth))).max(axis=0))
    learned = worst_state[: graph.world_model.dynamic_size]
    return Parity(command=float(worst_command), state=float(worst_state.max()), learned_state=float(learned.max()))


def _on_the_verge(action: torch.Tensor, body: torch.Tensor) -> np.ndarray:
    """Return (B,) booleans: targets within rounding of the stand thresholds, where the command rightly jumps."""
    target = scale(action_to_command(action, body), body)
    speed = target[:, :2].norm(dim=1) - STAND_SPEED_MPS
    yaw_rate = target[:, 2].abs() - STAND_YAW_RATE_RADPS
    return ((speed.abs() < _VERGE) | (yaw_rate.abs() < _VERGE)).numpy()
