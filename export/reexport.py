"""Files of today's graph from the networks of exported ones: the same policies under the same names."""

import json
from collections.abc import Sequence

import onnx
import torch

from export import parity
from export.contract import described_contract, sealed
from export.graph import PolicyGraph
from export.networks import read
from export.runtime.contract import CONTRACT_KEY, HASH_KEY, SCHEMA_VERSION
from export.to_onnx import to_onnx

PARITY_STEPS = 20


def reexported(models: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """Export files (name, content) again; the same file gives the same bytes.

    Agent, licence, training commit and the descriptors of the trained robots stay; the hash is new.

    Raises:
        ValueError: If a file is damaged, has a critic, which it does not describe, or would compute something else.
    """
    torch.set_num_threads(1)
    made = []
    for name, model in models:
        old = onnx.load_from_string(model)
        if "value" in {output.name for output in old.graph.output}:
            raise ValueError(f"{name} has a critic (output 'value'), which it does not describe; export its run again")
        graph = read(model, where=name).graph
        data = sealed(to_onnx(graph), _renewed(_entries(old), graph))
        parity.require(parity.compare(graph, data, steps=PARITY_STEPS, batches=(3,)), name=name)
        made.append(data)
    return made


def _entries(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props if entry.key != HASH_KEY}


def _renewed(entries: dict[str, str], graph: PolicyGraph) -> dict[str, str]:
    """Return the metadata with today's interface; whose policy it is and what it was trained on stay."""
    old = json.loads(entries[CONTRACT_KEY])
    contract = described_contract(graph, agent=old["agent"], descriptors=old["embodiments"])
    return entries | {"nav.schema_version": str(SCHEMA_VERSION), CONTRACT_KEY: contract}
