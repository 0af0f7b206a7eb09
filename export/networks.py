"""Which networks an exported file was made of, and the way back to them: to train on from a file that was shipped."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from distill.generalist import Generalist
from export.graph import PolicyGraph
from export.runtime.contract import verify_hash
from world_model.base_head import BaseHead
from world_model.checkpoint import tuples
from world_model.residual_head import ResidualHead
from world_model.rssm import WorldModel

NETWORKS_KEY = "nav.networks"
_TYPES: Mapping[str, type[nn.Module]] = {
    kind.__name__: kind for kind in (WorldModel, BaseHead, ResidualHead, Generalist)
}
_TRAINING_ONLY = ("prior_head.", "image_decoder.", "velocity_decoder.", "log_std_layer.", "log_std")
"""Parameters that no command depends on: the exporter leaves them out."""
_NOISE = "log_std"


class Exported(NamedTuple):
    """What an exported file was made of."""

    graph: PolicyGraph
    """Without a critic; in evaluation mode."""
    robots: tuple[str, ...]
    """Those that it was trained on."""


def described(graph: PolicyGraph) -> str:
    """Return what the graph is made of as JSON: by part, its class, its configuration and its exploration noise."""
    parts = {name: part for name, part in graph.named_children() if type(part).__name__ in _TYPES}
    return json.dumps({name: _described(part) for name, part in parts.items()}, sort_keys=True)


def driving(part: nn.Module) -> dict[str, Tensor]:
    """Return those weights of a part that commands depend on: they are in the file."""
    return {name: value for name, value in part.state_dict().items() if not name.startswith(_TRAINING_ONLY)}


def read(model: bytes, *, where: str) -> Exported:
    """Return the networks of an exported file.

    What only training needs (decoders, prior, the generalist's noise) is not in such a file and is as in a new network.

    Raises:
        ValueError: If the file is damaged, says nothing about its networks, or lacks weights that commands depend on.
    """
    verify_hash(model, where=where)
    loaded = onnx.load_from_string(model)
    entries = {entry.key: entry.value for entry in loaded.metadata_props}
    if NETWORKS_KEY not in entries:
        raise ValueError(f"{where} has no {NETWORKS_KEY}: it was exported before files said so; export it again")
    weights = {i.name: torch.from_numpy(numpy_helper.to_array(i).copy()) for i in loaded.graph.initializer}
    parts: dict[str, Any] = {
        name: _restored(description, _below(weights, f"{name}."), where=f"{where}, {name}")
        for name, description in json.loads(entries[NETWORKS_KEY]).items()
    }
    return Exported(PolicyGraph(**parts).eval(), tuple(entries["nav.embodiments"].split(",")))


def _described(part: nn.Module) -> dict[str, Any]:
    config = dataclasses.asdict(part.config)  # type: ignore[call-overload]
    noise = getattr(part, _NOISE, None)
    return {"network": type(part).__name__, "config": config} | ({} if noise is None else {_NOISE: noise.tolist()})


def _restored(description: Mapping[str, Any], weights: Mapping[str, Tensor], *, where: str) -> nn.Module:
    kind = _TYPES[description["network"]]
    part = kind(kind.Config(**tuples(description["config"])))  # type: ignore[attr-defined]
    if _NOISE in description:
        weights = {**weights, _NOISE: torch.tensor(description[_NOISE])}
    try:
        missing, _ = part.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{where} does not fit this version: {str(error).splitlines()[-1].strip()}") from None
    if lost := sorted(driving(part).keys() & set(missing)):
        raise ValueError(f"{where} lacks the weights {', '.join(lost)}; nothing can be trained on from it")
    return part


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
