"""Export the shipped policies again from their own weights, after the graph has changed."""

import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.runs import manifest
from pipeline.runs.provenance import ROOT
from pipeline.runs.stage import Command
from world_model import atomic_files


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which folder."""

    policies: Path = ROOT / "export" / "pretrained"
    """Folder of shipped policies; folders in it that have a ``training.json`` are part of it"""


def main(config: Config) -> None:
    """Replace every policy and its hash on the card, and note in ``training.json`` which file it was.

    Raises:
        ValueError: If a file is damaged or its new graph computes something else; then nothing is replaced.
    """
    from export.reexport import reexported  # torch, which the command line's help does not need
    from pipeline.commands.implementation.ship_policy import TRAINING, read_training

    folders = [path.parent for path in sorted(config.policies.rglob(TRAINING))]
    if not folders:
        raise ValueError(
            f"no {TRAINING} in {config.policies}; policies are shipped with: python -m pipeline ship_policy"
        )
    paths = [folder / name for folder in folders for name in read_training(folder)["files"]]
    made = dict(zip(paths, reexported([(str(path), path.read_bytes()) for path in paths]), strict=True))
    for path, content in made.items():
        _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    """Replace a policy, its hash on the folder's card, and note the file that it was."""
    from pipeline.commands.implementation.ship_policy import CARD, REEXPORTED, TRAINING, read_training

    folder, old = path.parent, manifest.hash_file(path)
    atomic_files.write_bytes(path, content)
    if (new := manifest.hash_file(path)) == old:
        return
    training = read_training(folder)
    training[REEXPORTED] = {**training.get(REEXPORTED, {}), old: path.name}
    atomic_files.write_text(folder / TRAINING, json.dumps(training, indent=1) + "\n")
    if (folder / CARD).is_file():
        atomic_files.write_text(folder / CARD, (folder / CARD).read_text(encoding="utf-8").replace(old, new))
    print(f"{path}: {old[:12]} is now {new[:12]}")


COMMAND = Command(config=Config, main=main)
