"""Do all nodes of a cluster see the run folder? This machine leaves a token in it, and every node checks it."""

import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.runs.processes import ROOT

TOKEN = "shared_folder.txt"
_LATE_S = 5.0
"""A network file system may show a new file late."""
_ANSWER_S = 300.0
"""On a node that is busy it takes minutes to start the process that checks."""


def leave_token(folders: Sequence[Path]) -> str:
    """Write a new token into every folder and return it."""
    token = uuid.uuid4().hex
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TOKEN).write_text(token, encoding="utf-8")
    return token


def require(folders: Sequence[Path], token: str) -> None:
    """Check on the node where this is called that it sees the folders.

    Raises:
        ValueError: If one is not there, or has not the token, as a folder of the same name on another disk.
    """
    for folder in folders:
        deadline_s = time.monotonic() + _LATE_S
        while not _sees(folder, token) and time.monotonic() < deadline_s:
            time.sleep(0.5)
        if not _sees(folder, token):
            raise ValueError(
                f"node {ray.util.get_node_ip_address()} does not see the run folder {folder}: specialists of a cluster "
                "need one file system, mounted at the same path on every node; or train on this machine alone, without "
                "RAY_ADDRESS"
            )


def _sees(folder: Path, token: str) -> bool:
    try:
        return (folder / TOKEN).read_text(encoding="utf-8") == token
    except OSError:
        return False


def require_on_all_nodes(folders: Sequence[Path], token: str) -> None:
    """Do so on every node that lends cores, before any robot trains.

    Raises:
        ValueError: If one does not see a folder, cannot load this project, or does not answer.
    """
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]
    asked = {_ask(node["NodeID"], folders, token): node["NodeManagerAddress"] for node in nodes}
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S) if asked else ([], [])
    if silent:
        raise ValueError(f"node {asked[silent[0]]} of the cluster has not answered for {_ANSWER_S:.0f} s; remove it")
    for answer in answered:
        _read(answer, asked[answer])


def _ask(node_id: str, folders: Sequence[Path], token: str) -> Any:
    there = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(require).remote(list(folders), token)


def _read(answer: Any, node: str) -> None:
    try:
        ray.get(answer)
    except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
        return  # it has left the cluster meanwhile
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError):
            raise ValueError(str(error.cause)) from None
        cause = str(error.cause or error).strip().splitlines()[-1]
        raise ValueError(
            f"node {node} cannot load this project ({cause}): the repository and its .venv must lie at {ROOT} on every "
            "node of the cluster"
        ) from None
