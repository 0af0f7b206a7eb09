"""RLlib checkpoints that survive a kill at any moment; they serve only to resume inside the stage that wrote them.

RLlib writes its files straight into the directory it is given, and reading one unpickles. So a checkpoint is written
to a temporary sibling, given its manifest last and renamed; whatever has no valid manifest does not exist.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.runs import manifest
from world_model import atomic_files

GENERATIONS = 2
_KIND = "checkpoint"


def save(directory: Path, *, control_steps: int, state: dict[str, Any], write: Callable[[Path], None]) -> Path:
    """Write one generation atomically and drop the oldest ones.

    Args:
        directory: Folder of the generations.
        control_steps: Names the generation; must grow.
        state: JSON-able, returned by ``newest``.
        write: Writes RLlib's files into the folder it is given.
    """
    directory.mkdir(parents=True, exist_ok=True)
    final = directory / f"step-{control_steps:012d}"
    temporary = directory / f"temporary-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    (temporary / "rllib").mkdir(parents=True)
    write(temporary / "rllib")
    manifest.write(temporary, {"stage": _KIND, "key": final.name, "state": state})
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
    atomic_files.sync(directory)
    _prune(directory)
    return final


def newest(directory: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return RLlib's folder and the state of the newest whole generation, or None."""
    for generation in sorted(directory.glob("step-*"), reverse=True):
        try:
            found = manifest.verify(generation, stage=_KIND)
        except manifest.ManifestError:
            continue
        if found.key == generation.name:
            return generation / "rllib", found.body["state"]
    return None


def _prune(directory: Path) -> None:
    for stale in sorted(directory.glob("step-*"))[:-GENERATIONS]:
        shutil.rmtree(stale, ignore_errors=True)
    for stale in directory.glob("temporary-*"):
        shutil.rmtree(stale, ignore_errors=True)
