"""The agents that can be evaluated: one file each in this folder, discovered, never listed.

A file that defines ``AGENT`` is an agent; its name is the agent's id. Besides, ``server:URL`` is the policy behind a
policy server (``server.py``).
"""

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from embodiments.embodiment import Embodiment
from export.policy_server.client import TIMEOUT_S
from pipeline import agents
from pipeline.agents import server, server_ids
from pipeline.agents.agent import Agent, AgentInfo, Kind
from pipeline.agents.exported import ExportedAgent
from pipeline.runs.discovery import unknown


@cache
def infos() -> dict[str, AgentInfo]:
    """Return every agent, id -> what its file says, in the order of tables."""
    modules = {
        found.name: importlib.import_module(f"{agents.__name__}.{found.name}")
        for found in pkgutil.iter_modules(agents.__path__)
        if found.name != "registry"
    }
    found = {name: module.AGENT for name, module in modules.items() if hasattr(module, "AGENT")}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def get(name: str) -> AgentInfo:
    """Return what an agent's file says, or what is said of a policy behind a server.

    Raises:
        ValueError: If there is no such agent.
    """
    if server_ids.is_server(name):
        return server.info(name)
    if name not in infos():
        raise ValueError(unknown("agent", name, (*infos(), f"{server_ids.PREFIX}URL")))
    return infos()[name]


def names(*kinds: Kind) -> tuple[str, ...]:
    """Return the ids of all agents, or of those of some kinds, in the order of tables."""
    return tuple(name for name, info in infos().items() if not kinds or info.kind in kinds)


def without_weights() -> tuple[str, ...]:
    """Return the ids of the agents that need no exported file."""
    return tuple(name for name, info in infos().items() if info.file is None)


def generalists() -> tuple[str, ...]:
    """Return the ids of the agents that run the one file for all robots."""
    return tuple(name for name, info in infos().items() if info.file == get("generalist").file)


def policy_file(agent: str, *, folder: Path, embodiment: str) -> Path | None:
    """Return where an agent's exported policy lies in a folder; None for an agent without weights."""
    file = get(agent).file
    return folder / file.format(embodiment=embodiment) if file else None


def make(
    agent: str,
    embodiment: Embodiment,
    *,
    num_envs: int,
    device: str,
    seed: int,
    policy: Path | None = None,
    server_timeout_s: float = TIMEOUT_S,
) -> Agent:
    """Return an agent for a batch of environments.

    Args:
        agent: Its id; ``server:URL`` for a policy behind a server.
        embodiment: The robot that it drives.
        policy: Its exported file, for an agent that has one.
        server_timeout_s: For every answer of a policy server.

    Raises:
        ValueError: If there is no such agent, or its file does not fit the robot.
        FileNotFoundError: If its file does not exist.
        OSError: If a policy server does not answer.
    """
    if server_ids.is_server(agent):
        url = server_ids.url_of(agent)
        return server.ServerAgent(url, embodiment, device=device, seed=seed, timeout_s=server_timeout_s)
    info = get(agent)
    if info.make is not None:
        return info.make(num_envs=num_envs, device=device, seed=seed)
    if policy is None:
        raise ValueError(f"agent '{agent}' needs an exported policy file.")
    # A specialist is trained for one robot; the others may be tried on any.
    is_for_any_robot = agent != "specialist"
    return ExportedAgent(policy, embodiment, device=device, blind=not info.uses_depth, allow_unseen=is_for_any_robot)
