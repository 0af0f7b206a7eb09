"""RLlib checkpoints that survive a kill at any moment; they serve only to resume inside the stage that wrote them.

RLlib writes its files straight into the directory it is given, and reading one unpickles. So a checkpoint is written
to a temporary sibling, hashed, given its manifest last and renamed; whatever has no valid manifest does not exist.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEPT_GENERATIONS = 2
MANIFEST = "manifest.json"


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
    manifest = {"control_steps": control_steps, "state": state, "sha256": _hashes(temporary)}
    for path in sorted(temporary.rglob("*")):
        if path.is_file():
            _fsync(path)
    (temporary / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    _fsync(temporary / MANIFEST)
    shutil.rmtree(final, ignore_errors=True)
    temporary.replace(final)
    _fsync(directory)
    _prune(directory)
    return final


def newest(directory: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return RLlib's folder and the state of the newest whole generation, or None."""
    for generation in sorted(directory.glob("step-*"), reverse=True):
        manifest = _read(generation)
        if manifest is not None:
            return generation / "rllib", manifest["state"]
    return None


def _read(generation: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((generation / MANIFEST).read_text(encoding="utf-8"))
        return manifest if manifest["sha256"] == _hashes(generation) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _prune(directory: Path) -> None:
    for stale in sorted(directory.glob("step-*"))[:-KEPT_GENERATIONS]:
        shutil.rmtree(stale, ignore_errors=True)
    for stale in directory.glob("temporary-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
