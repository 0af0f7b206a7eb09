"""What a policy sees in one control step, for a batch of robots, as numpy arrays or as torch tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Array = TypeVar("Array")
"""numpy.ndarray or torch.Tensor"""
Other = TypeVar("Other")

_DESCRIPTOR_INPUT = "embodiment"
"""The name that exported policies and recordings give to the descriptor."""


@dataclass(frozen=True, kw_only=True)
class Observation(Generic[Array]):
    """One observation of every robot of a batch; nothing privileged is in it. Shapes: ``spaces.OBSERVATION_SHAPES``."""

    depth_m: Array
    """(B, 1, 40, 64) planar depth [m]; 0 = invalid."""
    velocity_b: Array
    """(B, 3) measured vx, vy [m/s], yaw rate [rad/s], body frame."""
    previous_command: Array
    """(B, 3) the command executed last; zero after a reset."""
    route_xy_b_m: Array
    """(B, 10, 2) next points of the route, body frame, padded with the goal."""
    goal_b: Array
    """(B, 4) goal x, y [m], cos and sin of its relative heading, body frame; at any distance."""
    descriptor: Array
    """(B, E) the body's physical quantities, SI units."""

    def inputs(self) -> dict[str, Array]:
        """Return the arrays by the names of an exported policy's inputs, without copying."""
        inputs = dict(vars(self))
        inputs[_DESCRIPTOR_INPUT] = inputs.pop("descriptor")
        return inputs

    def map(self, function: Callable[[Array], Other]) -> "Observation[Other]":
        """Return an observation of what a function makes of every array."""
        return Observation(**{name: function(value) for name, value in vars(self).items()})

    def rows(self, index: Any) -> "Observation[Array]":
        """Return some robots of the batch, chosen by a slice, a mask (B,) or their numbers."""
        return self.map(lambda value: value[index])  # type: ignore[index]


def from_inputs(inputs: Mapping[str, Array]) -> Observation[Array]:
    """Return the observation whose arrays carry the names of an exported policy's inputs; other names are left out."""
    named = {name: inputs[name] for name in Observation.__dataclass_fields__ if name != "descriptor"}
    return Observation(**named, descriptor=inputs[_DESCRIPTOR_INPUT])
