"""Networks on disk: weights as safetensors beside a JSON with the configuration and the weights' hash."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
from torch import nn

from world_model import atomic_files

FORMAT = "crossbody-network"
VERSION = 1
Module = TypeVar("Module", bound=nn.Module)


def save_module(module: nn.Module, directory: Path, name: str, *, notes: Mapping[str, Any] | None = None) -> None:
    """Write ``NAME.safetensors`` and, last, ``NAME.json``.

    Args:
        module: A network whose ``config`` is a dataclass that JSON can hold.
        notes: More entries for the JSON, for the reader (metrics, what it was trained on).
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    # one entry only: safetensors writes several in random order, and the same weights shall give the same file
    weights = safetensors.torch.save(tensors, metadata={"format": FORMAT})
    card = {
        "format": FORMAT,
        "version": VERSION,
        "network": type(module).__name__,
        "config": dataclasses.asdict(module.config),  # type: ignore[call-overload]
        "parameters": sum(p.numel() for p in module.parameters()),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "notes": dict(notes or {}),
    }
    atomic_files.write_bytes(directory / f"{name}.safetensors", weights)
    atomic_files.write_bytes(directory / f"{name}.json", (json.dumps(card, indent=2) + "\n").encode())


def load_module(module_type: type[Module], directory: Path, name: str) -> Module:
    """Return a network saved with ``save_module``, on the CPU and in evaluation mode.

    Raises:
        FileNotFoundError: If one of the two files is missing.
        ValueError: If a file is damaged or holds another network.
    """
    card = read_card(directory, name)
    if card["network"] != module_type.__name__:
        raise ValueError(f"{directory / name}.json holds a {card['network']}, expected a {module_type.__name__}")
    path = directory / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no weights {path}; run the stage that makes {directory.name} again")
    weights = path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != card["weights_sha256"]:
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one in {name}.json; delete the folder and rerun")
    try:
        config = module_type.Config(**tuples(card["config"]))  # type: ignore[attr-defined]
        module = module_type(config)
        module.load_state_dict(safetensors.torch.load(weights))
    except (TypeError, RuntimeError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} does not fit {module_type.__name__} of this version: {reason}") from error
    return module.eval()


def read_card(directory: Path, name: str) -> dict[str, Any]:
    """Return the JSON beside the weights.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is damaged or of another kind.
    """
    path = directory / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no network {path}; run the stage that makes {directory.name} first")
    try:
        card = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: not JSON; delete the folder and rerun its stage") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT or card.get("version") != VERSION:
        raise ValueError(f"{path} is not a {FORMAT} of version {VERSION}")
    if missing := {"network", "config", "weights_sha256"} - card.keys():
        raise ValueError(f"{path} is damaged: without {', '.join(sorted(missing))}")
    return card


def tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as JSON holds it with tuples instead of lists, however deep."""
    return {key: _tuple(value) for key, value in config.items()}


def _tuple(value: Any) -> Any:
    return tuple(_tuple(each) for each in value) if isinstance(value, list) else value
