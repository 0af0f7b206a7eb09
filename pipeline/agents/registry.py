"""The agents that can be evaluated: one file per scripted agent in this folder, and the exported policies."""

import difflib
import importlib
from pathlib import Path

from embodiments.embodiment import Embodiment
from pipeline.agents.agent import Agent
from pipeline.agents.exported import ExportedAgent

SCRIPTED = ("zero", "random", "go_straight", "planner", "mppi", "teacher")
"""Agents without weights."""
ROUTELESS = ("zero", "random", "go_straight", "teacher")
"""Agents that do not look at the route: what they do on one they do on all."""
POLICY_FILES = {
    "base": "base.onnx",
    "specialist": "specialist_{embodiment}.onnx",
    "generalist": "generalist.onnx",
    "blind": "generalist.onnx",
}
"""Agent -> its file in the folder of exported policies. ``blind`` is the generalist with its depth image zeroed."""
GENERALISTS = ("generalist", "blind")
"""Agents that are the one file for all robots."""
IDS = (*SCRIPTED, *POLICY_FILES)
BLIND = ("zero", "random", "go_straight", "teacher", "blind")
"""Agents that do not look at depth."""


def check(name: str) -> None:
    """Refuse an unknown agent.

    Raises:
        ValueError: If there is no such agent.
    """
    if name not in IDS:
        close = difflib.get_close_matches(name, IDS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else "."
        raise ValueError(f"no agent '{name}'{hint} Known agents: {', '.join(IDS)}.")


def policy_file(agent: str, *, folder: Path, embodiment: str) -> Path | None:
    """Return where an agent's exported policy lies in a folder; None for an agent without weights."""
    return folder / POLICY_FILES[agent].format(embodiment=embodiment) if agent in POLICY_FILES else None


def make(
    agent: str, embodiment: Embodiment, *, num_envs: int, device: str, seed: int, policy: Path | None = None
) -> Agent:
    """Return an agent for a batch of environments.

    Args:
        agent: Its id.
        embodiment: The robot that it drives.
        policy: Its exported file, for an agent that has one.

    Raises:
        ValueError: If there is no such agent, or its file does not fit the robot.
        FileNotFoundError: If its file does not exist.
    """
    check(agent)
    if agent in SCRIPTED:
        scripted: Agent = importlib.import_module(f"pipeline.agents.{agent}").make(
            num_envs=num_envs, device=device, seed=seed
        )
        return scripted
    if policy is None:
        raise ValueError(f"agent '{agent}' needs an exported policy file.")
    # A specialist is one robot's own; the others are made to be tried on any.
    return ExportedAgent(policy, embodiment, device=device, blind=agent == "blind", allow_unseen=agent != "specialist")
