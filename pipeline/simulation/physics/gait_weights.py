"""A gait's actor network and its files: weights as safetensors, and a JSON card that holds their SHA-256."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from embodiments.embodiment import GaitDrive
from embodiments.registry import GAITS_FOLDER
from pipeline.runs import manifest
from pipeline.simulation.physics.gait_policy import HISTORY, observation_size
from world_model import atomic_files

HIDDEN = (128, 128, 64)
_SEAL = "card_sha256"


def make_network(joints: int) -> nn.Sequential:
    """Return the actor: (B, HISTORY * O) -> (B, J)."""
    sizes = (HISTORY * observation_size(joints), *HIDDEN)
    layers: list[nn.Module] = []
    for size, following in itertools.pairwise(sizes):
        layers += [nn.Linear(size, following), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], joints))


def save_gait(network: nn.Module, path: Path, card: Mapping[str, Any]) -> None:
    """Write the weights and, last, the card with their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()})
    atomic_files.write_bytes(path, weights)
    write_card(path, {**card, "weights_sha256": hashlib.sha256(weights).hexdigest()})


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the card of the weights ``path``, with a SHA-256 of its own content."""
    content = {key: value for key, value in card.items() if key != _SEAL}
    sealed = {**content, _SEAL: manifest.hash_of(content)}
    atomic_files.write_bytes(path.with_suffix(".json"), (json.dumps(sealed, indent=2) + "\n").encode())


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of the weights ``path``.

    Raises:
        FileNotFoundError: If there is no card.
        ValueError: If the card is damaged.
    """
    file = path.with_suffix(".json")
    if not file.is_file():
        raise FileNotFoundError(f"no card '{file}' beside the gait weights: restore it together with them")
    try:
        card: dict[str, Any] = json.loads(file.read_bytes())
        seal, _ = card.pop(_SEAL), card["weights_sha256"]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"'{file}' is damaged: not a gait's card; restore it together with the weights") from error
    if manifest.hash_of(card) != seal:
        raise ValueError(f"'{file}' is damaged: its content does not fit its SHA-256; restore it with the weights")
    return card


def load_gait(drive: GaitDrive, path: Path | None = None) -> nn.Sequential:
    """Load a gait's actor, frozen.

    Args:
        path: Weights; by default the ones that ship with the robot.

    Raises:
        FileNotFoundError: If the weights or their card are missing; the message says how to get them.
        ValueError: If a file is damaged or does not hold a gait for this robot's joints.
    """
    path = path or GAITS_FOLDER / drive.weights
    if not path.is_file():
        raise FileNotFoundError(
            f"no gait weights '{path.name}' in {path.parent}: train them with "
            f"'python -m pipeline train_gait --embodiments {path.stem}'"
        )
    weights = path.read_bytes()
    if hashlib.sha256(weights).hexdigest() != read_card(path)["weights_sha256"]:
        raise ValueError(
            f"gait weights '{path}' are damaged: their SHA-256 is not the one in {path.stem}.json; restore both files"
        )
    network = make_network(len(drive.joints))
    try:
        network.load_state_dict(safetensors.torch.load(weights))
    except (safetensors.SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"'{path.name}' is not a gait for {len(drive.joints)} joints: {reason}") from error
    return network.requires_grad_(False).eval()
