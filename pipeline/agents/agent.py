"""What every agent offers: one batched policy over environments, and how reports show it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch

from embodiments.observation import Observation
from pipeline.agents.truth import Truth
from world_model.anticipation import Anticipation

Privileged = Callable[[], Truth]
"""Gives what the simulation knows and no robot sees; for the teacher only."""


class Agent(Protocol):
    """A batched policy; ``act`` is called once per control step."""

    @property
    def output(self) -> Literal["action", "command"]:
        """What ``act`` returns: normalised actions, or commands in m/s and rad/s (exported policies)."""

    def reset(self, mask: torch.Tensor) -> None:
        """Reset the memory of the environments in ``mask`` (B,) bool: a new episode begins there."""

    def act(self, observation: Observation[torch.Tensor], privileged: Privileged) -> torch.Tensor:
        """Return the (B, 3) action for one control step."""


@runtime_checkable
class KeepsCostmap(Protocol):
    """An agent that plans on a costmap of its own, for whoever wants to show it."""

    def costmap_state(self, row: int) -> np.ndarray | None:
        """Return a copy of the local planner's state (S,) of one environment, what anticipation remembers behind it.

        None before the first step, and where the exported file does not say where it is.
        """

    def anticipation(self) -> Anticipation | None:
        """Return the network that completes the costmap; None where what is planned on was measured."""


Kind = Literal["scripted", "classical", "ablation", "learned", "privileged"]


@dataclass(frozen=True, kw_only=True)
class AgentInfo:
    """What the file of an agent says about it, as ``AGENT``. Its id is the name of the file."""

    label: str
    """What it is, for readers of a report"""
    kind: Kind
    """Classical agents perceive what a policy perceives; privileged ones know the simulation"""
    order: int
    """Place in tables and legends, from left to right; the last learned agent is the one that matters most"""
    colour: str
    line_style: str | tuple[float, tuple[float, ...]] = "-"
    """Of its track on a map, as Matplotlib takes it"""
    on_maps: bool = False
    """Whether maps show its tracks"""
    by_default: bool = True
    """Whether an evaluation that names no agents drives it"""
    uses_depth: bool = True
    uses_route: bool = True
    """Without it, what the agent does on one route it does on all"""
    make: Callable[..., Agent] | None = None
    """``make(num_envs=, device=, seed=)``, for an agent without weights"""
    file: str | None = None
    """Its exported file, ``{embodiment}`` stands for the robot's name; for an agent with weights"""
