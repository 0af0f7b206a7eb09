"""Metadata of an exported policy: what it promises, for whom it was made, and its own hash."""

import json
from collections.abc import Mapping, Sequence

import onnx

from embodiments.embodiment import Embodiment
from export.graph import PolicyGraph
from export.networks import NETWORKS_KEY, described
from export.runtime.contract import CONTRACT_KEY, HASH_KEY, SCHEMA_VERSION, interface, seal

AGENTS = ("base", "specialist", "generalist")


def metadata(
    graph: PolicyGraph, *, agent: str, trained: Sequence[Embodiment], licence: str, git_commit: str
) -> dict[str, str]:
    """Return the entries ``nav.*`` of a policy, all but the hash.

    Args:
        agent: Agent id, one of ``AGENTS``.
        trained: The robots that it was trained on.
        licence: SPDX id of the weights.
    """
    if agent not in AGENTS:
        raise ValueError(f"no exported agent '{agent}'; there are: {', '.join(AGENTS)}")
    descriptors = {robot.name: [round(float(value), 6) for value in robot.descriptor()] for robot in trained}
    return {
        "nav.schema_version": str(SCHEMA_VERSION),
        "nav.agent": agent,
        "nav.embodiments": ",".join(robot.name for robot in trained),
        "nav.license": licence,
        "nav.git_commit": git_commit,
        NETWORKS_KEY: described(graph),
        CONTRACT_KEY: described_contract(graph, agent=agent, descriptors=descriptors),
    }


def described_contract(graph: PolicyGraph, *, agent: str, descriptors: Mapping[str, Sequence[float]]) -> str:
    """Return the contract as JSON: the interface, whose policy it is, and the descriptors that it was trained on."""
    body = interface(graph.state_size, value=graph.critic is not None)
    return json.dumps(body | {"agent": agent, "embodiments": descriptors}, sort_keys=True)


def sealed(model: onnx.ModelProto, entries: dict[str, str]) -> bytes:
    """Return the serialised model with its metadata and, filled in last, its own SHA-256."""
    onnx.helper.set_model_props(model, entries | {HASH_KEY: "0" * 64})
    return seal(model.SerializeToString(deterministic=True))
