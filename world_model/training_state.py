"""A training's own checkpoints: weights and optimiser as safetensors, two generations, each file names its own hash."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from world_model import atomic_files

GENERATIONS = 2
_NAME = re.compile(r"step-(\d{9})-([0-9a-f]{16})\.safetensors")


def save_state(
    directory: Path,
    modules: Mapping[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    *,
    step: int,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint durably, then drop all but the newest ``GENERATIONS``.

    Args:
        extra: JSON-able values to find again when resuming (seconds spent).
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}/{key}": value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{key}": torch.as_tensor(value).cpu() for key, value in values.items()}
    data = safetensors.torch.save(tensors, metadata={"extra": json.dumps(dict(extra or {}))})
    digest = hashlib.sha256(data).hexdigest()[:16]
    atomic_files.write_bytes(directory / f"step-{step:09d}-{digest}.safetensors", data)
    for path in _generations(directory)[GENERATIONS:]:
        path.unlink()


def restore_state(
    directory: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer
) -> tuple[int, dict[str, Any]]:
    """Load the newest undamaged checkpoint into modules and optimiser; return its step and ``extra``.

    Returns (0, {}) and changes nothing where there is none. A damaged checkpoint is named, and the one before it tried.
    """
    for path in _generations(directory):
        data = path.read_bytes()
        match = _NAME.fullmatch(path.name)
        if match is None or hashlib.sha256(data).hexdigest()[:16] != match.group(2):
            print(f"checkpoint {path} is damaged: its SHA-256 is not the one in its name; trying the one before it")
            continue
        try:
            tensors = safetensors.torch.load(data)
        except safetensors.SafetensorError as error:
            print(f"checkpoint {path} is no safetensors file ({error}); trying the one before it")
            continue
        _load(tensors, modules, optimiser)
        with safetensors.safe_open(path, framework="pt") as file:
            extra: dict[str, Any] = json.loads(file.metadata()["extra"])
        return int(match.group(1)), extra
    return 0, {}


def _generations(directory: Path) -> list[Path]:
    """Return the checkpoints, newest first."""
    return sorted((p for p in directory.glob("step-*.safetensors") if _NAME.fullmatch(p.name)), reverse=True)


def _load(tensors: dict[str, Tensor], modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    weights: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    for name, tensor in tensors.items():
        owner, _, key = name.partition("/")
        if owner == "optimiser":
            index, _, entry = key.partition("/")
            state.setdefault(int(index), {})[entry] = tensor
        else:
            weights[owner][key] = tensor
    for name, module in modules.items():
        module.load_state_dict(weights[name])
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
