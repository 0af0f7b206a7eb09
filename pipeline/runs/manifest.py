"""The manifest of a finished folder: what made it, from what, and the SHA-256 of every file in it.

A folder without a valid manifest does not exist. The manifest is written last: where it is valid, all else is there.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from world_model import atomic_files

NAME = "manifest.json"
_ZEROS = "0" * 64
_SELF = "manifest_sha256"
"""Entry with the SHA-256 of the manifest's own bytes, taken while the entry holds zeros"""
_SEAL = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
FORMAT = 1
_VOLATILE = ("tensorboard/",)
"""Outputs that carry wall-clock times; they are verified, but do not make a folder's content another one."""


class ManifestError(ValueError):
    """A folder has no manifest, a broken or foreign one, or a file that does not fit it."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a manifest says, as far as other code relies on it."""

    stage: str
    key: str
    """Hash of configuration and inputs that the folder was made with."""
    outputs: Mapping[str, Mapping[str, Any]]
    """Relative path -> {"sha256", "bytes"}."""
    body: Mapping[str, Any]
    """The whole document: config, seed, git, packages, inputs, metrics, wall_time_s."""

    def digest(self) -> str:
        """Return the hash of the folder's content: equal content, equal digest, whenever it was made."""
        return hash_of({name: o["sha256"] for name, o in self.outputs.items() if not name.startswith(_VOLATILE)})


def hash_of(value: object) -> str:
    """Return the SHA-256 of a JSON-able value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read(folder: Path, *, stage: str | None = None) -> Manifest:
    """Read a folder's manifest without touching the files it lists.

    Raises:
        ManifestError: If it is missing, unreadable, of another format or of another stage.
    """
    path = folder / NAME
    try:
        body = json.loads(_unsealed(path))
        if body["format"] != FORMAT:
            raise ManifestError(f"{path} has format {body['format']}, this version reads {FORMAT}")
        manifest = Manifest(stage=body["stage"], key=body["key"], outputs=dict(body["outputs"]), body=body)
        if not all(isinstance(o["sha256"], str) and isinstance(o["bytes"], int) for o in manifest.outputs.values()):
            raise TypeError("outputs")
        if strange := [name for name in manifest.outputs if not _lies_inside(name)]:
            raise ManifestError(f"{path} names '{strange[0]}', which does not lie in its folder")
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestError(f"{folder} has no {NAME}: it was never finished") from None
    except ManifestError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ManifestError(f"{path} is broken") from None
    if stage is not None and manifest.stage != stage:
        raise ManifestError(f"{folder} was made by stage '{manifest.stage}', not by '{stage}'")
    return manifest


def verify(folder: Path, *, stage: str | None = None) -> Manifest:
    """Read a folder's manifest and check every file against it.

    Raises:
        ManifestError: If the manifest or a file is missing, a file is not what was written, or is not in the manifest.
    """
    manifest = read(folder, stage=stage)
    if extra := sorted(set(_files(folder)) - set(manifest.outputs)):
        raise ManifestError(f"{folder / extra[0]} is not in the folder's manifest")
    for name, output in manifest.outputs.items():
        path = folder / name
        if not path.is_file():
            raise ManifestError(f"{path} is missing")
        if path.stat().st_size != output["bytes"]:
            raise ManifestError(f"{path} has {path.stat().st_size} bytes, its manifest says {output['bytes']}")
        if hash_file(path) != output["sha256"]:
            raise ManifestError(f"{path} is damaged: its SHA-256 is not the one in its manifest")
    return manifest


def write(folder: Path, body: Mapping[str, Any]) -> Manifest:
    """Make all files of a folder durable, hash them, and write the manifest last.

    Args:
        folder: A folder that nobody else sees yet.
        body: The document without ``format`` and ``outputs``.
    """
    outputs = {}
    for name in _files(folder):
        atomic_files.sync(folder / name)
        outputs[name] = {"sha256": hash_file(folder / name), "bytes": (folder / name).stat().st_size}
    for path in (*(p for p in folder.rglob("*") if p.is_dir()), folder):
        atomic_files.sync(path)
    document = {"format": FORMAT, **body, "outputs": outputs, _SELF: _ZEROS}
    text = json.dumps(document, indent=2, default=_plain) + "\n"
    sealed = text.replace(_ZEROS, hashlib.sha256(text.encode()).hexdigest())
    atomic_files.write_text(folder / NAME, sealed)
    atomic_files.sync(folder)
    return read(folder)


def _files(folder: Path) -> list[str]:
    """Return the relative paths of all files in a folder but its manifest; links count as files."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(path.relative_to(folder).as_posix() for path in found if path != folder / NAME)


def _lies_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.as_posix() == name


def _unsealed(path: Path) -> bytes:
    """Return a manifest's bytes after comparing their SHA-256 with the one among them."""
    data = path.read_bytes()
    seal = _SEAL.search(data)
    if seal is None:
        raise ManifestError(f"{path} is broken: it has no SHA-256 of its own")
    zeroed = data[: seal.start(1)] + _ZEROS.encode() + data[seal.end(1) :]
    if hashlib.sha256(zeroed).hexdigest().encode() != seal.group(1):
        raise ManifestError(f"{path} is damaged: its SHA-256 is not the one in it")
    return data


def _plain(value: object) -> object:
    """Turn what JSON does not know (numpy scalars and arrays, paths) into what it knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
